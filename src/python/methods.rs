//! The methods of `_core.SequenceState`.

use pyo3::exceptions::PyIndexError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::at_hand;
use super::datetime;
use super::errors::is_damage;
use super::iterator::RecordIterator;
use super::save;
use super::state::{Record, SequenceState, Shared, report};
use super::turns::let_go;
use crate::interval::Span;
use crate::sequence::{Index, Mark, Phase, Presence, Sequence};

type Timestamp<'py> = Bound<'py, PyAny>;

#[pymethods]
impl SequenceState {
    #[new]
    fn py_new() -> Self {
        Self::new(Index::default(), None, 0)
    }

    /// The database that was assigned to the sequence; pickles leave it out.
    #[getter]
    fn database(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.assigned(py)
    }

    #[setter]
    fn set_database(&self, py: Python<'_>, database: Option<Py<PyAny>>) {
        self.assign(py, database);
    }

    // ---- lookups ----------------------------------------------------------------------------

    /// Return the record at the instant `target`, or None.
    fn get(&self, py: Python<'_>, target: &Bound<'_, PyAny>) -> PyResult<Option<Record>> {
        let time = datetime::instant(target)?;
        if let Some(record) = self.live(py, time)? {
            return Ok(Some(record));
        }
        if !self.run(py, |sequence, storage| sequence.locate(storage, time))? {
            return Ok(None);
        }
        self.record(py, time)
    }

