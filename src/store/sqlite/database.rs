//! One open SQLite file: its connections, what is done on them, and how changes made by others are
//! noticed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::connection::{connect, data_version, foreignness, prepare};
use super::errors::{in_terms_of_the_core, is_damage};
use super::traces::{Traces, are_alike, is_at_rest, log_of};
use super::{FILE, SqliteOptions};
use crate::error::{Error, Result};
use crate::store::mapping::{lock, read, write};
use crate::store::{Durability, Namespace, conflict, files};

/// The files that are open in this process, each as often as it is, and those that a fork left open
/// in it: SQLite believes that it holds their locks, which a child does not inherit.
static OPEN: Mutex<Vec<Arc<Database>>> = Mutex::new(Vec::new());

/// How many connections are kept for readers to come.
const IDLE_READERS: usize = 4;

/// What any write needs in bytes, to tell a full disk from a broken one.
const ROOM: usize = 1 << 20;

/// An open file.
#[derive(Debug)]
pub(super) struct Database {
    directory: PathBuf,
    file: PathBuf,
    options: SqliteOptions,
    /// Whether nobody writes to it.
    at_rest: bool,
    /// The process that opened it: SQLite does not survive a fork.
    process: u32,
    open: AtomicBool,
    /// Read-locked by whatever uses a connection; `None` once it is closed.
    connections: RwLock<Option<Connections>>,
}

#[derive(Debug)]
struct Connections {
    /// The one that commits.
    writer: Mutex<Connection>,
    /// Those that nobody reads by just now.
    readers: Mutex<Vec<Connection>>,
    watch: Mutex<Watch>,
    /// The file that they are connected to.
    identity: fs::Metadata,
}

/// What notices changes. It has a connection of its own, which waits for nobody.
#[derive(Debug)]
struct Watch {
    connection: Connection,
    /// The newest state of the file that is accounted for below.
    seen: i64,
    traces: Traces,
    /// How often others have, or may have, changed anything.
    by_others: u64,
    /// How often this store has changed each namespace.
    by_us: BTreeMap<String, u64>,
}

impl Watch {
    /// Accounts for what was committed since the last look. That may be a commit of this store which
    /// has not ended yet: it is counted once too often then.
    fn look(&mut self) {
        match data_version(&self.connection) {
            Ok(version) if version == self.seen => {}
            // Where SQLite may not write beside the file, and an empty log lies there, it takes each
            // look for a change.
            Ok(version) if self.traces.are_unchanged() => self.seen = version,
            outcome => {
                self.seen = outcome.unwrap_or(self.seen);
                self.by_others += 1;
            }
        }
    }

    fn generation(&self, namespace: Namespace<'_>) -> u64 {
        self.by_others + self.by_us.get(namespace.unwrap_or_default()).unwrap_or(&0)
    }
}

/// A connection that is lent to a reader.
struct Reader<'pool> {
    pool: &'pool Mutex<Vec<Connection>>,
    connection: Option<Connection>,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut pool = lock(self.pool);
        if pool.len() < IDLE_READERS {
            pool.extend(self.connection.take());
        }
    }
}

impl Database {
    /// Opens the file in directory `path`.
    pub(super) fn open(path: &Path, options: SqliteOptions) -> Result<Arc<Self>> {
        let directory = files::canonical_directory(path, FILE, options.read_only)?;
        let file = directory.join(FILE);
        let mut open = lock(&OPEN);
        discard_inherited(&mut open, &file)?;
        let is_new = fs::symlink_metadata(&file).is_err();
        let at_rest = options.read_only && is_at_rest(&file);
        let database = Arc::new(Self {
            directory,
            file,
            options,
            at_rest,
            process: process::id(),
            open: AtomicBool::new(true),
            connections: RwLock::new(None),
        });
        *write(&database.connections) = Some(database.connect_all()?);
        if is_new {
            files::sync_names(&database.directory)
                .map_err(|error| database.storage_error(error.to_string()))?;
        }
        open.push(Arc::clone(&database));
        Ok(database)
    }

