//! The store on LMDB: namespaces as named databases of one environment.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, PoisonError, RwLock};

use heed::types::DecodeIgnore;
use heed::{EnvFlags, EnvOpenOptions, PutFlags, RwTxn};

use super::environment::{self, Environment, Names, Room};
use super::files::{self, MAP_UNIT};
use super::mapping::{Env, Records};
use super::{
    Batch, Committed, Damage, Foreign, KeyRange, MAX_KEY_LEN, METADATA_KEY, MetadataChange,
    Namespace, Order, Store, StoreStats, Visit, VisitKey, check_namespace, ordered_puts,
};
use crate::error::{Error, Result};

/// How many namespaces an environment can have open.
pub(super) const MAX_NAMESPACES: u32 = 1024;

/// How many read transactions all processes together can have open.
const MAX_READERS: u32 = 510;

/// How large LMDB's lock file becomes, in bytes: two heads and the readers, a cache line each.
const LOCK_FILE_SIZE: u64 = 64 * (2 + MAX_READERS as u64);

/// When a commit reaches the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before it returns.
    #[default]
    Commit,
    /// Its data before it returns; the page that makes them valid with the next commit, with
    /// [`Store::sync`], when the last store is closed, or when the system writes it. If the
    /// machine crashes before, the last commit is lost; the database is never damaged.
    Interval,
    /// With [`Store::sync`], when the last store is closed, or when the system writes it, in any
    /// order. If the machine crashes before, **the database may be damaged beyond repair**; a
    /// crash of the process alone loses nothing.
    None,
}

/// How to open an [`LmdbStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LmdbOptions {
    /// How far the map, and with it the file, may grow, in bytes: at least 1 MiB, of which a
    /// multiple is used. A file that is larger already can be read and changed, not enlarged.
    pub max_map_size: u64,
    /// When a commit reaches the disk.
    pub durability: Durability,
    /// Whether the store is only read. The directory must then exist, and stays as it is, but
    /// for LMDB's lock file.
    pub read_only: bool,
}

impl Default for LmdbOptions {
    /// 16 GiB (1 GiB where addresses have 32 bits), every commit on disk, writable.
    fn default() -> Self {
        let max_map_size = if cfg!(target_pointer_width = "64") { 16 << 30 } else { 1 << 30 };
        Self { max_map_size, durability: Durability::Commit, read_only: false }
    }
}

impl LmdbOptions {
    /// The first of these options that `other` has differently, as text.
    pub(super) fn difference(self, other: Self) -> Option<String> {
        if self.max_map_size != other.max_map_size {
            Some(format!("max_map_size {} (not {})", self.max_map_size, other.max_map_size))
        } else if self.durability != other.durability {
            Some(format!("durability {:?} (not {:?})", self.durability, other.durability))
        } else if self.read_only != other.read_only {
            Some(format!("read_only {} (not {})", self.read_only, other.read_only))
        } else {
            None
        }
    }

    /// `max_map_size` as LMDB can have it.
    pub(super) fn map_limit(self) -> usize {
        let limit = usize::try_from(self.max_map_size).unwrap_or(usize::MAX);
        limit - limit % MAP_UNIT
    }
}

/// A [`Store`] in an LMDB environment.
///
/// All stores of a process that open the same directory share one environment, which is closed
/// with the last of them. After a fork the child's copy of a store answers [`Error::Forked`];
/// the child can open the directory anew.
#[derive(Debug)]
pub struct LmdbStore {
    path: PathBuf,
    process: u32,
    environment: RwLock<Option<Arc<Environment>>>,
}

impl LmdbStore {
    /// Opens the environment in the directory `path`, which is created, with its parents, unless
    /// it is opened to be read only.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the path is a file, an option is out of range, or this process
    /// has the directory open with other options; [`Error::ForeignProcess`]; [`Error::Full`];
    /// [`Error::Forked`] where a thread was using the directory when this process was forked;
    /// [`Error::Storage`] where there is nothing to read, or no permission.
    pub fn open(path: &Path, options: LmdbOptions) -> Result<Arc<Self>> {
        let environment = Environment::open(path, options)?;
        Ok(Arc::new(Self {
            path: environment.path().to_owned(),
            process: process::id(),
            environment: RwLock::new(Some(environment)),
        }))
    }

