//! `_core.Store`: a native store, method by method.
#![expect(clippy::needless_pass_by_value, reason = "arguments are extracted from Python owned")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::turns::{TURN, yield_to_others};
use crate::codec::gzip;
use crate::error::{Error, Result};
use crate::store::{
    Batch, Durability, KeyRange, LmdbOptions, LmdbStore, MemoryStore, MetadataChange, Order,
    Salvage, SqliteOptions, SqliteStore, Store as CoreStore, network_file_system, salvage,
};

type Pair = (Vec<u8>, Vec<u8>);

/// What was saved, by namespace, and what was lost.
type Saved = (BTreeMap<Option<String>, u64>, Vec<(usize, String)>);

/// Where something lies that belongs to no namespace, and what it is.
type ForeignRow<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, String);

/// A store of the core: namespaces of ordered keys and values.
#[pyclass(frozen, module = "eosdb._core")]
pub struct Store {
    inner: Arc<dyn CoreStore>,
    read_only: bool,
    is_none: bool,
}

impl Store {
    /// The store `store`, for Python.
    pub fn new(store: Arc<dyn CoreStore>, read_only: bool) -> Self {
        Self { inner: store, read_only, is_none: false }
    }

    /// Whether the store stands for none, which has no namespaces either.
    pub fn is_none(&self) -> bool {
        self.is_none
    }

    /// The store itself.
    pub fn inner(&self) -> &Arc<dyn CoreStore> {
        &self.inner
    }

    /// Whether the store refuses changes.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }
}

fn saved(salvage: Salvage) -> Saved {
    (salvage.records, salvage.damage.into_iter().map(|place| (place.page, place.cause)).collect())
}

/// The durability that Python calls `name`.
///
/// # Errors
/// [`Error::Invalid`] where there is none.
pub fn durability_named(name: &str) -> Result<Durability> {
    match name {
        "commit" => Ok(Durability::Commit),
        "interval" => Ok(Durability::Interval),
        "none" => Ok(Durability::None),
        other => Err(Error::Invalid(format!(
            "durability {other:?} is unknown: use 'commit', 'interval' or 'none'"
        ))),
    }
}

/// A duration of `seconds`, as long as SQLite can wait.
fn seconds(seconds: f64) -> Result<Duration> {
    let most = Duration::from_millis(i32::MAX.unsigned_abs().into());
    let refused =
        || Error::Invalid(format!("timeout must be a number of seconds from 0 on, not {seconds}"));
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| refused())?;
    Ok(duration.min(most))
}

fn range<'a>(start: Option<&'a [u8]>, end: Option<&'a [u8]>) -> KeyRange<'a> {
    KeyRange { start, end }
}

#[pymethods]
impl Store {
    /// Open the LMDB environment in the directory `path`, creating it unless `read_only`.
    #[staticmethod]
    fn lmdb(
        py: Python<'_>,
        path: PathBuf,
        max_map_size: u64,
        durability: &str,
        read_only: bool,
    ) -> PyResult<Self> {
        let durability = durability_named(durability)?;
        let options = LmdbOptions { max_map_size, durability, read_only };
        let store = py.detach(|| LmdbStore::open(&path, options))?;
        Ok(Self::new(store, read_only))
    }

    /// Tell whether this process has the LMDB environment in the directory `path` open.
    #[staticmethod]
    fn lmdb_is_open(py: Python<'_>, path: PathBuf) -> bool {
        py.detach(|| LmdbStore::is_open_here(&path))
    }

