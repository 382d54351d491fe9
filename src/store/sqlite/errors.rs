//! What SQLite's errors and values mean to the core.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Error as SqliteError, ErrorCode, ffi};

use crate::error::Error;
use crate::store::files;

/// `error`, which the file in `directory` gave, in terms of the core. A write that fails may have
/// met a full disk, which SQLite tells of only sometimes: `room` is what it needed in bytes.
pub(super) fn in_terms_of_the_core(
    error: &SqliteError,
    directory: &Path,
    patience: Duration,
    room: Option<usize>,
) -> Error {
    let path = || directory.display().to_string();
    let full = |cause: String| Error::Full { path: path(), cause };
    let storage = |cause: String| Error::Storage { path: path(), cause };
    match code_of(error) {
        Some(ErrorCode::DiskFull) => full(error.to_string()),
        Some(ErrorCode::SystemIoFailure) => {
            match room.map_or(Ok(()), |room| files::probe_room(directory, room)) {
                Err(cause) if files::is_full(cause.kind()) => full(cause.to_string()),
                _ => storage(error.to_string()),
            }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => storage(format!(
            "others have been using it for {} s ({error}): try again when they have finished, or \
             wait longer for them",
            patience.as_secs_f64()
        )),
        Some(ErrorCode::DatabaseCorrupt) => {
            Error::Malformed { path: directory.to_owned(), cause: error.to_string() }
        }
        Some(ErrorCode::NotADatabase) => {
            storage("data.db is no SQLite database, or a damaged one".to_owned())
        }
        Some(ErrorCode::ReadOnly) if is_moved(error) => storage(format!(
            "data.db was moved or replaced while it is open ({error}): close it and open it again"
        )),
        Some(ErrorCode::ReadOnly) => storage(format!(
            "{error}: the directory may not be written, in which SQLite notes whoever reads: do it \
             as the database's owner, or have the owner make you a copy by 'eosdb backup'"
        )),
        Some(ErrorCode::CannotOpen) => {
            storage(format!("{error}: SQLite must be able to read data.db, and to write beside it"))
        }
        _ => storage(error.to_string()),
    }
}

/// The code of an error, of one in a statement too.
pub(super) fn code_of(error: &SqliteError) -> Option<ErrorCode> {
    match error {
        SqliteError::SqlInputError { error, .. } => Some(error.code),
        error => error.sqlite_error_code(),
    }
}

fn is_moved(error: &SqliteError) -> bool {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    extended == Some(ffi::SQLITE_READONLY_DBMOVED)
}

/// Tells whether `error` says that the file is damaged.
pub(super) fn is_damage(error: &SqliteError) -> bool {
    code_of(error) == Some(ErrorCode::DatabaseCorrupt)
}

/// The bytes of a value. Neither EOS nor eosdb writes anything but bytes: whoever decodes what is
/// something else says that it is damaged.
pub(super) fn bytes_of(value: ValueRef<'_>) -> Cow<'_, [u8]> {
    match value {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Cow::Borrowed(bytes),
        ValueRef::Null => Cow::Borrowed(b"NULL"),
        ValueRef::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
        ValueRef::Real(number) => Cow::Owned(number.to_string().into_bytes()),
    }
}
