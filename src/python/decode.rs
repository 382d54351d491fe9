//! Python objects from what a pickle describes.

use std::cell::RefCell;

use chrono::{Datelike, NaiveDate};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyByteArray, PyBytes, PyDateTime, PyDict, PyFrozenSet, PyInt, PyList, PySet, PyTuple, PyType,
};

use super::datetime::{in_zone, offset_of, second_of};
use super::offsets::{offset_on, seconds_to};
use crate::codec::{Call, DateTimeParts, Node, NodeId, NumpyScalar, Reader, Tree, Zone};
use crate::codec::{PENDULUM_DATE_TIME, PYDANTIC_DATE_TIME, safe_globals, zones};
use crate::error::Error;

thread_local! {
    static READER: RefCell<Reader> = RefCell::new(Reader::new());
}

/// Reads a pickle and hands what it describes to `work`.
pub fn with_tree<T>(pickle: &[u8], work: impl FnOnce(&Tree<'_>) -> PyResult<T>) -> PyResult<T> {
    // The reader is not borrowed while `work` runs: it may come back here.
    let tree = READER.with(|reader| reader.borrow_mut().read(pickle))?;
    let result = work(&tree);
    READER.with(|reader| reader.borrow_mut().reuse(tree));
    result
}

/// Return what a pickle of plain data describes; refuse it, unexecuted, if it names more.
#[pyfunction]
pub fn unpickle<'py>(py: Python<'py>, pickle: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    with_tree(pickle, |tree| {
        safe_globals::check(tree)?;
        Builder::new(py, tree).build(tree.root())
    })
}

/// Let stored values name the class or function `module.name`.
#[pyfunction]
pub fn register_type(module: &str, name: &str) {
    safe_globals::allow(module, name);
}

fn cached<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyAny>>,
    module: &str,
    name: &str,
) -> PyResult<&'py Bound<'py, PyAny>> {
    cell.get_or_try_init(py, || PyResult::Ok(py.import(module)?.getattr(name)?.unbind()))
        .map(|object| object.bind(py))
}

/// The class of pydantic's pendulum datetimes, which records of EOS hold.
pub fn pydantic_date_time(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    cached(py, &CLASS, PYDANTIC_DATE_TIME.0, PYDANTIC_DATE_TIME.1)
}

/// The class of pendulum's own datetimes.
pub fn pendulum_date_time(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    cached(py, &CLASS, PENDULUM_DATE_TIME.0, PENDULUM_DATE_TIME.1)
}

/// The class of pendulum's named zones.
pub fn timezone_class(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    cached(py, &CLASS, "pendulum.tz.timezone", "Timezone")
}

/// The class of pendulum's zones of one offset.
pub fn fixed_timezone_class(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    cached(py, &CLASS, "pendulum.tz.timezone", "FixedTimezone")
}

fn utc(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static UTC: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    cached(py, &UTC, "pendulum", "UTC")
}

/// How many zones are kept: more than there are, but not as many as a file may name.
const MOST_ZONES: usize = 1_024;

/// The zone object of a pendulum datetime, whose name is known from then on; `None` for the zones of other libraries.
pub fn zone<'py>(py: Python<'py>, zone: &Zone<'_>) -> PyResult<Option<Bound<'py, PyAny>>> {
    static KNOWN: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let known = KNOWN.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    let (key, class, arguments) = match *zone {
        Zone::Timezone(name) => {
            if let Some(zone) = known.get_item(name)? {
                return Ok(Some(zone));
            }
            (name.into_pyobject(py)?.into_any(), timezone_class(py)?, (name,).into_pyobject(py)?)
        }
        Zone::FixedTimezone { seconds, name } => {
            let key = (seconds, name).into_pyobject(py)?;
            if let Some(zone) = known.get_item(&key)? {
                return Ok(Some(zone));
            }
            (key.clone().into_any(), fixed_timezone_class(py)?, key)
        }
        Zone::ZoneInfo(_) | Zone::Utc | Zone::Offset { .. } => return Ok(None),
    };
    let made = class.call1(arguments)?;
    if known.len() >= MOST_ZONES {
        known.clear();
    }
    known.set_item(key, &made)?;
    if let Zone::Timezone(name) = zone {
        zones::know(name);
    }
    Ok(Some(made))
}

