//! The values of some keys over the rows of a span: from kept values, objects and storage.

use std::borrow::Cow;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDateTime, PyDict, PyString};

use super::cells::{KnownZone, cell_of, copy_of, date_time_cell, float_of, zone_object};
use super::datetime::in_zone;
use super::decode::pydantic_date_time;
use super::errors::{exception, is_damage};
use super::record_class::{RecordClass, unpack};
use super::state::{Binding, Record, SequenceState, fetch, report};
use crate::interval::Span;
use crate::sequence::{CellPlan, PIECE, RowRead, Unread, read_rows};
use crate::series::{Cell, Place, Selection, ZoneName};

/// How often a reading is begun anew because somebody else changes storage meanwhile; then what
/// was read last counts, unless a row of it has vanished.
const ATTEMPTS: usize = 3;

/// How many rows are read first.
const FIRST_PIECE: usize = 16;

/// The key of a record's own time.
pub const DATE_TIME: &str = "date_time";

/// The values of some keys over the rows of a span.
pub struct Columns {
    keys: Vec<Key>,
    /// The UTC second of each row.
    pub times: Vec<i64>,
    /// For each key the value of each row.
    pub cells: Vec<Vec<Cell>>,
    /// The rows that have an object, with it.
    live: Vec<(usize, Record)>,
    basis: u64,
    binding: Arc<Binding>,
}

/// A key, and where a plain record has its value.
struct Key {
    name: Py<PyString>,
    /// Whether it is the record's own time.
    is_date_time: bool,
    place: Option<Place>,
}

impl Columns {
    /// Reads `keys` over `span`. Damaged values are reported to the log and left out.
    pub fn read(
        py: Python<'_>,
        state: &SequenceState,
        span: Span,
        keys: &[String],
    ) -> PyResult<Self> {
        let mut attempt = 1;
        loop {
            state.run(py, |sequence, storage| sequence.load(storage, span))?;
            let binding = state.binding(py).ok_or_else(|| {
                let message = "the sequence was never used: call its methods, not its state's";
                exception(py, "InvalidArgumentError", message)
            })?;
            let plan = {
                let share = |record: &Record| record.clone_ref(py);
                state.lock(py).plan_cells(span, keys, share)
            };
            let shape = binding.record_class.get().shape();
            let key = |key: &String| Key {
                name: PyString::intern(py, key).unbind(),
                is_date_time: key == DATE_TIME,
                place: shape.and_then(|shape| shape.place(key)),
            };
            let mut columns = Self {
                keys: keys.iter().map(key).collect(),
                times: Vec::new(),
                cells: Vec::new(),
                live: Vec::new(),
                basis: plan.basis,
                binding,
            };
            if columns.complete(py, state, plan, keys, attempt == ATTEMPTS)? {
                return Ok(columns);
            }
            attempt = (attempt + 1).min(ATTEMPTS);
        }
    }

    /// Reads what `plan` leaves open; `false` if that has to begin anew. Where this is the `last`
    /// attempt, only a vanished row is a reason.
    fn complete(
        &mut self,
        py: Python<'_>,
        state: &SequenceState,
        mut plan: CellPlan<Record>,
        keys: &[String],
        last: bool,
    ) -> PyResult<bool> {
        let unread = std::mem::take(&mut plan.unread);
        let mut damaged = Vec::new();
        // What is new to this process, such as a time zone, makes records go the slow way.
        let (first, rest) = unread.split_at(unread.len().min(FIRST_PIECE));
        for piece in first.chunks(FIRST_PIECE).chain(rest.chunks(PIECE)) {
            py.check_signals()?;
            let mut read = Vec::with_capacity(piece.len());
            let found = self.read_piece(py, &plan, piece, keys)?;
            for (Unread { row, .. }, found) in piece.iter().zip(found) {
                let cells = match found {
                    RowRead::Cells(cells) => cells,
                    RowRead::Gone => return Ok(false),
                    RowRead::Apart(pickle) => {
                        let pickle = pickle.map_err(PyErr::from);
                        let time = plan.times[*row];
                        match state.make(py, &self.binding, self.basis, time, pickle) {
                            Ok(Some(record)) => self.cells_of(py, &record)?,
                            Ok(None) => return Ok(false),
                            Err(error) if is_damage(py, &error) => {
                                report(py, &error)?;
                                damaged.push(*row);
                                continue;
                            }
                            Err(error) => return Err(error),
                        }
                    }
                };
                for (column, cell) in plan.columns.iter_mut().zip(cells) {
                    column[*row] = cell;
                }
                read.push(*row);
            }
            state.lock(py).keep_cells(&plan, keys, &read);
        }
        if !unread.is_empty() && !last {
            state.run(py, |sequence, storage| {
                storage.map_or(Ok(()), |storage| sequence.refresh(storage))
            })?;
            if !state.lock(py).holds(&plan) {
                return Ok(false);
            }
        }
        let mut zone = None;
        for (count, (row, record)) in plan.live.iter().enumerate() {
            if count % PIECE == 0 {
                py.check_signals()?;
            }
            for (key, column) in self.keys.iter().zip(&mut plan.columns) {
                let value = key.value(py, self.binding.record_class.get(), record)?;
                column[*row] = key.cell_of(&value, &mut zone)?;
            }
        }
        self.take(plan, &damaged);
        Ok(true)
    }

