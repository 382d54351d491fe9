//! Instants as Python writes them: `datetime` objects, key text, the sentinels.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyDateAccess, PyDateTime, PyDelta, PyDeltaAccess, PyString, PyTimeAccess, PyType,
};

use super::errors::exception;
use super::offsets::quick_second;
use crate::interval::Span;
use crate::timestamp::Timestamp;

/// The UTC second of an aware `datetime`; fractions of a second are cut off.
pub fn second_of(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    if let Some(second) = quick_second(value)? {
        return Ok(Timestamp::from_seconds(second)?.seconds());
    }
    let py = value.py();
    if !value.is_instance_of::<PyDateTime>() {
        return Err(exception(
            py,
            "ArgumentTypeError",
            format!("expected a datetime or a DatabaseTimestamp, not {value:?}"),
        ));
    }
    // A naive datetime cannot be subtracted from, and pandas' NaT neither.
    let Ok(Ok(since)) = since_epoch(value).map(Bound::cast_into::<PyDelta>) else {
        return Err(exception(
            py,
            "NaiveDatetimeError",
            format!("Timezone-aware datetime required, not {value:?}: give it a time zone"),
        ));
    };
    Ok(Timestamp::from_seconds(whole_seconds(&since))?.seconds())
}

/// The microseconds since 1970 began in UTC of an aware `datetime`.
pub fn microsecond_of(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let second = second_of(value)?;
    let fraction: i64 = value.getattr(intern!(value.py(), "microsecond"))?.extract()?;
    Ok(second * 1_000_000 + fraction)
}

/// The time since 1970 began in UTC, by the subtraction of `datetime` itself: pendulum's takes ten
/// times as long.
fn since_epoch<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static SUBTRACTION: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();
    let py = value.py();
    let (subtract, epoch) = SUBTRACTION.get_or_try_init(py, || {
        let class = py.get_type::<PyDateTime>();
        let utc = py.import("datetime")?.getattr("timezone")?.getattr("utc")?;
        let epoch = class.call_method1("fromtimestamp", (0, utc))?;
        PyResult::Ok((class.getattr("__sub__")?.unbind(), epoch.unbind()))
    })?;
    subtract.bind(py).call1((value, epoch))
}

/// The UTC second of a record's `date_time`.
pub fn second_of_record(record: &Bound<'_, PyAny>) -> PyResult<i64> {
    let py = record.py();
    match record.getattr_opt(intern!(py, "date_time"))? {
        Some(date_time) => second_of(&date_time),
        None => Err(exception(
            py,
            "ArgumentTypeError",
            format!("expected a record with a date_time, not {record:?}"),
        )),
    }
}

/// Return the timestamp of the second that a record's `date_time` lies in.
#[pyfunction]
pub fn timestamp_of<'py>(record: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    timestamp(record.py(), second_of_record(record)?)
}

/// The seconds that a datetime's zone is ahead of UTC, `None` if it has no zone.
pub fn offset_of(time: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    let offset = time.call_method0(intern!(time.py(), "utcoffset"))?;
    if offset.is_none() {
        return Ok(None);
    }
    Ok(Some(whole_seconds(offset.cast::<PyDelta>()?)))
}

/// The seconds of a `timedelta`, without its microseconds, which are never negative.
pub fn whole_seconds(delta: &Bound<'_, PyDelta>) -> i64 {
    i64::from(delta.get_days()) * 86_400 + i64::from(delta.get_seconds())
}

/// The second that key text names.
fn second_of_text(text: &Bound<'_, PyString>) -> PyResult<i64> {
    let text = text.to_cow()?;
    match (Timestamp::from_key(text.as_bytes()), text.as_ref()) {
        (Some(instant), _) => Ok(instant.seconds()),
        // The sentinels are equal to their text.
        (None, "UNBOUND_START") => Ok(i64::MIN),
        (None, "UNBOUND_END") => Ok(i64::MAX),
        (None, key) => Err(crate::Error::Key { key: key.chars().take(64).collect() }.into()),
    }
}

/// The second that a `DatabaseTimestamp` or an aware `datetime` stands for.
///
/// A sentinel is refused here: it is no instant.
pub fn instant(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let second = match value.cast::<PyString>() {
        Ok(text) => second_of_text(text)?,
        Err(_) => second_of(value)?,
    };
    if second == i64::MIN || second == i64::MAX {
        return Err(exception(
            value.py(),
            "ArgumentTypeError",
            format!("{value:?} is no instant: give a DatabaseTimestamp or a datetime"),
        ));
    }
    Ok(second)
}

/// The half-open span between two bounds; `None` and the sentinels leave a side open.
pub fn span(start: Option<&Bound<'_, PyAny>>, end: Option<&Bound<'_, PyAny>>) -> PyResult<Span> {
    let bound = |value: Option<&Bound<'_, PyAny>>, open: i64| match value {
        None => Ok(open),
        Some(value) => match value.cast::<PyString>() {
            Ok(text) => second_of_text(text),
            Err(_) => second_of(value),
        },
    };
    Ok(Span::new(bound(start, i64::MIN)?, bound(end, i64::MAX)?))
}

fn timestamps_attribute<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyAny>>,
    name: &str,
) -> PyResult<&'py Bound<'py, PyAny>> {
    cell.get_or_try_init(py, || Ok(py.import("eosdb.timestamps")?.getattr(name)?.unbind()))
        .map(|object| object.bind(py))
}

/// The `DatabaseTimestamp` of `second`, or the sentinel where it lies beyond all of them.
pub fn timestamp(py: Python<'_>, second: i64) -> PyResult<Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static START: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static END: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    match Timestamp::from_seconds(second) {
        Ok(instant) => {
            let class = timestamps_attribute(py, &CLASS, "DatabaseTimestamp")?;
            class.call1((instant.to_string(),))
        }
        Err(_) if second < 0 => Ok(timestamps_attribute(py, &START, "UNBOUND_START")?.clone()),
        Err(_) => Ok(timestamps_attribute(py, &END, "UNBOUND_END")?.clone()),
    }
}

/// A `DatabaseTimestamp`, or `None`.
pub fn timestamp_or_none(
    py: Python<'_>,
    second: Option<i64>,
) -> PyResult<Option<Bound<'_, PyAny>>> {
    second.map(|second| timestamp(py, second)).transpose()
}

/// The wall time that `zone` shows at `second`, as an object of `class`.
pub fn in_zone<'py>(
    class: &Bound<'py, PyAny>,
    second: i64,
    microsecond: u32,
    zone: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let plain: &Bound<'py, PyType> = &py.get_type::<PyDateTime>();
    let wall = plain.call_method1(intern!(py, "fromtimestamp"), (second, zone))?;
    let wall = wall.cast_into::<PyDateTime>()?;
    let arguments = (
        wall.get_year(),
        wall.get_month(),
        wall.get_day(),
        wall.get_hour(),
        wall.get_minute(),
        wall.get_second(),
        microsecond,
        zone,
    );
    let keywords = pyo3::types::PyDict::new(py);
    keywords.set_item(intern!(py, "fold"), u8::from(wall.get_fold()))?;
    class.call(arguments, Some(&keywords))
}
