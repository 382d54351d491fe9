//! The extension module `eosdb._core`: thin classes over the core.
//!
//! Everything that reads, inflates or computes runs detached from the interpreter; no lock of ours
//! is waited for while attached.

mod arrow;
mod at_hand;
mod backend;
mod cells;
mod columns;
mod compact;
mod datetime;
mod decode;
mod encode;
mod enter;
mod errors;
mod faults;
mod inspect;
mod iterator;
mod metadata;
mod methods;
mod offsets;
mod record_class;
mod records;
mod save;
mod series;
mod state;
mod store;
mod turns;

use pyo3::prelude::*;

/// The native core of eosdb.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::arrow::{ArrowTable, arrow_table};
    #[pymodule_export]
    use super::compact::{Compaction, plan_compaction};
    #[pymodule_export]
    use super::datetime::timestamp_of;
    #[pymodule_export]
    use super::decode::{register_type, unpickle};
    #[pymodule_export]
    use super::enter::enter;
    #[pymodule_export]
    use super::faults::Faults;
    #[pymodule_export]
    use super::inspect::{inspect_metadata, inspect_records, names_in_records, quarantine};
    #[pymodule_export]
    use super::iterator::RecordIterator;
    #[pymodule_export]
    use super::metadata::{read_metadata, write_metadata};
    #[pymodule_export]
    use super::record_class::RecordClass;
    #[pymodule_export]
    use super::records::RecordsBase;
    #[pymodule_export]
    use super::series::{meter_energy, resample, table, values};
    #[pymodule_export]
    use super::state::SequenceState;
    #[pymodule_export]
    use super::store::{Store, gzip_decode, gzip_encode};
}
