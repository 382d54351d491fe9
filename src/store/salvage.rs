//! Saves what can be read of a damaged file into a new one.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use super::structure::{self, Damage};
use super::{Batch, LmdbOptions, LmdbStore, METADATA_KEY, MetadataChange, Store, files};
use crate::error::{Error, Result};

/// How many rows, and how many bytes, are written at a time.
const PIECE: usize = 8_192;
const PIECE_BYTES: usize = 16 << 20;

/// What was saved of a damaged file, and what was not.
#[derive(Debug, Default)]
pub struct Salvage {
    /// How many records each namespace has now, the unnamed one under `None`.
    pub records: BTreeMap<Option<String>, u64>,
    /// Where the file is damaged: what lay there is missing.
    pub damage: Vec<Damage>,
}

/// Reads the damaged LMDB database in the directory `source`, which nobody may use meanwhile, as far as
/// its pages are sound, and writes what they hold into the directory `target`, which must not
/// exist or be empty. The source is left as it is.
///
/// # Errors
/// [`Error::Storage`] where there is nothing to read, [`Error::Invalid`] where the target is
/// taken, [`Error::Full`].
pub fn salvage(source: &Path, target: &Path) -> Result<Salvage> {
    let unreadable = |error: std::io::Error| Error::Storage {
        path: source.display().to_string(),
        cause: error.to_string(),
    };
    let file = File::open(source.join("data.mdb")).map_err(unreadable)?;
    files::prepare_copy(target)?;
    let store = LmdbStore::open(target, LmdbOptions::default())?;
    let mut writing = Writing::new(&*store);
    let damage = structure::salvage(&file, &mut |name, key, value| writing.take(name, key, value))
        .map_err(unreadable)?
        .map_err(|damage| files::corrupt(source, damage))?;
    writing.end(damage)
}

/// Rows on their way into a new file.
pub(super) struct Writing<'store> {
    store: &'store dyn Store,
    /// What is not written yet, by namespace.
    batches: BTreeMap<Option<String>, Batch>,
    rows: usize,
    bytes: usize,
    outcome: Result<Salvage>,
}

impl<'store> Writing<'store> {
    pub(super) fn new(store: &'store dyn Store) -> Self {
        let (batches, outcome) = (BTreeMap::new(), Ok(Salvage::default()));
        Self { store, batches, rows: 0, bytes: 0, outcome }
    }

    /// Writes a row, or metadata; what fails is told in the end.
    pub(super) fn take(&mut self, name: Option<&[u8]>, key: &[u8], value: &[u8]) {
        let name = name.map(|name| String::from_utf8_lossy(name).into_owned());
        let batch = self.batches.entry(name).or_default();
        if key == METADATA_KEY {
            batch.metadata = MetadataChange::Put(value.to_vec());
            return;
        }
        batch.puts.push((key.to_vec(), value.to_vec()));
        self.rows += 1;
        self.bytes += key.len() + value.len();
        if self.rows >= PIECE || self.bytes >= PIECE_BYTES {
            self.write();
        }
    }

    /// What was saved, when everything is written, and where the file was damaged.
    pub(super) fn end(mut self, damage: Vec<Damage>) -> Result<Salvage> {
        self.write();
        let mut salvage = self.outcome?;
        salvage.damage.extend(damage);
        Ok(salvage)
    }

    fn write(&mut self) {
        (self.rows, self.bytes) = (0, 0);
        for (name, batch) in std::mem::take(&mut self.batches) {
            let Ok(salvage) = &mut self.outcome else { return };
            let batch = Batch { any_keys: true, ..batch };
            match self.store.commit(name.as_deref(), &batch) {
                Ok(committed) => {
                    *salvage.records.entry(name).or_default() += committed.written as u64;
                }
                Err(error @ Error::Namespace { .. }) => {
                    salvage.damage.push(Damage { page: 0, cause: error.to_string() });
                }
                Err(error) => self.outcome = Err(error),
            }
        }
    }
}
