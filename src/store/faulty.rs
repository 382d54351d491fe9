//! A store that fails on demand, for the tests of whoever works with one.
//!
//! A [`FaultyStore`] passes every call on to another store, unless its [`Faults`] say otherwise.
//! What a power cut leaves is told here from what the store promises. Whether the store keeps that
//! promise is another question, to be asked at the level of system calls.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use super::files::prepare_copy;
use super::{
    Batch, Committed, Durability, Foreign, KeyRange, MetadataChange, Namespace, Order, Store,
    StoreStats, Visit, VisitKey,
};
use crate::error::{Error, Result};

/// What the errors made here call the store.
const PATH: &str = "the store under test";

/// A call that a store answers by I/O.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`Store::scan`].
    Scan,
    /// [`Store::get`].
    Get,
    /// [`Store::get_many`].
    GetMany,
    /// [`Store::contains`].
    Contains,
    /// [`Store::count`].
    Count,
    /// [`Store::metadata`].
    Metadata,
    /// [`Store::namespaces`].
    Namespaces,
    /// [`Store::stats`].
    Stats,
    /// [`Store::copy_to`].
    Copy,
    /// [`Store::commit`].
    Commit,
    /// [`Store::sync`].
    Sync,
}

impl Operation {
    /// Its kind.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Commit => Kind::Commit,
            Self::Sync => Kind::Sync,
            _ => Kind::Read,
        }
    }

    /// Its name in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Get => "get",
            Self::GetMany => "get_many",
            Self::Contains => "contains",
            Self::Count => "count",
            Self::Metadata => "metadata",
            Self::Namespaces => "namespaces",
            Self::Stats => "stats",
            Self::Copy => "copy",
            Self::Commit => "commit",
            Self::Sync => "sync",
        }
    }
}

/// Kinds of [`Operation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everything that leaves the store as it is.
    Read,
    /// Commits.
    Commit,
    /// Bringing to disk what was committed.
    Sync,
}

/// Which operation fails, and how.
#[derive(Clone)]
pub struct Failure {
    /// The kind of operations that count; `None` for all.
    pub on: Option<Kind>,
    /// How many of them succeed first.
    pub after: u64,
    /// Whether all later ones fail too, until [`Faults::heal`].
    pub repeatedly: bool,
    /// Whether a commit is carried out and only its acknowledgement is lost.
    pub applied: bool,
    /// Makes the error.
    pub error: Arc<dyn Fn() -> Error + Send + Sync>,
}

impl Default for Failure {
    /// The next operation, once, before anything is done.
    fn default() -> Self {
        let cause = "it failed on demand of a test";
        let error = move || Error::Storage { path: PATH.to_owned(), cause: cause.to_owned() };
        Self { on: None, after: 0, repeatedly: false, applied: false, error: Arc::new(error) }
    }
}

/// What goes wrong in the stores that share it, and what was asked of them.
///
/// It outlives a store that is closed, and goes on with the next one that is opened with it.
#[derive(Default)]
pub struct Faults {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    operations: Vec<(Operation, Option<String>)>,
    failure: Option<Failure>,
    /// The limit as it was set, and what is left of it.
    space: Option<(u64, u64)>,
    /// The store that was opened last.
    store: Option<(Weak<dyn Store>, Durability)>,
    /// What is on the disk where that is less than what was committed.
    durable: Option<Arc<Image>>,
    /// How many commits are still acknowledged before the power is cut.
    commits_left: Option<u64>,
    /// What is on the disk since the power was cut.
    frozen: Option<Arc<Image>>,
}

impl Faults {
    /// No faults.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operations so far, those that failed among them, each with its namespace.
    #[must_use]
    pub fn operations(&self) -> Vec<(Operation, Option<String>)> {
        self.state().operations.clone()
    }

    /// Lets an operation fail. It takes the place of an earlier failure.
    pub fn fail(&self, failure: Failure) {
        self.state().failure = Some(failure);
    }

    /// Lets everything work again: takes back [`Faults::fail`] and [`Faults::limit_space`].
    pub fn heal(&self) {
        let mut state = self.state();
        (state.failure, state.space) = (None, None);
    }