    /// Return the record at the instant `target`, or None; `NotImplemented` if that cannot be told
    /// without reading or waiting.
    fn get_at_hand<'py>(&self, target: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        at_hand::get(self, target)
    }

    /// Return the record nearest to `target`, at most `reach` microseconds away, or None.
    fn nearest(
        &self,
        py: Python<'_>,
        target: &Bound<'_, PyAny>,
        reach: Option<i64>,
    ) -> PyResult<Option<Record>> {
        let time = datetime::instant(target)?;
        loop {
            let nearest =
                self.run(py, |sequence, storage| sequence.nearest(storage, time, reach))?;
            let Some(nearest) = nearest else { return Ok(None) };
            let known = self.run(py, |sequence, storage| sequence.locate(storage, nearest))?;
            let record = if known { self.record(py, nearest) } else { continue };
            match record {
                Ok(None) => {}
                Err(error) if is_damage(py, &error) => report(py, &error)?,
                found => return found,
            }
        }
    }

    /// Return the timestamp of the record before `target`, or of the one after it.
    fn neighbor<'py>(
        &self,
        py: Python<'py>,
        target: &Bound<'py, PyAny>,
        backwards: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let bound = datetime::span(Some(target), None)?.start;
        let span = if backwards {
            Span::new(i64::MIN, bound)
        } else {
            Span::new(bound.saturating_add(1), i64::MAX)
        };
        let time = self.run(py, |sequence, storage| sequence.neighbor(storage, span, backwards))?;
        datetime::timestamp_or_none(py, time)
    }

    /// Return the timestamps of the first and the last record, None where there is no record.
    fn range<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Option<Timestamp<'py>>, Option<Timestamp<'py>>)> {
        let (first, last) = self.run(py, |sequence, storage| {
            Ok((
                sequence.neighbor(storage, Span::ALL, false)?,
                sequence.neighbor(storage, Span::ALL, true)?,
            ))
        })?;
        Ok((datetime::timestamp_or_none(py, first)?, datetime::timestamp_or_none(py, last)?))
    }

    /// Return how many records there are, loaded or not.
    fn count(&self, py: Python<'_>) -> PyResult<usize> {
        self.run(py, Sequence::count)
    }

    /// Return how many records `[start, end)` has, and how many bytes their stored values take as
    /// far as they are saved.
    fn extent(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(usize, usize)> {
        let span = datetime::span(start, end)?;
        let size = self.run(py, |sequence, storage| {
            sequence.load(storage, span)?;
            storage.map_or(Ok(0), |storage| storage.size(span))
        })?;
        let index = self.lock(py);
        let damaged = index.damaged().filter(|(time, _)| span.contains(*time)).count();
        Ok((index.rows().range(span).count() + damaged, size))
    }

    /// Whether the database is a store of the core.
    #[getter]
    fn is_native(&self, py: Python<'_>) -> bool {
        self.binding(py).is_some_and(|binding| binding.native)
    }

    // ---- changes ----------------------------------------------------------------------------

    /// Add `record`; unless `mark_dirty` it is not saved.
    fn insert(&self, record: &Bound<'_, PyAny>, mark_dirty: bool) -> PyResult<()> {
        let py = record.py();
        let time = datetime::second_of_record(record)?;
        let mark = mark_of(mark_dirty);
        let record = Shared::new(record.clone().unbind());
        let shown = record.clone_ref(py);
        let written = || {
            Python::attach(|py| {
                let date_time = shown.bind(py).getattr(intern!(py, "date_time"));
                date_time.map(|date_time| date_time.to_string()).unwrap_or_default()
            })
        };
        self.run(py, |sequence, storage| sequence.insert(storage, time, record, mark, &written))
    }

    /// Do as `insert` and return True, if that can be done without reading or waiting.
    fn insert_at_hand(&self, record: &Bound<'_, PyAny>, mark_dirty: bool) -> PyResult<bool> {
        at_hand::insert(self, record, mark_dirty)
    }

    /// Mark the live record at the instant of `target` to be saved; tell whether there is one.
    fn mark_dirty(&self, target: &Bound<'_, PyAny>) -> PyResult<bool> {
        let time = datetime::instant(target)?;
        self.run(target.py(), |sequence, _| Ok(sequence.mark_dirty(time)))
    }

    /// Do as `mark_dirty` and return True, if that can be done without waiting.
    fn mark_dirty_at_hand(&self, target: &Bound<'_, PyAny>) -> PyResult<bool> {
        at_hand::mark_dirty(self, target)
    }

    /// Tell whether it is known, without waiting, that there is nothing to save.
    fn is_saved_at_hand(&self, py: Python<'_>) -> bool {
        at_hand::is_saved(self, py)
    }

    /// Delete the records of `[start, end)`; return how many there were.
    fn delete(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let span = datetime::span(start, end)?;
        let (count, gone) = self.run(py, |sequence, storage| sequence.delete(storage, span))?;
        let_go(py, gone);
        Ok(count)
    }

    // ---- loading ----------------------------------------------------------------------------

    /// Make the records of `[start, end)` known; return how many became known.
    fn load(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let span = datetime::span(start, end)?;
        self.run(py, |sequence, storage| sequence.load(storage, span))
    }

    /// Read again what anybody else may have changed in storage.
    fn refresh(&self, py: Python<'_>) -> PyResult<()> {
        self.read_again(py)
    }

    /// Whether storage is as it was when what is known of it was read.
    #[getter]
    fn is_current(&self, py: Python<'_>) -> PyResult<bool> {
        let generation = self.run(py, |_, storage| {
            storage.map_or(Ok(None), |storage| storage.generation().map(Some))
        })?;
        Ok(generation.is_none_or(|generation| self.lock(py).is_current(generation)))
    }

    /// Tell whether all of `[start, end)` was read from storage.
    fn covers(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let span = datetime::span(start, end)?;
        Ok(self.lock(py).coverage().covers(span))
    }

    /// The smallest range that holds everything read from storage, None if nothing was.
    #[getter]
    fn loaded_range<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let hull = self.lock(py).coverage().hull();
        hull.map(|hull| {
            Ok((datetime::timestamp(py, hull.start)?, datetime::timestamp(py, hull.end)?))
        })
        .transpose()
    }

    /// How far loading has come: 0 nothing, 1 a window, 2 everything.
    #[getter]
    fn phase(&self, py: Python<'_>) -> u8 {
        match self.lock(py).phase() {
            Phase::None => 0,
            Phase::Initial => 1,
            Phase::Full => 2,
        }
    }

    #[setter]
    fn set_phase(&self, py: Python<'_>, phase: u8) {
        self.lock(py).set_phase(match phase {
            0 => Phase::None,
            1 => Phase::Initial,
            _ => Phase::Full,
        });
    }

    /// Whether the metadata of the storage was read.
    #[getter]
    fn storage_initialized(&self) -> bool {
        self.is_storage_initialized()
    }

    #[setter]
    fn set_storage_initialized(&self, initialized: bool) {
        self.set_initialized(initialized);
    }

    /// The reentrant lock for who reads the metadata first, and for who saves.
    #[getter]
    fn guard(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.own_guard(py)
    }

    /// Whether the thread that holds the guard is reading the metadata.
    #[getter]
    fn is_beginning(&self) -> bool {
        self.has_begun()
    }

    #[setter]
    fn set_is_beginning(&self, beginning: bool) {
        self.set_beginning(beginning);
    }

    /// Whether storage holds metadata of the namespace.
    #[getter]
    fn metadata_saved(&self) -> bool {
        self.is_metadata_kept()
    }

    #[setter]
    fn set_metadata_saved(&self, saved: bool) {
        self.set_metadata_kept(saved);
    }

    /// The fields of the records if all are plain: stored values are their values; else None.
    #[getter]
    fn plain_keys(&self, py: Python<'_>) -> Option<Vec<String>> {
        let binding = self.binding(py)?;
        let shape = binding.record_class.get().shape()?;
        Some(shape.names().map(str::to_owned).collect())
    }

    // ---- known rows -------------------------------------------------------------------------

    fn __len__(&self, py: Python<'_>) -> usize {
        self.lock(py).rows().len()
    }

    /// Return the known record at `position`, which must be less than the length.
    fn at(&self, py: Python<'_>, position: usize) -> PyResult<Record> {
        loop {
            let Some(time) = self.lock(py).rows().at(position).map(|(time, _)| time) else {
                return Err(PyIndexError::new_err("list index out of range"));
            };
            if let Some(record) = self.record(py, time)? {
                return Ok(record);
            }
        }
    }

    /// Return the position that a record at the instant of `target` has or would have.
    fn position(&self, target: &Bound<'_, PyAny>) -> PyResult<usize> {
        let time = datetime::instant(target)?;
        Ok(self.lock(target.py()).rows().rank(time))
    }

    /// Tell whether a known record lies at the instant of `target`.
    fn knows(&self, target: &Bound<'_, PyAny>) -> PyResult<bool> {
        let time = datetime::instant(target)?;
        Ok(self.lock(target.py()).presence(time) == Presence::Known)
    }

    /// Iterate over the known records of `[start, end)`.
    fn iterate(
        slf: Bound<'_, Self>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<RecordIterator> {
        let span = datetime::span(start, end)?;
        Ok(RecordIterator::new(slf.unbind(), span))
    }

    /// Return the timestamps of the known records, sorted.
    fn timestamps_known<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let times = self.lock(py).rows().range(Span::ALL).map(|(time, _)| time).collect();
        timestamps(py, times)
    }

    /// Return the timestamp of the known record at `position`.
    fn timestamp_at<'py>(&self, py: Python<'py>, position: usize) -> PyResult<Bound<'py, PyAny>> {
        let time = self.lock(py).rows().at(position).map(|(time, _)| time);
        match time {
            Some(time) => datetime::timestamp(py, time),
            None => Err(PyIndexError::new_err("list index out of range")),
        }
    }

    /// Return the timestamps marked to be saved ("dirty"), saved for the first time ("new") or
    /// deleted ("deleted"), sorted.
    fn timestamps_marked<'py>(
        &self,
        py: Python<'py>,
        mark: &str,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let times = {
            let index = self.lock(py);
            match mark {
                "dirty" => index.dirty().collect(),
                "new" => index.fresh().collect(),
                _ => index.deleted().collect(),
            }
        };
        timestamps(py, times)
    }

    /// Take back every mark of this kind; see `timestamps_marked`.
    fn clear_marks(&self, py: Python<'_>, mark: &str) {
        self.lock(py).clear_marks(|kind, stored| match mark {
            "dirty" => kind == Mark::Put,
            "new" => kind == Mark::Put && stored != Some(true),
            _ => kind == Mark::Delete,
        });
    }

    /// Delete the known record at the instant of `target`.
    fn delete_known(&self, target: &Bound<'_, PyAny>) -> PyResult<()> {
        let time = datetime::instant(target)?;
        let (_, gone) = self.lock(target.py()).delete(Span::at(time));
        drop(gone);
        Ok(())
    }

    /// Return (timestamp, cause) of the values found damaged, and (key, cause) of foreign keys.
    fn damaged<'py>(&self, py: Python<'py>) -> PyResult<Vec<(Bound<'py, PyAny>, String)>> {
        let (damaged, foreign): (Vec<(i64, String)>, Vec<String>) = {
            let index = self.lock(py);
            (
                index.damaged().map(|(time, cause)| (time, cause.to_owned())).collect(),
                index.foreign().map(str::to_owned).collect(),
            )
        };
        let mut found = Vec::with_capacity(damaged.len() + foreign.len());
        for (time, cause) in damaged {
            found.push((datetime::timestamp(py, time)?, cause));
        }
        for key in foreign {
            found.push((key.into_pyobject(py)?.into_any(), "the key is no timestamp".to_owned()));
        }
        Ok(found)
    }

    /// Forget every known record, saved or not; deletions stay pending.
    fn clear(&self, py: Python<'_>) {
        let gone = self.lock(py).clear_rows();
        drop(gone);
    }

    /// Forget everything that came from storage; what is pending stays.
    fn forget_loaded(&self, py: Python<'_>) {
        let gone = self.lock(py).detach();
        drop(gone);
    }

    // ---- saving -----------------------------------------------------------------------------

    /// Save what is pending and `metadata`, if given, in one transaction. Return how many rows were
    /// written and deleted; with none pending, nothing is written.
    fn save(&self, py: Python<'_>, metadata: Option<Vec<u8>>) -> PyResult<usize> {
        save::save(self, py, metadata)
    }

    // ---- copies -----------------------------------------------------------------------------

    /// Return a state of its own with the same rows and marks; live records are shared.
    pub fn fork(&self, py: Python<'_>) -> PyResult<Self> {
        let share = |record: &Shared| PyResult::Ok(Shared::new(record.clone_ref(py)));
        let index = self.lock(py).try_map(share)?;
        Ok(self.sibling(py, index))
    }

    fn __deepcopy__(slf: &Bound<'_, Self>, memo: &Bound<'_, PyDict>) -> PyResult<Py<Self>> {
        let py = slf.py();
        let deepcopy = py.import("copy")?.getattr("deepcopy")?;
        let this = slf.get();
        let shared = this.lock(py).try_map(|record| PyResult::Ok(record.clone()))?;
        let copy = |record: &Shared| {
            let copy = deepcopy.call1((&**record, memo))?;
            PyResult::Ok(Shared::new(copy.unbind()))
        };
        let index = shared.try_map(copy)?;
        let copy = Py::new(py, this.sibling(py, index))?;
        memo.set_item(slf.as_ptr() as usize, &copy)?;
        Ok(copy)
    }

    /// Pickles the known records as objects, and what is pending; a database is not part of it.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let restore = py.import("eosdb._core")?.getattr("SequenceState")?;
        let records = PyList::empty(py);
        for record in RecordIterator::new(slf.clone().unbind(), Span::ALL) {
            records.append(record?)?;
        }
        let (marks, deleted, phase) = {
            let index = slf.get().lock(py);
            let marks: Vec<i64> = index.dirty().collect();
            let deleted: Vec<i64> = index.deleted().collect();
            (marks, deleted, index.phase() as u8)
        };
        let state = (records, marks, deleted, phase).into_pyobject(py)?;
        (restore, PyTuple::empty(py), state).into_pyobject(py)
    }

    fn __setstate__(
        &self,
        py: Python<'_>,
        state: (Vec<Record>, Vec<i64>, Vec<i64>, u8),
    ) -> PyResult<()> {
        let (records, dirty, deleted, _phase) = state;
        let mut index = Index::default();
        for record in records {
            let date_time = record.bind(py).getattr(intern!(py, "date_time"))?;
            let time = datetime::second_of(&date_time)?;
            let record = Shared::new(record);
            if dirty.binary_search(&time).is_ok() {
                index.insert(time, record, Mark::Put, None);
            } else {
                index.restore(time, record);
            }
        }
        index.mark_deleted(&deleted);
        let former = std::mem::replace(&mut *self.lock(py), index);
        drop(former);
        Ok(())
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // A lock that is held now belongs to a thread that keeps the records alive anyway.
        if let Ok(index) = self.sequence().mutex().try_lock() {
            for (_, record) in index.live() {
                visit.call(&**record)?;
            }
        }
        self.visit_databases(&visit)
    }

    fn __clear__(&self) {
        let gone = self.sequence().mutex().try_lock().map(|mut index| index.clear_rows());
        drop(gone);
        self.unbind();
    }
}

/// How a record that comes in is marked.
pub fn mark_of(mark_dirty: bool) -> Mark {
    if mark_dirty { Mark::Put } else { Mark::Held }
}

fn timestamps(py: Python<'_>, times: Vec<i64>) -> PyResult<Vec<Timestamp<'_>>> {
    times.into_iter().map(|time| datetime::timestamp(py, time)).collect()
}
