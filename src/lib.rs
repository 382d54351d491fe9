//! The core of eosdb: a record database for timestamped home-energy data.
//!
//! A reader follows a row through the modules from left to right:
//! instant ([`timestamp`], [`interval`]) → key and bytes ([`store`], [`codec`]) → row and plan
//! ([`sequence`]) → column, bucket and array ([`series`]) → fewer rows ([`retention`]). Nothing here
//! knows Python; the bindings live behind the feature `python`.

pub mod codec;
pub mod error;
pub mod inspect;
pub mod interval;
pub mod retention;
pub mod sequence;
pub mod series;
pub mod store;
pub mod timestamp;

#[cfg(feature = "python")]
mod python;

pub use error::{Error, Result};
pub use interval::{Span, SpanSet};
pub use timestamp::Timestamp;

/// A number that no other process draws, as good as certainly.
fn random_number() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
