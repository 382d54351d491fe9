//! The way from a sequence object to its state, taken at the start of every call.
//!
//! A sequence keeps its state in its `__dict__`, so that copying, deep copying and pickling take
//! it along by the ordinary means. What others do to that `__dict__` is made good here: a copy
//! gets a state of its own, a list assigned to `records` becomes the content, and another database
//! is bound.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use super::backend::PythonBackend;
use super::datetime::{self, timestamp};
use super::errors::exception;
use super::record_class::RecordClass;
use super::records::RecordsBase;
use super::state::{Binding, SequenceState, Shared};
use super::store::Store;
use crate::error::Error;
use crate::sequence::{Index, Mark, Storage};
use crate::store::Store as CoreStore;

/// Return the state of the sequence `owner`, made and brought up to date if need be.
#[pyfunction]
pub fn enter(owner: &Bound<'_, PyAny>) -> PyResult<Py<SequenceState>> {
    let py = owner.py();
    let dict = owner.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
    let mut identity = owner.as_ptr() as usize;
    let records = dict.get_item(intern!(py, "records"))?;
    let shown = records.as_ref().and_then(|records| records.cast::<RecordsBase>().ok());

    let state = if let Some(state) = dict.get_item(intern!(py, "_db_state"))? {
        state.cast_into::<SequenceState>()?
    } else {
        identity = stands_for(owner)?;
        keep_state(&dict, SequenceState::new(Index::default(), None, identity))?
    };
    let mut shown_is_current = shown.is_some_and(|shown| shown.get().state_of().is(&state));
    if !state.get().is_owned_by(identity) {
        identity = stands_for(owner)?;
    }
    let state = if state.get().belongs_to(identity) {
        state
    } else {
        let fork = state.get().fork(py)?;
        fork.belongs_to(identity);
        let fork = keep_state(&dict, fork)?;
        if shown_is_current {
            show(&dict, &fork)?;
        }
        fork
    };
    if !shown_is_current {
        // Either nothing is shown yet, or somebody put a list of their own there.
        shown_is_current = shown.is_some_and(|shown| shown.get().state_of().is(&state));
        let assigned = records.filter(|_| !shown_is_current);
        let adopted = assigned.map(|records| adopt(state.get(), &records)).transpose();
        // What could not be adopted is told once; the content is then as before.
        show(&dict, &state)?;
        adopted?;
    }
    bind(owner, state.get())?;
    if !state.get().is_storage_initialized() && state.get().has_storage(py) {
        // An asynchronous sequence leaves it to the threads that work for it.
        if owner.getattr(intern!(py, "_db_may_wait"))?.is_truthy()? {
            owner.call_method0(intern!(py, "_db_begin"))?;
        }
    }
    Ok(state.unbind())
}

/// The identity of the sequence that `owner` is, or that it stands for: a sequence of `eosdb.aio`
/// works through objects that share its `__dict__`.
fn stands_for(owner: &Bound<'_, PyAny>) -> PyResult<usize> {
    let name = intern!(owner.py(), "_db_stands_for");
    let sequence =
        if owner.get_type().hasattr(name)? { owner.getattr(name)? } else { owner.clone() };
    Ok(sequence.as_ptr() as usize)
}

fn keep_state<'py>(
    dict: &Bound<'py, PyDict>,
    state: SequenceState,
) -> PyResult<Bound<'py, SequenceState>> {
    let state = Bound::new(dict.py(), state)?;
    dict.set_item(intern!(dict.py(), "_db_state"), &state)?;
    Ok(state)
}

/// Shows the state as the sequence's `records`.
fn show(dict: &Bound<'_, PyDict>, state: &Bound<'_, SequenceState>) -> PyResult<()> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = dict.py();
    let class = CLASS.get_or_try_init(py, || {
        PyResult::Ok(py.import("eosdb.record_list")?.getattr("RecordList")?.unbind())
    })?;
    dict.set_item(intern!(py, "records"), class.bind(py).call1((state,))?)
}