    fn connect_all(&self) -> Result<Connections> {
        let error = |error: rusqlite::Error| self.error(&error, Some(ROOM));
        let mut writer = connect(&self.file, self.options, self.at_rest).map_err(error)?;
        if let Some(cause) = foreignness(&writer).map_err(error)? {
            return Err(self.storage_error(format!("{FILE} belongs to something else: {cause}")));
        }
        if !self.options.read_only {
            // SQLite opens what it may not write all the same.
            if writer.is_readonly("main").map_err(error)? {
                return Err(self.storage_error(format!(
                    "{FILE} may not be written (Permission denied): open it read-only"
                )));
            }
            prepare(&mut writer, self.options.busy_timeout).map_err(error)?;
        }
        let connection = connect(&self.file, self.options, self.at_rest).map_err(error)?;
        connection.busy_timeout(Duration::ZERO).map_err(error)?;
        let traces = Traces::of(&self.file);
        let seen = data_version(&connection).unwrap_or_default();
        let watch = Watch { connection, seen, traces, by_others: 0, by_us: BTreeMap::new() };
        Ok(Connections {
            writer: Mutex::new(writer),
            readers: Mutex::default(),
            watch: Mutex::new(watch),
            identity: fs::metadata(&self.file)
                .map_err(|error| self.storage_error(error.to_string()))?,
        })
    }

    pub(super) fn options(&self) -> SqliteOptions {
        self.options
    }

