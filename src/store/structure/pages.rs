//! The pages of a file, read many at a time where they follow one another.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How many bytes are read at once where pages follow one another.
const AT_ONCE: usize = 1 << 17;

/// The pages of a file.
pub(super) struct Pages<'file> {
    file: &'file File,
    size: usize,
    count: usize,
    /// The pages from `first` on.
    buffer: Vec<u8>,
    first: usize,
}

impl<'file> Pages<'file> {
    pub(super) fn new(file: &'file File, size: usize) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        Ok(Self { file, size, count: length / size, buffer: Vec::new(), first: 0 })
    }

    /// How many whole pages the file has.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The bytes of page `number`, which the file has. `ahead` are the pages that will be asked
    /// for, from this one on.
    pub(super) fn get(
        &mut self,
        number: usize,
        ahead: impl Iterator<Item = usize>,
    ) -> io::Result<&[u8]> {
        let held = self.first..self.first + self.buffer.len() / self.size;
        if !held.contains(&number) {
            let follow = ahead.zip(number..self.count).take(AT_ONCE / self.size);
            let run = follow.take_while(|(next, expected)| next == expected).count();
            self.buffer.resize(run.max(1) * self.size, 0);
            self.first = number;
            let found = read_at(self.file, &mut self.buffer, number * self.size)?;
            if found < self.buffer.len() {
                self.buffer.clear();
                return Err(io::Error::other("it was cut short while it was looked at"));
            }
        }
        let start = (number - self.first) * self.size;
        Ok(&self.buffer[start..start + self.size])
    }

    /// The value of `size` bytes on the pages from `first` on, which the file has.
    pub(super) fn value(&self, first: usize, size: usize) -> io::Result<Vec<u8>> {
        let mut value = vec![0; size];
        let found = read_at(self.file, &mut value, first * self.size + super::HEADER)?;
        value.truncate(found);
        Ok(value)
    }
}

/// Reads from byte `offset` on until `buffer` is full or the file ends; tells how much.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: usize) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], (offset + filled) as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A set of page numbers, as small as a bit for each up to the largest.
#[derive(Default)]
pub(super) struct PageSet {
    words: Vec<u64>,
}

impl PageSet {
    /// Adds a page; `false` if it is in the set already.
    pub(super) fn insert(&mut self, page: usize) -> bool {
        let (word, bit) = (page / 64, 1 << (page % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }
}
