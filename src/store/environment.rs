//! One LMDB environment, shared by all stores of this process that opened its directory: its
//! map and how it grows, its transactions, and how changes made by others are noticed.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard, Weak};

use heed::types::Bytes;
use heed::{CommitOrAbort, MdbError, RoTxn, RwTxn, WithoutTls};

use super::changes::Changes;
use super::files::{
    check_heads, corrupt, found, headless, is_full, is_same_file, opening_error, prepare_directory,
    probe_room, round_up,
};
use super::lmdb::{Durability, LmdbOptions, MAX_NAMESPACES, resize_map};
use super::mapping::{Env, Mapping, Records, lock, make_environment, read, write};
use super::structure::{self, Damage};
use super::{METADATA_KEY, Namespace, check_namespace, conflict};
use crate::error::{Error, Result};

/// What a write transaction does; tells whether it changed anything. It may be run again.
pub(super) type Apply<'a> = dyn FnMut(&mut RwTxn<'_>, Records<'_>) -> heed::Result<bool> + 'a;

/// The environments that are open in this process, by canonical path of their directory.
static ENVIRONMENTS: Mutex<BTreeMap<PathBuf, Weak<Environment>>> = Mutex::new(BTreeMap::new());

/// Maps that a fork left in this process, to be closed when their path is opened again.
static ABANDONED: Mutex<Vec<(PathBuf, Mapping)>> = Mutex::new(Vec::new());

/// An open environment. The last `Arc` closes it.
#[derive(Debug)]
pub(super) struct Environment {
    path: PathBuf,
    options: LmdbOptions,
    /// The process that opened it: LMDB does not survive a fork.
    process: u32,
    /// Read-locked by everything that looks at the map, write-locked while it is moved. `None`
    /// when the map is lost: after a fork, or where it could not grow.
    mapping: RwLock<Option<Mapping>>,
    changes: Mutex<Changes>,
}

impl Environment {
    /// Opens the environment in directory `path`, or joins in where this process has it open.
    pub(super) fn open(path: &Path, options: LmdbOptions) -> Result<Arc<Self>> {
        let path = prepare_directory(path, options)?;
        let mut environments = lock(&ENVIRONMENTS);
        if let Some(shared) = environments.get(&path).and_then(Weak::upgrade)
            && shared.can_be_joined(options)?
        {
            return Ok(shared);
        }
        let environment = Arc::new(Self::map(path.clone(), options)?);
        if let Some(damage) = environment.damage()?.into_iter().next() {
            return Err(corrupt(&path, damage));
        }
        environments.retain(|_, environment| environment.strong_count() > 0);
        environments.insert(path, Arc::downgrade(&environment));
        Ok(environment)
    }

    /// The places where the file in directory `path` is damaged.
    pub(super) fn damage_in(path: &Path, options: LmdbOptions) -> Result<Vec<Damage>> {
        let path = prepare_directory(path, options)?;
        let environments = lock(&ENVIRONMENTS);
        if let Some(shared) = environments.get(&path).and_then(Weak::upgrade)
            && shared.can_be_joined(shared.options)?
        {
            return shared.damage();
        }
        if let Some(damage) = headless(&path) {
            return Ok(vec![damage]);
        }
        match Self::map(path, options) {
            Ok(environment) => environment.damage(),
            Err(Error::Corrupt { page, cause, .. }) => {
                Ok(vec![Damage { page: usize::try_from(page).unwrap_or(usize::MAX), cause }])
            }
            Err(error) => Err(error),
        }
    }

    /// Maps the file in `path`, a canonical one, without looking at its pages.
    fn map(path: PathBuf, options: LmdbOptions) -> Result<Self> {
        lock(&ABANDONED).retain(|(abandoned, _)| *abandoned != path);
        let founded = if options.read_only { Ok(()) } else { found(&path, make_environment) };
        founded.map_err(|error| opening_error(&path, &error))?;
        check_heads(&path)?;
        let mapping =
            Mapping::open(&path, options).map_err(|error| opening_error(&path, &error))?;
        let changes = Changes { known: mapping.env.info().last_txn_id, ..Changes::default() };
        Ok(Self {
            path,
            options,
            process: process::id(),
            mapping: RwLock::new(Some(mapping)),
            changes: Mutex::new(changes),
        })
    }