/// A datetime and its zone, `None` if it has none.
type InZone<'py> = (Bound<'py, PyAny>, Option<Bound<'py, PyAny>>);

/// The pendulum datetime that `parts` describe; `None` if they describe another class's.
fn pendulum_in_zone<'py>(
    py: Python<'py>,
    parts: &DateTimeParts<'_>,
) -> PyResult<Option<InZone<'py>>> {
    let class = match (parts.module, parts.name) {
        PYDANTIC_DATE_TIME => pydantic_date_time(py)?,
        PENDULUM_DATE_TIME => pendulum_date_time(py)?,
        _ => return Ok(None),
    };
    let zone = match &parts.zone {
        None => None,
        Some(described) => match zone(py, described)? {
            Some(zone) => Some(zone),
            None => return Ok(None),
        },
    };
    let arguments = (
        parts.year,
        parts.month,
        parts.day,
        parts.hour,
        parts.minute,
        parts.second,
        parts.microsecond,
        &zone,
    );
    Ok(Some((class.call1(arguments)?, zone)))
}

/// The pendulum datetime that `parts` describe; `None` if they describe another class's.
pub fn pendulum<'py>(
    py: Python<'py>,
    parts: &DateTimeParts<'_>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(pendulum_in_zone(py, parts)?.map(|(date_time, _)| date_time))
}

/// The pendulum datetime that `parts` describe, in the pass of a repeated hour and by the rules
/// that make it the second `time`; `None` if they describe another class's.
pub fn pendulum_at<'py>(
    py: Python<'py>,
    parts: &DateTimeParts<'_>,
    time: i64,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some((date_time, zone)) = pendulum_in_zone(py, parts)? else { return Ok(None) };
    let Some(zone) = zone else { return Ok(Some(date_time)) };
    let (day, second_of_day) = wall_clock(parts);
    let offset = match offset_on(&zone, day)? {
        Some(offset) => Some(offset),
        None => offset_of(&date_time)?,
    };
    match offset {
        Some(offset) if seconds_to(day) + second_of_day - offset != time => {
            at_second(date_time, time).map(Some)
        }
        _ => Ok(Some(date_time)),
    }
}

/// The day that a date is, counted from 0001-01-01 as 1, and the second of that day.
fn wall_clock(parts: &DateTimeParts<'_>) -> (i32, i64) {
    let day = NaiveDate::from_ymd_opt(parts.year.into(), parts.month.into(), parts.day.into());
    let [hour, minute, second] = [parts.hour, parts.minute, parts.second].map(i64::from);
    (day.map_or(0, |day| day.num_days_from_ce()), hour * 3600 + minute * 60 + second)
}

