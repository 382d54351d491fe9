//! Arrays, lists and tables of the values of keys.

use std::borrow::Cow;
use std::sync::Arc;

use numpy::IntoPyArray;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::cells::zone_object;
use super::columns::{Columns, DATE_TIME};
use super::datetime::{self, microsecond_of};
use super::errors::exception;
use super::state::SequenceState;
use crate::interval::Span;
use crate::series::{
    Aggregation, Boundary, Cell, Fill, MeterRules, Resampling, Values, Window, ZoneName, energy,
    resample as resample_column, seconds_from,
};

const AGGREGATIONS: [(&str, Aggregation); 9] = [
    ("mean", Aggregation::Mean),
    ("time_weighted_mean", Aggregation::TimeWeightedMean),
    ("min", Aggregation::Min),
    ("max", Aggregation::Max),
    ("sum", Aggregation::Sum),
    ("first", Aggregation::First),
    ("last", Aggregation::Last),
    ("circular_mean", Aggregation::CircularMean),
    ("mode", Aggregation::Mode),
];

/// Return for each of `keys` its values in even intervals of `[start, end)`, as an array; see
/// `DatabaseRecordProtocolMixin.key_to_array`. `interval` is in microseconds, and `now` the time by
/// the clock.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the parameters of key_to_array")]
pub fn resample<'py>(
    py: Python<'py>,
    state: &Bound<'py, SequenceState>,
    mut keys: Vec<String>,
    start: Option<&Bound<'py, PyAny>>,
    end: Option<&Bound<'py, PyAny>>,
    interval: i64,
    fill_method: Option<&str>,
    dropna: bool,
    boundary: &str,
    align: bool,
    aggregation: Option<&str>,
    now: &Bound<'py, PyAny>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let how = Resampling {
        interval,
        fill: fill_method.map(|name| fill_named(py, name)).transpose()?,
        align,
        aggregation: aggregation.map(|name| aggregation_named(py, name)).transpose()?,
    };
    let window = Window {
        start: start.map(microsecond_of).transpose()?,
        end: end.map(microsecond_of).transpose()?,
        boundary: boundary_named(py, boundary)?,
    };
    let state = state.get();
    let asked = keys.len();
    let (query, fraction, columns) = loop {
        let query = state.run(py, |sequence, storage| {
            window.query(|second, backwards| {
                let span = if backwards {
                    Span::new(i64::MIN, second)
                } else {
                    Span::new(second.saturating_add(1), i64::MAX)
                };
                sequence.neighbor(storage, span, backwards)
            })
        })?;
        // Only where buckets begin within a second it matters where in its second a record lies.
        let fraction = how.fraction(&query);
        keys.truncate(asked);
        if fraction > 0 {
            keys.push(DATE_TIME.to_owned());
        }
        let columns = Columns::read(py, state, query.span(), &keys)?;
        // A damaged record is no neighbour; but that may have come out only now.
        if !columns.lacks_damaged {
            break (query, fraction, columns);
        }
    };
    let times = if fraction > 0 {
        Cow::Owned(seconds_from(&columns.times, &columns.microseconds(asked), fraction))
    } else {
        Cow::Borrowed(&columns.times)
    };
    let now = microsecond_of(now)?;
    (0..asked)
        .map(|column| {
            let rows = columns.rows(column, dropna);
            let cells = columns.numbers(py, state, column)?;
            let resampled = py.detach(|| match &rows {
                Rows::All => resample_column(&times, &cells, &window, &query, &how, now),
                Rows::Some(rows) => {
                    let times: Vec<i64> = rows.iter().map(|row| times[*row]).collect();
                    let cells: Vec<Cell> = rows.iter().map(|row| cells[*row].clone()).collect();
                    resample_column(&times, &cells, &window, &query, &how, now)
                }
            })?;
            match resampled.values {
                Values::Numbers(numbers) => number_array(py, numbers),
                Values::Picked(picked) => {
                    let rows: Vec<_> = picked.iter().map(|at| at.map(|at| rows.at(at))).collect();
                    object_array(py, state, &columns, column, &rows)
                }
            }
        })
        .collect()
}

