//! Pickles from records, as Python's own pickler writes them.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyDateAccess, PyDateTime, PyDict, PyFloat, PyInt, PyList, PyString,
    PyTimeAccess, PyTuple,
};

use super::decode::{fixed_timezone_class, pendulum_date_time, pydantic_date_time, timezone_class};
use crate::codec::pickle_write::Writer;
use crate::codec::{DateTimeParts, PENDULUM_DATE_TIME, PYDANTIC_DATE_TIME, Zone};

/// The protocol that upstream writes.
const PROTOCOL: u8 = 5;

/// The identity of containers: a dump copies them, so none occurs twice.
const UNSHARED: usize = 0;

/// Pickles `record.model_dump()` by Python's own means: always right, and slow.
pub fn dump(record: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let py = record.py();
    let dump = record.call_method0(intern!(py, "model_dump"))?;
    let pickle = py.import(intern!(py, "pickle"))?;
    let bytes = pickle.call_method1(intern!(py, "dumps"), (dump, PROTOCOL))?;
    Ok(bytes.cast::<PyBytes>()?.as_bytes().to_vec())
}

/// Pickles the fields of a record whose dump is its `__dict__`; `None` if a value is of a type
/// that is left to Python.
pub fn fields(record: &Bound<'_, PyAny>, writer: &mut Writer) -> PyResult<Option<Vec<u8>>> {
    let dict = record.getattr(intern!(record.py(), "__dict__"))?.cast_into::<PyDict>()?;
    writer.clear();
    if !write_dict(&dict, writer)? {
        return Ok(None);
    }
    Ok(Some(writer.finish()?.to_vec()))
}

fn identity(object: &Bound<'_, PyAny>) -> usize {
    object.as_ptr() as usize
}

fn write_dict(dict: &Bound<'_, PyDict>, writer: &mut Writer) -> PyResult<bool> {
    if writer.begin_dict(dict.len(), UNSHARED)? {
        for (key, value) in dict {
            if !write(&key, writer)? || !write(&value, writer)? {
                return Ok(false);
            }
        }
        writer.end();
    }
    Ok(true)
}

/// Writes `value`; tells whether it could. Exact types only: a subclass may pickle differently.
fn write(value: &Bound<'_, PyAny>, writer: &mut Writer) -> PyResult<bool> {
    if let Ok(float) = value.cast_exact::<PyFloat>() {
        writer.float(float.value());
    } else if value.is_none() {
        writer.none();
    } else if let Ok(text) = value.cast_exact::<PyString>() {
        // Text with lone surrogates is no UTF-8: Python knows how to pickle it.
        let Ok(plain) = text.to_str() else { return Ok(false) };
        writer.text(plain, identity(value));
    } else if let Ok(bool) = value.cast_exact::<PyBool>() {
        writer.bool(bool.is_true());
    } else if value.is_exact_instance_of::<PyInt>() {
        let Ok(int) = value.extract::<i64>() else { return Ok(false) };
        writer.int(int);
    } else if let Ok(date_time) = value.cast::<PyDateTime>() {
        return write_date_time(date_time, writer);
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        return write_dict(dict, writer);
    } else if let Ok(list) = value.cast_exact::<PyList>() {
        if writer.begin_list(list.len(), UNSHARED)? {
            for item in list {
                if !write(&item, writer)? {
                    return Ok(false);
                }
            }
            writer.end();
        }
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        if writer.begin_tuple(tuple.len(), UNSHARED)? {
            for item in tuple {
                if !write(&item, writer)? {
                    return Ok(false);
                }
            }
            writer.end();
        }
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn write_date_time(value: &Bound<'_, PyDateTime>, writer: &mut Writer) -> PyResult<bool> {
    let py = value.py();
    let class = value.get_type();
    let (module, name) = if class.is(pydantic_date_time(py)?) {
        PYDANTIC_DATE_TIME
    } else if class.is(pendulum_date_time(py)?) {
        PENDULUM_DATE_TIME
    } else {
        return Ok(false);
    };
    let zone = value.getattr(intern!(py, "tzinfo"))?;
    let text: Bound<'_, PyString>;
    let described = if zone.get_type().is(timezone_class(py)?) {
        text = zone.getattr(intern!(py, "key"))?.cast_into()?;
        Zone::Timezone(text.to_str()?)
    } else if zone.get_type().is(fixed_timezone_class(py)?) {
        text = zone.getattr(intern!(py, "name"))?.cast_into()?;
        let seconds = zone.getattr(intern!(py, "offset"))?.extract()?;
        Zone::FixedTimezone { seconds, name: text.to_str()? }
    } else {
        return Ok(false);
    };
    let parts = DateTimeParts {
        module,
        name,
        year: u16::try_from(value.get_year()).unwrap_or_default(),
        month: value.get_month(),
        day: value.get_day(),
        hour: value.get_hour(),
        minute: value.get_minute(),
        second: value.get_second(),
        microsecond: value.get_microsecond(),
        fold: 0,
        zone: Some(described),
    };
    writer.date_time(&parts, identity(value.as_any()), identity(&zone))?;
    Ok(true)
}
