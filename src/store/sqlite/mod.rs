//! The store in an SQLite file: namespaces as a column of one table, as Akkudoktor-EOS has them.

mod connection;
mod database;
mod errors;
mod foreign;
mod salvage;
mod traces;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, named_params, params};

use self::connection::has_table;
use self::database::Database;
use self::errors::bytes_of;
use super::salvage::{Salvage, Writing};
use super::{
    Batch, Committed, Damage, Durability, Foreign, KeyRange, METADATA_KEY, MetadataChange,
    Namespace, Order, Store, StoreStats, Visit, VisitKey, check_namespace, files, ordered_puts,
};
use crate::error::{Error, Result};

/// The name of the file in its directory.
pub(super) const FILE: &str = "data.db";

/// What an SQLite file begins with.
const HEAD: &[u8; 16] = b"SQLite format 3\0";

/// How to open an [`SqliteStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteOptions {
    /// When a commit reaches the disk: [`Durability::Commit`], or [`Durability::None`], with which a
    /// crash of the machine may lose the commits since the last [`Store::sync`], and never damages
    /// the database. There is nothing in between.
    pub durability: Durability,
    /// Whether the store is only read. The file must then exist, and stays as it is, but for
    /// SQLite's own files beside it.
    pub read_only: bool,
    /// How long a commit waits for others that are writing.
    pub busy_timeout: Duration,
}

impl Default for SqliteOptions {
    /// Every commit on disk, writable, and ten seconds of patience.
    fn default() -> Self {
        Self {
            durability: Durability::Commit,
            read_only: false,
            busy_timeout: Duration::from_secs(10),
        }
    }
}

/// A [`Store`] in an SQLite file.
///
/// Commits of a store follow one another on one connection. What reads has a connection of its own,
/// so that nobody waits for a reader, and a reader for nobody. Several stores, of one process or of
/// many, may have a file open. After a fork the child's copy of a store answers [`Error::Forked`];
/// the child can open the directory anew.
///
/// No other copy of SQLite in this process, such as Python's, may have the file open meanwhile: when
/// it closes the file, the system takes all locks of the process from it.
#[derive(Debug)]
pub struct SqliteStore {
    database: Arc<Database>,
}

