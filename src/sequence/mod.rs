//! The records of one namespace as one process sees them.
//!
//! [`Index`] is the state and takes the decisions; [`Sequence`] carries them out against a
//! [`Store`](crate::store::Store), be it LMDB, memory, or a backend written in Python.

mod driver;
mod index;
mod rows;

pub use driver::{Encoded, Handle, IndexWork, Sequence, Storage};
pub use index::{
    FoundRow, Index, LoadPlan, Mark, NeighborPlan, Phase, Presence, RefreshPlan, SavePlan, Slot,
};
pub use rows::Rows;
