//! `_core.RecordClass`: how records are made from rows and rows from records.
//!
//! Validation makes any record of any class, and `model_dump` with `pickle` writes any. For the
//! classes whose fields are plain, both are known to change nothing, and are passed by: what such
//! a class validates it stores as it is, and what it stores would validate to itself. Each value
//! is held against its field first; one that does not fit takes the general way.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PySet, PyString};

use super::cells::zone_object;
use super::datetime::{in_zone, second_of};
use super::decode::{self, with_tree};
use super::encode;
use super::errors::exception;
use super::state::{Binding, Shared};
use super::turns::{TURN, yield_to_others};
use crate::codec::gzip::MAX_DECODED;
use crate::codec::pickle_write::Writer;
use crate::codec::{Node, NodeId, Tree, safe_globals};
use crate::series::{Place, Shape, ZoneName};
use crate::timestamp::Timestamp;

/// The way from rows to records of one class, and back.
#[pyclass(frozen, module = "eosdb._core")]
pub struct RecordClass {
    class: Py<PyAny>,
    /// The fields in their order, if all of them are plain.
    shape: Option<Arc<Shape>>,
    /// The names of these fields in their order, interned.
    fields: Vec<Py<PyString>>,
    /// The names of these fields; each record gets a copy, as pydantic gives it.
    names: Py<PySet>,
    /// Whether a record's private attributes are set by its `model_post_init`.
    initializes: bool,
}

/// Up to this length, in bytes, plain records can be read whatever they hold.
const SURELY_READABLE: usize = 16 << 10;

#[pymethods]
impl RecordClass {
    /// A record class with the fields `(name, kinds)`, or None if they are not all plain;
    /// `initializes` tells whether its `model_post_init` sets private attributes, and `zone` names
    /// the time zone that its validators bring every time to, if they do.
    #[new]
    #[pyo3(signature = (class, fields, *, initializes, zone))]
    fn new(
        py: Python<'_>,
        class: Py<PyAny>,
        fields: Option<Vec<(String, u32)>>,
        initializes: bool,
        zone: Option<String>,
    ) -> PyResult<Self> {
        let fields_of = |shape: &Shape| -> Vec<_> {
            shape.names().map(|name| PyString::intern(py, name).unbind()).collect()
        };
        let shape = fields.map(|fields| Arc::new(Shape::new(fields, zone)));
        let fields = shape.as_deref().map(fields_of).unwrap_or_default();
        let names = PySet::new(py, fields.iter().map(|name| name.bind(py)))?.unbind();
        Ok(Self { class, shape, fields, names, initializes })
    }

    /// A record class whose records are dictionaries with any fields; `zone` as for the others.
    #[staticmethod]
    fn of_dictionaries(py: Python<'_>, class: Py<PyAny>, zone: Option<String>) -> PyResult<Self> {
        Ok(Self {
            class,
            shape: Some(Arc::new(Shape::any(zone))),
            fields: Vec::new(),
            names: PySet::empty(py)?.unbind(),
            initializes: false,
        })
    }

    /// Return the record that a pickle describes, at the second `time`.
    fn read(&self, py: Python<'_>, time: i64, pickle: &[u8]) -> PyResult<Py<PyAny>> {
        self.decode(py, time, pickle)
    }

    /// Return the pickle of a record.
    fn write<'py>(&self, record: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let pickle = self.encode(record, &mut Writer::new())?;
        Ok(PyBytes::new(record.py(), &pickle))
    }
}

impl RecordClass {
    /// The record class of a sequence.
    pub fn of(sequence: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        let py = sequence.py();
        let class = sequence.call_method0(intern!(py, "record_class"))?;
        let record_class = py.import("eosdb.record_class")?.getattr("record_class_of")?;
        Ok(record_class.call1((class,))?.cast_into::<Self>()?.unbind())
    }

    /// The record that `pickle` describes, at the second `time`.
    pub fn decode(&self, py: Python<'_>, time: i64, pickle: &[u8]) -> PyResult<Py<PyAny>> {
        with_tree(pickle, |tree| {
            if let Some(shape) = &self.shape
                && !shape.is_any()
                && let Some(values) = self.plain_values(py, shape, tree, time)?
            {
                return self.assemble(py, &values).map(Bound::unbind);
            }
            let values = decode::fields(py, tree, time)?;
            Ok(self.class.bind(py).call((), Some(&values))?.unbind())
        })
    }