    pub(super) fn path(&self) -> String {
        self.directory.display().to_string()
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// Tells whether the file can be used.
    pub(super) fn check(&self) -> Result<()> {
        // Before any lock: a thread that the child does not have may hold it.
        if self.process != process::id() {
            return Err(Error::Forked { path: self.directory.clone() });
        }
        if self.is_open() { Ok(()) } else { Err(self.closed()) }
    }

    fn closed(&self) -> Error {
        Error::Closed { path: self.path() }
    }

    /// Runs `work` with the connections, if they are open.
    fn with<R>(&self, work: impl FnOnce(&Connections) -> Result<R>) -> Result<R> {
        self.check()?;
        work(read(&self.connections).as_ref().ok_or_else(|| self.closed())?)
    }

    /// Runs `look` on a connection that nobody else uses. What one statement reads is one snapshot.
    pub(super) fn read<R>(
        &self,
        look: impl FnOnce(&Connection) -> rusqlite::Result<R>,
    ) -> Result<R> {
        self.with(|connections| {
            let reader = self.reader(connections)?;
            let connection = reader.connection.as_ref().ok_or_else(|| self.closed())?;
            let found = look(connection).map_err(|error| self.error(&error, None));
            self.check_rest(connections)?;
            found
        })
    }

    /// Makes sure that nobody wrote to a file at rest: SQLite would not notice, and may have read
    /// anything. It can be mounted elsewhere too.
    fn check_rest(&self, connections: &Connections) -> Result<()> {
        let found = if self.at_rest { fs::metadata(&self.file).ok() } else { return Ok(()) };
        if are_alike(found.as_ref(), Some(&connections.identity)) {
            return Ok(());
        }
        Err(self.storage_error(format!(
            "{FILE} changes, though it is mounted read-only here: read it where it is written, or \
             have a copy made there by 'eosdb backup'"
        )))
    }

    fn reader<'pool>(&self, connections: &'pool Connections) -> Result<Reader<'pool>> {
        let idle = lock(&connections.readers).pop();
        let connection = idle.map_or_else(|| self.connect_again(connections), Ok)?;
        Ok(Reader { pool: &connections.readers, connection: Some(connection) })
    }

    /// Connects to the file once more, if it is still the same.
    fn connect_again(&self, connections: &Connections) -> Result<Connection> {
        let named = fs::metadata(&self.file);
        if !named.is_ok_and(|named| files::is_same_file(&named, &connections.identity)) {
            return Err(self.storage_error(format!(
                "{FILE} was replaced while it is open: close it and open it again"
            )));
        }
        connect(&self.file, self.options, self.at_rest).map_err(|error| self.error(&error, None))
    }

    /// Runs `apply` in a transaction and commits, if it says that it changed anything. Nothing is
    /// done if the namespace has another generation than the one to be `based_on`. What is written
    /// has about so many `bytes`.
    ///
    /// Returns the namespace's generation afterwards.
    pub(super) fn write(
        &self,
        namespace: Namespace<'_>,
        based_on: Option<u64>,
        bytes: usize,
        apply: impl FnOnce(&Connection) -> rusqlite::Result<bool>,
    ) -> Result<u64> {
        self.with(|connections| {
            let mut writer = lock(&connections.writer);
            let failed = |error: rusqlite::Error| self.error(&error, Some(ROOM.max(bytes)));
            let transaction =
                writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
            // From here on nobody else commits.
            let before = {
                let mut watch = lock(&connections.watch);
                watch.look();
                watch.generation(namespace)
            };
            if based_on.is_some_and(|basis| basis != before) {
                return Err(conflict(namespace));
            }
            let version = data_version(&transaction).map_err(failed)?;
            if !apply(&transaction).map_err(failed)? {
                return Ok(before);
            }
            transaction.commit().map_err(failed)?;

            let mut watch = lock(&connections.watch);
            // What there is to see now was committed by us, and perhaps by others since. On its own
            // connection a commit of ours does not count.
            watch.seen = data_version(&watch.connection).unwrap_or_default();
            if !data_version(&writer).is_ok_and(|now| now == version) {
                watch.by_others += 1;
            }
            *watch.by_us.entry(namespace.unwrap_or_default().to_owned()).or_default() += 1;
            Ok(watch.generation(namespace))
        })
    }

    /// Runs `work` on the connection that commits, outside of any transaction.
    pub(super) fn write_alone(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<()> {
        self.with(|connections| {
            work(&lock(&connections.writer)).map_err(|error| self.error(&error, Some(ROOM)))
        })
    }

    /// The namespace's generation. Waits for no reader, and for no commit.
    pub(super) fn generation(&self, namespace: Namespace<'_>) -> Result<u64> {
        self.with(|connections| {
            let mut watch = lock(&connections.watch);
            watch.look();
            Ok(watch.generation(namespace))
        })
    }

    /// Brings to disk what commits have left to the system.
    pub(super) fn sync(&self) -> Result<()> {
        self.check()?;
        if self.options.durability == Durability::Commit || self.options.read_only {
            return Ok(());
        }
        // What is not in the log any more was synchronised on its way into the file.
        let outcome = match File::open(log_of(&self.file)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            log => log.and_then(|log| log.sync_all()),
        };
        outcome
            .and_then(|()| files::sync_names(&self.directory))
            .map_err(|error| self.storage_error(error.to_string()))
    }

    /// Writes a consistent copy into `target`, an empty directory, and brings it to disk.
    pub(super) fn copy_to(&self, target: &Path) -> Result<()> {
        let unwritable = |error: io::Error| {
            let (path, cause) = (target.display().to_string(), error.to_string());
            if files::is_full(error.kind()) {
                Error::Full { path, cause }
            } else {
                Error::Storage { path, cause }
            }
        };
        // A relative path has no directory to be synced above it.
        let target = &target.canonicalize().map_err(unwritable)?;
        let copy = target.join(FILE);
        let Some(name) = copy.to_str() else {
            return Err(Error::Invalid(format!(
                "SQLite needs a name in UTF-8 for the copy, not '{}'",
                copy.display()
            )));
        };
        self.with(|connections| {
            let reader = self.reader(connections)?;
            let connection = reader.connection.as_ref().ok_or_else(|| self.closed())?;
            connection.execute("VACUUM INTO ?1", [name]).map_err(|error| {
                // What is damaged is the original.
                let place = if is_damage(&error) { &self.directory } else { target };
                in_terms_of_the_core(&error, place, self.options.busy_timeout, Some(ROOM))
            })?;
            self.check_rest(connections)?;
            // A copy is as private as its original.
            let finish = || -> io::Result<()> {
                let file = File::open(&copy)?;
                file.set_permissions(fs::metadata(&self.file)?.permissions())?;
                file.sync_all()?;
                files::sync_names(target)
            };
            finish().map_err(unwritable)
        })
    }

    /// Closes the file, once nobody uses it any more.
    pub(super) fn close(self: &Arc<Self>) {
        if self.process == process::id() {
            if self.is_open() && self.options.durability != Durability::Commit {
                // Nobody is left to be told of an error, and no promise is broken by one.
                let _ = self.sync();
            }
            self.open.store(false, Ordering::SeqCst);
            *write(&self.connections) = None;
            lock(&OPEN).retain(|database| !Arc::ptr_eq(database, self));
        }
    }

    fn error(&self, error: &rusqlite::Error, room: Option<usize>) -> Error {
        in_terms_of_the_core(error, &self.directory, self.options.busy_timeout, room)
    }

    fn storage_error(&self, cause: String) -> Error {
        Error::Storage { path: self.path(), cause }
    }
}

/// Closes what a fork left open of `file` in this process, the child.
fn discard_inherited(open: &mut Vec<Arc<Database>>, file: &Path) -> Result<()> {
    for database in open.iter().filter(|database| database.file == file) {
        if database.process != process::id() {
            // A thread that was using it at the fork holds its lock forever.
            let forked = |_| Error::Forked { path: database.directory.clone() };
            database.connections.try_write().map_err(forked)?.take();
        }
    }
    open.retain(|database| database.file != file || database.process == process::id());
    Ok(())
}

/// Runs `work` unless a store of this process has `file`, a canonical path, open.
pub(super) fn unless_open<R>(file: &Path, work: impl FnOnce() -> R) -> Option<R> {
    let open = lock(&OPEN);
    let mut files = open.iter().map(|database| &database.file);
    if files.any(|open| open == file) { None } else { Some(work()) }
}
