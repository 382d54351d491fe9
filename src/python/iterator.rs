//! Iteration over known records, in the order of time, while they may change.

use std::collections::VecDeque;

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;

use super::errors::is_damage;
use super::state::{SequenceState, report};
use super::turns::{TURN, yield_to_others};
use crate::codec::{gzip, in_shares};
use crate::interval::Span;
use crate::sequence::Slot;

/// How many objects are made at once: few at first, so that looking at one record makes one, then
/// more.
const FIRST_READ: usize = 1;
const LARGEST_READ: usize = 2_048;

/// How often a long iteration looks for Ctrl-C.
const SIGNAL_EVERY: u32 = 1_024;

/// An iterator over the known records of a span.
///
/// Records inserted behind the current one are met, deleted ones are not; damaged values are
/// reported to the log and skipped.
#[pyclass(module = "eosdb._core")]
pub struct RecordIterator {
    state: Py<SequenceState>,
    next: i64,
    end: i64,
    /// Objects made ahead, which nobody has seen, and the version of the index they belong to.
    ahead: VecDeque<(i64, PyResult<Py<PyAny>>)>,
    version: u64,
    basis: u64,
    read: usize,
    steps: u32,
}

impl RecordIterator {
    /// An iterator over the known records of `span`.
    pub fn new(state: Py<SequenceState>, span: Span) -> Self {
        Self {
            state,
            next: span.start,
            end: span.end,
            ahead: VecDeque::new(),
            version: 0,
            basis: 0,
            read: FIRST_READ,
            steps: 0,
        }
    }

    fn advance(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let state = self.state.clone_ref(py);
        let state = state.get();
        loop {
            let index = state.lock(py);
            let Some((time, slot)) = index.rows().next_from(self.next) else { return Ok(None) };
            if time >= self.end {
                return Ok(None);
            }
            if let Slot::Live(record) = slot {
                let record = record.clone_ref(py);
                self.next = time + 1;
                return Ok(Some(record));
            }
            let stored = matches!(slot, Slot::Stored);
            let (version, basis) = (index.version(), index.basis());
            drop(index);
            self.steps += 1;
            if self.steps.is_multiple_of(SIGNAL_EVERY) {
                py.check_signals()?;
            }
            if stored && self.version == version && self.basis == basis {
                while self.ahead.front().is_some_and(|(ahead, _)| *ahead < time) {
                    self.ahead.pop_front();
                }
            } else {
                self.ahead.clear();
            }
            if stored && self.ahead.is_empty() && binding_is_native(py, state) {
                self.read_ahead(py, time)?;
            }
            let ahead = match self.ahead.front() {
                Some((ahead, _)) if *ahead == time => self.ahead.pop_front(),
                _ => None,
            };
            let record = match (ahead, state.binding(py)) {
                (Some((_, made)), Some(binding)) => {
                    state.revive(py, &binding, self.basis, time, made)
                }
                _ => state.record(py, time),
            };
            match record {
                Ok(Some(record)) => {
                    self.next = time + 1;
                    return Ok(Some(record));
                }
                Ok(None) => {}
                Err(error) if is_damage(py, &error) => {
                    report(py, &error)?;
                    self.next = time + 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the objects of the next stored rows; reads and inflates their values detached.
    fn read_ahead(&mut self, py: Python<'_>, from: i64) -> PyResult<()> {
        let state = self.state.get();
        let Some(binding) = state.binding(py) else { return Ok(()) };
        let Some(storage) = &binding.storage else { return Ok(()) };
        let (times, version, basis) = {
            let index = state.lock(py);
            let times: Vec<i64> = index
                .rows()
                .range(Span::new(from, self.end))
                .take(self.read)
                .filter(|(_, slot)| matches!(slot, Slot::Stored))
                .map(|(time, _)| time)
                .collect();
            (times, index.version(), index.basis())
        };
        self.read = (self.read * 4).min(LARGEST_READ);
        self.version = version;
        self.basis = basis;
        let pickles = py.detach(|| -> crate::Result<Vec<_>> {
            let mut stored = Vec::with_capacity(times.len());
            storage.get_many(&times, |at, value| {
                stored.extend(value.map(|value| (times[at], value.to_vec())));
            })?;
            Ok(in_shares(&stored, |share| {
                share.iter().map(|(time, stored)| (*time, gzip::decode_to_vec(stored))).collect()
            }))
        })?;
        let class = binding.record_class.get();
        // Only where no Python code runs meanwhile, for which the collector would be paused too.
        let may_pause = pickles.len() > FEW && class.shape().is_some();
        let mut paused = None;
        for (count, (time, pickle)) in pickles.into_iter().enumerate() {
            if count % TURN == 0 {
                drop(paused.take());
                yield_to_others(py)?;
                paused = may_pause.then(|| CollectorPause::begin(py)).transpose()?;
            }
            let made = pickle.map_err(PyErr::from);
            let made = made.and_then(|pickle| class.decode(py, time, &pickle));
            match made {
                // Ctrl-C is nobody's value.
                Err(error) if !error.is_instance_of::<PyException>(py) => {
                    self.ahead.clear();
                    return Err(error);
                }
                made => self.ahead.push_back((time, made)),
            }
        }
        Ok(())
    }
}

/// Fewer objects than this are made without looking after the garbage collector.
const FEW: usize = 64;

/// A pause of Python's garbage collector. Of many new objects, all of which are in use, it finds no
/// garbage, and takes as long as making them.
struct CollectorPause<'py> {
    enable: Option<Bound<'py, PyAny>>,
}

impl<'py> CollectorPause<'py> {
    fn begin(py: Python<'py>) -> PyResult<Self> {
        let gc = py.import(intern!(py, "gc"))?;
        if !gc.call_method0(intern!(py, "isenabled"))?.is_truthy()? {
            return Ok(Self { enable: None });
        }
        gc.call_method0(intern!(py, "disable"))?;
        Ok(Self { enable: Some(gc.getattr(intern!(py, "enable"))?) })
    }
}

impl Drop for CollectorPause<'_> {
    fn drop(&mut self) {
        // It has nothing to fail by.
        let _ = self.enable.take().map(|enable| enable.call0());
    }
}

/// Tells whether values can be read ahead: a database of another kind has its own way to them.
fn binding_is_native(py: Python<'_>, state: &SequenceState) -> bool {
    state.binding(py).is_some_and(|binding| binding.native)
}

impl Iterator for RecordIterator {
    type Item = PyResult<Py<PyAny>>;

    fn next(&mut self) -> Option<Self::Item> {
        Python::attach(|py| self.advance(py)).transpose()
    }
}

#[pymethods]
impl RecordIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.advance(py)
    }
}
