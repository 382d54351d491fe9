//! `_core.SequenceState`: the state of one sequence, asked and changed from Python.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use pyo3::exceptions::{PyException, PyMemoryError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::errors::exception;
use super::record_class::{RecordClass, unpack};
use crate::codec::gzip;
use crate::interval::Span;
use crate::sequence::{Handle, Index, Sequence, Slot, Storage};

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

impl Binding {
    fn namespace(&self) -> Option<&str> {
        self.storage.as_ref().and_then(|storage| storage.namespace.as_deref())
    }

    /// The storage, which must not have been closed.
    pub fn open_storage(&self, py: Python<'_>) -> PyResult<&Storage> {
        self.storage.as_ref().ok_or_else(|| {
            exception(
                py,
                "DatabaseClosedError",
                "the database was closed before this record was read: open it again",
            )
        })
    }

    /// The same binding with references of its own, so that the garbage collector sees each
    /// owner's.
    fn duplicate(&self, py: Python<'_>) -> Self {
        Self {
            database: self.database.clone_ref(py),
            storage: self.storage.clone(),
            native: self.native,
            record_class: self.record_class.clone_ref(py),
        }
    }
}

/// A record as Python holds it.
pub type Record = Py<PyAny>;

/// A record as its row holds it. Copies share one reference of Python's, whose count thus tells
/// whether anybody else holds the record, whatever we are doing with it.
#[derive(Clone)]
pub struct Shared(Arc<Record>);

impl Shared {
    /// Holds `record`.
    pub fn new(record: Record) -> Self {
        Self(Arc::new(record))
    }
}

impl Deref for Shared {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.0
    }
}

impl Handle for Shared {
    fn held(index: &Mutex<Index<Self>>, only: Option<&BTreeSet<i64>>) -> BTreeSet<i64> {
        Python::attach(|py| {
            // Counting may run Python code (a collection), so it is done on references of our own
            // after the index is unlocked.
            let records: Vec<(i64, Self)> = lock(py, index)
                .clean()
                .filter(|(time, _)| only.is_none_or(|only| only.contains(time)))
                .map(|(time, record)| (time, record.clone()))
                .collect();
            let count = |object: &Record| references(py, object).unwrap_or(usize::MAX);
            let probe = PyDict::new(py).into_any().unbind();
            let ours = count(&probe);
            records
                .into_iter()
                .filter(|(_, record)| count(record) > ours)
                .map(|(time, _)| time)
                .collect()
        })
    }
}

/// Locks an index. Waits detached, and never attaches with the lock held: attaching may wait for a
/// thread that waits for the index, or run Python code that asks for it.
fn lock<'a, T: Send>(py: Python<'_>, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => py.detach(|| drop(mutex.lock())),
        }
    }
}

/// How many references an object has, and the few that counting makes.
fn references(py: Python<'_>, object: &Record) -> PyResult<usize> {
    static COUNT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let count = COUNT
        .get_or_try_init(py, || PyResult::Ok(py.import("sys")?.getattr("getrefcount")?.unbind()))?;
    count.bind(py).call1((object,))?.extract()
}

/// The state of one sequence: its known rows and what is pending.
#[pyclass(frozen, module = "eosdb._core")]
pub struct SequenceState {
    sequence: Sequence<Shared>,
    /// The database that was assigned to the sequence, if any.
    database: Mutex<Option<Py<PyAny>>>,
    binding: Mutex<Option<Arc<Binding>>>,
    /// The identity of the sequence this state belongs to; 0 for none yet. Copies of a sequence
    /// share its `__dict__`: an owner of another identity means that the state must be forked.
    owner: AtomicUsize,
    storage_initialized: AtomicBool,
    /// Whether storage holds metadata of the namespace.
    metadata_saved: AtomicBool,
    /// The lock of [`SequenceState::own_guard`], with the process that made it.
    guard: Mutex<Option<(u32, Py<PyAny>)>>,
    /// Whether the thread that holds it is reading the metadata.
    beginning: AtomicBool,
}

impl SequenceState {
    /// The state with `index`, bound to what `binding` says.
    pub fn new(index: Index<Shared>, binding: Option<Arc<Binding>>, owner: usize) -> Self {
        Self {
            sequence: index.into(),
            storage_initialized: AtomicBool::new(binding.is_some()),
            database: Mutex::new(None),
            binding: Mutex::new(binding),
            owner: AtomicUsize::new(owner),
            metadata_saved: AtomicBool::new(true),
            guard: Mutex::new(None),
            beginning: AtomicBool::new(false),
        }
    }