    /// Takes over the rows of `plan` without those `left_out`, which are sorted.
    fn take(&mut self, mut plan: CellPlan<Record>, left_out: &[usize]) {
        if !left_out.is_empty() {
            let stays = |row: usize| left_out.binary_search(&row).is_err();
            retain(&mut plan.times, stays);
            for column in &mut plan.columns {
                retain(column, stays);
            }
            for (row, _) in &mut plan.live {
                *row -= left_out.partition_point(|out| *out < *row);
            }
        }
        self.times = plan.times;
        self.cells = plan.columns;
        self.live = plan.live;
    }

    fn read_piece(
        &self,
        py: Python<'_>,
        plan: &CellPlan<Record>,
        piece: &[Unread],
        keys: &[String],
    ) -> PyResult<Vec<RowRead>> {
        let selection = Selection::new(self.binding.record_class.get().shape(), keys);
        let times: Vec<i64> = piece.iter().map(|unread| plan.times[unread.row]).collect();
        if self.binding.native {
            let storage = self.binding.open_storage(py)?;
            let among = match piece {
                [first, .., last] => last.row - first.row + 1,
                _ => piece.len(),
            };
            return Ok(py.detach(|| read_rows(storage, &selection, &times, among))?);
        }
        // The database has its own way from stored values to pickles.
        let mut picker = selection.picker();
        piece
            .iter()
            .zip(&times)
            .map(|(unread, time)| {
                let pickle = match &unread.value {
                    Some(value) => Some(unpack(py, &self.binding, value)),
                    None => fetch(py, &self.binding, *time)?,
                };
                Ok(match pickle {
                    None => RowRead::Gone,
                    Some(Ok(pickle)) => picker
                        .pick(&pickle)
                        .map_or_else(|| RowRead::Apart(Ok(pickle)), RowRead::Cells),
                    Some(Err(error)) => {
                        RowRead::Apart(Err(crate::Error::External(Box::new(error))))
                    }
                })
            })
            .collect()
    }

    fn cells_of(&self, py: Python<'_>, record: &Record) -> PyResult<Box<[Cell]>> {
        let class = self.binding.record_class.get();
        let mut zone = None;
        let cell = |key: &Key| key.cell_of(&key.value(py, class, record)?, &mut zone);
        self.keys.iter().map(cell).collect()
    }

    /// Tells whether the record class is plain, and so is every object among the rows.
    pub fn is_plain(&self, py: Python<'_>) -> bool {
        let class = self.binding.record_class.get();
        class.shape().is_some()
            && self.live.iter().all(|(_, record)| class.is_plain(record.bind(py)))
    }