    /// The places where the file is damaged, as far as a transaction that begins now can reach.
    fn damage(&self) -> Result<Vec<Damage>> {
        for _ in 0..100 {
            let found = self.read(None, |env, transaction, _| {
                Ok(structure::check(&env.try_clone_inner_file()?, transaction.id())?)
            })?;
            if let Some(damage) = found {
                return Ok(damage);
            }
        }
        Err(self.storage_error("others commit faster than it can be looked at"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn options(&self) -> LmdbOptions {
        self.options
    }

    /// Tells whether another store may share this environment; `false` where a new one must be
    /// opened in its place.
    fn can_be_joined(&self, options: LmdbOptions) -> Result<bool> {
        if self.process != process::id() {
            // A thread that was inside a transaction at the fork holds its lock forever.
            let forked = |_| Error::Forked { path: self.path.clone() };
            self.mapping.try_write().map_err(forked)?.take();
            return Ok(false);
        }
        let mapping = read(&self.mapping);
        let Some(mapping) = &*mapping else { return Ok(false) };
        if !self.is_in_place(mapping) {
            return Err(self.storage_error(
                "its files were replaced while this process has them open: close it first",
            ));
        }
        let difference = self.options.difference(options);
        difference.map_or(Ok(true), |difference| {
            let path = self.path.display();
            Err(Error::Invalid(format!(
                "'{path}' is open in this process with {difference}: open it the same way, or \
                 close it first"
            )))
        })
    }

    /// Tells whether the open file is still the one that its path names.
    fn is_in_place(&self, mapping: &Mapping) -> bool {
        let open = mapping.env.try_clone_inner_file().and_then(|file| Ok(file.metadata()?));
        let named = self.path.join("data.mdb").metadata();
        matches!((open, named), (Ok(open), Ok(named)) if is_same_file(&open, &named))
    }

    /// Runs `work` in a read transaction, with the namespace's database or `None` if it does not
    /// exist.
    pub(super) fn read<R>(
        &self,
        namespace: Namespace<'_>,
        work: impl FnOnce(&Env, &RoTxn<'_, WithoutTls>, Option<Records<'_>>) -> heed::Result<R>,
    ) -> Result<R> {
        let mut recovery = Recovery::default();
        loop {
            let guard = read(&self.mapping);
            let mapping = self.mapped(guard.as_ref())?;
            // The database first: one that is opened later is unknown to the transaction.
            let error = match mapping
                .database(namespace)
                .and_then(|records| Ok((records, mapping.env.read_txn()?)))
            {
                Ok((records, transaction)) => {
                    return work(&mapping.env, &transaction, records)
                        .map_err(|error| self.error(&error));
                }
                Err(error) => error,
            };
            drop(guard);
            self.recover(namespace, &error, &mut recovery)?;
        }
    }

    /// Runs `apply` in a write transaction on the namespace's database, and commits. Where the
    /// namespace is missing it is created, or, without `create`, nothing happens. When the map is
    /// full, it grows, by `room` at least, and the whole is done again. Nothing is done if the
    /// namespace has another generation than the one to be `based_on`.
    ///
    /// Returns the namespace's generation afterwards.
    pub(super) fn write(
        &self,
        namespace: Namespace<'_>,
        create: bool,
        based_on: Option<u64>,
        room: Room,
        apply: &mut Apply<'_>,
    ) -> Result<u64> {
        let mut recovery = Recovery::default();
        let mut nudged = false;
        // Better now than when half of it is done, to be done again. Pages that are free may make
        // it needless, but a larger map costs nothing.
        if let Some(size) = self.is_short_of(room)? {
            match self.grow(size, room) {
                Err(Error::Full { .. }) => {}
                outcome => outcome?,
            }
        }
        loop {
            let guard = read(&self.mapping);
            let mapping = self.mapped(guard.as_ref())?;
            let error = match self.try_write(mapping, namespace, create, based_on, apply) {
                Ok(Some(generation)) => return Ok(generation),
                Ok(None) => return Err(conflict(namespace)),
                Err(error) => error,
            };
            let size = mapping.env.info().map_size;
            drop(guard);
            match error {
                heed::Error::Mdb(MdbError::MapFull) => match self.grow(size, room) {
                    Err(Error::Full { .. }) if !nudged => {
                        nudged = true;
                        self.nudge(namespace)?;
                    }
                    outcome => outcome?,
                },
                heed::Error::Io(_) => {
                    // LMDB tells of a write that was cut short as of any other I/O error.
                    probe_room(&self.path, room.bytes)
                        .map_err(|error| self.error(&error.into()))?;
                    return Err(self.error(&error));
                }
                error => self.recover(namespace, &error, &mut recovery)?,
            }
        }
    }

    /// The size of the map, if what is to be written may not find room behind the last page.
    fn is_short_of(&self, room: Room) -> Result<Option<usize>> {
        let guard = read(&self.mapping);
        let env = &self.mapped(guard.as_ref())?.env;
        let info = env.info();
        let page_size = env.unnamed_database_stat().page_size as usize;
        let used = (info.last_page_number + 1).saturating_mul(page_size);
        // Pages are not filled to the last byte.
        let needed = used.saturating_add(room.bytes.saturating_add(room.bytes / 2));
        Ok((needed > info.map_size).then_some(info.map_size))
    }

    /// Commits a transaction that changes nothing. LMDB reuses the pages that one transaction freed
    /// only in the second one after it; at the limit of the map none would come after it.
    fn nudge(&self, namespace: Namespace<'_>) -> Result<()> {
        let guard = read(&self.mapping);
        let mapping = self.mapped(guard.as_ref())?;
        let outcome =
            self.try_write(mapping, namespace, false, None, &mut |transaction, records| {
                let metadata = records.get(transaction, METADATA_KEY)?.map(<[u8]>::to_vec);
                records.put(transaction, METADATA_KEY, metadata.as_deref().unwrap_or_default())?;
                if metadata.is_none() {
                    records.delete(transaction, METADATA_KEY)?;
                }
                Ok(true)
            });
        match outcome {
            Ok(_) | Err(heed::Error::Mdb(MdbError::MapFull)) => Ok(()),
            Err(error) => Err(self.error(&error)),
        }
    }

    /// `None` if the namespace has another generation than the one to be `based_on`.
    fn try_write(
        &self,
        mapping: &Mapping,
        namespace: Namespace<'_>,
        create: bool,
        based_on: Option<u64>,
        apply: &mut Apply<'_>,
    ) -> heed::Result<Option<u64>> {
        if let Some(records) = mapping.database(namespace)? {
            let mut transaction = mapping.env.write_txn()?;
            let id = transaction.id();
            // From here on nobody else commits.
            if based_on.is_some_and(|basis| basis != lock(&self.changes).before(id, namespace)) {
                transaction.abort();
                return Ok(None);
            }
            if !apply(&mut transaction, records)? {
                transaction.abort();
                return Ok(Some(lock(&self.changes).generation(namespace)));
            }
            lock(&self.changes).in_flight = id;
            let outcome = transaction.commit();
            let generation = self.settle(namespace, id, outcome.is_ok());
            outcome.map(|()| Some(generation))
        } else if create {
            let _opening = lock(&mapping.opening);
            let transaction = mapping.env.write_txn()?;
            let id = transaction.id();
            let outcome = mapping.env.create_databases_and_commit(transaction, |opener, own| {
                let records = opener.create_database::<Bytes, Bytes>(own, namespace)?;
                apply(own, records)?;
                lock(&self.changes).in_flight = id;
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(records))
            });
            let generation = self.settle(namespace, id, outcome.is_ok());
            if let Some(records) = outcome?.commit() {
                mapping.remember(namespace, records);
            }
            Ok(Some(generation))
        } else {
            Ok(Some(lock(&self.changes).generation(namespace)))
        }
    }

    /// Accounts for our transaction `id`, which has ended, and returns the generation.
    fn settle(&self, namespace: Namespace<'_>, id: usize, committed: bool) -> u64 {
        let mut changes = lock(&self.changes);
        if changes.in_flight == id {
            changes.in_flight = 0;
        }
        if committed {
            // Transactions are numbered without gaps, whoever commits them.
            if changes.known + 1 < id {
                changes.by_others += 1;
            }
            changes.known = changes.known.max(id);
            *changes.by_us.entry(namespace.unwrap_or_default().to_owned()).or_default() += 1;
        }
        changes.generation(namespace)
    }

    /// A number that changes whenever the namespace may have changed. Never waits for a reader
    /// or a writer.
    pub(super) fn generation(&self, namespace: Namespace<'_>) -> u64 {
        let mapping = self.mapping.try_read().ok();
        let mut changes = lock(&self.changes);
        let Some(mapping) = mapping.as_ref().and_then(|mapping| mapping.as_ref()) else {
            // The map is being moved; what others do meanwhile cannot be seen.
            changes.by_others += 1;
            return changes.generation(namespace);
        };
        let newest = mapping.env.info().last_txn_id;
        if newest != changes.known && newest != changes.in_flight {
            changes.by_others += 1;
            // The number is published before its transaction can be read, longer than a flush
            // before. Until a reader sees it, what is read is not to be taken for the newest.
            if let Ok(visible) = mapping.env.read_txn() {
                changes.known = changes.known.max(visible.id());
            }
        }
        changes.generation(namespace)
    }

    /// Writes everything to disk.
    pub(super) fn sync(&self) -> Result<()> {
        let guard = read(&self.mapping);
        self.mapped(guard.as_ref())?.env.force_sync().map_err(|error| self.error(&error))
    }

    /// The names of the databases: of those that can be namespaces, and of the others.
    pub(super) fn names(&self) -> Result<Names> {
        let mut names = Names::default();
        let candidates: Vec<String> = self.read(None, |_, transaction, unnamed| {
            let Some(unnamed) = unnamed else { return Ok(Vec::new()) };
            let mut candidates = Vec::new();
            for entry in unnamed.iter(transaction)? {
                let (name, value) = entry?;
                match std::str::from_utf8(name) {
                    Ok(name) if check_namespace(Some(name)).is_ok() => {
                        candidates.push(name.to_owned());
                    }
                    _ if structure::is_description(value) => names.foreign.push(name.to_vec()),
                    _ => {}
                }
            }
            Ok(candidates)
        })?;
        for name in candidates {
            // A plain value that somebody put beside the databases is not one.
            match self.read(Some(&name), |_, _, records| Ok(records.is_some())) {
                Ok(true) => names.namespaces.push(name),
                Ok(false) | Err(Error::Namespace { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(names)
    }

    fn mapped<'a>(&self, mapping: Option<&'a Mapping>) -> Result<&'a Mapping> {
        mapping.ok_or_else(|| self.storage_error("its map was lost: close it and open it again"))
    }

    /// Does what can be done about an error at the start of a transaction, or returns it.
    fn recover(
        &self,
        namespace: Namespace<'_>,
        error: &heed::Error,
        recovery: &mut Recovery,
    ) -> Result<()> {
        match error {
            heed::Error::Mdb(MdbError::MapResized) => self.adopt_growth(),
            heed::Error::Mdb(MdbError::ReadersFull) if !recovery.readers_cleared => {
                recovery.readers_cleared = true;
                let guard = read(&self.mapping);
                let cleared = self.mapped(guard.as_ref())?.env.clear_stale_readers();
                cleared.map(|_| ()).map_err(|error| self.error(&error))
            }
            heed::Error::Mdb(MdbError::Incompatible) => Err(Error::Namespace {
                name: namespace.unwrap_or_default().to_owned(),
                reason: "something that is no database has this name in the unnamed database",
            }),
            error => Err(self.error(error)),
        }
    }

    /// Enlarges the map that was found full at `full` bytes.
    fn grow(&self, full: usize, room: Room) -> Result<()> {
        let mut guard = write(&self.mapping);
        let env = &self.mapped(guard.as_ref())?.env;
        let size = env.info().map_size;
        if size > full {
            return Ok(());
        }
        // A reader that was killed would keep the pages it saw for ever, and the file would grow by
        // every commit.
        env.clear_stale_readers().map_err(|error| self.error(&error))?;
        let mut limit = self.options.map_limit();
        if room.frees {
            // Deleting needs pages too, for the copies of those it changes. What frees space must
            // not fail for want of it.
            limit = round_up(limit.saturating_add(limit / 8));
        }
        if size >= limit {
            return Err(Error::Full {
                path: self.path.display().to_string(),
                cause: format!("the file has reached the limit set for it, {limit} bytes"),
            });
        }
        let wanted = round_up(size.saturating_mul(2).max(size.saturating_add(room.bytes)));
        self.remap(&mut guard, wanted.min(limit))
    }

    /// Enlarges the map because another process wrote beyond its end. The limit does not apply:
    /// the data are there.
    fn adopt_growth(&self) -> Result<()> {
        let mut guard = write(&self.mapping);
        let env = &self.mapped(guard.as_ref())?.env;
        let info = env.info();
        let page_size = env.unnamed_database_stat().page_size as usize;
        let needed = round_up((info.last_page_number + 1).saturating_mul(page_size));
        if needed <= info.map_size {
            return Ok(());
        }
        let wanted = round_up(info.map_size.saturating_mul(2)).min(self.options.map_limit());
        self.remap(&mut guard, wanted.max(needed))
    }

    fn remap(&self, guard: &mut RwLockWriteGuard<'_, Option<Mapping>>, size: usize) -> Result<()> {
        let Some(mapping) = guard.as_mut() else { return Ok(()) };
        let before = mapping.env.info().map_size;
        let Err(error) = resize_map(&mut mapping.env, size) else { return Ok(()) };
        // LMDB has given up the old map before it asked for the new one.
        **guard = None;
        **guard = Mapping::open(&self.path, self.options).ok();
        Err(Error::Full {
            path: self.path.display().to_string(),
            cause: format!("the map cannot grow from {before} to {size} bytes: {error}"),
        })
    }

    /// `error` in terms of the core.
    pub(super) fn error(&self, error: &heed::Error) -> Error {
        match error {
            heed::Error::Io(cause) if is_full(cause.kind()) => {
                Error::Full { path: self.path.display().to_string(), cause: cause.to_string() }
            }
            heed::Error::Mdb(MdbError::Panic) => self.storage_error(
                "an earlier error left it unusable: close every handle and open it again",
            ),
            heed::Error::Mdb(MdbError::DbsFull) => self.storage_error(&format!(
                "an LMDB database has at most {MAX_NAMESPACES} namespaces here: divide them among \
                 several databases, or use SQLite, which has as many as you like"
            )),
            error => self.storage_error(error),
        }
    }

    fn storage_error(&self, cause: &(impl Display + ?Sized)) -> Error {
        Error::Storage { path: self.path.display().to_string(), cause: cause.to_string() }
    }
}

impl Drop for Environment {
    /// Closes the environment, except in a forked process, where nothing is touched.
    fn drop(&mut self) {
        let mapping = self.mapping.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if self.process != process::id() {
            lock(&ABANDONED).extend(mapping.map(|mapping| (self.path.clone(), mapping)));
        } else if let Some(mapping) = mapping
            && self.options.durability != Durability::Commit
            && !self.options.read_only
        {
            // Nobody is left to be told of an error, and no promise is broken by one.
            let _ = mapping.env.force_sync();
        }
    }
}

/// The names of an environment's databases.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub namespaces: Vec<String>,
    /// Those that cannot name a namespace.
    pub foreign: Vec<Vec<u8>>,
}

/// What has been tried to get a transaction started.
#[derive(Debug, Default)]
struct Recovery {
    readers_cleared: bool,
}

/// What a write needs of the map.
#[derive(Clone, Copy)]
pub(super) struct Room {
    /// How many bytes it adds.
    pub bytes: usize,
    /// Whether it also deletes, and so may exceed the limit by an eighth for the time being.
    pub frees: bool,
}

/// Tells whether this process has the environment in the directory `path` open.
pub(super) fn is_open(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    lock(&ENVIRONMENTS).get(&path).is_some_and(|environment| environment.strong_count() > 0)
}