impl SqliteStore {
    /// Opens the file `data.db` in the directory `path`; both are created unless it is opened to be
    /// read only.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the path is a file or an option is out of range;
    /// [`Error::Malformed`]; [`Error::Full`]; [`Error::Forked`] where a thread was using the file
    /// when this process was forked; [`Error::Storage`] where there is nothing to read, no
    /// permission, or something else in the file.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Arc<Self>> {
        if options.durability == Durability::Interval {
            return Err(Error::Invalid(
                "SQLite has nothing between durability 'commit' and 'none': use one of them".into(),
            ));
        }
        Ok(Arc::new(Self { database: Database::open(path, options)? }))
    }

    /// Tells whether `file` is an SQLite file by its first bytes.
    #[must_use]
    pub fn is_database(file: &Path) -> bool {
        let Ok(file) = file.canonicalize() else { return false };
        // Closing a file takes the locks from it that SQLite holds for this process.
        database::unless_open(&file, || {
            let mut head = [0; HEAD.len()];
            let read = File::open(&file).and_then(|mut file| file.read_exact(&mut head));
            read.is_ok() && head == *HEAD
        })
        .unwrap_or(true)
    }

    /// The places where the file in the directory `path` is damaged. Pages are numbered from 1;
    /// what is damaged elsewhere has page 0.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn damage(path: &Path) -> Result<Vec<Damage>> {
        let options = SqliteOptions { read_only: true, ..SqliteOptions::default() };
        let database = match Database::open(path, options) {
            Ok(database) => database,
            Err(Error::Malformed { cause, .. }) => return Ok(vec![Damage { page: 0, cause }]),
            Err(error) => return Err(error),
        };
        let mut damage = Vec::new();
        let outcome = database.read(|connection| {
            let (found, outcome) = salvage::check(connection, "integrity_check");
            damage = found;
            outcome
        });
        database.close();
        match outcome {
            // It tells what it has found before it cannot go on.
            Err(Error::Malformed { cause, .. }) if damage.is_empty() => {
                damage.push(Damage { page: 0, cause });
            }
            Ok(()) | Err(Error::Malformed { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(damage)
    }

    /// Reads the damaged file in the directory `source`, which nobody may use meanwhile, as far as
    /// its pages are sound, and writes what they hold into the directory `target`, which must not
    /// exist or be empty. The source is left as it is.
    ///
    /// # Errors
    /// As [`SqliteStore::open`]; [`Error::Malformed`] where the first page cannot be used, which
    /// describes the file; [`Error::Invalid`] where the target is taken.
    pub fn salvage(source: &Path, target: &Path) -> Result<Salvage> {
        let options = SqliteOptions { read_only: true, ..SqliteOptions::default() };
        let database = Database::open(source, options)?;
        let outcome = write_readable(&database, target);
        database.close();
        let salvage = outcome?;
        // A copy is as private as its original.
        fs::metadata(source.join(FILE))
            .and_then(|original| fs::set_permissions(target.join(FILE), original.permissions()))
            .map_err(|error| Error::Storage {
                path: target.display().to_string(),
                cause: error.to_string(),
            })?;
        Ok(salvage)
    }

    /// Writes the file in the directory `path` anew, without free pages, while it is in use.
    ///
    /// # Errors
    /// As [`SqliteStore::open`], and [`Error::Storage`] where others use it all the time.
    pub fn compact(path: &Path, options: SqliteOptions) -> Result<()> {
        let database = Database::open(path, options)?;
        let outcome = database.write_alone(|connection| {
            // The new pages lie in the log until it is emptied.
            connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
        });
        database.close();
        outcome
    }

    fn database_for(&self, namespace: Namespace<'_>) -> Result<&Database> {
        self.database.check()?;
        check_namespace(namespace)?;
        Ok(&self.database)
    }
}

impl Store for SqliteStore {
    fn scan(
        &self,
        namespace: Namespace<'_>,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<()> {
        let direction = match order {
            Order::Ascending => "ASC",
            Order::Descending => "DESC",
        };
        self.database_for(namespace)?.read(|connection| {
            let sql = format!(
                "SELECT key, value {} AND key <> CAST('__metadata__' AS BLOB) \
                 ORDER BY key {direction}",
                rows_in(range)
            );
            let mut statement = connection.prepare_cached(&sql)?;
            bind(&mut statement, namespace, range)?;
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                let value = row.get_ref(1)?;
                if visit(row.get_ref(0)?.as_blob()?, &bytes_of(value)).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn get(&self, namespace: Namespace<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.database_for(namespace)?
            .read(|connection| look_up(connection, namespace, key, <[u8]>::to_vec))
    }

    fn get_many(
        &self,
        namespace: Namespace<'_>,
        keys: &mut dyn Iterator<Item = [u8; 16]>,
        visit: VisitKey<'_>,
    ) -> Result<()> {
        self.database_for(namespace)?.read(|connection| {
            // One snapshot for all of them.
            let snapshot = connection.unchecked_transaction()?;
            for key in keys {
                let shown = look_up(&snapshot, namespace, &key, |value| visit(&key, Some(value)))?;
                if shown.unwrap_or_else(|| visit(&key, None)).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn contains(&self, namespace: Namespace<'_>, key: &[u8]) -> Result<bool> {
        let found = self
            .database_for(namespace)?
            .read(|connection| look_up(connection, namespace, key, |_| ()))?;
        Ok(found.is_some())
    }

    fn count(&self, namespace: Namespace<'_>, range: KeyRange<'_>) -> Result<u64> {
        self.database_for(namespace)?.read(|connection| {
            // Less what is none, rather than looking at every key for it.
            let rows = rows_in(range);
            let sql = format!(
                "SELECT count(*) - (SELECT count(*) {rows} AND key = CAST('__metadata__' AS BLOB)) \
                 {rows}"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            bind(&mut statement, namespace, range)?;
            let mut rows = statement.raw_query();
            rows.next()?.map_or(Ok(0), |row| row.get(0)).map(i64::unsigned_abs)
        })
    }

    fn commit(&self, namespace: Namespace<'_>, batch: &Batch) -> Result<Committed> {
        let database = self.database_for(namespace)?;
        if database.options().read_only {
            return Err(Error::ReadOnly { path: database.path() });
        }
        let puts = ordered_puts(batch)?;
        let mut deleted = 0;
        let bytes = puts.iter().map(|(key, value)| key.len() + value.len()).sum();
        let generation = database.write(namespace, batch.based_on, bytes, |connection| {
            let name = namespace.unwrap_or_default();
            let mut put = connection.prepare_cached(
                "INSERT INTO records (namespace, key, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value",
            )?;
            for (key, value) in &puts {
                put.execute(params![name, key, value])?;
            }
            let mut delete = connection
                .prepare_cached("DELETE FROM records WHERE namespace = ?1 AND key = ?2")?;
            for key in batch.deletes.iter().filter(|key| can_be_record(key)) {
                deleted += delete.execute(params![name, key])?;
            }
            let metadata = match &batch.metadata {
                MetadataChange::Keep => 0,
                MetadataChange::Put(value) => connection.execute(
                    "INSERT INTO metadata (namespace, value) VALUES (?1, ?2)
                     ON CONFLICT (namespace) DO UPDATE SET value = excluded.value",
                    params![name, value],
                )?,
                MetadataChange::Delete => {
                    connection.execute("DELETE FROM metadata WHERE namespace = ?1", [name])?
                }
            };
            Ok(!puts.is_empty() || deleted > 0 || metadata > 0)
        })?;
        Ok(Committed { written: puts.len(), deleted, generation })
    }

    fn metadata(&self, namespace: Namespace<'_>) -> Result<Option<Vec<u8>>> {
        self.database_for(namespace)?.read(|connection| {
            if !has_table(connection, "metadata")? {
                return Ok(None);
            }
            let sql = "SELECT value FROM metadata WHERE namespace = ?1 AND value IS NOT NULL";
            let mut statement = connection.prepare_cached(sql)?;
            let name = namespace.unwrap_or_default();
            let found =
                statement.query_row([name], |row| Ok(bytes_of(row.get_ref(0)?).into_owned()));
            found.optional()
        })
    }

    fn namespaces(&self) -> Result<Vec<String>> {
        self.database.check()?;
        self.database.read(|connection| {
            let names = foreign::names(connection)?;
            Ok(names.iter().filter_map(|name| name.namespace().ok()).map(str::to_owned).collect())
        })
    }

    fn foreign(&self) -> Result<Vec<Foreign>> {
        self.database.check()?;
        self.database.read(foreign::list)
    }

    fn generation(&self, namespace: Namespace<'_>) -> Result<u64> {
        self.database.generation(namespace)
    }

    fn stats(&self, namespace: Namespace<'_>) -> Result<StoreStats> {
        let entries = self.count(namespace, KeyRange::default())?;
        self.database.read(|connection| {
            let figure = |name| {
                let figure = connection.pragma_query_value(None, name, |row| row.get(0));
                figure.map(i64::unsigned_abs)
            };
            let (page_size, last_page) = (figure("page_size")?, figure("page_count")?);
            Ok(StoreStats { entries, page_size, last_page, ..StoreStats::default() })
        })
    }

    fn sync(&self) -> Result<()> {
        self.database.sync()
    }

    /// SQLite leaves free pages out in any case.
    fn copy_to(&self, target: &Path, _compact: bool) -> Result<()> {
        self.database.check()?;
        files::prepare_copy(target)?;
        self.database.copy_to(target)
    }

    fn close(&self) {
        self.database.close();
    }

    fn is_open(&self) -> bool {
        self.database.is_open()
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.database.close();
    }
}

/// Writes what can be read of `database` into the directory `target`.
fn write_readable(database: &Database, target: &Path) -> Result<Salvage> {
    files::prepare_copy(target)?;
    // On disk when everything is there; what is there before is of no use.
    let options = SqliteOptions { durability: Durability::None, ..SqliteOptions::default() };
    let store = SqliteStore::open(target, options)?;
    let mut writing = Writing::new(&*store);
    let damage = database.read(|connection| {
        salvage::rows(connection, &mut |name, key, value| writing.take(name, key, value))
    })?;
    let salvage = writing.end(damage)?;
    store.sync()?;
    Ok(salvage)
}

/// Tells whether a row with this key can be a record. EOS's first versions kept metadata among them.
fn can_be_record(key: &[u8]) -> bool {
    !key.is_empty() && key != METADATA_KEY
}

/// Which rows of the table are in a range. `bind` gives them their values.
fn rows_in(range: KeyRange<'_>) -> String {
    let end = if range.end.is_some() { " AND key < :end" } else { "" };
    format!("FROM records WHERE namespace = :namespace AND key >= :start{end}")
}

fn bind(
    statement: &mut rusqlite::Statement<'_>,
    namespace: Namespace<'_>,
    range: KeyRange<'_>,
) -> rusqlite::Result<()> {
    // The smallest key that is not empty; what is no bytes sorts before all that is.
    let start = range.start.filter(|start| !start.is_empty()).unwrap_or(b"\0");
    for (name, value) in
        named_params! { ":namespace": namespace.unwrap_or_default(), ":start": start }
    {
        if let Some(index) = statement.parameter_index(name)? {
            statement.raw_bind_parameter(index, value)?;
        }
    }
    if let (Some(end), Some(index)) = (range.end, statement.parameter_index(":end")?) {
        statement.raw_bind_parameter(index, end)?;
    }
    Ok(())
}

/// Shows the value at `key` to `look`, where there is one.
fn look_up<R>(
    connection: &Connection,
    namespace: Namespace<'_>,
    key: &[u8],
    look: impl FnOnce(&[u8]) -> R,
) -> rusqlite::Result<Option<R>> {
    if !can_be_record(key) {
        return Ok(None);
    }
    let sql = "SELECT value FROM records WHERE namespace = ?1 AND key = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let name = namespace.unwrap_or_default();
    let found = statement.query_row(params![name, key], |row| Ok(look(&bytes_of(row.get_ref(0)?))));
    found.optional()
}