    /// A record of the class with these `fields`, validated.
    pub fn make(&self, py: Python<'_>, fields: &Bound<'_, PyDict>) -> PyResult<Py<PyAny>> {
        Ok(self.class.bind(py).call((), Some(fields))?.unbind())
    }

    /// The values of a record by field, if each is of a kind that its field stores as it is.
    fn plain_values<'py>(
        &self,
        py: Python<'py>,
        shape: &Shape,
        tree: &Tree<'_>,
        time: i64,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let mut ids = Vec::with_capacity(self.fields.len());
        if !shape.values(tree, &mut ids)? {
            return Ok(None);
        }
        let values = PyDict::new(py);
        for (name, id) in self.fields.iter().zip(ids) {
            let Some(value) = plain_value(py, tree, id, time, shape.zone())? else {
                return Ok(None);
            };
            values.set_item(name.bind(py), value)?;
        }
        Ok(Some(values))
    }

    /// The value of the field at `field` in a stored record, if the record is plain.
    pub fn plain_value_of<'py>(
        &self,
        py: Python<'py>,
        time: i64,
        pickle: &[u8],
        field: usize,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(shape) = &self.shape else { return Ok(None) };
        with_tree(pickle, |tree| {
            let mut ids = Vec::with_capacity(self.fields.len());
            match shape.values(tree, &mut ids)?.then(|| ids.get(field)).flatten() {
                Some(id) => plain_value(py, tree, *id, time, shape.zone()),
                None => Ok(None),
            }
        })
    }

    /// Where plain records have the value of `key`. `None` if that is not known: what is neither a
    /// field nor configured may be a property.
    pub fn place(&self, py: Python<'_>, key: &str) -> PyResult<Option<Place>> {
        let place = self.shape.as_ref().and_then(|shape| shape.place(key));
        if !matches!(place, Some(Place::Configured(_))) {
            return Ok(place);
        }
        let class = self.class.bind(py);
        let Some(configured) = class.getattr_opt(intern!(py, "configured_data_keys"))? else {
            return Ok(None);
        };
        let configured = configured.call0()?;
        let known = !configured.is_none() && configured.contains(key)?;
        Ok(place.filter(|_| known || !class.hasattr(key).unwrap_or(true)))
    }

    /// The fields, if all of them are plain.
    pub fn shape(&self) -> Option<&Arc<Shape>> {
        self.shape.as_ref()
    }

    /// Tells whether `record` is of this class and all its fields are plain.
    pub fn is_plain(&self, record: &Bound<'_, PyAny>) -> bool {
        self.shape.as_ref().is_some_and(|shape| !shape.is_any())
            && record.get_type().is(&self.class)
    }

    /// A pydantic model with these values, as validating them would make it.
    fn assemble<'py>(
        &self,
        py: Python<'py>,
        values: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        static SET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let set = SET.get_or_try_init(py, || {
            let object = py.import("builtins")?.getattr("object")?;
            PyResult::Ok(object.getattr("__setattr__")?.unbind())
        })?;
        let set = set.bind(py);
        let class = self.class.bind(py);
        let record = class.call_method1(intern!(py, "__new__"), (class,))?;
        let names = self.names.bind(py).call_method0(intern!(py, "copy"))?;
        set.call1((&record, intern!(py, "__dict__"), values))?;
        set.call1((&record, intern!(py, "__pydantic_fields_set__"), names))?;
        set.call1((&record, intern!(py, "__pydantic_extra__"), py.None()))?;
        set.call1((&record, intern!(py, "__pydantic_private__"), py.None()))?;
        if self.initializes {
            record.call_method1(intern!(py, "model_post_init"), (py.None(),))?;
        }
        Ok(record)
    }

    /// The pickle of `record`.
    pub fn encode(&self, record: &Bound<'_, PyAny>, writer: &mut Writer) -> PyResult<Vec<u8>> {
        let plain = if self.is_plain(record) { encode::fields(record, writer)? } else { None };
        let is_plain = plain.is_some();
        let pickle = plain.map_or_else(|| encode::dump(record), Ok)?;
        // In so few bytes no text can repeat so often that reading would refuse it.
        if is_plain && pickle.len() < SURELY_READABLE {
            return Ok(pickle);
        }
        // What reading would refuse must not be written.
        with_tree(&pickle, |tree| Ok(safe_globals::check(tree)?)).map_err(|error| {
            let cause = error.value(record.py()).to_string();
            let message = format!("{record:?} cannot be stored: {cause}");
            exception(record.py(), "InvalidArgumentError", message)
        })?;
        Ok(pickle)
    }

    /// The pickles of the records, each with the second of its row.
    pub fn encode_all(
        &self,
        py: Python<'_>,
        records: &[(i64, Shared)],
    ) -> PyResult<Vec<(i64, Vec<u8>)>> {
        let mut writer = Writer::new();
        let mut pickles = Vec::with_capacity(records.len());
        for (count, (time, record)) in records.iter().enumerate() {
            if count % TURN == TURN - 1 {
                yield_to_others(py)?;
            }
            let record = record.bind(py);
            let date_time = record.getattr(intern!(py, "date_time"))?;
            if second_of(&date_time)? != *time {
                return Err(exception(
                    py,
                    "InvalidArgumentError",
                    format!(
                        "the record at {} was given the date_time {date_time}: set it back, or \
                         delete the record and insert it at its new time",
                        Timestamp::from_seconds(*time)?
                    ),
                ));
            }
            let pickle = self.encode(record, &mut writer)?;
            if pickle.len() > MAX_DECODED {
                return Err(exception(
                    py,
                    "InvalidArgumentError",
                    format!(
                        "the record at {} cannot be stored: it takes {} bytes, and a value may \
                         take {MAX_DECODED}",
                        Timestamp::from_seconds(*time)?,
                        pickle.len()
                    ),
                ));
            }
            pickles.push((*time, pickle));
        }
        Ok(pickles)
    }
}

