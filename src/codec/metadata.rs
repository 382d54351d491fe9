//! The small dictionary that describes a namespace: a pickle of plain values under text keys.

use std::collections::BTreeMap;

use serde_pickle::{HashableValue, SerOptions, Value};

use super::pickle_read;
use super::tree::Node;
use crate::error::{Error, Result};

/// A namespace's metadata, by key.
pub type Metadata = BTreeMap<String, MetadataValue>;

/// One value of a namespace's metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataValue {
    /// `None`.
    None,
    /// A `bool`.
    Bool(bool),
    /// An `int` of up to 64 bits.
    Int(i64),
    /// A `float`.
    Float(f64),
    /// A `str`.
    Str(String),
}

/// Reads metadata as Python pickled it.
///
/// This takes the same reader as records do: serde-pickle follows references by copying and
/// nesting by recursion, so a hostile pickle of some hundred bytes could exhaust the memory or the
/// stack.
///
/// # Errors
/// [`Error::Decode`] if the bytes are no pickle, no dictionary with text keys, or hold a value that
/// is not plain. Nothing is executed.
pub fn read(pickle: &[u8]) -> Result<Metadata> {
    let tree = pickle_read::read(pickle)?;
    tree.fields()?
        .map(|(key, id)| {
            let value = match tree.node(id) {
                Node::None => MetadataValue::None,
                Node::Bool(value) => MetadataValue::Bool(value),
                Node::Int(value) => MetadataValue::Int(value),
                Node::Float(value) => MetadataValue::Float(value),
                Node::Str(value) => MetadataValue::Str(value.to_owned()),
                _ => {
                    return Err(Error::Decode(format!(
                        "the metadata's {key:?} is no text, number, boolean or None"
                    )));
                }
            };
            Ok((key.to_owned(), value))
        })
        .collect()
}

/// Writes metadata as a pickle that Python loads.
///
/// # Errors
/// [`Error::Encode`] if the pickle cannot be written.
pub fn write(metadata: &Metadata) -> Result<Vec<u8>> {
    let pairs = metadata.iter().map(|(key, value)| {
        let value = match value {
            MetadataValue::None => Value::None,
            MetadataValue::Bool(value) => Value::Bool(*value),
            MetadataValue::Int(value) => Value::I64(*value),
            MetadataValue::Float(value) => Value::F64(*value),
            MetadataValue::Str(value) => Value::String(value.clone()),
        };
        (HashableValue::String(key.clone()), value)
    });
    serde_pickle::value_to_vec(&Value::Dict(pairs.collect()), SerOptions::new())
        .map_err(|error| Error::Encode(format!("the metadata cannot be pickled: {error}")))
}
