//! The seam between the core and what keeps its bytes.
//!
//! A [`Store`] holds, per namespace, values ordered by key and one metadata value. Everything the
//! core asks of storage goes through this trait; everything it changes goes through one
//! [`Batch`], which is applied as one transaction.

mod changes;
mod environment;
mod faulty;
mod files;
mod keys;
mod lmdb;
mod mapping;
mod memory;
mod salvage;
mod sqlite;
mod structure;

use std::ops::{Bound, ControlFlow};
use std::path::Path;

pub use faulty::{Failure, Faults, FaultyStore, Kind, Operation};
pub use files::network_file_system;
pub use keys::Keys;
pub use lmdb::{Durability, LmdbOptions, LmdbStore};
pub use memory::MemoryStore;
pub use salvage::{Salvage, salvage};
pub use sqlite::{SqliteOptions, SqliteStore};
pub use structure::Damage;

use crate::error::{Error, Result};

/// The key under which a namespace keeps its metadata, beside its records.
pub const METADATA_KEY: &[u8] = b"__metadata__";

/// The longest namespace and key, in bytes (LMDB's limit for both).
pub const MAX_KEY_LEN: usize = 511;

/// The name of a group of records: its own database in LMDB, a column in SQLite; `None` is LMDB's
/// unnamed database, and the empty name in SQLite.
pub type Namespace<'a> = Option<&'a str>;

/// A half-open range of keys, `[start, end)`; `None` is unbounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyRange<'a> {
    /// The first key inside, or `None`.
    pub start: Option<&'a [u8]>,
    /// The first key outside, or `None`.
    pub end: Option<&'a [u8]>,
}

impl<'a> KeyRange<'a> {
    /// The range as ordered maps take it, `None` where no key can be inside.
    fn bounds(self) -> Option<Bounds<'a>> {
        // LMDB cannot seek the empty key; every key sorts after it.
        let start = self.start.filter(|start| !start.is_empty());
        if self.end.is_some_and(|end| end <= start.unwrap_or_default()) {
            return None;
        }
        Some((
            start.map_or(Bound::Unbounded, Bound::Included),
            self.end.map_or(Bound::Unbounded, Bound::Excluded),
        ))
    }
}

/// The direction of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From the smallest key up.
    Ascending,
    /// From the largest key down.
    Descending,
}

/// What becomes of a namespace's metadata in a [`Batch`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MetadataChange {
    /// Left as it is.
    #[default]
    Keep,
    /// Replaced.
    Put(Vec<u8>),
    /// Removed.
    Delete,
}

/// Changes to one namespace that are committed together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Keys and values to write, in ascending order of key for speed and compactness.
    pub puts: Vec<(Vec<u8>, Vec<u8>)>,
    /// Keys to remove; a key that does not exist is no error. Applied after the puts.
    pub deletes: Keys,
    /// Whether the keys to write may be others than timestamps, as EOS's backends permit.
    pub any_keys: bool,
    /// What becomes of the metadata.
    pub metadata: MetadataChange,
    /// The namespace's generation that the changes follow from; `None` if from none. If it has
    /// another one when they are to be made, they are not.
    pub based_on: Option<u64>,
}

impl Batch {
    /// Tells whether the batch writes anything, so that a missing namespace must be created.
    fn has_content(&self) -> bool {
        !self.puts.is_empty() || matches!(self.metadata, MetadataChange::Put(_))
    }
}

/// What a committed [`Batch`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Committed {
    /// How many values were written; of a key put twice the last value counts.
    pub written: usize,
    /// How many of the keys to remove existed.
    pub deleted: usize,
    /// The namespace's generation after the commit, see [`Store::generation`]: exactly one more
    /// than before if the batch changed something and nobody else changed anything meanwhile.
    pub generation: u64,
}

/// Figures about one namespace and its store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Records in the namespace, without metadata.
    pub entries: u64,
    /// Bytes of a page, 0 where the store has no pages.
    pub page_size: u64,
    /// Depth of the namespace's B-tree.
    pub depth: u64,
    /// Inner pages of the namespace's B-tree.
    pub branch_pages: u64,
    /// Leaf pages of the namespace's B-tree.
    pub leaf_pages: u64,
    /// Overflow pages of the namespace's B-tree.
    pub overflow_pages: u64,
    /// Bytes of address space mapped.
    pub map_size: u64,
    /// Number of the last used page.
    pub last_page: u64,
    /// Number of the last committed transaction.
    pub last_transaction: u64,
}

/// Something in a store's file that no namespace shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The namespace it lies in, as it is stored; empty for the unnamed one.
    pub namespace: Vec<u8>,
    /// Its key there, of several the first; empty for metadata.
    pub key: Vec<u8>,
    /// What it is.
    pub cause: String,
}

/// A callback that is shown a key and its value; it breaks off by [`ControlFlow::Break`].
pub type Visit<'a> = &'a mut (dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a);

