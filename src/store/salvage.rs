//! Saves what can be read of a damaged LMDB file into a new one.

use std::borrow::Cow;
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

/// Reads the damaged database in the directory `source`, which nobody may use meanwhile, as far as
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
    let mut writing = Writing {
        store: &*LmdbStore::open(target, LmdbOptions::default())?,
        name: None,
        batch: Batch { any_keys: true, ..Batch::default() },
        bytes: 0,
        outcome: Ok(Salvage::default()),
    };
    let damage = structure::salvage(&file, &mut |name, key, value| writing.take(name, key, value))
        .map_err(unreadable)?
        .map_err(|damage| files::corrupt(source, damage))?;
    writing.write();
    let mut salvage = writing.outcome?;
    salvage.damage.extend(damage);
    Ok(salvage)
}

/// The rows of one namespace on their way into a new file.
struct Writing<'store> {
    store: &'store LmdbStore,
    name: Option<String>,
    batch: Batch,
    bytes: usize,
    outcome: Result<Salvage>,
}

impl Writing<'_> {
    fn take(&mut self, name: Option<&[u8]>, key: &[u8], value: &[u8]) {
        let name = name.map(String::from_utf8_lossy);
        if name.as_deref() != self.name.as_deref() {
            self.write();
            self.name = name.map(Cow::into_owned);
        }
        if key == METADATA_KEY {
            self.batch.metadata = MetadataChange::Put(value.to_vec());
            return;
        }
        self.batch.puts.push((key.to_vec(), value.to_vec()));
        self.bytes += key.len() + value.len();
        if self.batch.puts.len() >= PIECE || self.bytes >= PIECE_BYTES {
            self.write();
        }
    }

    fn write(&mut self) {
        let batch =
            std::mem::replace(&mut self.batch, Batch { any_keys: true, ..Batch::default() });
        self.bytes = 0;
        let Ok(salvage) = &mut self.outcome else { return };
        if batch == self.batch {
            return;
        }
        match self.store.commit(self.name.as_deref(), &batch) {
            Ok(committed) => {
                *salvage.records.entry(self.name.clone()).or_default() += committed.written as u64;
            }
            Err(error @ Error::Namespace { .. }) => {
                salvage.damage.push(Damage { page: 0, cause: error.to_string() });
            }
            Err(error) => self.outcome = Err(error),
        }
    }
}
