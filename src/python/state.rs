//! `_core.SequenceState`: the state of one sequence, asked and changed from Python.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::{MutexExt, PyOnceLock};
use pyo3::types::PyDict;

use super::errors::exception;
use super::record_class::{RecordClass, unpack};
use crate::codec::gzip;
use crate::sequence::{Handle, Index, IndexWork, Presence, Sequence, Slot, Storage};

/// The database a state works on, and how its records are made.
pub struct Binding {
    /// The database object of the sequence, or `None`.
    pub database: Py<PyAny>,
    /// Its storage while it is open.
    pub storage: Option<Storage>,
    /// Whether the storage is a store of the core: then we compress, else the database does.
    pub native: bool,
    /// How records are made from rows and rows from records.
    pub record_class: Py<RecordClass>,
}

/// A record as Python holds it.
pub type Record = Py<PyAny>;

impl Handle for Record {
    fn with_index(index: &Mutex<Index<Self>>, work: IndexWork<'_, Self>) {
        Python::attach(|py| {
            // Counting makes references of its own: as many for any object that is held once.
            let count = |object: &Self| references(py, object).unwrap_or(usize::MAX);
            let held_once = count(&PyDict::new(py).into_any().unbind());
            let mut index = index.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
            work(&mut index, &|record| count(record) > held_once);
        });
    }
}

fn references(py: Python<'_>, object: &Record) -> PyResult<usize> {
    static COUNT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let count = COUNT
        .get_or_try_init(py, || PyResult::Ok(py.import("sys")?.getattr("getrefcount")?.unbind()))?;
    count.bind(py).call1((object,))?.extract()
}

/// The state of one sequence: its known rows and what is pending.
#[pyclass(frozen, module = "eosdb._core")]
pub struct SequenceState {
    sequence: Sequence<Record>,
    binding: Mutex<Option<Arc<Binding>>>,
    /// The identity of the sequence this state belongs to; 0 for none yet. Copies of a sequence
    /// share its `__dict__`: an owner of another identity means that the state must be forked.
    owner: AtomicUsize,
    storage_initialized: AtomicBool,
    /// Whether storage holds metadata of the namespace.
    metadata_saved: AtomicBool,
}

impl SequenceState {
    /// The state with `index`, bound to what `binding` says.
    pub fn new(index: Index<Record>, binding: Option<Arc<Binding>>, owner: usize) -> Self {
        Self {
            sequence: index.into(),
            storage_initialized: AtomicBool::new(binding.is_some()),
            binding: Mutex::new(binding),
            owner: AtomicUsize::new(owner),
            metadata_saved: AtomicBool::new(true),
        }
    }

    /// The rows and marks.
    pub fn sequence(&self) -> &Sequence<Record> {
        &self.sequence
    }

    /// Tells whether this state belongs to the object at address `owner`, and takes it as its
    /// owner if it has none.
    pub fn belongs_to(&self, owner: usize) -> bool {
        match self.owner.compare_exchange(0, owner, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(current) => current == owner,
        }
    }