/// A callback that is shown a key and its value, or `None` where there is none.
pub type VisitKey<'a> = &'a mut (dyn FnMut(&[u8; 16], Option<&[u8]>) -> ControlFlow<()> + 'a);

/// Bounds as ordered maps take them.
type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Storage for namespaces of ordered keys and values.
///
/// Implementations are shared between threads. The metadata value is never seen by the record
/// methods ([`scan`](Store::scan), [`get`](Store::get), [`count`](Store::count), …).
///
/// A `visit` callback runs inside a read transaction. It must not call the store, nor wait for
/// anything that another thread may hold while it calls the store (a lock, Python's GIL).
pub trait Store: Send + Sync {
    /// Shows every record of `range` to `visit`, in `order`, from one consistent snapshot, until
    /// `visit` breaks. A namespace that does not exist is empty.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Namespace`], [`Error::Storage`].
    fn scan(
        &self,
        namespace: Namespace<'_>,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<()>;

    /// Returns the value at `key`.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn get(&self, namespace: Namespace<'_>, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Shows the value (or `None`) of each of `keys` to `visit`, in the given order, from one
    /// consistent snapshot, until `visit` breaks.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn get_many(
        &self,
        namespace: Namespace<'_>,
        keys: &mut dyn Iterator<Item = [u8; 16]>,
        visit: VisitKey<'_>,
    ) -> Result<()>;

    /// Tells whether a record exists at `key`.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn contains(&self, namespace: Namespace<'_>, key: &[u8]) -> Result<bool>;

    /// Counts the records of `range`; for an unbounded range from the store's statistics alone.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn count(&self, namespace: Namespace<'_>, range: KeyRange<'_>) -> Result<u64>;

    /// Applies `batch` in one transaction: all of it, or, on any error, nothing. With the default
    /// durability it is on disk when this returns. The namespace is created if the batch puts
    /// anything. Keys to remove that cannot be a record's are as good as missing.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::ReadOnly`], [`Error::Key`], [`Error::Conflict`], and as
    /// [`Store::scan`].
    fn commit(&self, namespace: Namespace<'_>, batch: &Batch) -> Result<Committed>;

    /// Returns the namespace's metadata.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn metadata(&self, namespace: Namespace<'_>) -> Result<Option<Vec<u8>>>;

    /// Lists the namespaces that exist, sorted, without the unnamed one.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn namespaces(&self) -> Result<Vec<String>>;

    /// Lists what lies in the file and is neither record nor metadata of any namespace, so that
    /// nothing else shows, changes or counts it.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn foreign(&self) -> Result<Vec<Foreign>> {
        Ok(Vec::new())
    }

    /// A number that grows whenever the namespace may have been changed by anyone, this process
    /// or another. Cheap (no I/O): callers compare it before they trust what they remember. It
    /// may grow without need, and never reaches `u64::MAX`. Ask for it *before* reading what is to
    /// be remembered under it.
    ///
    /// # Errors
    /// [`Error::Closed`].
    fn generation(&self, namespace: Namespace<'_>) -> Result<u64>;

    /// Tells whether [`get`](Store::get) costs about what remembering the value would: then rows
    /// are remembered without their values.
    fn reads_single_values_fast(&self) -> bool {
        true
    }

    /// Figures about the namespace.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn stats(&self, namespace: Namespace<'_>) -> Result<StoreStats>;

    /// Brings everything committed so far to disk.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn sync(&self) -> Result<()>;

    /// Writes a consistent copy, without free pages where `compact`, as `target`: a directory
    /// that must not exist or be empty.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the store has no file or the target is taken, [`Error::Full`],
    /// and as [`Store::scan`].
    fn copy_to(&self, target: &Path, compact: bool) -> Result<()>;

    /// Closes the store: later calls fail with [`Error::Closed`]. Closing twice is no error.
    fn close(&self);

    /// Tells whether the store is open.
    fn is_open(&self) -> bool;
}

fn conflict(namespace: Namespace<'_>) -> Error {
    Error::Conflict { namespace: namespace.unwrap_or_default().to_owned() }
}

/// Checks that `namespace` can name a database of its own.
///
/// # Errors
/// [`Error::Namespace`] where it is empty, longer than [`MAX_KEY_LEN`], contains NUL, or would be
/// mistaken for a record's key or the metadata in the unnamed database.
pub fn check_namespace(namespace: Namespace<'_>) -> Result<()> {
    let Some(name) = namespace else { return Ok(()) };
    let refuse = |reason| {
        let name = name.chars().take(64).collect();
        Err(Error::Namespace { name, reason })
    };
    if name.is_empty() {
        refuse("it is empty; name the group of records it holds")
    } else if name.len() > MAX_KEY_LEN {
        refuse("it is longer than 511 bytes")
    } else if name.contains('\0') {
        refuse("it contains NUL")
    } else if name.as_bytes() == METADATA_KEY || is_record_key(name.as_bytes()) {
        refuse("it would be mistaken for a key")
    } else {
        Ok(())
    }
}

/// Tells whether `key` is the text of a timestamp: the form that eosdb and EOS write
/// (`20241027T113456Z`), or ISO 8601 with separators (`2024-10-27T11:34:56+00:00`), which callers of
/// the byte-level interface use.
#[must_use]
pub fn is_record_key(key: &[u8]) -> bool {
    crate::Timestamp::from_key(key).is_some()
        || std::str::from_utf8(key)
            .is_ok_and(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok())
}

/// The puts of `batch` in ascending order of key, of equal keys the last.
///
/// # Errors
/// [`Error::Key`] at the first key that is no record's, see [`is_record_key`], unless the batch
/// permits any, or that cannot be one: empty, too long, or the metadata's.
fn ordered_puts(batch: &Batch) -> Result<Vec<&(Vec<u8>, Vec<u8>)>> {
    let refused = |key: &[u8]| {
        !(1..=MAX_KEY_LEN).contains(&key.len())
            || key == METADATA_KEY
            || !(batch.any_keys || is_record_key(key))
    };
    if let Some((key, _)) = batch.puts.iter().find(|(key, _)| refused(key)) {
        let shown = &key[..key.len().min(64)];
        return Err(Error::Key { key: String::from_utf8_lossy(shown).into_owned() });
    }
    let mut puts: Vec<_> = batch.puts.iter().collect();
    // Stable, and linear where the keys are sorted already, as they mostly are.
    puts.sort_by(|left, right| left.0.cmp(&right.0));
    puts.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            *earlier = *later;
        }
        same
    });
    Ok(puts)
}
