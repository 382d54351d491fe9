//! Metadata between Python dictionaries and bytes.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};

use super::errors::exception;
use crate::codec::metadata::{self, Metadata, MetadataValue};

/// Read metadata: a pickled dictionary of plain values. Nothing in it is executed.
#[pyfunction]
pub fn read_metadata<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in metadata::read(data)? {
        match value {
            MetadataValue::None => dict.set_item(key, py.None())?,
            MetadataValue::Bool(value) => dict.set_item(key, value)?,
            MetadataValue::Int(value) => dict.set_item(key, value)?,
            MetadataValue::Float(value) => dict.set_item(key, value)?,
            MetadataValue::Str(value) => dict.set_item(key, value)?,
        }
    }
    Ok(dict)
}

/// Write metadata as a pickle that any Python reads.
#[pyfunction]
pub fn write_metadata(metadata: &Bound<'_, PyDict>) -> PyResult<Vec<u8>> {
    let mut plain = Metadata::new();
    for (key, value) in metadata {
        let key: String = key.extract()?;
        let value = if value.is_none() {
            MetadataValue::None
        } else if let Ok(value) = value.cast::<PyBool>() {
            MetadataValue::Bool(value.is_true())
        } else if value.is_instance_of::<PyInt>() {
            MetadataValue::Int(value.extract()?)
        } else if value.is_instance_of::<PyFloat>() {
            MetadataValue::Float(value.extract()?)
        } else if let Ok(value) = value.cast::<PyString>() {
            MetadataValue::Str(value.to_cow()?.into_owned())
        } else {
            return Err(exception(
                metadata.py(),
                "ArgumentTypeError",
                format!("metadata {key:?} is {value:?}: only plain values can be kept there"),
            ));
        };
        plain.insert(key, value);
    }
    Ok(metadata::write(&plain)?)
}
