//! What a database holds, value by value, for Python.
#![expect(clippy::needless_pass_by_value, reason = "arguments are extracted from Python owned")]

use std::collections::BTreeSet;

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::decode::{Builder, with_tree};
use super::enter::{is_native, store_of};
use crate::codec::safe_globals;
use crate::inspect;
use crate::store::KeyRange;

/// How many rows were looked at, the generation before that, where to go on, what is damaged.
type Found<'py> = (usize, u64, Option<Bound<'py, PyBytes>>, Vec<(Bound<'py, PyBytes>, String)>);

/// Look at the rows of a namespace from a key on, as many as make a piece.
#[pyfunction]
pub fn inspect_records<'py>(
    database: &Bound<'py, PyAny>,
    namespace: Option<&str>,
    start: Option<&[u8]>,
) -> PyResult<Found<'py>> {
    let py = database.py();
    let store = store_of(database)?;
    let foreign = !is_native(database)?;
    let found = py.detach(|| inspect::inspect(&*store, namespace, start, foreign))?;
    let mut damaged = found.damaged;
    for (key, value) in found.undecided {
        match make(database, &value, foreign) {
            Ok(()) => {}
            Err(error) if error.is_instance_of::<PyException>(py) => {
                damaged.push((key, error.value(py).to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    damaged.sort_unstable();
    let key = |key: &Vec<u8>| PyBytes::new(py, key);
    let next = found.next.as_ref().map(key);
    let damaged = damaged.iter().map(|(damaged, cause)| (key(damaged), cause.clone())).collect();
    Ok((found.rows, found.generation, next, damaged))
}

/// Some names of values, and the key from which on to look for more.
type Names<'py> = (BTreeSet<String>, Option<Bound<'py, PyBytes>>);

/// Return the names of the values in the first records of `[start, end)`, sorted, and the key of
/// the record behind those that were looked at.
#[pyfunction]
pub fn names_in_records<'py>(
    database: &Bound<'py, PyAny>,
    namespace: Option<&str>,
    start: Option<&[u8]>,
    end: Option<&[u8]>,
) -> PyResult<Names<'py>> {
    let py = database.py();
    let store = store_of(database)?;
    let range = KeyRange { start, end };
    let (names, next) = py.detach(|| inspect::names(&*store, namespace, range))?;
    Ok((names, next.map(|key| PyBytes::new(py, &key))))
}

/// Makes what a record's value holds; `foreign` tells that its database knows its form.
fn make(database: &Bound<'_, PyAny>, value: &[u8], foreign: bool) -> PyResult<()> {
    let py = database.py();
    let pickle = if foreign {
        database.call_method1(intern!(py, "deserialize_data"), (PyBytes::new(py, value),))?
    } else {
        PyBytes::new(py, value).into_any()
    };
    with_tree(pickle.extract()?, |tree| {
        safe_globals::check(tree)?;
        tree.fields().map(drop)?;
        Builder::new(py, tree).build(tree.root()).map(drop)
    })
}

/// Return why the metadata of a namespace cannot be read, `None` if they can or there are none.
#[pyfunction]
pub fn inspect_metadata(
    database: &Bound<'_, PyAny>,
    namespace: Option<&str>,
) -> PyResult<Option<String>> {
    let store = store_of(database)?;
    Ok(database.py().detach(|| inspect::inspect_metadata(&*store, namespace))?)
}

/// Move values, and the metadata if `with_metadata`, into the quarantine; return how many.
#[pyfunction]
pub fn quarantine(
    database: &Bound<'_, PyAny>,
    namespace: Option<&str>,
    keys: Vec<Vec<u8>>,
    with_metadata: bool,
    generation: u64,
) -> PyResult<usize> {
    let store = store_of(database)?;
    Ok(database
        .py()
        .detach(|| inspect::quarantine(&*store, namespace, &keys, with_metadata, generation))?)
}