/// The datetime itself if it shows the second `time`, else the same zone's wall time at `time`.
///
/// The key holds the instant. A pickled pendulum datetime does not quite: it forgets which of the
/// two passes of a repeated hour it is in, and a zone's rules may have changed since.
pub fn at_second(date_time: Bound<'_, PyAny>, time: i64) -> PyResult<Bound<'_, PyAny>> {
    let py = date_time.py();
    let zone = date_time.getattr(intern!(py, "tzinfo"))?;
    if zone.is_none() || second_of(&date_time)? == time {
        return Ok(date_time);
    }
    let microsecond: u32 = date_time.getattr(intern!(py, "microsecond"))?.extract()?;
    in_zone(date_time.get_type().as_any(), time, microsecond, &zone)
}

/// Builds the objects of one tree, each once.
pub struct Builder<'t, 'py> {
    py: Python<'py>,
    tree: &'t Tree<'t>,
    built: Vec<Option<Bound<'py, PyAny>>>,
}

impl<'t, 'py> Builder<'t, 'py> {
    /// A builder for `tree`, which must have passed [`safe_globals::check`].
    pub fn new(py: Python<'py>, tree: &'t Tree<'t>) -> Self {
        Self { py, tree, built: vec![None; tree.len()] }
    }

    /// The object that the node `id` describes.
    pub fn build(&mut self, id: NodeId) -> PyResult<Bound<'py, PyAny>> {
        if let Some(object) = &self.built[id.index()] {
            return Ok(object.clone());
        }
        let object = self.build_new(id)?;
        self.built[id.index()] = Some(object.clone());
        Ok(object)
    }

    fn build_all(&mut self, ids: &[NodeId]) -> PyResult<Vec<Bound<'py, PyAny>>> {
        ids.iter().map(|id| self.build(*id)).collect()
    }

    fn build_new(&mut self, id: NodeId) -> PyResult<Bound<'py, PyAny>> {
        let (py, tree) = (self.py, self.tree);
        Ok(match tree.node(id) {
            Node::None => py.None().into_bound(py),
            Node::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
            Node::Int(value) => value.into_pyobject(py)?.into_any(),
            Node::BigInt(bytes) => {
                let keywords = PyDict::new(py);
                keywords.set_item("signed", true)?;
                py.get_type::<PyInt>().call_method(
                    "from_bytes",
                    (PyBytes::new(py, bytes), "little"),
                    Some(&keywords),
                )?
            }
            Node::Float(value) => value.into_pyobject(py)?.into_any(),
            Node::Str(text) => text.into_pyobject(py)?.into_any(),
            Node::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
            Node::ByteArray(bytes) => PyByteArray::new(py, bytes).into_any(),
            Node::List(items) => PyList::new(py, self.build_all(items)?)?.into_any(),
            Node::Tuple(items) => PyTuple::new(py, self.build_all(items)?)?.into_any(),
            Node::Dict(pairs) => {
                let dict = PyDict::new(py);
                for [key, value] in pairs {
                    dict.set_item(self.build(*key)?, self.build(*value)?)?;
                }
                dict.into_any()
            }
            Node::Set(items) => PySet::new(py, self.build_all(items)?)?.into_any(),
            Node::FrozenSet(items) => PyFrozenSet::new(py, self.build_all(items)?)?.into_any(),
            Node::Global { module, name } => import(py, module, name)?,
            Node::Call(call) => self.build_call(id, &call)?,
        })
    }

    fn build_call(&mut self, id: NodeId, call: &Call<'t>) -> PyResult<Bound<'py, PyAny>> {
        let (py, tree) = (self.py, self.tree);
        if let Some(parts) = tree.date_time(id)
            && let Some(date_time) = pendulum(py, &parts)?
        {
            return Ok(date_time);
        }
        if let Some(scalar) = tree.numpy_scalar(id) {
            return numpy_scalar(py, scalar);
        }
        let callable = self.build(call.callable)?;
        let arguments = self.build(call.args)?.cast_into::<PyTuple>()?;
        let keywords = call.kwargs.map(|kwargs| self.build(kwargs)).transpose()?;
        let keywords = keywords.map(Bound::cast_into::<PyDict>).transpose()?;
        let object = if call.new {
            let class = callable.cast_into::<PyType>()?;
            let mut with_class = vec![class.clone().into_any()];
            with_class.extend(arguments.iter());
            let arguments = PyTuple::new(py, with_class)?;
            class.call_method(intern!(py, "__new__"), arguments, keywords.as_ref())?
        } else {
            callable.call(arguments, keywords.as_ref())?
        };
        for [key, value] in call.items {
            object.set_item(self.build(*key)?, self.build(*value)?)?;
        }
        if !call.elements.is_empty() {
            let elements = self.build_all(call.elements)?;
            object.call_method1(intern!(py, "extend"), (elements,))?;
        }
        if let Some(state) = call.state {
            let state = self.build(state)?;
            set_state(&object, &state)?;
        }
        Ok(object)
    }
}