fn fill_named(py: Python<'_>, name: &str) -> PyResult<Fill> {
    match name {
        "linear" | "time" => Ok(Fill::Interpolate),
        "ffill" => Ok(Fill::Forward),
        "bfill" => Ok(Fill::Backward),
        "none" => Ok(Fill::None),
        _ => Err(exception(
            py,
            "InvalidArgumentError",
            format!(
                "Unsupported fill method: {name}: expected 'linear', 'time', 'ffill', 'bfill' or \
                 'none'"
            ),
        )),
    }
}

fn boundary_named(py: Python<'_>, name: &str) -> PyResult<Boundary> {
    match name {
        "strict" => Ok(Boundary::Strict),
        "context" => Ok(Boundary::Context),
        _ => Err(exception(
            py,
            "InvalidArgumentError",
            format!("Unsupported boundary mode: {name}: expected 'strict' or 'context'"),
        )),
    }
}

pub fn aggregation_named(py: Python<'_>, name: &str) -> PyResult<Aggregation> {
    AGGREGATIONS.iter().find(|(known, _)| *known == name).map(|(_, found)| *found).ok_or_else(
        || {
            let names: Vec<_> = AGGREGATIONS.iter().map(|(name, _)| *name).collect();
            let message = format!("Unsupported aggregation: {name}: expected one of {names:?}");
            exception(py, "InvalidArgumentError", message)
        },
    )
}

/// Which rows of a column take part.
enum Rows {
    All,
    Some(Vec<usize>),
}

impl Rows {
    fn at(&self, position: usize) -> usize {
        match self {
            Self::All => position,
            Self::Some(rows) => rows[position],
        }
    }
}

impl Columns {
    /// The rows of a column; where `dropna`, those that are not `None`.
    fn rows(&self, column: usize, dropna: bool) -> Rows {
        let cells = &self.cells[column];
        let is_none = |cell: &Cell| matches!(cell, Cell::None);
        if !dropna || !cells.iter().any(is_none) {
            return Rows::All;
        }
        Rows::Some((0..cells.len()).filter(|row| !is_none(&cells[*row])).collect())
    }
}

/// An array of numbers; of objects, with `None` for what is not a number, if there is any.
fn number_array(py: Python<'_>, numbers: Vec<f64>) -> PyResult<Bound<'_, PyAny>> {
    if !numbers.iter().any(|number| number.is_nan()) {
        return Ok(numbers.into_pyarray(py).into_any());
    }
    let objects: Vec<Py<PyAny>> = numbers
        .into_iter()
        .map(|number| {
            let number = (!number.is_nan()).then_some(number);
            Ok(number.into_pyobject(py)?.into_any().unbind())
        })
        .collect::<PyResult<_>>()?;
    Ok(objects.into_pyarray(py).into_any())
}

/// An array of the objects in these rows of a column. No row is not-a-number where there are only
/// texts, as in an array of strings of pandas, else `None`.
fn object_array<'py>(
    py: Python<'py>,
    state: &SequenceState,
    columns: &Columns,
    column: usize,
    rows: &[Option<usize>],
) -> PyResult<Bound<'py, PyAny>> {
    let mut wanted: Vec<usize> = rows.iter().flatten().copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let found = columns.objects(py, state, column, &wanted)?;
    let is_text = |cell: &Cell| match cell {
        Cell::Text(_) | Cell::None => true,
        Cell::Float(value) => value.is_nan(),
        _ => false,
    };
    let nothing = if columns.cells[column].iter().all(is_text) {
        f64::NAN.into_pyobject(py)?.into_any()
    } else {
        py.None().into_bound(py)
    };
    let objects: Vec<Py<PyAny>> = rows
        .iter()
        .map(|row| {
            let at = row.and_then(|row| wanted.binary_search(&row).ok());
            at.map_or(&nothing, |at| &found[at]).clone().unbind()
        })
        .collect();
    Ok(objects.into_pyarray(py).into_any())
}

/// A list each of dates and values.
type Lists<'py> = (Vec<Bound<'py, PyAny>>, Vec<Bound<'py, PyAny>>);

