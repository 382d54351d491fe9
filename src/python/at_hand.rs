//! What an event loop does itself: nothing that reads, and nothing that waits.

use pyo3::prelude::*;

use super::datetime;
use super::methods::mark_of;
use super::state::{SequenceState, Shared};
use crate::sequence::{Index, Slot};
use crate::timestamp::Timestamp;

/// Runs `work` on the index if what it knows of the row at `time` is all that there is to know and the
/// row may be changed at once. `work` is told whether there is storage, which is asked for its
/// generation only.
fn at_hand<T>(
    py: Python<'_>,
    state: &SequenceState,
    time: i64,
    work: impl FnOnce(&mut Index<Shared>, bool) -> Option<T>,
) -> PyResult<Option<T>> {
    let binding = state.binding(py);
    let storage = binding.as_ref().and_then(|binding| binding.storage.as_ref());
    if storage.is_some() && !state.is_storage_initialized() {
        return Ok(None);
    }
    let index = state.sequence().at_hand(storage, time)?;
    Ok(index.and_then(|mut index| work(&mut index, storage.is_some())))
}

/// The record at `target`, or `None`; `NotImplemented` if that cannot be told at once.
pub fn get<'py>(state: &SequenceState, target: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = target.py();
    let time = datetime::instant(target)?;
    let found = at_hand(py, state, time, |index, has_storage| match index.rows().get(time) {
        Some(Slot::Live(record)) => Some(Some(record.clone_ref(py))),
        Some(Slot::Stored | Slot::Encoded(_)) => None,
        None => index.lacks(time, has_storage).then_some(None),
    })?;
    Ok(match found {
        Some(Some(record)) => record.into_bound(py),
        Some(None) => py.None().into_bound(py),
        None => py.NotImplemented().into_bound(py),
    })
}

/// Adds `record`, and tells whether that could be done at once.
pub fn insert(
    state: &SequenceState,
    record: &Bound<'_, PyAny>,
    mark_dirty: bool,
) -> PyResult<bool> {
    let time = datetime::second_of_record(record)?;
    Timestamp::from_seconds(time)?;
    let inserted = at_hand(record.py(), state, time, |index, has_storage| {
        index.lacks(time, has_storage).then(|| {
            let record = Shared::new(record.clone().unbind());
            index.insert(time, record, mark_of(mark_dirty), has_storage.then_some(false));
        })
    })?;
    Ok(inserted.is_some())
}

/// Marks the live record at `target` to be saved, and tells whether that could be done at once.
pub fn mark_dirty(state: &SequenceState, target: &Bound<'_, PyAny>) -> PyResult<bool> {
    let time = datetime::instant(target)?;
    let index = state.sequence().at_hand(None, time)?;
    Ok(index.is_some_and(|mut index| index.mark_dirty(time)))
}

/// Tells whether it is known at once that a save would write nothing.
pub fn is_saved(state: &SequenceState, py: Python<'_>) -> bool {
    // In a database of another language a save finishes what another one has begun.
    state.binding(py).is_some_and(|binding| binding.native)
        && state.sequence().mutex().try_lock().is_ok_and(|index| index.is_saved())
}