    /// Lets commits fail with [`Error::Full`], and do nothing, that would bring the keys, values
    /// and metadata written from now on to more than `bytes`. `None` lifts the limit. Deleting
    /// takes no space and gives none back.
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.state().space = bytes.map(|bytes| (bytes, bytes));
    }

    /// Cuts the power when that many more commits have been acknowledged: what is on the disk then
    /// stays what [`Faults::disk_image`] tells. The stores go on undisturbed. Once the power is
    /// cut, nothing changes that.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the store has no files, or none was opened, [`Error::Closed`], and
    /// what copying it may fail with.
    pub fn freeze(&self, after_commits: u64) -> Result<()> {
        let mut state = self.state();
        if state.frozen.is_none() {
            // Made in any case: so it is now that a store without files tells.
            let image = state.image()?;
            if after_commits == 0 {
                state.frozen = Some(image);
            } else {
                state.commits_left = Some(after_commits);
            }
        }
        Ok(())
    }

    /// Writes into `target`, a directory that must not exist or be empty, what is on the disk
    /// since the power was cut, or would be if it were cut now.
    ///
    /// That is what the store promises: with [`Durability::Commit`] every commit that has
    /// returned, with [`Durability::Interval`] every one but the last unless [`Store::sync`]
    /// followed it, with [`Durability::None`] what the last [`Store::sync`] found.
    ///
    /// # Errors
    /// As [`Faults::freeze`], and [`Error::Invalid`] where the target is taken.
    pub fn disk_image(&self, target: &Path) -> Result<()> {
        let image = self.state().image()?;
        image.write(target)
    }

    /// Notes an operation and lets it fail if it is to. Returns the error of one that is to be
    /// carried out first.
    fn begin(&self, operation: Operation, namespace: Namespace<'_>) -> Result<Option<Error>> {
        let (error, applied) = {
            let mut state = self.state();
            state.operations.push((operation, namespace.map(str::to_owned)));
            let Some(failure) = &mut state.failure else { return Ok(None) };
            if failure.on.is_some_and(|kind| kind != operation.kind()) {
                return Ok(None);
            }
            if failure.after > 0 {
                failure.after -= 1;
                return Ok(None);
            }
            let found = (Arc::clone(&failure.error), failure.applied);
            if !failure.repeatedly {
                state.failure = None;
            }
            found
        };
        // Made without the lock, for it may take another one, such as Python's GIL.
        let error = error();
        if applied && operation == Operation::Commit { Ok(Some(error)) } else { Err(error) }
    }

    fn take_space(&self, bytes: u64) -> Result<()> {
        if let Some((limit, left)) = &mut self.state().space {
            *left = left.checked_sub(bytes).ok_or_else(|| Error::Full {
                path: PATH.to_owned(),
                cause: format!("a test has set a limit of {limit} bytes"),
            })?;
        }
        Ok(())
    }

    fn give_space_back(&self, bytes: u64) {
        if let Some((_, left)) = &mut self.state().space {
            *left += bytes;
        }
    }
}

impl State {
    /// What is on the disk.
    fn image(&self) -> Result<Arc<Image>> {
        if let Some(image) = &self.frozen {
            return Ok(Arc::clone(image));
        }
        let missing =
            || Error::Invalid("no database was opened, so none is on the disk".to_owned());
        let (store, durability) = self.store.as_ref().ok_or_else(missing)?;
        let closed = || Error::Closed { path: PATH.to_owned() };
        let store = store.upgrade().filter(|store| store.is_open()).ok_or_else(closed)?;
        match (durability, &self.durable) {
            (Durability::Interval | Durability::None, Some(image)) => Ok(Arc::clone(image)),
            _ => Image::of(&*store),
        }
    }

    /// Accounts for a commit that is being acknowledged.
    fn acknowledge(&mut self) -> Result<()> {
        if let Some(left) = &mut self.commits_left {
            *left -= 1;
            if *left == 0 {
                self.frozen = Some(self.image()?);
                self.commits_left = None;
            }
        }
        Ok(())
    }
}

/// A copy of a store's files, which is removed when nobody needs it any more.
struct Image {
    directory: PathBuf,
}

impl Image {
    fn of(store: &dyn Store) -> Result<Arc<Self>> {
        static COPIES: AtomicU64 = AtomicU64::new(0);
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("eosdb-disk-{}-{number}-{time}", std::process::id());
        let image = Arc::new(Self { directory: std::env::temp_dir().join(name) });
        store.copy_to(&image.directory, false).map_err(|error| match error {
            Error::Invalid(cause) => Error::Invalid(format!("there is no disk image: {cause}")),
            error => error,
        })?;
        Ok(image)
    }

    fn write(&self, target: &Path) -> Result<()> {
        prepare_copy(target)?;
        let copy = || -> std::io::Result<()> {
            for entry in fs::read_dir(&self.directory)? {
                let entry = entry?;
                fs::copy(entry.path(), target.join(entry.file_name()))?;
            }
            Ok(())
        };
        copy().map_err(|error| Error::Storage {
            path: target.display().to_string(),
            cause: error.to_string(),
        })
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Nobody is left to be told; the directory is a temporary one.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A store that does what another one does, unless its [`Faults`] say otherwise.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    durability: Durability,
    faults: Arc<Faults>,
}

impl FaultyStore {
    /// Puts `faults` in front of `inner`, which keeps what it commits as `durability` says.
    ///
    /// # Errors
    /// With less than [`Durability::Commit`], what copying the store may fail with: it is copied
    /// whenever what is on the disk changes.
    pub fn new(
        inner: Arc<dyn Store>,
        durability: Durability,
        faults: Arc<Faults>,
    ) -> Result<Arc<Self>> {
        {
            let mut state = faults.state();
            state.store = Some((Arc::downgrade(&inner), durability));
            state.durable = None;
        }
        let store = Self { inner, durability, faults };
        store.note_durable(store.lagging_image()?);
        Ok(Arc::new(store))
    }

