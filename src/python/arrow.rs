//! `_core.ArrowTable`: the columns of a sequence, for every library that takes Arrow data.
//!
//! The capsules own what they point to. A consumer that takes it marks it as released, so that a
//! capsule that nobody took is freed with its last reference, and one that was taken is not.

mod column;

use std::fmt::Write as _;
use std::iter;
use std::sync::Arc;

use arrow_array::ffi::FFI_ArrowSchema;
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchIterator};
use arrow_schema::ArrowError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use column::{Column, DATE_TIME, ValueType};

use super::columns::Columns;
use super::datetime;
use super::errors::exception;
use super::state::SequenceState;
use crate::error::Error;
use crate::series::Cell;

/// Values of a sequence in the columnar form of Apache Arrow.
///
/// Whatever takes Arrow data takes this object as it is, and shares its memory:
///
///     readings = sequence.to_arrow()
///     polars.DataFrame(readings)
///     pyarrow.table(readings)
///     pandas.DataFrame.from_arrow(readings)  # of pandas 3
///     duckdb.sql("SELECT avg(power_w) FROM readings")
///
/// The first column, `date_time`, holds the instants in microseconds, in the time zone of the
/// records if all have the same one, else in UTC. Offsets that are no whole hours are shown in UTC
/// too, because not everybody can read them. The other columns are float64, int64, bool or text,
/// as their values are; values that do not go together are written as text, as `str()` does, and a
/// column without any value whose type nobody declared has the type null. `None` is null in every
/// column, and not a number stays what it is.
///
/// A table does not change when the sequence does, and may be taken any number of times.
#[pyclass(frozen, module = "eosdb._core")]
pub struct ArrowTable {
    batch: RecordBatch,
}

/// Return the values of `keys` over `[start, end)`; see `DatabaseRecordProtocolMixin.to_arrow`.
/// With each key comes the name of the type that its values are declared to have, if they are.
#[pyfunction]
pub fn arrow_table(
    py: Python<'_>,
    state: &Bound<'_, SequenceState>,
    mut keys: Vec<(String, Option<String>)>,
    start: Option<&Bound<'_, PyAny>>,
    end: Option<&Bound<'_, PyAny>>,
) -> PyResult<ArrowTable> {
    let span = datetime::span(start, end)?;
    if !keys.iter().any(|(key, _)| key == DATE_TIME) {
        keys.push((DATE_TIME.to_owned(), None));
    }
    let names: Vec<String> = keys.iter().map(|(key, _)| key.clone()).collect();
    let mut read = Columns::read(py, state.get(), span, &names)?;
    for (column, (key, _)) in keys.iter().enumerate() {
        if key != DATE_TIME {
            write_out(py, state.get(), &mut read, column)?;
        }
    }
    let Columns { times, cells, .. } = read;
    let batch = py.detach(|| {
        let columns = keys.into_iter().zip(cells).map(|((name, declared), cells)| {
            let declared = declared.as_deref().and_then(ValueType::named);
            Column { name, declared, cells }
        });
        column::batch(&times, &columns.collect::<Vec<_>>())
    })?;
    Ok(ArrowTable { batch })
}

/// Replaces the values of a column that only Python can read by what `str()` makes of them.
fn write_out(
    py: Python<'_>,
    state: &SequenceState,
    read: &mut Columns,
    column: usize,
) -> PyResult<()> {
    let cells = read.cells[column].iter().enumerate();
    let opaque = cells.filter(|(_, cell)| matches!(cell, Cell::Other | Cell::DateTime { .. }));
    let rows: Vec<usize> = opaque.map(|(row, _)| row).collect();
    let objects = read.objects(py, state, column, &rows)?;
    for (row, object) in rows.into_iter().zip(objects) {
        read.cells[column][row] = if object.is_none() {
            Cell::None
        } else {
            Cell::Text(Arc::new(object.str()?.to_string_lossy().into_owned()))
        };
    }
    Ok(())
}

/// What Arrow refuses is an argument that it cannot represent.
#[expect(clippy::needless_pass_by_value, reason = "map_err passes by value")]
fn refused(error: ArrowError) -> Error {
    Error::Invalid(error.to_string())
}

#[pymethods]
impl ArrowTable {
    /// The number of rows.
    #[getter]
    fn num_rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// The names of the columns, `date_time` first.
    #[getter]
    fn column_names(&self) -> Vec<String> {
        self.batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn __len__(&self) -> usize {
        self.batch.num_rows()
    }

    fn __repr__(&self) -> String {
        let mut text = format!("<ArrowTable with {} rows", self.batch.num_rows());
        for field in self.batch.schema_ref().fields() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {}: {}", field.name(), field.data_type());
        }
        text + ">"
    }

    /// Return the data as a capsule `arrow_array_stream`; libraries call this.
    ///
    /// Every call returns a new one, which can be taken once. Its schema is the one of
    /// `__arrow_c_schema__()`, whatever `requested_schema` says: the protocol leaves it to the
    /// consumer to convert what it gets. A `requested_schema` that is neither None nor a capsule
    /// `arrow_schema` raises `ArgumentTypeError`.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        if let Some(requested) = requested_schema
            && !requested
                .cast::<PyCapsule>()
                .is_ok_and(|capsule| capsule.is_valid_checked(Some(c"arrow_schema")))
        {
            let message = format!("expected a capsule 'arrow_schema' or None, not {requested:?}");
            return Err(exception(py, "ArgumentTypeError", message));
        }
        let batches = iter::once(Ok(self.batch.clone()));
        let reader = RecordBatchIterator::new(batches, self.batch.schema());
        let stream = FFI_ArrowArrayStream::new(Box::new(reader));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }

    /// Return the schema as a capsule `arrow_schema`; libraries call this.
    ///
    /// Every call returns a new one, which can be taken once.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.batch.schema_ref().as_ref());
        PyCapsule::new_with_value(py, schema.map_err(refused)?, c"arrow_schema")
    }
}
