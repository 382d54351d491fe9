//! Objects as cells, and what cells leave open as objects.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};

use super::datetime::offset_of;
use super::decode;
use crate::codec::Zone;
use crate::series::{Cell, ZoneName};

/// An object as a cell.
pub fn cell_of(value: &Bound<'_, PyAny>) -> PyResult<Cell> {
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        return Ok(Cell::Float(number.value()));
    }
    if value.is_none() {
        return Ok(Cell::None);
    }
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(Cell::Bool(value.is_true()));
    }
    if let Ok(number) = value.cast::<PyInt>() {
        return Ok(number.extract().map_or(Cell::Other, Cell::Int));
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        return Ok(Cell::Float(number.value()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Cell::Text(Arc::new(text.to_string_lossy().into_owned())));
    }
    if let Ok(dict) = value.cast_exact::<PyDict>()
        && dict.is_empty()
    {
        return Ok(Cell::EmptyDict);
    }
    number_like(value)
}

/// A number of `NumPy` as a cell.
fn number_like(value: &Bound<'_, PyAny>) -> PyResult<Cell> {
    static GENERIC: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    let class = || PyResult::Ok(py.import("numpy")?.getattr("generic")?.unbind());
    if !value.is_instance(GENERIC.get_or_try_init(py, class)?.bind(py))? {
        return Ok(Cell::Other);
    }
    let item = value.call_method0(intern!(py, "item"))?;
    // Some, such as a long double, have no Python number of their own.
    if item.get_type().is(value.get_type()) { Ok(Cell::Other) } else { cell_of(&item) }
}

/// An object that is no cell as the nearest float, if it is a number: an integer of more than 64
/// bits or a decimal.
pub fn float_of(value: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    static DECIMAL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    let class = || PyResult::Ok(py.import("decimal")?.getattr("Decimal")?.unbind());
    let decimal = DECIMAL.get_or_try_init(py, class)?.bind(py);
    let is_number = value.is_instance_of::<PyInt>() || value.is_instance(decimal)?;
    Ok(if is_number { value.extract().ok() } else { None })
}

/// The object itself if it cannot change, else a copy of all of it.
pub fn copy_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let is_atom = |object: &Bound<'_, PyAny>| {
        object.is_none()
            || object.is_exact_instance_of::<PyFloat>()
            || object.is_exact_instance_of::<PyInt>()
            || object.is_exact_instance_of::<PyString>()
            || object.is_exact_instance_of::<PyBool>()
    };
    if is_atom(object) {
        return Ok(object.clone());
    }
    if let Ok(dict) = object.cast_exact::<PyDict>()
        && dict.iter().all(|(_, value)| is_atom(&value))
    {
        return Ok(dict.copy()?.into_any());
    }
    object.py().import("copy")?.call_method1("deepcopy", (object,))
}

/// A zone object by name, with its name.
pub type KnownZone<'py> = (Bound<'py, PyAny>, Arc<ZoneName>);

/// A record's time as a cell, if it is of pydantic's class and in a zone of pendulum's, as those of
/// EOS are; `known` is the zone by name that was met last.
pub fn date_time_cell<'py>(
    value: &Bound<'py, PyAny>,
    known: &mut Option<KnownZone<'py>>,
) -> PyResult<Cell> {
    let py = value.py();
    if !value.get_type().is(decode::pydantic_date_time(py)?) {
        return Ok(Cell::Other);
    }
    let microsecond = value.getattr(intern!(py, "microsecond"))?.extract()?;
    let zone = value.getattr(intern!(py, "tzinfo"))?;
    if let Some((object, name)) = known
        && object.is(&zone)
    {
        return Ok(Cell::DateTime { microsecond, zone: Arc::clone(name) });
    }
    if zone.is_instance(decode::timezone_class(py)?)? {
        let name = zone.getattr(intern!(py, "name"))?.extract()?;
        let name = Arc::new(ZoneName { name, fixed: None });
        *known = Some((zone, Arc::clone(&name)));
        return Ok(Cell::DateTime { microsecond, zone: name });
    }
    if !zone.is_instance(decode::fixed_timezone_class(py)?)? {
        return Ok(Cell::Other);
    }
    let Some(offset) = offset_of(value)? else { return Ok(Cell::Other) };
    let name = zone.getattr(intern!(py, "name"))?.extract()?;
    let zone = ZoneName { name, fixed: i32::try_from(offset).ok() };
    Ok(Cell::DateTime { microsecond, zone: Arc::new(zone) })
}

/// The zone object of a name.
pub fn zone_object<'py>(py: Python<'py>, zone: &ZoneName) -> PyResult<Bound<'py, PyAny>> {
    let described = match zone.fixed {
        Some(seconds) => Zone::FixedTimezone { seconds, name: &zone.name },
        None => Zone::Timezone(&zone.name),
    };
    match decode::zone(py, &described)? {
        Some(zone) => Ok(zone),
        None => Ok(pyo3::types::PyTzInfo::utc(py)?.to_owned().into_any()),
    }
}
