//! The two pages at the start of an LMDB file that describe it.

use std::cmp::Reverse;
use std::fs::File;
use std::io;
use std::ops::{Range, RangeInclusive};

use super::page::{Database, Flaw, HEADER, WORD, four, short, word};
use super::{Damage, pages};

/// The numbers of the two pages that describe the file, of which the newer one counts.
pub(super) const HEADS: Range<usize> = 0..2;

const MAGIC: usize = 0xBEEF_C0DE;
const FORMAT: usize = 1;

/// The flag of pages that describe the file.
const META: u16 = 0x08;

/// The sizes that pages can have, in bits.
const SIZES: RangeInclusive<u32> = 9..=15;

/// How many times as many pages as a file has it may speak of, and how many it may in any case.
const MOST_MISSING: usize = 16;
const FEW_PAGES: usize = 1 << 16;

/// What the two first pages say about a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub free: Database,
    pub unnamed: Database,
    pub last_page: usize,
    pub transaction: usize,
}

impl Head {
    /// How many bytes of its page it takes, with the page's header.
    const SIZE: usize = HEADER + 8 + 4 * WORD + 2 * Database::SIZE;

    /// `None` if the page is none of LMDB's in the format that we read.
    fn new(bytes: &[u8]) -> Option<Self> {
        let meta = bytes.get(HEADER..Self::SIZE)?;
        let known =
            short(bytes, WORD + 2) & META != 0 && four(meta, 0) == MAGIC && four(meta, 4) == FORMAT;
        let databases = 8 + 2 * WORD;
        let behind = databases + 2 * Database::SIZE;
        known.then(|| Self {
            free: Database::new(&meta[databases..]),
            unnamed: Database::new(&meta[databases + Database::SIZE..]),
            last_page: word(meta, behind),
            transaction: word(meta, behind + WORD),
        })
    }

    /// The size of a page in bytes, if it is one that LMDB can have.
    fn page_size(&self) -> Result<usize, Flaw> {
        let size = self.free.pad;
        if SIZES.map(|bits| 1 << bits).any(|possible: usize| possible == size) {
            Ok(size)
        } else {
            Err(format!("it says that a page has {size} bytes"))
        }
    }

    /// The head on page `page` of a file whose pages have `size` bytes; `None` if it is none of
    /// LMDB's.
    fn read(file: &File, page: usize, size: usize) -> io::Result<Option<Self>> {
        let mut bytes = [0; Self::SIZE];
        let found = pages::read_at(file, &mut bytes, page * size)?;
        Ok(Self::new(&bytes[..found]))
    }

    /// Checks what LMDB does with a head before it looks at any other page.
    fn check(&self, page: usize, length: usize) -> Result<(), Flaw> {
        let size = self.page_size()?;
        // LMDB writes, and looks for, transactions of even numbers on one and odd on the other.
        if self.transaction != 0 && self.transaction % HEADS.end != page {
            return Err(format!("it says transaction {}, which is the other's", self.transaction));
        }
        // Free pages at the end may be missing in the file, but LMDB maps up to the last one.
        let most = (length / size).saturating_mul(MOST_MISSING).max(FEW_PAGES);
        if self.last_page > most {
            return Err(format!("it says that page {} is the last one", self.last_page));
        }
        Ok(())
    }

    /// The heads of a file, as many as LMDB would recognise.
    pub(super) fn all(file: &File) -> io::Result<Result<Vec<Self>, Damage>> {
        let length = length_of(file)?;
        let mut heads: Vec<Self> = Vec::with_capacity(HEADS.len());
        let mut size = 0;
        for page in HEADS {
            let Some(head) = Self::read(file, page, size)? else { break };
            if let Err(cause) = head.check(page, length) {
                return Ok(Err(Damage { page, cause }));
            }
            if page > 0 && head.free.pad != size {
                let found = head.free.pad;
                let cause = format!("it says that a page has {found} bytes, page 0 says {size}");
                return Ok(Err(Damage { page, cause }));
            }
            size = head.free.pad;
            heads.push(head);
        }
        Ok(Ok(heads))
    }

    /// The heads of a damaged file that can be used, the newest first.
    pub(super) fn usable(file: &File) -> io::Result<Vec<Self>> {
        let length = length_of(file)?;
        let mut heads = Vec::new();
        heads.extend(Self::read(file, 0, 0)?.filter(|head| head.check(0, length).is_ok()));
        for size in SIZES.map(|bits| 1 << bits) {
            if let Some(head) = Self::read(file, 1, size)?
                && head.free.pad == size
                && head.check(1, length).is_ok()
            {
                heads.push(head);
            }
        }
        heads.sort_by_key(|head| Reverse(head.transaction));
        Ok(heads)
    }
}

fn length_of(file: &File) -> io::Result<usize> {
    Ok(usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX))
}

/// The damage of a page that should describe the file.
pub(in crate::store) fn no_head(page: usize) -> Damage {
    Damage { page, cause: "it is no page of LMDB's that describes a file".to_owned() }
}