/// The stored bytes of a row as the pickle they hold; the database may have its own way.
pub fn unpack(py: Python<'_>, binding: &Binding, stored: &[u8]) -> PyResult<Vec<u8>> {
    let database = binding.database.bind(py);
    let stored = PyBytes::new(py, stored);
    let pickle = database.call_method1(intern!(py, "deserialize_data"), (stored,))?;
    Ok(pickle.cast::<PyBytes>()?.as_bytes().to_vec())
}

/// The object of a plain value, which fits its field.
fn plain_value<'py>(
    py: Python<'py>,
    tree: &Tree<'_>,
    id: NodeId,
    time: i64,
    zone: Option<&Arc<ZoneName>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(match tree.node(id) {
        Node::Float(value) => Some(value.into_pyobject(py)?.into_any()),
        Node::None => Some(py.None().into_bound(py)),
        Node::Int(value) => Some(value.into_pyobject(py)?.into_any()),
        Node::Str(text) => Some(text.into_pyobject(py)?.into_any()),
        Node::Bool(value) => Some(value.into_pyobject(py)?.to_owned().into_any()),
        Node::Dict(pairs) => plain_dict(py, tree, pairs)?,
        Node::Call(_) => match (tree.date_time(id), tree.numpy_scalar(id)) {
            (Some(parts), _) => match zone {
                None => decode::pendulum_at(py, &parts, time)?,
                Some(zone) => {
                    let (class, zone) = (decode::pydantic_date_time(py)?, zone_object(py, zone)?);
                    Some(in_zone(class, time, parts.microsecond, &zone)?)
                }
            },
            (None, Some(scalar)) => Some(decode::numpy_scalar(py, scalar)?),
            (None, None) => None,
        },
        _ => None,
    })
}

/// A dictionary of scalars by name, as configured data are.
fn plain_dict<'py>(
    py: Python<'py>,
    tree: &Tree<'_>,
    pairs: &[[NodeId; 2]],
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let dict = PyDict::new(py);
    for [key, value] in pairs {
        let Node::Str(key) = tree.node(*key) else { return Ok(None) };
        let Some(value) = plain_value(py, tree, *value, 0, None)? else { return Ok(None) };
        dict.set_item(PyString::intern(py, key), value)?;
    }
    Ok(Some(dict.into_any()))
}