/// Makes the content what was assigned: every record new, as far as this process knows.
fn adopt(state: &SequenceState, records: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = records.py();
    let mut adopted = Vec::new();
    let Ok(items) = records.try_iter() else {
        return Err(exception(
            py,
            "ArgumentTypeError",
            format!("'records' takes a list of records, not {records:?}"),
        ));
    };
    for record in items {
        let record = record?;
        adopted.push((datetime::second_of_record(&record)?, record.unbind()));
    }
    adopted.sort_by_key(|(time, _)| *time);
    if let Some(pair) = adopted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let message =
            format!("Duplicate timestamp {} among the records", timestamp(py, pair[0].0)?);
        return Err(exception(py, "DuplicateRecordError", message));
    }
    let cleared = {
        let mut index = state.lock(py);
        let cleared = index.clear_rows();
        for (time, record) in adopted {
            index.insert(time, Shared::new(record), Mark::Put, None);
        }
        cleared
    };
    drop(cleared);
    Ok(())
}

/// Binds the state to the sequence's present database and namespace.
fn bind(owner: &Bound<'_, PyAny>, state: &SequenceState) -> PyResult<()> {
    let py = owner.py();
    let database = match state.assigned(py) {
        // The mixin's own attribute, without the detour by its property.
        Some(database) => database.into_bound(py),
        None => owner.getattr(intern!(py, "database"))?,
    };
    let access = access(&database)?;
    let is_none = match &access {
        Access::None => true,
        Access::Native(store) => store.get().is_none(),
        Access::Methods => false,
    };
    let namespace = if is_none {
        None
    } else {
        let namespace = owner.call_method0(intern!(py, "db_namespace"))?;
        Some(namespace.cast_into::<PyString>().map_err(|error| {
            let message = format!("db_namespace() must return a str: {error}");
            exception(py, "ArgumentTypeError", message)
        })?)
    };
    let namespace = match &namespace {
        Some(text) => Some(text.to_str().map_err(|_| {
            exception(py, "InvalidNamespaceError", format!("{text:?} is no valid Unicode text"))
        })?),
        None => None,
    };
    let bound = state.binding(py);
    if let Some(binding) = &bound
        && binding.database.is(&database)
        && match (&binding.storage, &access) {
            (None, Access::None) => true,
            (Some(storage), Access::Native(store)) => {
                Arc::ptr_eq(store.get().inner(), &storage.store)
                    && storage.namespace.as_deref() == namespace
            }
            (Some(storage), Access::Methods) => {
                !binding.native && storage.namespace.as_deref() == namespace
            }
            _ => false,
        }
    {
        return Ok(());
    }
    let store: Option<Arc<dyn CoreStore>> = match &access {
        Access::None => None,
        Access::Native(store) => Some(Arc::clone(store.get().inner())),
        Access::Methods => {
            let backend = owner.getattr(intern!(py, "_db_backend"))?;
            Some(Arc::new(PythonBackend::new(backend.unbind())))
        }
    };
    let storage = store.map(|store| Storage::new(store, namespace.map(str::to_owned)));
    let native = matches!(access, Access::Native(_));
    let record_class = match bound {
        Some(binding) => binding.record_class.clone_ref(py),
        None => RecordClass::of(owner)?,
    };
    state.bind(py, Binding { database: database.unbind(), storage, native, record_class });
    Ok(())
}

/// The store of a database, whatever it is.
pub fn store_of(database: &Bound<'_, PyAny>) -> PyResult<Arc<dyn CoreStore>> {
    match access(database)? {
        Access::Native(store) => Ok(Arc::clone(store.get().inner())),
        Access::Methods => Ok(Arc::new(PythonBackend::new(database.clone().unbind()))),
        Access::None => {
            let path = database.getattr_opt(intern!(database.py(), "storage_path"))?;
            let path = path.map_or_else(String::new, |path| path.to_string());
            Err(Error::Closed { path }.into())
        }
    }
}

/// Tells whether a database is used by its own store.
pub fn is_native(database: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(matches!(access(database)?, Access::Native(_)))
}

/// How a sequence gets at the records of its database.
enum Access<'py> {
    /// There is no database, or it is closed.
    None,
    /// By the database's own store.
    Native(Bound<'py, Store>),
    /// By the methods of the database.
    Methods,
}

fn access<'py>(database: &Bound<'py, PyAny>) -> PyResult<Access<'py>> {
    if database.is_none() {
        return Ok(Access::None);
    }
    let py = database.py();
    if let Some(store) = database.getattr_opt(intern!(py, "native_store"))? {
        return Ok(store.cast_into().map_or(Access::None, Access::Native));
    }
    let open = database.getattr(intern!(py, "is_open"))?.is_truthy()?;
    Ok(if open { Access::Methods } else { Access::None })
}