/// Return the dates of the records of `[start, end)` and their values of `key`; where `dropna`,
/// those that are not None.
#[pyfunction]
pub fn values<'py>(
    py: Python<'py>,
    state: &Bound<'py, SequenceState>,
    key: String,
    start: Option<&Bound<'py, PyAny>>,
    end: Option<&Bound<'py, PyAny>>,
    dropna: bool,
) -> PyResult<Lists<'py>> {
    let state = state.get();
    let span = datetime::span(start, end)?;
    let columns = Columns::read(py, state, span, &[key, DATE_TIME.to_owned()])?;
    let rows = columns.rows(0, dropna).positions(columns.times.len());
    Ok((columns.objects(py, state, 1, &rows)?, columns.objects(py, state, 0, &rows)?))
}

/// Microseconds since 1970, the zone that all of them are shown in, and the columns.
type Table<'py> = (Bound<'py, PyAny>, Option<Bound<'py, PyAny>>, Vec<Bound<'py, PyAny>>);

/// Return the records of `[start, end)` as columns: their instants in microseconds since 1970,
/// their zone if it is one, and for each of `keys` an array of numbers or a list of objects. With
/// `dropna`, of the records whose value of the first key is not None. With `dumped` the values are
/// as `model_dump` returns them, and the result is None if that is not for us to tell.
#[pyfunction]
pub fn table<'py>(
    py: Python<'py>,
    state: &Bound<'py, SequenceState>,
    mut keys: Vec<String>,
    start: Option<&Bound<'py, PyAny>>,
    end: Option<&Bound<'py, PyAny>>,
    dropna: bool,
    dumped: bool,
) -> PyResult<Option<Table<'py>>> {
    let state = state.get();
    let span = datetime::span(start, end)?;
    let asked = keys.len();
    keys.push(DATE_TIME.to_owned());
    let columns = Columns::read(py, state, span, &keys)?;
    if dumped && !columns.is_plain(py) {
        return Ok(None);
    }
    let rows = columns.rows(0, dropna).positions(columns.times.len());
    let (micros, zone) = columns.instants(py, state, asked, &rows)?;
    let typed = |column| typed(py, state, &columns, column, &rows, dumped);
    let typed = (0..asked).map(typed).collect::<PyResult<_>>()?;
    Ok(Some((micros.into_pyarray(py).into_any(), zone, typed)))
}

impl Rows {
    fn positions(self, all: usize) -> Vec<usize> {
        match self {
            Self::All => (0..all).collect(),
            Self::Some(rows) => rows,
        }
    }
}

impl Columns {
    /// The microseconds within its second of each row; `column` is that of the `date_time`.
    fn microseconds(&self, column: usize) -> Vec<i64> {
        let within = |cell: &Cell| match cell {
            Cell::DateTime { microsecond, .. } => i64::from(*microsecond),
            _ => 0,
        };
        self.cells[column].iter().map(within).collect()
    }

    /// The microseconds since 1970 of these rows, and the zone if it is the same for all; `column`
    /// is that of the `date_time`.
    fn instants<'py>(
        &self,
        py: Python<'py>,
        state: &SequenceState,
        column: usize,
        rows: &[usize],
    ) -> PyResult<(Vec<i64>, Option<Bound<'py, PyAny>>)> {
        let cells = &self.cells[column];
        let mut zone: Option<&Arc<ZoneName>> = None;
        let mut is_common = true;
        let mut micros = Vec::with_capacity(rows.len());
        for row in rows {
            let Cell::DateTime { microsecond, zone: other } = &cells[*row] else {
                return self.instants_of_objects(py, state, column, rows);
            };
            let second = self.times[*row].saturating_mul(1_000_000);
            micros.push(second.saturating_add(i64::from(*microsecond)));
            let zone = zone.get_or_insert(other);
            is_common &= Arc::ptr_eq(zone, other) || *zone == other;
        }
        let zone = zone.filter(|_| is_common).map(|zone| zone_object(py, zone)).transpose()?;
        Ok((micros, zone))
    }

    /// The same where the times are no plain ones.
    fn instants_of_objects<'py>(
        &self,
        py: Python<'py>,
        state: &SequenceState,
        column: usize,
        rows: &[usize],
    ) -> PyResult<(Vec<i64>, Option<Bound<'py, PyAny>>)> {
        let mut zone: Option<Bound<'py, PyAny>> = None;
        let mut is_common = true;
        let mut micros = Vec::with_capacity(rows.len());
        for date_time in self.objects(py, state, column, rows)? {
            micros.push(microsecond_of(&date_time)?);
            let other = date_time.getattr(intern!(py, "tzinfo"))?;
            let zone = zone.get_or_insert_with(|| other.clone());
            is_common = is_common && zone.eq(&other)?;
        }
        Ok((micros, zone.filter(|_| is_common)))
    }
}

