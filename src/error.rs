//! The one error type of the core. The bindings map it to Python's exceptions in one place.

use std::path::PathBuf;

use crate::interval::Span;
use crate::timestamp::Timestamp;

/// What can go wrong, each with the value that caused it and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store was used before it was opened or after it was closed.
    #[error("the database at '{path}' is closed: open it before you use it")]
    Closed {
        /// Where the closed database lies.
        path: String,
    },
    /// A namespace that cannot name a database.
    #[error("namespace {name:?} is refused: {reason}")]
    Namespace {
        /// The namespace as given.
        name: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// A key that is no timestamp.
    #[error("key {key:?} is no timestamp: expected UTC text such as 20241027T113456Z")]
    Key {
        /// The key, lossily decoded for display.
        key: String,
    },
    /// A time that no key can hold.
    #[error("{seconds} s since 1970 is outside the years 1 to 9999 that a key can hold")]
    TimeRange {
        /// The offending UTC second.
        seconds: i64,
    },
    /// A record already exists at this instant.
    #[error("Duplicate timestamp {date_time} -> {timestamp}")]
    Duplicate {
        /// The record's time as its owner wrote it.
        date_time: String,
        /// The same instant as key text.
        timestamp: String,
    },
    /// A stored value that cannot be decoded.
    #[error(
        "the value at {key} in namespace '{namespace}' is damaged: {cause}; \
         the other records are unaffected, delete this one to replace it"
    )]
    Damaged {
        /// The namespace that holds the value.
        namespace: String,
        /// The key of the value.
        key: String,
        /// What the decoder found.
        cause: String,
    },
    /// Bytes that the codec refuses; callers that know the key turn it into [`Error::Damaged`].
    #[error("{0}")]
    Decode(String),
    /// A value that the codec cannot write.
    #[error("{0}")]
    Encode(String),
    /// The disk, or the limit set for the map, is full. Nothing of the batch was written.
    #[error(
        "no space left for '{path}': {cause}; free some space or raise the limit, then save again"
    )]
    Full {
        /// The environment that is full.
        path: String,
        /// What the system or the limit said.
        cause: String,
    },
    /// A file whose pages contradict one another, so that LMDB must not be let loose on it.
    #[error(
        "the database file in '{}' is damaged at page {page}: {cause}; restore a backup, or save \
         what can be read of it with `eosdb.repair`", path.display()
    )]
    Corrupt {
        /// The environment in question.
        path: PathBuf,
        /// The number of the page, counted from 0.
        page: u64,
        /// What is wrong with it.
        cause: String,
    },
    /// An SQLite file whose pages contradict one another.
    #[error(
        "the database file in '{}' is damaged: {cause}; restore a backup, or save what can be read \
         of it with `eosdb.repair`, or else with the command `.recover` of sqlite3", path.display()
    )]
    Malformed {
        /// The directory of the file.
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
    /// Another process holds the environment with an incompatible LMDB.
    #[error(
        "'{}' is in use by another process through an LMDB of another version (py-lmdb, for \
         instance): close it there, or let that process use eosdb too", path.display()
    )]
    ForeignProcess {
        /// The environment in question.
        path: PathBuf,
    },
    /// The environment was opened before this process was forked.
    #[error("'{}' was opened before this process was forked: open it again in the child", path.display())]
    Forked {
        /// The environment in question.
        path: PathBuf,
    },
    /// A write to a store that was opened to be read.
    #[error("'{path}' was opened read-only: open it for writing to change it")]
    ReadOnly {
        /// The store in question.
        path: String,
    },
    /// Somebody else changed what a commit was based on. Nothing was written.
    #[error(
        "somebody else changed namespace '{namespace}' meanwhile: nothing was written, do it again"
    )]
    Conflict {
        /// The namespace that was to be changed.
        namespace: String,
    },
    /// Compaction would have changed the energy that a meter counted. Nothing was written.
    #[error(
        "compaction would change the energy of '{key}' in [{}, {}) from {before} to {after}: nothing \
         was written; look at the readings around it, or give the key another aggregation",
        instant(bucket.start), instant(bucket.end)
    )]
    NotConserved {
        /// The key of the meter.
        key: String,
        /// The bucket whose energy would change, in UTC seconds since 1970.
        bucket: Span,
        /// Its energy before, in the unit of the readings; not a number if unknown.
        before: f64,
        /// Its energy after.
        after: f64,
    },
    /// An option outside its range.
    #[error("{0}")]
    Invalid(String),
    /// A value of a type that something cannot be done with.
    #[error("{0}")]
    Type(String),
    /// What a store outside of this crate reports, passed on as it is.
    #[error(transparent)]
    External(Box<dyn std::error::Error + Send + Sync>),
    /// Anything else that the storage reports.
    #[error("storage error at '{path}': {cause}")]
    Storage {
        /// The store in question.
        path: String,
        /// What the storage said.
        cause: String,
    },
}

fn instant(second: i64) -> String {
    Timestamp::from_seconds(second).map_or_else(|_| second.to_string(), |at| at.to_string())
}

/// The result of everything fallible in the core.
pub type Result<T, E = Error> = std::result::Result<T, E>;