    /// A reentrant lock of Python's, under which the metadata are read first and saves follow one
    /// another. A forked child has one of its own: a thread that it does not have may hold the
    /// parent's.
    pub fn own_guard(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let process = process::id();
        let known = |guard: &Option<(u32, Py<PyAny>)>| match guard {
            Some((of, guard)) if *of == process => Some(guard.clone_ref(py)),
            _ => None,
        };
        if let Some(guard) = known(&lock(py, &self.guard)) {
            return Ok(guard);
        }
        let made = py.import("threading")?.call_method0("RLock")?.unbind();
        let mut guard = lock(py, &self.guard);
        if let Some(guard) = known(&guard) {
            return Ok(guard);
        }
        let former = guard.replace((process, made.clone_ref(py)));
        drop(guard);
        drop(former);
        Ok(made)
    }

    /// Tells whether the metadata are being read.
    pub fn has_begun(&self) -> bool {
        self.beginning.load(Ordering::Acquire)
    }

    /// Notes whether the metadata are being read.
    pub fn set_beginning(&self, beginning: bool) {
        self.beginning.store(beginning, Ordering::Release);
    }

    /// The rows and marks.
    pub fn sequence(&self) -> &Sequence<Shared> {
        &self.sequence
    }

    /// Tells whether this state belongs to the object at address `owner` already.
    pub fn is_owned_by(&self, owner: usize) -> bool {
        self.owner.load(Ordering::Acquire) == owner
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
        lock(py, &self.binding).clone()
    }

    /// A state of its own with `index`, bound as this one is.
    pub fn sibling(&self, py: Python<'_>, index: Index<Shared>) -> Self {
        let binding = self.binding(py).map(|binding| Arc::new(binding.duplicate(py)));
        let sibling = Self::new(index, binding, 0);
        sibling.assign(py, self.assigned(py));
        sibling
    }

    /// The database that was assigned to the sequence.
    pub fn assigned(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        lock(py, &self.database).as_ref().map(|database| database.clone_ref(py))
    }

    /// Assigns a database; it is bound by the next call.
    pub fn assign(&self, py: Python<'_>, database: Option<Py<PyAny>>) {
        let former = std::mem::replace(&mut *lock(py, &self.database), database);
        drop(former);
    }

    /// Shows the garbage collector the databases; it must not wait.
    pub fn visit_databases(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        if let Ok(database) = self.database.try_lock() {
            visit.call(&*database)?;
        }
        let binding = self.binding.try_lock().ok().and_then(|binding| binding.clone());
        binding.map_or(Ok(()), |binding| visit.call(&binding.database))
    }

    /// Binds the state to another database, or to the same one opened or closed. What came from
    /// a former storage is forgotten once there is another; after a mere close it stays known.
    pub fn bind(&self, py: Python<'_>, binding: Binding) {
        let opened = binding.storage.is_some();
        let database = binding.database.clone_ref(py);
        let namespace = binding.namespace().map(str::to_owned);
        let former = {
            let mut current = lock(py, &self.binding);
            current.replace(Arc::new(binding))
        };
        if opened {
            self.set_initialized(false);
            let same = former.is_some_and(|former| {
                former.database.is(&database)
                    && (former.storage.is_none() || former.namespace() == namespace.as_deref())
            });
            if same {
                self.lock(py).reopened();
            } else {
                let gone = self.lock(py).replace_storage();
                drop(gone);
            }
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
        work: impl FnOnce(&Sequence<Shared>, Option<&Storage>) -> crate::Result<T> + Send,
    ) -> PyResult<T> {
        let binding = self.binding(py);
        let storage = binding.as_ref().and_then(|binding| binding.storage.as_ref());
        let sequence = &self.sequence;
        Ok(py.detach(|| work(sequence, storage))?)
    }

    /// Reads again what anybody else may have changed since.
    pub fn read_again(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, |sequence, storage| {
            storage.map_or(Ok(()), |storage| sequence.refresh(storage))
        })
    }

    /// The index, locked; waits detached.
    pub fn lock<'a>(&'a self, py: Python<'_>) -> MutexGuard<'a, Index<Shared>> {
        lock(py, self.sequence.mutex())
    }

    /// The object of the row at `time` if it exists and nobody changed storage since; without
    /// asking storage for more than its generation.
    pub fn live(&self, py: Python<'_>, time: i64) -> PyResult<Option<Record>> {
        let binding = self.binding(py);
        let storage = binding.as_ref().and_then(|binding| binding.storage.as_ref());
        let generation = storage.map(Storage::generation).transpose()?;
        let index = self.lock(py);
        Ok(match index.rows().get(time) {
            Some(Slot::Live(record))
                if generation.is_none_or(|generation| index.is_current(generation))
                    && !index.is_being_rewritten(Span::at(time)) =>
            {
                Some(record.clone_ref(py))
            }
            _ => None,
        })
    }

