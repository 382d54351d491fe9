//! The map of an environment's file, and the databases that were opened in it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use heed::types::Bytes;
use heed::{CommitOrAbort, WithoutTls};

use super::Namespace;
use super::files::MAP_UNIT;
use super::lmdb::{LmdbOptions, map_environment};

/// The environment as heed has it. It is never cloned: transactions borrow it.
pub(super) type Env = heed::Env<WithoutTls>;

/// A database of the environment: one namespace.
pub(super) type Records<'env> = heed::Database<'env, Bytes, Bytes>;

/// The map, and what is only valid with it.
#[derive(Debug)]
pub(super) struct Mapping {
    pub env: Env,
    /// The databases opened so far by namespace, the unnamed one under `""`.
    pub databases: RwLock<HashMap<String, Records<'static>>>,
    /// Held from before a transaction that opens a database begins until it ends: LMDB gives two
    /// such transactions at once the same slot.
    pub opening: Mutex<()>,
}

impl Mapping {
    pub(super) fn open(path: &Path, options: LmdbOptions) -> heed::Result<Self> {
        // LMDB maps more where there are more data.
        let env = match map_environment(path, MAP_UNIT, options) {
            Err(heed::Error::EnvAlreadyOpened) => {
                // The last handle is being dropped by another thread.
                if let Some(closing) = heed::env_closing_event(path) {
                    closing.wait_timeout(Duration::from_secs(10));
                }
                map_environment(path, MAP_UNIT, options)?
            }
            outcome => outcome?,
        };
        env.clear_stale_readers()?;
        Ok(Self { env, databases: RwLock::default(), opening: Mutex::default() })
    }

    /// The namespace's database, `None` if it does not exist.
    pub(super) fn database(
        &self,
        namespace: Namespace<'_>,
    ) -> heed::Result<Option<Records<'static>>> {
        let known = || read(&self.databases).get(namespace.unwrap_or_default()).copied();
        if let Some(records) = known() {
            return Ok(Some(records));
        }
        let _opening = lock(&self.opening);
        if let Some(records) = known() {
            return Ok(Some(records));
        }
        let transaction = self.env.read_txn()?;
        let opened = self.env.open_databases_and_commit(transaction, |opener, own| {
            let records = opener.open_database::<Bytes, Bytes>(own, namespace)?;
            Ok::<_, heed::Error>(records.map_or(CommitOrAbort::Abort(()), CommitOrAbort::Commit))
        })?;
        let records = opened.commit();
        if let Some(records) = records {
            self.remember(namespace, records);
        }
        Ok(records)
    }

    pub(super) fn remember(&self, namespace: Namespace<'_>, records: Records<'static>) {
        write(&self.databases).insert(namespace.unwrap_or_default().to_owned(), records);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Makes an empty environment in `directory`, on disk.
pub(super) fn make_environment(directory: &Path) -> heed::Result<()> {
    map_environment(directory, MAP_UNIT, LmdbOptions::default())?.force_sync()
}