/// Gives an object its pickled state, as Python's unpickler does.
fn set_state(object: &Bound<'_, PyAny>, state: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = object.py();
    if let Some(set) = object.getattr_opt(intern!(py, "__setstate__"))? {
        set.call1((state,))?;
        return Ok(());
    }
    let (attributes, slots) = match state.cast::<PyTuple>() {
        Ok(pair) if pair.len() == 2 => (pair.get_item(0)?, Some(pair.get_item(1)?)),
        _ => (state.clone(), None),
    };
    if !attributes.is_none() {
        let dict = object.getattr(intern!(py, "__dict__"))?;
        dict.call_method1(intern!(py, "update"), (attributes,))?;
    }
    if let Some(slots) = slots.filter(|slots| !slots.is_none()) {
        let slots = slots.cast_into::<PyDict>()?;
        for (name, value) in slots {
            object.setattr(name.cast_into::<pyo3::types::PyString>()?, value)?;
        }
    }
    Ok(())
}

fn import<'py>(py: Python<'py>, module: &str, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let mut object = py.import(module)?.into_any();
    for part in name.split('.') {
        object = object.getattr(part)?;
    }
    Ok(object)
}

/// The `NumPy` scalar as an object.
pub fn numpy_scalar(py: Python<'_>, scalar: NumpyScalar) -> PyResult<Bound<'_, PyAny>> {
    let numpy = py.import("numpy")?;
    match scalar {
        NumpyScalar::Bool(value) => numpy.getattr("bool_")?.call1((value,)),
        NumpyScalar::I8(value) => numpy.getattr("int8")?.call1((value,)),
        NumpyScalar::I16(value) => numpy.getattr("int16")?.call1((value,)),
        NumpyScalar::I32(value) => numpy.getattr("int32")?.call1((value,)),
        NumpyScalar::I64(value) => numpy.getattr("int64")?.call1((value,)),
        NumpyScalar::U8(value) => numpy.getattr("uint8")?.call1((value,)),
        NumpyScalar::U16(value) => numpy.getattr("uint16")?.call1((value,)),
        NumpyScalar::U32(value) => numpy.getattr("uint32")?.call1((value,)),
        NumpyScalar::U64(value) => numpy.getattr("uint64")?.call1((value,)),
        NumpyScalar::F16(_) => numpy.getattr("float16")?.call1((scalar.as_f64(),)),
        NumpyScalar::F32(value) => numpy.getattr("float32")?.call1((value,)),
        NumpyScalar::F64(value) => numpy.getattr("float64")?.call1((value,)),
    }
}

/// The fields of a record as Python objects, with the datetime that its key tells.
pub fn fields<'py>(py: Python<'py>, tree: &Tree<'_>, time: i64) -> PyResult<Bound<'py, PyDict>> {
    safe_globals::check(tree)?;
    let fields = Builder::new(py, tree).build(tree.root())?;
    let Ok(fields) = fields.cast_into::<PyDict>() else {
        return Err(Error::Decode("the value is no dictionary of fields".to_owned()).into());
    };
    let date_time = match fields.get_item(intern!(py, "date_time"))? {
        Some(date_time)
            if date_time
                .cast::<PyDateTime>()
                .is_ok_and(|time| matches!(offset_of(time), Ok(Some(_)))) =>
        {
            at_second(date_time, time)?
        }
        // Without an instant of its own a record has that of its key.
        _ => in_zone(pydantic_date_time(py)?, time, 0, utc(py)?)?,
    };
    fields.set_item(intern!(py, "date_time"), date_time)?;
    if fields.keys().iter().any(|key| !key.is_instance_of::<pyo3::types::PyString>()) {
        return Err(PyTypeError::new_err("the value has a field whose name is no text"));
    }
    Ok(fields)
}