    /// Tells whether this process has the environment in the directory `path` open.
    #[must_use]
    pub fn is_open_here(path: &Path) -> bool {
        environment::is_open(path)
    }

    /// The places where the file in the directory `path` is damaged, so that it cannot be opened.
    ///
    /// # Errors
    /// As [`LmdbStore::open`].
    pub fn damage(path: &Path, options: LmdbOptions) -> Result<Vec<Damage>> {
        Environment::damage_in(path, options)
    }

    /// The canonical path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn environment(&self) -> Result<Arc<Environment>> {
        // Before any lock: a thread that the child does not have may have held it.
        if self.process != process::id() {
            return Err(Error::Forked { path: self.path.clone() });
        }
        let environment = self.environment.read().unwrap_or_else(PoisonError::into_inner);
        environment.clone().ok_or_else(|| Error::Closed { path: self.path.display().to_string() })
    }

    fn environment_for(&self, namespace: Namespace<'_>) -> Result<Arc<Environment>> {
        let environment = self.environment()?;
        check_namespace(namespace)?;
        Ok(environment)
    }
}

impl Store for LmdbStore {
    fn scan(
        &self,
        namespace: Namespace<'_>,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<()> {
        let environment = self.environment_for(namespace)?;
        let shown = Shown::of(&environment, namespace)?;
        environment.read(namespace, |_, transaction, records| {
            let (Some(records), Some(bounds)) = (records, range.bounds()) else { return Ok(()) };
            let mut show = |entry: heed::Result<(&[u8], &[u8])>| match entry {
                Err(error) => ControlFlow::Break(Err(error)),
                Ok((key, _)) if !shown.shows(key) => ControlFlow::Continue(()),
                Ok((key, value)) => visit(key, value).map_break(Ok),
            };
            let flow = match order {
                Order::Ascending => records.range(transaction, &bounds)?.try_for_each(&mut show),
                Order::Descending => {
                    records.rev_range(transaction, &bounds)?.try_for_each(&mut show)
                }
            };
            flow.break_value().unwrap_or(Ok(()))
        })
    }

    fn get(&self, namespace: Namespace<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let environment = self.environment_for(namespace)?;
        let shown = Shown::of(&environment, namespace)?;
        environment.read(namespace, |_, transaction, records| {
            let Some(records) = records.filter(|_| shown.shows(key)) else {
                return Ok(None);
            };
            Ok(records.get(transaction, key)?.map(<[u8]>::to_vec))
        })
    }