    /// What the state is bound to.
    pub fn binding(&self, py: Python<'_>) -> Option<Arc<Binding>> {
        self.binding.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Binds the state to another database, or to the same one opened or closed. What came from
    /// a former storage is forgotten once there is another; after a mere close it stays known.
    pub fn bind(&self, py: Python<'_>, binding: Binding) {
        let opened = binding.storage.is_some();
        let former = {
            let mut current =
                self.binding.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
            current.replace(Arc::new(binding))
        };
        drop(former);
        if opened {
            let gone = self.lock(py).detach();
            drop(gone);
            self.set_initialized(false);
        }
    }

    /// Tells whether there is an open database.
    pub fn has_storage(&self, py: Python<'_>) -> bool {
        self.binding(py).is_some_and(|binding| binding.storage.is_some())
    }

    /// Tells whether the metadata of the storage was read.
    pub fn is_storage_initialized(&self) -> bool {
        self.storage_initialized.load(Ordering::Acquire)
    }

    /// Notes whether the metadata of the storage was read.
    pub fn set_initialized(&self, initialized: bool) {
        self.storage_initialized.store(initialized, Ordering::Release);
    }

    /// Runs `work` on the bound storage, detached.
    pub fn run<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Sequence<Record>, Option<&Storage>) -> crate::Result<T> + Send,
    ) -> PyResult<T> {
        let binding = self.binding(py);
        let storage = binding.as_ref().and_then(|binding| binding.storage.as_ref());
        let sequence = &self.sequence;
        Ok(py.detach(|| work(sequence, storage))?)
    }

    /// The index, locked; waits detached.
    pub fn lock<'a>(&'a self, py: Python<'_>) -> std::sync::MutexGuard<'a, Index<Record>> {
        self.sequence.mutex().lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    /// The object of the row at `time`; it is made now if it does not exist yet.
    pub fn record(&self, py: Python<'_>, time: i64) -> PyResult<Option<Record>> {
        loop {
            let encoded = match self.lock(py).rows().get(time) {
                None => return Ok(None),
                Some(Slot::Live(record)) => return Ok(Some(record.clone_ref(py))),
                Some(Slot::Encoded(value)) => Some(Arc::clone(value)),
                Some(Slot::Stored) => None,
            };
            let Some(binding) = self.binding(py) else { return Ok(None) };
            let pickle = if let Some(value) = encoded {
                unpack(py, &binding, &value)
            } else if let Some(pickle) = Self::fetch(py, &binding, time)? {
                pickle.map_err(PyErr::from)
            } else {
                // Somebody else deleted it meanwhile: look again.
                self.run(py, |sequence, storage| {
                    storage.map_or(Ok(()), |storage| sequence.refresh(storage))
                })?;
                let gone = self.lock(py).forget(time);
                drop(gone);
                continue;
            };
            if let Some(record) = self.revive(py, &binding, time, pickle)? {
                return Ok(Some(record));
            }
        }
    }

    /// The pickle of the stored row at `time`, or why it cannot be had.
    fn fetch(
        py: Python<'_>,
        binding: &Binding,
        time: i64,
    ) -> PyResult<Option<crate::Result<Vec<u8>>>> {
        let Some(storage) = &binding.storage else {
            return Err(exception(
                py,
                "DatabaseClosedError",
                "the database was closed before this record was read: open it again",
            ));
        };
        let value = py.detach(|| -> crate::Result<_> {
            Ok(storage.get(time)?.map(|value| gzip::decode_to_vec(&value)))
        })?;
        Ok(value)
    }

    /// Makes the object of the row at `time` from its pickle and keeps it; `None` if another
    /// thread was faster. A pickle that cannot be had or read damages the row.
    pub fn revive(
        &self,
        py: Python<'_>,
        binding: &Binding,
        time: i64,
        pickle: PyResult<Vec<u8>>,
    ) -> PyResult<Option<Record>> {
        let class = binding.record_class.get();
        let record = pickle.and_then(|pickle| class.decode(py, time, &pickle));
        let record = match record {
            Ok(record) => record,
            Err(error) => return Err(self.damage(py, binding, time, &error)),
        };
        let kept = self.lock(py).set_live(time, record.clone_ref(py));
        Ok(kept.is_ok().then_some(record))
    }

    /// Sets the row aside whose value made `error`, unless the error is not the value's fault.
    fn damage(&self, py: Python<'_>, binding: &Binding, time: i64, error: &PyErr) -> PyErr {
        if !error.is_instance_of::<pyo3::exceptions::PyException>(py)
            || error.is_instance_of::<pyo3::exceptions::PyMemoryError>(py)
        {
            return error.clone_ref(py);
        }
        let cause = format!("{}", error.value(py));
        let cause = cause.lines().next().unwrap_or_default().to_owned();
        let damaged: PyErr = self.sequence.damage(binding.storage.as_ref(), time, cause).into();
        damaged.set_cause(py, Some(error.clone_ref(py)));
        damaged
    }

    /// Tells whether storage holds metadata of the namespace.
    pub fn is_metadata_kept(&self) -> bool {
        self.metadata_saved.load(Ordering::Acquire)
    }

    /// Notes whether storage holds metadata of the namespace.
    pub fn set_metadata_kept(&self, kept: bool) {
        self.metadata_saved.store(kept, Ordering::Release);
    }

    /// What the state is bound to, for the garbage collector: it must not wait.
    pub fn binding_if_free(&self) -> Option<Arc<Binding>> {
        self.binding.try_lock().ok().and_then(|binding| binding.clone())
    }

    /// Lets go of the database, for the garbage collector.
    pub fn unbind(&self) {
        let binding = self.binding.try_lock().map(|mut binding| binding.take());
        drop(binding);
    }

    /// Tells whether the row at `time` is set aside as damaged.
    pub fn is_damaged(&self, py: Python<'_>, time: i64) -> bool {
        matches!(self.lock(py).presence(time), Presence::Damaged(_))
    }
}

/// Tells the log of a damaged value that is being skipped.
pub fn report(py: Python<'_>, error: &PyErr) -> PyResult<()> {
    let logger = py.import("logging")?.call_method1("getLogger", ("eosdb",))?;
    logger.call_method1("warning", ("skipped: %s", error.value(py)))?;
    Ok(())
}