    /// Return the name of the file system of `path` if other machines may use it too.
    #[staticmethod]
    fn network_file_system(py: Python<'_>, path: PathBuf) -> Option<&'static str> {
        py.detach(|| network_file_system(&path))
    }

    /// List the damaged places of the LMDB file in the directory `path`: page and cause.
    #[staticmethod]
    fn lmdb_damage(py: Python<'_>, path: PathBuf) -> PyResult<Vec<(usize, String)>> {
        let options = LmdbOptions { read_only: true, ..LmdbOptions::default() };
        let damage = py.detach(|| LmdbStore::damage(&path, options))?;
        Ok(damage.into_iter().map(|damage| (damage.page, damage.cause)).collect())
    }

    /// Write what can be read of the damaged LMDB file in `source` into the directory `target`.
    ///
    /// Return how many records each namespace has there, and what was lost: page and cause.
    #[staticmethod]
    fn lmdb_salvage(py: Python<'_>, source: PathBuf, target: PathBuf) -> PyResult<Saved> {
        Ok(saved(py.detach(|| salvage(&source, &target))?))
    }

    /// Open the SQLite file in the directory `path`, creating it unless `read_only`. `timeout` is
    /// for how many seconds a commit waits for others.
    #[staticmethod]
    fn sqlite(
        py: Python<'_>,
        path: PathBuf,
        durability: &str,
        read_only: bool,
        timeout: f64,
    ) -> PyResult<Self> {
        let durability = durability_named(durability)?;
        let options = SqliteOptions { durability, read_only, busy_timeout: seconds(timeout)? };
        let store = py.detach(|| SqliteStore::open(&path, options))?;
        Ok(Self::new(store, read_only))
    }

    /// Tell whether `file` is an SQLite file.
    #[staticmethod]
    fn sqlite_is_database(py: Python<'_>, file: PathBuf) -> bool {
        py.detach(|| SqliteStore::is_database(&file))
    }

    /// List the damaged places of the SQLite file in the directory `path`: page, 0 where it is not
    /// known, and cause.
    #[staticmethod]
    fn sqlite_damage(py: Python<'_>, path: PathBuf) -> PyResult<Vec<(usize, String)>> {
        let damage = py.detach(|| SqliteStore::damage(&path))?;
        Ok(damage.into_iter().map(|damage| (damage.page, damage.cause)).collect())
    }

    /// Write what can be read of the damaged SQLite file in `source` into the directory `target`.
    ///
    /// Return how many records each namespace has there, and what was lost: page and cause.
    #[staticmethod]
    fn sqlite_salvage(py: Python<'_>, source: PathBuf, target: PathBuf) -> PyResult<Saved> {
        Ok(saved(py.detach(|| SqliteStore::salvage(&source, &target))?))
    }

    /// Write the SQLite file in the directory `path` anew, without free pages.
    #[staticmethod]
    fn sqlite_compact(py: Python<'_>, path: PathBuf, timeout: f64) -> PyResult<()> {
        let options = SqliteOptions { busy_timeout: seconds(timeout)?, ..SqliteOptions::default() };
        Ok(py.detach(|| SqliteStore::compact(&path, options))?)
    }

    /// Make an empty store in memory.
    #[staticmethod]
    fn memory() -> Self {
        Self::new(Arc::new(MemoryStore::default()), false)
    }

    /// Make an empty store that stands for none: what another one had is forgotten for it.
    #[staticmethod]
    fn none() -> Self {
        Self { is_none: true, ..Self::memory() }
    }

    /// Whether the store is open.
    #[getter]
    fn is_open(&self) -> bool {
        self.inner.is_open()
    }

    /// Whether the store refuses changes.
    #[getter]
    fn read_only(&self) -> bool {
        self.read_only
    }

    /// Close the store; closing twice is no error.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.inner.close());
    }

