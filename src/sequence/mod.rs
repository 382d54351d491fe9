//! The records of one namespace as one process sees them.
//!
//! [`Index`] is the state and takes the decisions; [`Sequence`] carries them out against a
//! [`Store`](crate::store::Store), be it LMDB, memory, or a backend written in Python.

mod cells;
mod changes;
mod driver;
mod index;
mod refresh;
mod rows;
mod storage;
mod values;

pub use cells::CellPlan;
pub use changes::{Mark, Rewrite, SavePlan};
pub use driver::{Encoded, Handle, Sequence};
pub use index::{FoundRow, Index, LoadPlan, NeighborPlan, Phase, Presence, Slot};
pub use refresh::RefreshPlan;
pub use rows::Rows;
pub use storage::Storage;
pub use values::{Gathered, PIECE, RowRead, read_rows};