    /// Passes a reading operation on, unless it is to fail.
    fn pass(&self, operation: Operation, namespace: Namespace<'_>) -> Result<&dyn Store> {
        self.faults.begin(operation, namespace)?;
        Ok(&*self.inner)
    }

    /// What the store holds now, where the disk may lag behind it and still has power.
    fn lagging_image(&self) -> Result<Option<Arc<Image>>> {
        if self.durability == Durability::Commit || self.faults.state().frozen.is_some() {
            return Ok(None);
        }
        Image::of(&*self.inner).map(Some)
    }

    fn note_durable(&self, image: Option<Arc<Image>>) {
        if image.is_some() {
            self.faults.state().durable = image;
        }
    }

    /// Commits; where that brings what was committed before to the disk, notes it.
    fn commit_inner(&self, namespace: Namespace<'_>, batch: &Batch) -> Result<Committed> {
        if self.durability != Durability::Interval {
            return self.inner.commit(namespace, batch);
        }
        let generation = self.inner.generation(namespace)?;
        let before = self.lagging_image()?;
        let committed = self.inner.commit(namespace, batch)?;
        if committed.generation != generation {
            self.note_durable(before);
        }
        Ok(committed)
    }
}

/// How many bytes a batch writes.
fn size(batch: &Batch) -> u64 {
    let metadata = if let MetadataChange::Put(value) = &batch.metadata { value.len() } else { 0 };
    let records = batch.puts.iter().map(|(key, value)| key.len() + value.len());
    (records.sum::<usize>() + metadata) as u64
}

impl Store for FaultyStore {
    fn scan(
        &self,
        namespace: Namespace<'_>,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<()> {
        self.pass(Operation::Scan, namespace)?.scan(namespace, range, order, visit)
    }

    fn get(&self, namespace: Namespace<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.pass(Operation::Get, namespace)?.get(namespace, key)
    }

    fn get_many(
        &self,
        namespace: Namespace<'_>,
        keys: &mut dyn Iterator<Item = [u8; 16]>,
        visit: VisitKey<'_>,
    ) -> Result<()> {
        self.pass(Operation::GetMany, namespace)?.get_many(namespace, keys, visit)
    }

    fn contains(&self, namespace: Namespace<'_>, key: &[u8]) -> Result<bool> {
        self.pass(Operation::Contains, namespace)?.contains(namespace, key)
    }

    fn count(&self, namespace: Namespace<'_>, range: KeyRange<'_>) -> Result<u64> {
        self.pass(Operation::Count, namespace)?.count(namespace, range)
    }

    fn commit(&self, namespace: Namespace<'_>, batch: &Batch) -> Result<Committed> {
        let lost = self.faults.begin(Operation::Commit, namespace)?;
        let bytes = size(batch);
        self.faults.take_space(bytes)?;
        let committed = self
            .commit_inner(namespace, batch)
            .inspect_err(|_| self.faults.give_space_back(bytes))?;
        if let Some(error) = lost {
            return Err(error);
        }
        self.faults.state().acknowledge()?;
        Ok(committed)
    }

    fn metadata(&self, namespace: Namespace<'_>) -> Result<Option<Vec<u8>>> {
        self.pass(Operation::Metadata, namespace)?.metadata(namespace)
    }

    fn foreign(&self) -> Result<Vec<Foreign>> {
        self.pass(Operation::Namespaces, None)?.foreign()
    }

    fn namespaces(&self) -> Result<Vec<String>> {
        self.pass(Operation::Namespaces, None)?.namespaces()
    }

    fn generation(&self, namespace: Namespace<'_>) -> Result<u64> {
        self.inner.generation(namespace)
    }

    fn reads_single_values_fast(&self) -> bool {
        self.inner.reads_single_values_fast()
    }

    fn stats(&self, namespace: Namespace<'_>) -> Result<StoreStats> {
        self.pass(Operation::Stats, namespace)?.stats(namespace)
    }

    fn sync(&self) -> Result<()> {
        self.pass(Operation::Sync, None)?.sync()?;
        self.note_durable(self.lagging_image()?);
        Ok(())
    }

    fn copy_to(&self, target: &Path, compact: bool) -> Result<()> {
        self.pass(Operation::Copy, None)?.copy_to(target, compact)
    }

    fn close(&self) {
        self.inner.close();
    }

    fn is_open(&self) -> bool {
        self.inner.is_open()
    }
}