    /// Bring everything committed so far to disk.
    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.inner.sync())?)
    }

    /// Write `records` in one transaction; return how many. Their keys must be timestamps unless
    /// `any_keys`.
    fn save(
        &self,
        py: Python<'_>,
        namespace: Option<&str>,
        records: Vec<Pair>,
        any_keys: bool,
    ) -> PyResult<usize> {
        let batch = Batch { puts: records, any_keys, ..Batch::default() };
        Ok(py.detach(|| self.inner.commit(namespace, &batch))?.written)
    }

    /// Delete `keys` in one transaction; return how many existed.
    fn delete(
        &self,
        py: Python<'_>,
        namespace: Option<&str>,
        keys: Vec<Vec<u8>>,
    ) -> PyResult<usize> {
        let batch = Batch { deletes: keys.into(), ..Batch::default() };
        Ok(py.detach(|| self.inner.commit(namespace, &batch))?.deleted)
    }

    /// Replace the namespace's metadata; `None` deletes it.
    fn set_metadata(
        &self,
        py: Python<'_>,
        namespace: Option<&str>,
        metadata: Option<Vec<u8>>,
    ) -> PyResult<()> {
        let metadata = metadata.map_or(MetadataChange::Delete, MetadataChange::Put);
        let batch = Batch { metadata, ..Batch::default() };
        py.detach(|| self.inner.commit(namespace, &batch))?;
        Ok(())
    }

    /// Return the namespace's metadata.
    fn metadata<'py>(
        &self,
        py: Python<'py>,
        namespace: Option<&str>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let metadata = py.detach(|| self.inner.metadata(namespace))?;
        Ok(metadata.map(|bytes| PyBytes::new(py, &bytes)))
    }

    /// Return the records of `[start, end)` with their keys, from one snapshot.
    fn scan<'py>(
        &self,
        py: Python<'py>,
        namespace: Option<&str>,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
        reverse: bool,
    ) -> PyResult<Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>> {
        let order = if reverse { Order::Descending } else { Order::Ascending };
        let rows = py.detach(|| -> Result<Vec<Pair>> {
            let mut rows = Vec::new();
            self.inner.scan(namespace, range(start, end), order, &mut |key, value| {
                rows.push((key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            })?;
            Ok(rows)
        })?;
        let pair = |(count, (key, value)): (usize, &Pair)| {
            if count % TURN == TURN - 1 {
                yield_to_others(py)?;
            }
            Ok((PyBytes::new(py, key), PyBytes::new(py, value)))
        };
        rows.iter().enumerate().map(pair).collect()
    }

    /// Count the records of `[start, end)`.
    fn count(
        &self,
        py: Python<'_>,
        namespace: Option<&str>,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
    ) -> PyResult<u64> {
        Ok(py.detach(|| self.inner.count(namespace, range(start, end)))?)
    }

    /// Return the first and the last key, `None` where there is no record.
    fn key_range<'py>(
        &self,
        py: Python<'py>,
        namespace: Option<&str>,
    ) -> PyResult<Option<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>> {
        let ends = py.detach(|| -> Result<Option<(Vec<u8>, Vec<u8>)>> {
            let end = |order| -> Result<Option<Vec<u8>>> {
                let mut found = None;
                self.inner.scan(namespace, KeyRange::default(), order, &mut |key, _| {
                    found = Some(key.to_vec());
                    ControlFlow::Break(())
                })?;
                Ok(found)
            };
            Ok(end(Order::Ascending)?.zip(end(Order::Descending)?))
        })?;
        Ok(ends.map(|(first, last)| (PyBytes::new(py, &first), PyBytes::new(py, &last))))
    }

    /// List the namespaces, sorted, without the unnamed one.
    fn namespaces(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(py.detach(|| self.inner.namespaces())?)
    }

    /// List what belongs to no namespace: namespace, key and what it is.
    fn foreign<'py>(&self, py: Python<'py>) -> PyResult<Vec<ForeignRow<'py>>> {
        let foreign = py.detach(|| self.inner.foreign())?;
        let bytes = |bytes: &[u8]| PyBytes::new(py, bytes);
        Ok(foreign
            .into_iter()
            .map(|found| (bytes(&found.namespace), bytes(&found.key), found.cause))
            .collect())
    }

    /// Return figures about the namespace.
    fn stats<'py>(&self, py: Python<'py>, namespace: Option<&str>) -> PyResult<Bound<'py, PyDict>> {
        let stats = py.detach(|| self.inner.stats(namespace))?;
        let figures = PyDict::new(py);
        for (name, value) in [
            ("entries", stats.entries),
            ("page_size", stats.page_size),
            ("depth", stats.depth),
            ("branch_pages", stats.branch_pages),
            ("leaf_pages", stats.leaf_pages),
            ("overflow_pages", stats.overflow_pages),
            ("map_size", stats.map_size),
            ("last_pgno", stats.last_page),
            ("last_txnid", stats.last_transaction),
        ] {
            figures.set_item(name, value)?;
        }
        Ok(figures)
    }

    /// Write a consistent copy into the directory `target`, without free pages where `compact`.
    fn copy_to(&self, py: Python<'_>, target: PathBuf, compact: bool) -> PyResult<()> {
        Ok(py.detach(|| self.inner.copy_to(&target, compact))?)
    }
}

/// Compress `data` as a stored value at `level` (0 leaves it as it is).
#[pyfunction]
pub fn gzip_encode<'py>(py: Python<'py>, data: &[u8], level: u32) -> Bound<'py, PyBytes> {
    let stored = py.detach(|| {
        let mut stored = Vec::new();
        gzip::encode_stored(data, level, &mut stored);
        stored
    });
    PyBytes::new(py, &stored)
}

/// Decompress a stored value; data that is not compressed is returned as it is.
#[pyfunction]
pub fn gzip_decode<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let data = py.detach(|| gzip::decode_to_vec(data))?;
    Ok(PyBytes::new(py, &data))
}