/// These rows of a column as an array, if they are numbers or all booleans, else as a list of
/// objects: what pandas makes of such a list.
fn typed<'py>(
    py: Python<'py>,
    state: &SequenceState,
    columns: &Columns,
    column: usize,
    rows: &[usize],
    dumped: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let cells = &columns.cells[column];
    let (mut nones, mut bools, mut ints, mut floats) = (0, 0, 0, 0);
    for row in rows {
        match cells[*row] {
            Cell::None => nones += 1,
            Cell::Bool(_) => bools += 1,
            Cell::Int(_) => ints += 1,
            Cell::Float(_) => floats += 1,
            _ => break,
        }
    }
    let cells = || rows.iter().map(|row| &cells[*row]);
    let all = rows.len();
    if all > 0 && ints == all {
        let ints = |cell: &Cell| if let Cell::Int(value) = cell { *value } else { 0 };
        return Ok(cells().map(ints).collect::<Vec<i64>>().into_pyarray(py).into_any());
    }
    if ints + floats > 0 && nones + ints + floats == all {
        return Ok(cells().map(number).collect::<Vec<f64>>().into_pyarray(py).into_any());
    }
    if all > 0 && bools == all {
        let bools = |cell: &Cell| *cell == Cell::Bool(true);
        return Ok(cells().map(bools).collect::<Vec<bool>>().into_pyarray(py).into_any());
    }
    let mut objects = columns.objects(py, state, column, rows)?;
    if dumped {
        columns.part_from_records(rows, &mut objects)?;
    }
    Ok(PyList::new(py, objects)?.into_any())
}

#[expect(clippy::cast_precision_loss, reason = "as Python's float() of a large integer")]
fn number(cell: &Cell) -> f64 {
    match cell {
        Cell::Int(value) => *value as f64,
        Cell::Float(value) => *value,
        _ => f64::NAN,
    }
}

/// Return the increase of the meter `key` in even intervals of `[start, end)`; see
/// `DatabaseRecordProtocolMixin.key_to_energy`. `interval` is in microseconds, `max_gap` in
/// seconds.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the parameters of key_to_energy")]
pub fn meter_energy<'py>(
    py: Python<'py>,
    state: &Bound<'py, SequenceState>,
    key: &str,
    start: Option<&Bound<'py, PyAny>>,
    end: Option<&Bound<'py, PyAny>>,
    interval: i64,
    max_gap: i64,
    reset_below: f64,
    jitter: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let start = start.map(microsecond_of).transpose()?;
    let end = end.map(microsecond_of).transpose()?;
    // Readings further away say nothing about the window; see `energy`.
    let margin = |micros: i64, seconds: i64| micros.div_euclid(1_000_000).saturating_add(seconds);
    let span = Span::new(
        start.map_or(i64::MIN, |start| margin(start, max_gap.saturating_mul(-2))),
        end.map_or(i64::MAX, |end| margin(end, max_gap.saturating_add(2))),
    );
    let state = state.get();
    let columns = Columns::read(py, state, span, &[key.to_owned()])?;
    let cells = columns.numbers(py, state, 0)?;
    let is_reading = |cell: &Cell| matches!(cell, Cell::Int(_) | Cell::Float(_));
    if !cells.iter().any(is_reading)
        && let Some(row) = cells.iter().position(|cell| !matches!(cell, Cell::None))
    {
        let found = columns.objects(py, state, 0, &[row])?;
        let message = format!("'{key}' has no meter readings: expected numbers, found {found:?}");
        return Err(exception(py, "ArgumentTypeError", message));
    }
    let rules = MeterRules { max_gap: Some(max_gap), reset_below, jitter };
    let energy = py.detach(|| {
        let readings: Vec<f64> = cells.iter().map(number).collect();
        energy(&columns.times, &readings, start, end, interval, &rules)
    })?;
    Ok(energy.values.into_pyarray(py).into_any())
}