    fn get_many(
        &self,
        namespace: Namespace<'_>,
        keys: &mut dyn Iterator<Item = [u8; 16]>,
        visit: VisitKey<'_>,
    ) -> Result<()> {
        let environment = self.environment_for(namespace)?;
        let shown = Shown::of(&environment, namespace)?;
        environment.read(namespace, |_, transaction, records| {
            for key in keys {
                let value = match records.filter(|_| shown.shows(&key)) {
                    Some(records) => records.get(transaction, &key)?,
                    None => None,
                };
                if visit(&key, value).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn contains(&self, namespace: Namespace<'_>, key: &[u8]) -> Result<bool> {
        let environment = self.environment_for(namespace)?;
        let shown = Shown::of(&environment, namespace)?;
        environment.read(namespace, |_, transaction, records| {
            let Some(records) = records.filter(|_| shown.shows(key)) else {
                return Ok(false);
            };
            Ok(records.remap_data_type::<DecodeIgnore>().get(transaction, key)?.is_some())
        })
    }

    fn count(&self, namespace: Namespace<'_>, range: KeyRange<'_>) -> Result<u64> {
        let environment = self.environment_for(namespace)?;
        let shown = Shown::of(&environment, namespace)?;
        environment.read(namespace, |_, transaction, records| {
            let (Some(records), Some(bounds)) = (records, range.bounds()) else { return Ok(0) };
            let records = records.remap_data_type::<DecodeIgnore>();
            if namespace.is_some() && range == KeyRange::default() {
                let metadata = u64::from(records.get(transaction, METADATA_KEY)?.is_some());
                return Ok(records.len(transaction)?.saturating_sub(metadata));
            }
            let mut count = 0;
            for entry in records.range(transaction, &bounds)? {
                count += u64::from(shown.shows(entry?.0));
            }
            Ok(count)
        })
    }

    fn commit(&self, namespace: Namespace<'_>, batch: &Batch) -> Result<Committed> {
        let environment = self.environment_for(namespace)?;
        if environment.options().read_only {
            return Err(Error::ReadOnly { path: self.path.display().to_string() });
        }
        let puts = ordered_puts(batch)?;
        let shown = Shown::of(&environment, namespace)?;
        let bytes = puts.iter().map(|(key, value)| key.len() + value.len()).sum();
        let room = Room { bytes, frees: !batch.deletes.is_empty() };
        let mut deleted = 0;
        let generation = environment.write(
            namespace,
            batch.has_content(),
            batch.based_on,
            room,
            &mut |transaction, records| {
                let rows = records.len(transaction)?;
                if namespace.is_some() && batch.deletes.len() as u64 > rows / 4 * 3 {
                    let had_metadata = records.get(transaction, METADATA_KEY)?.is_some();
                    deleted = rebuild(transaction, records, &puts, batch)?;
                    let metadata = match batch.metadata {
                        MetadataChange::Keep => false,
                        MetadataChange::Put(_) => true,
                        MetadataChange::Delete => had_metadata,
                    };
                    return Ok(metadata || !puts.is_empty() || deleted > 0);
                }
                let metadata = put(transaction, records, &puts, &batch.metadata)?;
                deleted = 0;
                for key in batch.deletes.iter().filter(|key| shown.shows(key)) {
                    deleted += usize::from(records.delete(transaction, key)?);
                }
                Ok(metadata || !puts.is_empty() || deleted > 0)
            },
        )?;
        Ok(Committed { written: puts.len(), deleted, generation })
    }

    fn metadata(&self, namespace: Namespace<'_>) -> Result<Option<Vec<u8>>> {
        self.environment_for(namespace)?.read(namespace, |_, transaction, records| {
            let Some(records) = records else { return Ok(None) };
            Ok(records.get(transaction, METADATA_KEY)?.map(<[u8]>::to_vec))
        })
    }

    fn namespaces(&self) -> Result<Vec<String>> {
        Ok(self.environment()?.names()?.namespaces)
    }

    fn foreign(&self) -> Result<Vec<Foreign>> {
        let foreign = |name| Foreign {
            namespace: Vec::new(),
            key: name,
            cause:
                "it is a database that eosdb did not make, of a name that no namespace can have; \
                    it is left alone"
                    .to_owned(),
        };
        Ok(self.environment()?.names()?.foreign.into_iter().map(foreign).collect())
    }

    fn generation(&self, namespace: Namespace<'_>) -> Result<u64> {
        Ok(self.environment()?.generation(namespace))
    }

    fn stats(&self, namespace: Namespace<'_>) -> Result<StoreStats> {
        let entries = self.count(namespace, KeyRange::default())?;
        self.environment()?.read(namespace, |env, transaction, records| {
            let info = env.info();
            let mut stats = StoreStats {
                entries,
                page_size: u64::from(env.unnamed_database_stat().page_size),
                map_size: info.map_size as u64,
                last_page: info.last_page_number as u64,
                last_transaction: info.last_txn_id as u64,
                ..StoreStats::default()
            };
            if let Some(records) = records {
                let tree = records.stat(transaction)?;
                stats.depth = u64::from(tree.depth);
                stats.branch_pages = tree.branch_pages as u64;
                stats.leaf_pages = tree.leaf_pages as u64;
                stats.overflow_pages = tree.overflow_pages as u64;
            }
            Ok(stats)
        })
    }

    fn sync(&self) -> Result<()> {
        let environment = self.environment()?;
        if environment.options().read_only { Ok(()) } else { environment.sync() }
    }

    fn copy_to(&self, target: &Path, compact: bool) -> Result<()> {
        let environment = self.environment()?;
        files::prepare_copy(target)?;
        let copied = environment.read(None, |env, _, _| files::copy(env, target, compact));
        copied.map_err(|error| match error {
            Error::Full { cause, .. } => Error::Full { path: target.display().to_string(), cause },
            error => error,
        })
    }

    fn close(&self) {
        // In a forked child the lock may be held by a thread of the parent's.
        if self.process == process::id() {
            *self.environment.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn is_open(&self) -> bool {
        // In a forked child it is open as far as anyone asked: using it then tells of the fork.
        self.environment.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// Which keys of a namespace are records'.
struct Shown {
    /// What else the unnamed database holds: the names of the others.
    names: Names,
}

impl Shown {
    fn of(environment: &Environment, namespace: Namespace<'_>) -> Result<Self> {
        let names = if namespace.is_none() { environment.names()? } else { Names::default() };
        Ok(Self { names })
    }

    fn shows(&self, key: &[u8]) -> bool {
        key != METADATA_KEY
            && (1..=MAX_KEY_LEN).contains(&key.len())
            && self.names.namespaces.iter().all(|name| name.as_bytes() != key)
            && self.names.foreign.iter().all(|name| name != key)
    }
}

/// Writes `puts`, which are in order, and the metadata; tells whether the latter changed.
fn put(
    transaction: &mut RwTxn<'_>,
    records: Records<'_>,
    puts: &[&(Vec<u8>, Vec<u8>)],
    change: &MetadataChange,
) -> heed::Result<bool> {
    let keys = records.remap_data_type::<DecodeIgnore>();
    let mut last = keys.last(transaction)?;
    let metadata_is_last = last.is_some_and(|(key, ())| key == METADATA_KEY);
    if metadata_is_last {
        last = keys.get_lower_than(transaction, METADATA_KEY)?;
    }
    let last = last.map(|(key, ())| key.to_vec());
    let appends = |key: &[u8]| last.as_deref().is_none_or(|last| key > last);

    // Appending fills every page, inserting leaves half of many empty. The metadata's key sorts
    // after every record's, so the metadata steps aside while records are appended.
    let aside = metadata_is_last && puts.last().is_some_and(|(key, _)| appends(key));
    let kept = match change {
        MetadataChange::Keep if aside => {
            records.get(transaction, METADATA_KEY)?.map(<[u8]>::to_vec)
        }
        _ => None,
    };
    let removed = (aside || *change == MetadataChange::Delete)
        && records.delete(transaction, METADATA_KEY)?;
    for (key, value) in puts {
        let flags = if appends(key) { PutFlags::APPEND } else { PutFlags::empty() };
        records.put_with_flags(transaction, flags, key, value)?;
    }
    let (metadata, changed) = match change {
        MetadataChange::Keep => (kept.as_ref(), false),
        MetadataChange::Put(value) => (Some(value), true),
        MetadataChange::Delete => (None, removed),
    };
    if let Some(value) = metadata {
        records.put(transaction, METADATA_KEY, value)?;
    }
    Ok(changed)
}

/// Writes the namespace anew, with the changes of `batch`, of which `puts` are in order. Where little
/// is left that takes a fraction of the time of changing every page, and the pages become full.
/// Returns how many of the keys to remove there were.
fn rebuild(
    transaction: &mut RwTxn<'_>,
    records: Records<'_>,
    puts: &[&(Vec<u8>, Vec<u8>)],
    batch: &Batch,
) -> heed::Result<usize> {
    let mut removed: Vec<&[u8]> = batch.deletes.iter().collect();
    removed.retain(|key| *key != METADATA_KEY);
    removed.sort_unstable();
    removed.dedup();
    let mut written: Vec<(&[u8], &[u8])> =
        puts.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
    // What is put and removed is removed.
    written.retain(|(key, _)| removed.binary_search(key).is_err());
    let mut deleted = puts.len() - written.len();
    let replaces_metadata = batch.metadata != MetadataChange::Keep;
    if let MetadataChange::Put(value) = &batch.metadata {
        let at = written.partition_point(|(key, _)| *key < METADATA_KEY);
        written.insert(at, (METADATA_KEY, value));
    }

    let (mut kept, mut bytes) = (Vec::new(), Vec::new());
    let mut next_removed = removed.into_iter().peekable();
    let mut next_written = written.iter().peekable();
    for entry in records.iter(transaction)? {
        let (key, value) = entry?;
        while next_removed.next_if(|removed| *removed < key).is_some() {}
        while next_written.next_if(|(written, _)| *written < key).is_some() {}
        if next_removed.next_if(|removed| *removed == key).is_some() {
            let was_put = puts.binary_search_by(|(put, _)| put.as_slice().cmp(key)).is_ok();
            deleted += usize::from(!was_put);
        } else if next_written.peek().is_none_or(|(written, _)| *written != key)
            && !(replaces_metadata && key == METADATA_KEY)
        {
            let start = bytes.len();
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
            kept.push((start, start + key.len(), bytes.len()));
        }
    }
    records.clear(transaction)?;
    let kept = kept.into_iter().map(|(key, value, end)| (&bytes[key..value], &bytes[value..end]));
    let mut kept = kept.peekable();
    let append = |transaction: &mut RwTxn<'_>, key: &[u8], value: &[u8]| {
        records.put_with_flags(transaction, PutFlags::APPEND, key, value)
    };
    for (key, value) in written {
        while let Some((key, value)) = kept.next_if(|(kept, _)| *kept < key) {
            append(transaction, key, value)?;
        }
        append(transaction, key, value)?;
    }
    for (key, value) in kept {
        append(transaction, key, value)?;
    }
    Ok(deleted)
}

/// Maps the environment in `directory` with `size` bytes.
#[expect(unsafe_code, reason = "opening a memory map is unsafe in heed")]
pub(super) fn map_environment(
    directory: &Path,
    size: usize,
    options: LmdbOptions,
) -> heed::Result<Env> {
    let mut flags = match options.durability {
        Durability::Commit => EnvFlags::empty(),
        Durability::Interval => EnvFlags::NO_META_SYNC,
        Durability::None => EnvFlags::NO_SYNC,
    };
    flags.set(EnvFlags::READ_ONLY, options.read_only);
    files::allocate_lock_file(directory, LOCK_FILE_SIZE)?;
    let mut environment = EnvOpenOptions::new().read_txn_without_tls();
    environment.map_size(size).max_dbs(MAX_NAMESPACES).max_readers(MAX_READERS);
    // SAFETY: the flags keep LMDB's locks on, and none lets this process write through the map.
    // What Rust borrows from the map are pages that a transaction sees, and LMDB neither changes
    // nor frees those while it lasts, in this process or, by its lock file, in another. heed
    // refuses to open one path twice in a process, and nothing here writes to the files but LMDB.
    unsafe { environment.flags(flags).open(directory) }
}

/// Moves the map to one of `size` bytes. After an error the environment is unusable.
#[expect(unsafe_code, reason = "moving a memory map is unsafe in heed")]
pub(super) fn resize_map(environment: &mut Env, size: usize) -> heed::Result<()> {
    // SAFETY: no transaction of this process may be active. Each borrows its environment, which
    // is never cloned, so that the exclusive borrow proves that there is none.
    unsafe { environment.resize(size) }
}
