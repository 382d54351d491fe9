//! The native half of the list that a sequence shows as `records`.

use pyo3::prelude::*;

use super::state::SequenceState;

/// What ties a list of records to the state it shows.
#[pyclass(frozen, subclass, module = "eosdb._core")]
pub struct RecordsBase {
    state: Py<SequenceState>,
}

impl RecordsBase {
    /// The state that the list shows.
    pub fn state_of(&self) -> &Py<SequenceState> {
        &self.state
    }
}

#[pymethods]
impl RecordsBase {
    #[new]
    fn new(state: Py<SequenceState>) -> Self {
        Self { state }
    }

    /// The state that the list shows.
    #[getter]
    fn state(&self, py: Python<'_>) -> Py<SequenceState> {
        self.state.clone_ref(py)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.state)
    }
}
