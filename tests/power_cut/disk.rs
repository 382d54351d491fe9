//! What a file on a disk may look like after the power was cut.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::recorder::Event;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// What the system writes at a time.
const PAGE: u64 = 4096;

/// Numbers that look random and are the same for the same seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }

    /// A number from `first` to before `end`.
    pub fn range(&mut self, first: usize, end: usize) -> usize {
        first + self.below(end - first)
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// A part of a write, within one sector, or the end that a file was given.
#[derive(Debug, Clone)]
struct Piece {
    write: usize,
    offset: u64,
    /// `None` where the file ends.
    bytes: Option<Vec<u8>>,
    /// Whether synchronising it has failed: the system takes it for written then, and may have
    /// written it or not.
    forsaken: bool,
}

impl Piece {
    fn page(&self) -> u64 {
        self.offset / PAGE
    }

    fn end(&self) -> usize {
        place(self.offset) + self.bytes.as_ref().map_or(0, Vec::len)
    }

    fn sector(&self) -> u64 {
        self.offset / SECTOR as u64
    }
}

/// Which of the writes that were not synchronised have reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    Nothing,
    Everything,
    /// Some, as whole pages.
    Pages,
    /// Some, as sectors.
    Sectors,
}

/// One file: what is on disk for certain, and what has been written since.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    content: Vec<u8>,
    pending: Vec<Piece>,
    writes: usize,
}

impl Disk {
    /// Writes without synchronising.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.writes += 1;
        let (mut offset, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let room = SECTOR - place(offset) % SECTOR;
            let (piece, behind) = rest.split_at(room.min(rest.len()));
            let bytes = Some(piece.to_vec());
            self.pending.push(Piece { write: self.writes, offset, bytes, forsaken: false });
            offset += piece.len() as u64;
            rest = behind;
        }
    }

    /// Ends at `length` without synchronising.
    fn truncate(&mut self, length: u64) {
        self.writes += 1;
        let (write, offset) = (self.writes, length);
        self.pending.push(Piece { write, offset, bytes: None, forsaken: false });
    }

    /// Brings the sectors of the last write to disk, as a synchronised write does.
    pub fn settle_last(&mut self) {
        let last = self.pending.iter().filter(|piece| piece.write == self.writes);
        let sectors: BTreeSet<u64> = last.map(Piece::sector).collect();
        self.settle(|piece| sectors.contains(&piece.sector()));
    }

    /// Brings to disk what has been written since the last time; of what the last time failed for
    /// only the pages that have been written again.
    pub fn sync(&mut self) {
        let dirty = self.pending.iter().filter(|piece| !piece.forsaken);
        let pages: BTreeSet<u64> = dirty.map(Piece::page).collect();
        self.settle(|piece| piece.bytes.is_none() || pages.contains(&piece.page()));
    }

    /// Synchronising has failed: nobody knows what is on disk.
    pub fn fail_to_sync(&mut self) {
        for piece in &mut self.pending {
            piece.forsaken = true;
        }
    }

    fn settle(&mut self, settles: impl Fn(&Piece) -> bool) {
        for piece in self.pending.iter().filter(|piece| settles(piece)) {
            put(&mut self.content, piece);
        }
        self.pending.retain(|piece| !settles(piece));
    }

    /// Does to the disk what `event` did to `file`; tells whether it did anything.
    pub fn follow(&mut self, event: &Event, file: &Path) -> bool {
        match event {
            Event::Write { file: written, offset, bytes, durable } if written == file => {
                self.write(*offset, bytes);
                if *durable {
                    self.settle_last();
                }
            }
            Event::Truncate { file: cut, length } if cut == file => self.truncate(*length),
            Event::Sync { file: synced, failed: false } if synced == file => self.sync(),
            Event::Sync { file: synced, failed: true } if synced == file => self.fail_to_sync(),
            _ => return false,
        }
        true
    }

    /// Everything that was written.
    pub fn written(&self) -> Vec<u8> {
        self.image(Reached::Everything, &mut Random::new(0))
    }

    /// Tells whether everything is on disk.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// What is on disk if the power is cut now.
    pub fn image(&self, reached: Reached, random: &mut Random) -> Vec<u8> {
        let mut image = self.content.clone();
        // From hardly any to nearly all, and sometimes only the newest.
        let odds = random.range(1, 16);
        let newest = random.below(4) == 0;
        let mut pages = BTreeMap::new();
        for piece in &self.pending {
            let lucky = match reached {
                Reached::Nothing => false,
                Reached::Everything => true,
                Reached::Sectors => random.below(16) < odds,
                Reached::Pages => {
                    let page = (piece.write, piece.page());
                    *pages.entry(page).or_insert_with(|| random.below(16) < odds)
                }
            };
            if lucky || newest && reached != Reached::Nothing && piece.write == self.writes {
                put(&mut image, piece);
            }
        }
        if matches!(reached, Reached::Pages | Reached::Sectors) {
            let ends = self.pending.iter().map(Piece::end);
            let longest = ends.max().unwrap_or(0).max(self.content.len());
            // The length has reached the disk on its own, or has not.
            match random.below(4) {
                0 => image.resize(longest, 0),
                1 => image.truncate(self.content.len()),
                _ => {}
            }
        }
        image
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("a small file")
}

fn put(content: &mut Vec<u8>, piece: &Piece) {
    let Some(bytes) = &piece.bytes else {
        content.resize(place(piece.offset), 0);
        return;
    };
    let (start, end) = (place(piece.offset), piece.end());
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(bytes);
}
