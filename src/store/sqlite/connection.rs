//! A connection to an SQLite file, and the tables in it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::SqliteOptions;
use super::errors::code_of;
use crate::store::Durability;

/// Exactly Akkudoktor-EOS's tables, so that either program can have made them.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS records (
        namespace TEXT NOT NULL DEFAULT '',
        key BLOB NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (namespace, key)
    );
    CREATE INDEX IF NOT EXISTS idx_namespace_key ON records (namespace, key);
    CREATE TABLE IF NOT EXISTS metadata (namespace TEXT PRIMARY KEY, value BLOB);
";

/// How many statements a connection remembers: all that there are.
const STATEMENTS: usize = 32;

/// How long to wait before the next attempt where SQLite does not wait by itself.
const PAUSE: Duration = Duration::from_millis(10);

/// Connects to `file`, which is created unless it is only to be read. Where it is `at_rest`, nothing
/// is noted beside it.
pub(super) fn connect(
    file: &Path,
    options: SqliteOptions,
    at_rest: bool,
) -> rusqlite::Result<Connection> {
    let access = if options.read_only {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
    } | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if at_rest {
        Connection::open_with_flags(immutable(file), access | OpenFlags::SQLITE_OPEN_URI)?
    } else {
        Connection::open_with_flags(file, access)?
    };
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Whoever wrote the file may have left something in it to be executed.
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    ] {
        connection.set_db_config(setting, on)?;
    }
    // As far as it matters to the log, "EXTRA" is "FULL"; to a file without a log it is more.
    let synchronous = if options.durability == Durability::Commit { "EXTRA" } else { "NORMAL" };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// The address by which SQLite opens a file that nobody writes.
fn immutable(file: &Path) -> String {
    let escaped = |byte: &u8| match byte {
        b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
            char::from(*byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    let path: String = file.as_os_str().as_encoded_bytes().iter().map(escaped).collect();
    format!("file:{path}?immutable=1")
}

/// Tells whether there is a table of this name, an ordinary one.
pub(super) fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 AND rootpage > 0";
    connection.prepare_cached(sql)?.exists([name])
}

/// Why the file is not for us: it has tables of something else. `None` if it is, or is empty.
pub(super) fn foreignness(connection: &Connection) -> rusqlite::Result<Option<String>> {
    if has_table(connection, "records")? {
        let columns = connection.prepare("SELECT namespace, key, value FROM records LIMIT 0");
        return match columns {
            Err(error) if code_of(&error) == Some(ErrorCode::Unknown) => {
                Ok(Some(error.to_string()))
            }
            outcome => outcome.map(|_| None),
        };
    }
    let empty: bool =
        connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))?;
    Ok((!empty).then(|| "it has no table 'records'".to_owned()))
}

/// Sees to it that the tables are there, and that whoever reads and whoever writes do not wait for
/// one another.
pub(super) fn prepare(connection: &mut Connection, patience: Duration) -> rusqlite::Result<()> {
    use_log(connection, patience)?;
    let there: bool = connection.query_row(
        "SELECT count(*) = 3 FROM sqlite_schema WHERE (type, name) IN
         (VALUES ('table', 'records'), ('index', 'idx_namespace_key'), ('table', 'metadata'))",
        [],
        |row| row.get(0),
    )?;
    if !there {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(TABLES)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Has the file written by way of a log ahead of it. That takes a moment in which nobody else uses
/// it. If there is none, the file is used as it is: commits are as safe, but wait for readers.
fn use_log(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    let start = Instant::now();
    loop {
        let outcome = connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()));
        match outcome.as_ref().map_err(code_of) {
            Err(Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => {
                if start.elapsed() >= patience {
                    return Ok(());
                }
                thread::sleep(PAUSE);
            }
            _ => return outcome,
        }
    }
}

/// A number that changes with every commit of another connection than this one.
pub(super) fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{SqliteOptions, connect, immutable};
    use crate::store::Durability;

    #[test]
    fn a_file_at_rest_is_read_whatever_its_name_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("Größe 50% #1?\u{7f}");
        fs::create_dir(&place).unwrap();
        let file = place.join("data.db");
        let options = SqliteOptions { durability: Durability::None, ..SqliteOptions::default() };
        let mut connection = connect(&file, options, false).unwrap();
        super::prepare(&mut connection, options.busy_timeout).unwrap();
        connection.close().unwrap();
        let options = SqliteOptions { read_only: true, ..options };
        let connection = connect(&file, options, true).unwrap();
        assert!(super::has_table(&connection, "records").unwrap());
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
        assert_eq!(immutable("/a b/data.db".as_ref()), "file:/a%20b/data.db?immutable=1");
    }
}
