//! Stored values: gzip around a Python pickle.
//!
//! [`gzip`] takes the stored bytes apart, [`pickle_read`] turns a pickle into a [`Tree`] without
//! executing anything, [`safe_globals`] tells what of it may be built, [`pickle_write`] writes
//! what Python's pickler would, and [`metadata`] handles the small dictionary that describes a
//! namespace.

mod date_time;
pub mod gzip;
mod memo;
pub mod metadata;
mod number_place;
mod numpy;
mod opcode;
mod parallel;
pub mod pickle_read;
pub mod pickle_write;
pub mod safe_globals;
mod tree;
pub mod zones;

pub use date_time::{DateTimeParts, PENDULUM_DATE_TIME, PYDANTIC_DATE_TIME, Zone};
pub use number_place::NumberPlace;
pub use numpy::NumpyScalar;
pub use parallel::{encode_all, in_shares};
pub use pickle_read::{Reader, read};
pub use pickle_write::Writer;
pub use tree::{Call, MAX_DEPTH, Node, NodeId, Tree};