    /// The object of the row at `time`; it is made now if it does not exist yet.
    pub fn record(&self, py: Python<'_>, time: i64) -> PyResult<Option<Record>> {
        loop {
            let (encoded, basis) = {
                let index = self.lock(py);
                let encoded = match index.rows().get(time) {
                    None => return Ok(None),
                    Some(Slot::Live(record)) => return Ok(Some(record.clone_ref(py))),
                    Some(Slot::Encoded(value)) => Some(Arc::clone(value)),
                    Some(Slot::Stored) => None,
                };
                (encoded, index.basis())
            };
            let Some(binding) = self.binding(py) else { return Ok(None) };
            let pickle = if let Some(value) = encoded {
                unpack(py, &binding, &value)
            } else if let Some(pickle) = fetch(py, &binding, time)? {
                pickle
            } else {
                // Somebody else deleted it meanwhile: look again.
                self.read_again(py)?;
                let gone = self.lock(py).forget(time);
                drop(gone);
                continue;
            };
            let class = binding.record_class.get();
            let made = pickle.and_then(|pickle| class.decode(py, time, &pickle));
            if let Some(record) = self.revive(py, &binding, basis, time, made)? {
                return Ok(Some(record));
            }
        }
    }

    /// Keeps the object of the row at `time` that was made from its value, read at `basis`; `None`
    /// if the row has an object already or has changed since. A value of which none can be made
    /// damages the row.
    pub fn revive(
        &self,
        py: Python<'_>,
        binding: &Binding,
        basis: u64,
        time: i64,
        made: PyResult<Record>,
    ) -> PyResult<Option<Record>> {
        let Some(record) = self.judge(py, binding, basis, time, made)? else { return Ok(None) };
        let kept = self.lock(py).set_live(basis, time, Shared::new(record.clone_ref(py)));
        Ok(kept.is_ok().then_some(record))
    }

    /// Makes an object of the row at `time` from its pickle, read at `basis`, for the caller alone;
    /// `None` if the row has changed since and the pickle cannot be had or read. Otherwise such a
    /// pickle damages the row.
    pub fn make(
        &self,
        py: Python<'_>,
        binding: &Binding,
        basis: u64,
        time: i64,
        pickle: PyResult<Vec<u8>>,
    ) -> PyResult<Option<Record>> {
        let class = binding.record_class.get();
        let made = pickle.and_then(|pickle| class.decode(py, time, &pickle));
        self.judge(py, binding, basis, time, made)
    }

    fn judge(
        &self,
        py: Python<'_>,
        binding: &Binding,
        basis: u64,
        time: i64,
        made: PyResult<Record>,
    ) -> PyResult<Option<Record>> {
        match made {
            Ok(record) => Ok(Some(record)),
            Err(error) if is_of_value(py, &error) => {
                let storage = binding.storage.as_ref();
                let cause = cause_of(py, &error);
                match py.detach(|| self.sequence.damage(storage, basis, time, cause)) {
                    Some(damaged) => {
                        let damaged = PyErr::from(damaged);
                        damaged.set_cause(py, Some(error));
                        Err(damaged)
                    }
                    None => Ok(None),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Tells whether storage holds metadata of the namespace.
    pub fn is_metadata_kept(&self) -> bool {
        self.metadata_saved.load(Ordering::Acquire)
    }

    /// Notes whether storage holds metadata of the namespace.
    pub fn set_metadata_kept(&self, kept: bool) {
        self.metadata_saved.store(kept, Ordering::Release);
    }

    /// Lets go of the database, for the garbage collector.
    pub fn unbind(&self) {
        let binding = self.binding.try_lock().map(|mut binding| binding.take());
        let database = self.database.try_lock().map(|mut database| database.take());
        drop((binding, database));
    }
}

/// The pickle of the stored row at `time`, or why it cannot be had.
pub fn fetch(py: Python<'_>, binding: &Binding, time: i64) -> PyResult<Option<PyResult<Vec<u8>>>> {
    let storage = binding.open_storage(py)?;
    if !binding.native {
        let value = py.detach(|| storage.get(time))?;
        return Ok(value.map(|value| unpack(py, binding, &value)));
    }
    let pickle = py.detach(|| -> crate::Result<_> {
        Ok(storage.get(time)?.map(|value| gzip::decode_to_vec(&value)))
    })?;
    Ok(pickle.map(|pickle| pickle.map_err(PyErr::from)))
}

/// Tells whether decoding failed because of the value, and not because of the circumstances.
fn is_of_value(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyException>(py) && !error.is_instance_of::<PyMemoryError>(py)
}

/// What an exception says, in one line, with its class if it is none of ours.
fn cause_of(py: Python<'_>, error: &PyErr) -> String {
    let text = error.value(py).to_string();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let class = error.get_type(py);
    if class.module().is_ok_and(|module| module == "eosdb.errors") {
        text
    } else {
        format!("{class}: {text}")
    }
}

/// Tells the log of a damaged value that is being skipped.
pub fn report(py: Python<'_>, error: &PyErr) -> PyResult<()> {
    let logger = py.import("logging")?.call_method1("getLogger", ("eosdb",))?;
    logger.call_method1("warning", ("skipped: %s", error.value(py)))?;
    Ok(())
}
