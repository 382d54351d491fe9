//! A backend written in Python, seen as a [`Store`].
//!
//! It only needs the methods of upstream's `DatabaseABC`: the dictionaries that tests use as
//! databases qualify. Its own exceptions pass through unchanged.

use std::ops::ControlFlow;
use std::path::Path;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::error::{Error, Result};
use crate::store::{
    Batch, Committed, KeyRange, METADATA_KEY, MetadataChange, Namespace, Order, Store, StoreStats,
};

/// The store that a Python object with the methods of `DatabaseABC` is.
pub struct PythonBackend {
    database: Py<PyAny>,
}

impl PythonBackend {
    /// The backend `database`.
    pub fn new(database: Py<PyAny>) -> Self {
        Self { database }
    }

    fn call<T>(
        &self,
        namespace: Namespace<'_>,
        work: impl FnOnce(&Bound<'_, PyAny>, &Bound<'_, PyDict>) -> PyResult<T>,
    ) -> Result<T> {
        Python::attach(|py| {
            let keywords = PyDict::new(py);
            keywords.set_item(intern!(py, "namespace"), namespace)?;
            work(self.database.bind(py), &keywords)
        })
        .map_err(|error: PyErr| Error::External(Box::new(error)))
    }
}

impl Store for PythonBackend {
    fn scan(
        &self,
        namespace: Namespace<'_>,
        range: KeyRange<'_>,
        order: Order,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        self.call(namespace, |database, keywords| {
            let py = database.py();
            let bound = |key: Option<&[u8]>| key.map(|key| PyBytes::new(py, key));
            keywords.set_item(intern!(py, "start_key"), bound(range.start))?;
            keywords.set_item(intern!(py, "end_key"), bound(range.end))?;
            keywords.set_item(intern!(py, "reverse"), order == Order::Descending)?;
            let rows = database.call_method(intern!(py, "iterate_records"), (), Some(keywords))?;
            for row in rows.try_iter()? {
                let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = row?.extract()?;
                let key = key.cast::<PyBytes>()?.as_bytes();
                if key == METADATA_KEY {
                    continue;
                }
                if visit(key, value.cast::<PyBytes>()?.as_bytes()).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn get(&self, namespace: Namespace<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut after = key.to_vec();
        after.push(0);
        let range = KeyRange { start: Some(key), end: Some(&after) };
        let mut found = None;
        self.scan(namespace, range, Order::Ascending, &mut |_, value| {
            found = Some(value.to_vec());
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn get_many(
        &self,
        namespace: Namespace<'_>,
        keys: &mut dyn Iterator<Item = [u8; 16]>,
        visit: &mut dyn FnMut(&[u8; 16], Option<&[u8]>) -> ControlFlow<()>,
    ) -> Result<()> {
        for key in keys {
            if visit(&key, self.get(namespace, &key)?.as_deref()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn contains(&self, namespace: Namespace<'_>, key: &[u8]) -> Result<bool> {
        Ok(self.get(namespace, key)?.is_some())
    }

    fn count(&self, namespace: Namespace<'_>, range: KeyRange<'_>) -> Result<u64> {
        self.call(namespace, |database, keywords| {
            let py = database.py();
            for (name, key) in [("start_key", range.start), ("end_key", range.end)] {
                keywords.set_item(name, key.map(|key| PyBytes::new(py, key)))?;
            }
            database.call_method(intern!(py, "count_records"), (), Some(keywords))?.extract()
        })
    }

    /// New rows first, then deletions, then metadata: whatever fails in between, nothing is lost
    /// and saving again ends in the same content.
    fn commit(&self, namespace: Namespace<'_>, batch: &Batch) -> Result<Committed> {
        self.call(namespace, |database, keywords| {
            let py = database.py();
            let mut committed = Committed::default();
            if !batch.puts.is_empty() {
                let rows = batch
                    .puts
                    .iter()
                    .map(|(key, value)| (PyBytes::new(py, key), PyBytes::new(py, value)));
                let rows = PyList::new(py, rows)?;
                database.call_method(intern!(py, "save_records"), (rows,), Some(keywords))?;
                committed.written = batch.puts.len();
            }
            if !batch.deletes.is_empty() {
                let keys = PyList::new(py, batch.deletes.iter().map(|key| PyBytes::new(py, key)))?;
                let deleted =
                    database.call_method(intern!(py, "delete_records"), (keys,), Some(keywords))?;
                committed.deleted = deleted.extract()?;
            }
            let metadata = match &batch.metadata {
                MetadataChange::Keep => return Ok(committed),
                MetadataChange::Put(metadata) => Some(PyBytes::new(py, metadata)),
                MetadataChange::Delete => None,
            };
            database.call_method(intern!(py, "set_metadata"), (metadata,), Some(keywords))?;
            Ok(committed)
        })
    }

    fn metadata(&self, namespace: Namespace<'_>) -> Result<Option<Vec<u8>>> {
        self.call(namespace, |database, keywords| {
            let py = database.py();
            database.call_method(intern!(py, "get_metadata"), (), Some(keywords))?.extract()
        })
    }

    fn namespaces(&self) -> Result<Vec<String>> {
        Err(Error::Invalid("a backend of this kind cannot list its namespaces".to_owned()))
    }

    /// Constant: what others do to a foreign backend cannot be noticed.
    fn generation(&self, _namespace: Namespace<'_>) -> Result<u64> {
        Ok(0)
    }

    fn reads_single_values_fast(&self) -> bool {
        false
    }

    fn stats(&self, namespace: Namespace<'_>) -> Result<StoreStats> {
        let entries = self.count(namespace, KeyRange::default())?;
        Ok(StoreStats { entries, ..StoreStats::default() })
    }

    fn sync(&self) -> Result<()> {
        self.call(None, |database, keywords| {
            database.call_method(intern!(database.py(), "flush"), (), Some(keywords)).map(drop)
        })
    }

    fn copy_to(&self, _target: &Path, _compact: bool) -> Result<()> {
        Err(Error::Invalid("a backend of this kind has no file to copy".to_owned()))
    }

    fn close(&self) {}

    fn is_open(&self) -> bool {
        true
    }
}