    /// The values of the key at `column` as objects, in the `rows` given, which are ascending. What
    /// a record object holds is that very object.
    pub fn objects<'py>(
        &self,
        py: Python<'py>,
        state: &SequenceState,
        column: usize,
        rows: &[usize],
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let class = self.binding.record_class.get();
        let key = &self.keys[column];
        let mut live = self.live.iter().peekable();
        let mut text: Option<(Arc<String>, Bound<'py, PyAny>)> = None;
        let mut zone: Option<(Arc<ZoneName>, Bound<'py, PyAny>)> = None;
        let mut objects = Vec::with_capacity(rows.len());
        let mut asked = Vec::new();
        for (count, row) in rows.iter().enumerate() {
            if count % PIECE == 0 {
                py.check_signals()?;
            }
            while live.next_if(|(known, _)| known < row).is_some() {}
            if let Some((_, record)) = live.next_if(|(known, _)| known == row) {
                objects.push(key.value(py, class, record)?);
                continue;
            }
            objects.push(match &self.cells[column][*row] {
                Cell::None => py.None().into_bound(py),
                Cell::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
                Cell::Int(value) => value.into_pyobject(py)?.into_any(),
                Cell::Float(value) => value.into_pyobject(py)?.into_any(),
                Cell::EmptyDict => PyDict::new(py).into_any(),
                Cell::Text(value) => match &text {
                    Some((former, object)) if Arc::ptr_eq(former, value) => object.clone(),
                    _ => {
                        let object = value.as_str().into_pyobject(py)?.into_any();
                        text = Some((Arc::clone(value), object.clone()));
                        object
                    }
                },
                Cell::DateTime { microsecond, zone: name } => {
                    let zone = match &zone {
                        Some((former, object)) if Arc::ptr_eq(former, name) => object.clone(),
                        _ => {
                            let object = zone_object(py, name)?;
                            zone = Some((Arc::clone(name), object.clone()));
                            object
                        }
                    };
                    in_zone(pydantic_date_time(py)?, self.times[*row], *microsecond, &zone)?
                }
                Cell::Other => {
                    asked.push(objects.len());
                    py.None().into_bound(py)
                }
            });
        }
        for piece in asked.chunks(PIECE) {
            py.check_signals()?;
            let times: Vec<i64> = piece.iter().map(|at| self.times[rows[*at]]).collect();
            let among = match piece {
                [first, .., last] => rows[*last] - rows[*first] + 1,
                _ => piece.len(),
            };
            let pickles = self.pickles(py, &times, among)?;
            for ((at, time), pickle) in piece.iter().zip(times).zip(pickles) {
                if let Some(pickle) = pickle {
                    objects[*at] = self.value_in(py, state, key, time, pickle)?;
                }
            }
        }
        Ok(objects)
    }

    /// Puts copies in the place of the containers among `objects` that belong to the record objects
    /// in these `rows`.
    pub fn part_from_records(
        &self,
        rows: &[usize],
        objects: &mut [Bound<'_, PyAny>],
    ) -> PyResult<()> {
        for (row, object) in rows.iter().zip(objects) {
            if self.live.binary_search_by_key(row, |(live, _)| *live).is_ok() {
                *object = copy_of(object)?;
            }
        }
        Ok(())
    }

    /// The values of the key at `column`, those that no cell holds as floats if they are numbers.
    pub fn numbers<'c>(
        &'c self,
        py: Python<'_>,
        state: &SequenceState,
        column: usize,
    ) -> PyResult<Cow<'c, [Cell]>> {
        let cells = &self.cells[column];
        let is_other = |row: &usize| matches!(cells[*row], Cell::Other);
        let rows: Vec<usize> = (0..cells.len()).filter(is_other).collect();
        if rows.is_empty() {
            return Ok(Cow::Borrowed(cells));
        }
        let mut numbers = cells.clone();
        for (row, value) in rows.iter().zip(self.objects(py, state, column, &rows)?) {
            if let Some(float) = float_of(&value)? {
                numbers[*row] = Cell::Float(float);
            }
        }
        Ok(Cow::Owned(numbers))
    }

    /// The pickles of the rows at `times`, `None` where storage no longer has one; `among` tells
    /// how many rows lie between the first and the last.
    fn pickles(
        &self,
        py: Python<'_>,
        times: &[i64],
        among: usize,
    ) -> PyResult<Vec<Option<PyResult<Vec<u8>>>>> {
        if !self.binding.native {
            return times.iter().map(|time| fetch(py, &self.binding, *time)).collect();
        }
        let storage = self.binding.open_storage(py)?;
        let read = py.detach(|| read_rows(storage, &Selection::nothing(), times, among))?;
        let pickle = |read: RowRead| match read {
            RowRead::Apart(pickle) => Some(pickle.map_err(PyErr::from)),
            RowRead::Cells(_) | RowRead::Gone => None,
        };
        Ok(read.into_iter().map(pickle).collect())
    }

    /// The value of `key` in a stored record.
    fn value_in<'py>(
        &self,
        py: Python<'py>,
        state: &SequenceState,
        key: &Key,
        time: i64,
        pickle: PyResult<Vec<u8>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let class = self.binding.record_class.get();
        if let (Ok(pickle), Some(Place::Field(field))) = (&pickle, &key.place)
            && let Some(value) = class.plain_value_of(py, time, pickle, *field)?
        {
            return Ok(value);
        }
        match state.make(py, &self.binding, self.basis, time, pickle)? {
            Some(record) => key.value(py, class, &record),
            None => Ok(py.None().into_bound(py)),
        }
    }
}

fn retain<T>(items: &mut Vec<T>, stays: impl Fn(usize) -> bool) {
    let mut at = 0;
    items.retain(|_| {
        at += 1;
        stays(at - 1)
    });
}

impl Key {
    /// The value of this key in `record`, `None` where it has none.
    fn value<'py>(
        &self,
        py: Python<'py>,
        class: &RecordClass,
        record: &Record,
    ) -> PyResult<Bound<'py, PyAny>> {
        let record = record.bind(py);
        let name = self.name.bind(py);
        if let Some(Place::Configured(_)) = &self.place
            && class.is_plain(record)
        {
            let configured = record.getattr(intern!(py, "configured_data"))?;
            if let Ok(configured) = configured.cast::<PyDict>() {
                let value = configured.get_item(name)?;
                return Ok(value.unwrap_or_else(|| py.None().into_bound(py)));
            }
        }
        let value = record.getattr_opt(name)?;
        Ok(value.unwrap_or_else(|| py.None().into_bound(py)))
    }

    /// A value of this key as a cell; `zone` is that of the former one.
    fn cell_of<'py>(
        &self,
        value: &Bound<'py, PyAny>,
        zone: &mut Option<KnownZone<'py>>,
    ) -> PyResult<Cell> {
        if self.is_date_time && value.is_instance_of::<PyDateTime>() {
            return date_time_cell(value, zone);
        }
        cell_of(value)
    }
}
