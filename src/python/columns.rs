//! The values of some keys over the rows of a span: from kept values, objects and storage.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDateTime, PyDict, PyString};

use super::cells::{KnownZone, cell_of, copy_of, date_time_cell, float_of, zone_object};
use super::datetime::in_zone;
use super::decode::pydantic_date_time;
use super::errors::{exception, is_damage};
use super::record_class::{RecordClass, unpack};
use super::state::{Binding, Record, SequenceState, Shared, fetch, report};
use super::turns::{TURN, yield_to_others};
use crate::interval::Span;
use crate::sequence::{CellPlan, Gathered, PIECE, RowRead, read_rows};
use crate::series::{Cell, Place, Selection, ZoneName};

/// How often a reading is begun anew because somebody else changes storage meanwhile; then what
/// was read last counts, unless a row of it has vanished.
const ATTEMPTS: usize = 10;

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
    live: Vec<(usize, Shared)>,
    /// The rows whose stored values are kept, with them.
    encoded: Vec<(usize, Arc<Vec<u8>>)>,
    /// Whether rows were left out because their values are damaged.
    pub lacks_damaged: bool,
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
        Self::read_anew(py, state, span, keys, None)
    }

    /// The same; where `gathered` takes what is found on the way, without using or keeping kept
    /// values.
    pub fn read_anew(
        py: Python<'_>,
        state: &SequenceState,
        span: Span,
        keys: &[String],
        gathered: Option<&Mutex<Gathered>>,
    ) -> PyResult<Self> {
        let mut attempt = 1;
        loop {
            state.run(py, |sequence, storage| sequence.load(storage, span))?;
            let binding = state.binding(py).ok_or_else(|| {
                let message = "the sequence was never used: call its methods, not its state's";
                exception(py, "InvalidArgumentError", message)
            })?;
            let plan = { state.lock(py).plan_cells(span, keys, gathered.is_none(), Shared::clone) };
            let class = binding.record_class.get();
            let key = |key: &String| {
                PyResult::Ok(Key {
                    name: PyString::intern(py, key).unbind(),
                    is_date_time: key == DATE_TIME,
                    place: class.place(py, key)?,
                })
            };
            let keys_read = keys.iter().map(key).collect::<PyResult<_>>()?;
            let mut columns = Self {
                keys: keys_read,
                times: Vec::new(),
                cells: Vec::new(),
                live: Vec::new(),
                encoded: Vec::new(),
                lacks_damaged: false,
                basis: plan.basis,
                binding,
            };
            let last = attempt == ATTEMPTS;
            if columns.complete(py, state, plan, keys, last, gathered)? {
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
        mut plan: CellPlan<Shared>,
        keys: &[String],
        last: bool,
        gathered: Option<&Mutex<Gathered>>,
    ) -> PyResult<bool> {
        let unread = std::mem::take(&mut plan.unread);
        let mut damaged = Vec::new();
        let mut rest = unread.as_slice();
        // What is new to this process, such as a time zone, makes records go the slow way: so a few
        // come first.
        let mut piece = FIRST_PIECE;
        while !rest.is_empty() {
            yield_to_others(py)?;
            let piece_rows = &rest[..piece.min(rest.len())];
            let found = self.read_piece(py, &plan, piece_rows, gathered)?;
            let (rows, later) = rest.split_at(found.len());
            (rest, piece) = (later, PIECE);
            let (mut read, mut gone) = (Vec::with_capacity(rows.len()), Vec::new());
            for (row, found) in rows.iter().zip(found) {
                let cells = match self.settle(py, state, plan.times[*row], found, gathered)? {
                    Settled::Cells(cells) => cells,
                    Settled::Damaged => {
                        damaged.push(*row);
                        continue;
                    }
                    Settled::Gone => {
                        gone.push(plan.times[*row]);
                        continue;
                    }
                    Settled::Changed => return Ok(false),
                };
                for (column, cell) in plan.columns.iter_mut().zip(cells) {
                    column[*row] = cell;
                }
                read.push(*row);
            }
            if gathered.is_none() {
                state.lock(py).keep_cells(&plan, keys, &read);
            }
            if !gone.is_empty() {
                forget(py, state, &gone)?;
                return Ok(false);
            }
        }
        if !unread.is_empty() && !last {
            state.read_again(py)?;
            if !state.lock(py).holds(&plan) {
                return Ok(false);
            }
        }
        let mut zone = None;
        for (count, (row, record)) in plan.live.iter().enumerate() {
            if count % TURN == 0 {
                yield_to_others(py)?;
            }
            gather_configured(py, record, gathered)?;
            for (key, column) in self.keys.iter().zip(&mut plan.columns) {
                let value = key.value(py, self.binding.record_class.get(), record)?;
                column[*row] = key.cell_of(&value, &mut zone)?;
            }
        }
        self.lacks_damaged = !damaged.is_empty();
        self.take(plan, &damaged);
        Ok(true)
    }

    /// Takes over the rows of `plan` without those `left_out`, which are sorted.
    fn take(&mut self, mut plan: CellPlan<Shared>, left_out: &[usize]) {
        if !left_out.is_empty() {
            let stays = |row: usize| left_out.binary_search(&row).is_err();
            retain(&mut plan.times, stays);
            for column in &mut plan.columns {
                retain(column, stays);
            }
            let moved = |row: usize| row - left_out.partition_point(|out| *out < row);
            plan.live.iter_mut().for_each(|(row, _)| *row = moved(*row));
            plan.encoded.retain(|(row, _)| stays(*row));
            plan.encoded.iter_mut().for_each(|(row, _)| *row = moved(*row));
        }
        self.times = plan.times;
        self.cells = plan.columns;
        self.live = plan.live;
        self.encoded = plan.encoded;
    }

    /// Reads some of the first of `rows`.
    fn read_piece(
        &self,
        py: Python<'_>,
        plan: &CellPlan<Shared>,
        rows: &[usize],
        gathered: Option<&Mutex<Gathered>>,
    ) -> PyResult<Vec<RowRead>> {
        let places = self.keys.iter().map(|key| key.place.clone()).collect();
        let selection = Selection::new(self.binding.record_class.get().shape(), places);
        let times: Vec<i64> = rows.iter().map(|row| plan.times[*row]).collect();
        if self.binding.native {
            let storage = self.binding.open_storage(py)?;
            let among = among(rows);
            return Ok(py.detach(|| read_rows(storage, &selection, &times, among, gathered))?);
        }
        // The database has its own way from stored values to pickles.
        let mut picker = selection.picker();
        let read = |(row, time): (&usize, &i64)| {
            Ok(match self.unpacked(py, &plan.encoded, *row, *time)? {
                None => RowRead::Gone,
                Some(Ok(pickle)) => picker
                    .pick(&pickle)
                    .map_or_else(|| RowRead::Apart(Some(Ok(pickle))), RowRead::Cells),
                Some(Err(error)) => {
                    RowRead::Apart(Some(Err(crate::Error::External(Box::new(error)))))
                }
            })
        };
        let read = rows.iter().zip(&times).map(read).collect::<PyResult<_>>()?;
        if let Some(gathered) = gathered {
            let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
            gathered.names.append(&mut picker.names());
        }
        Ok(read)
    }

    /// The values of the row at `time`, of which `found` was read.
    fn settle(
        &self,
        py: Python<'_>,
        state: &SequenceState,
        time: i64,
        found: RowRead,
        gathered: Option<&Mutex<Gathered>>,
    ) -> PyResult<Settled> {
        let pickle = match found {
            RowRead::Cells(cells) => return Ok(Settled::Cells(cells)),
            RowRead::Gone => None,
            RowRead::Apart(Some(pickle)) => Some(pickle.map_err(PyErr::from)),
            RowRead::Apart(None) => fetch(py, &self.binding, time)?,
        };
        let Some(pickle) = pickle else { return Ok(Settled::Gone) };
        match state.make(py, &self.binding, self.basis, time, pickle) {
            Ok(Some(record)) => {
                gather_configured(py, &record, gathered)?;
                Ok(Settled::Cells(self.cells_of(py, &record)?))
            }
            Ok(None) => Ok(Settled::Changed),
            Err(error) if is_damage(py, &error) => {
                report(py, &error)?;
                Ok(Settled::Damaged)
            }
            Err(error) => Err(error),
        }
    }

    /// The pickle of a row of a database with its own way to it: of the value that is kept of it,
    /// else of what the database holds.
    fn unpacked(
        &self,
        py: Python<'_>,
        encoded: &[(usize, Arc<Vec<u8>>)],
        row: usize,
        time: i64,
    ) -> PyResult<Option<PyResult<Vec<u8>>>> {
        match encoded.binary_search_by_key(&row, |(row, _)| *row) {
            Ok(at) => Ok(Some(unpack(py, &self.binding, &encoded[at].1))),
            Err(_) => fetch(py, &self.binding, time),
        }
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
            if count % TURN == 0 {
                yield_to_others(py)?;
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
        let mut asked = asked.as_slice();
        while !asked.is_empty() {
            yield_to_others(py)?;
            let piece = &asked[..asked.len().min(PIECE)];
            let wanted: Vec<usize> = piece.iter().map(|at| rows[*at]).collect();
            let pickles = self.pickles(py, &wanted)?;
            asked = &asked[pickles.len()..];
            for ((at, row), pickle) in piece.iter().zip(wanted).zip(pickles) {
                if let Some(pickle) = pickle {
                    objects[*at] = self.value_in(py, state, key, self.times[row], pickle)?;
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

    /// The pickles of some of the first of `rows`, `None` where storage no longer has one.
    fn pickles(&self, py: Python<'_>, rows: &[usize]) -> PyResult<Vec<Option<PyResult<Vec<u8>>>>> {
        let times: Vec<i64> = rows.iter().map(|row| self.times[*row]).collect();
        if !self.binding.native {
            let unpacked =
                |(row, time): (&usize, &i64)| self.unpacked(py, &self.encoded, *row, *time);
            return rows.iter().zip(&times).map(unpacked).collect();
        }
        let storage = self.binding.open_storage(py)?;
        let nothing = Selection::nothing();
        let read = py.detach(|| read_rows(storage, &nothing, &times, among(rows), None))?;
        let pickle = |(time, read): (&i64, RowRead)| match read {
            RowRead::Apart(Some(pickle)) => Ok(Some(pickle.map_err(PyErr::from))),
            RowRead::Apart(None) => fetch(py, &self.binding, *time),
            RowRead::Cells(_) | RowRead::Gone => Ok(None),
        };
        times.iter().zip(read).map(pickle).collect()
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

/// Tells `gathered` under which names `record` holds configured data.
fn gather_configured(
    py: Python<'_>,
    record: &Record,
    gathered: Option<&Mutex<Gathered>>,
) -> PyResult<()> {
    let Some(gathered) = gathered else { return Ok(()) };
    let Some(data) = record.bind(py).getattr_opt(intern!(py, "configured_data"))? else {
        return Ok(());
    };
    let Ok(data) = data.cast_into::<PyDict>() else { return Ok(()) };
    let names: Vec<String> = data.keys().iter().filter_map(|name| name.extract().ok()).collect();
    gathered.lock().unwrap_or_else(PoisonError::into_inner).names.extend(names);
    Ok(())
}

/// What became of a row that was read.
enum Settled {
    Cells(Box<[Cell]>),
    /// Its value is damaged.
    Damaged,
    /// Storage no longer holds it.
    Gone,
    /// It has changed since.
    Changed,
}

/// How many rows lie between the first and the last of `rows`.
fn among(rows: &[usize]) -> usize {
    match rows {
        [first, .., last] => last - first + 1,
        _ => rows.len(),
    }
}

/// Forgets rows that storage no longer holds, after looking whether it changed.
fn forget(py: Python<'_>, state: &SequenceState, times: &[i64]) -> PyResult<()> {
    state.read_again(py)?;
    let gone: Vec<_> = {
        let mut index = state.lock(py);
        times.iter().map(|time| index.forget(*time)).collect()
    };
    drop(gone);
    Ok(())
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
        let value = match &self.place {
            // A record with any fields is a dictionary of them.
            Some(Place::Named(_)) => record.cast::<PyDict>()?.get_item(name)?,
            _ => record.getattr_opt(name)?,
        };
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
