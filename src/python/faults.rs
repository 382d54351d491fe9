//! `_core.Faults`: native stores that fail on demand, for tests.
#![expect(clippy::needless_pass_by_value, reason = "arguments are extracted from Python owned")]

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;

use super::store::{Store, durability_named};
use crate::error::{Error, Result};
use crate::store::{Failure, Faults as CoreFaults, FaultyStore, Kind};

/// What goes wrong in the stores that share it, and what was asked of them.
#[pyclass(frozen, module = "eosdb._core")]
pub struct Faults {
    faults: Arc<CoreFaults>,
}

fn kind_named(name: &str) -> Result<Option<Kind>> {
    match name {
        "any" => Ok(None),
        "read" => Ok(Some(Kind::Read)),
        "commit" => Ok(Some(Kind::Commit)),
        "sync" => Ok(Some(Kind::Sync)),
        other => Err(Error::Invalid(format!(
            "operations {other:?} are unknown: use 'any', 'read', 'commit' or 'sync'"
        ))),
    }
}

// The lock of the faults is never waited for while attached.
#[pymethods]
impl Faults {
    #[new]
    fn new() -> Self {
        Self { faults: CoreFaults::new() }
    }

    /// Return a store that does what `store` does, unless it is to fail. `durability` is the
    /// store's.
    fn wrap(&self, py: Python<'_>, store: &Store, durability: &str) -> PyResult<Store> {
        let durability = durability_named(durability)?;
        let faults = Arc::clone(&self.faults);
        let inner = Arc::clone(store.inner());
        let wrapped = py.detach(|| FaultyStore::new(inner, durability, faults))?;
        Ok(Store::new(wrapped, store.is_read_only()))
    }

    /// Let an operation of the kind `on` fail, after `after` others, by raising `error`.
    fn fail(
        &self,
        py: Python<'_>,
        on: &str,
        after: u64,
        repeatedly: bool,
        applied: bool,
        error: Py<PyAny>,
    ) -> PyResult<()> {
        let error = move || {
            Python::attach(|py| {
                Error::External(Box::new(PyErr::from_value(error.bind(py).clone())))
            })
        };
        let on = kind_named(on)?;
        let failure = Failure { on, after, repeatedly, applied, error: Arc::new(error) };
        py.detach(|| self.faults.fail(failure));
        Ok(())
    }

    /// Let everything work again.
    fn heal(&self, py: Python<'_>) {
        py.detach(|| self.faults.heal());
    }

    /// Let commits fail that would bring what is written from now on to more than `size`
    /// bytes; `None` lifts the limit.
    fn limit_space(&self, py: Python<'_>, size: Option<u64>) {
        py.detach(|| self.faults.limit_space(size));
    }

    /// Cut the power when so many more commits have been acknowledged.
    fn freeze(&self, py: Python<'_>, after_commits: u64) -> PyResult<()> {
        Ok(py.detach(|| self.faults.freeze(after_commits))?)
    }

    /// Write into the directory `target` what is on the disk, or would be after a power cut now.
    fn disk_image(&self, py: Python<'_>, target: PathBuf) -> PyResult<()> {
        Ok(py.detach(|| self.faults.disk_image(&target))?)
    }

    /// The operations so far, each with its namespace.
    #[getter]
    fn operations(&self, py: Python<'_>) -> Vec<(&'static str, Option<String>)> {
        let operations = py.detach(|| self.faults.operations());
        operations.into_iter().map(|(operation, namespace)| (operation.name(), namespace)).collect()
    }
}
