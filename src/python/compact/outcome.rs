//! What is to be stored after a compaction, and what is told of it.

use std::ops::ControlFlow;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::{Request, TierOutcome, Work};
use crate::codec::pickle_write::Writer;
use crate::codec::{gzip, in_shares};
use crate::interval::Span;
use crate::python::columns::Columns;
use crate::python::datetime::timestamp;
use crate::python::errors::exception;
use crate::python::record_class::RecordClass;
use crate::python::state::{Binding, SequenceState, Shared};
use crate::python::turns::yield_to_others;
use crate::retention::Replacement;
use crate::series::{Cell, Place};

/// What is to be stored, and what is told of it.
pub struct Outcome {
    /// The rows to write with their stored values, ascending.
    pub puts: Vec<(i64, Vec<u8>)>,
    /// The same as records, where there is no storage.
    pub records: Vec<(i64, Shared)>,
    /// What each tier does, from the finest to the coarsest.
    pub tiers: Vec<TierOutcome>,
    /// How many rows are deleted or replaced.
    pub replaced: usize,
}

impl Work {
    /// The values to store, and what each tier does.
    pub fn outcome(
        &self,
        py: Python<'_>,
        state: &SequenceState,
        binding: &Binding,
        request: &Request,
    ) -> PyResult<Outcome> {
        let class = binding.record_class.get();
        let places: Option<Vec<Place>> = match class.shape() {
            Some(_) if binding.storage.is_some() => {
                let place = |(name, _): &(String, _)| class.place(py, name);
                self.keys.iter().map(place).collect::<PyResult<_>>()?
            }
            _ => None,
        };
        let database = binding.database.bind(py);
        let level = if binding.native {
            database.getattr(intern!(py, "compression_level"))?.extract()?
        } else {
            // The database has its own way from pickles to stored values.
            0
        };
        let puts = self.run.puts();
        let mut pickles: Vec<Option<Vec<u8>>> = match (&places, class.shape()) {
            (Some(places), Some(shape)) => py.detach(|| {
                in_shares(puts, |share| {
                    let mut writer = Writer::new();
                    let mut write = |put: &Replacement| {
                        writer.clear();
                        let values: Vec<(&Place, &Cell)> =
                            put.values.iter().map(|(key, cell, _)| (&places[*key], cell)).collect();
                        let written = shape.write(&mut writer, put.time, &values);
                        let pickle = written.ok()?.then(|| writer.finish().ok())??;
                        let mut stored = Vec::new();
                        gzip::encode_stored(pickle, level, &mut stored);
                        stored.shrink_to_fit();
                        Some(stored)
                    };
                    share.iter().map(&mut write).collect()
                })
            }),
            _ => vec![None; puts.len()],
        };
        let mut records = Vec::new();
        for (put, stored) in puts.iter().zip(&mut pickles) {
            if stored.is_none() {
                yield_to_others(py)?;
                let record = self.record(py, state, class, request, put)?;
                let record = Shared::new(record);
                if binding.storage.is_some() {
                    let encoded = class.encode_all(py, &[(put.time, record)])?;
                    let mut bytes = Vec::new();
                    for (_, pickle) in encoded {
                        gzip::encode_stored(&pickle, level, &mut bytes);
                    }
                    *stored = Some(bytes);
                } else {
                    records.push((put.time, record));
                    *stored = Some(Vec::new());
                }
            }
        }
        let mut values: Vec<(i64, Vec<u8>)> = puts
            .iter()
            .zip(pickles)
            .map(|(put, value)| (put.time, value.unwrap_or_default()))
            .collect();
        if !binding.native && binding.storage.is_some() {
            for (_, value) in &mut values {
                let pickle = PyBytes::new(py, value);
                let stored = database.call_method1(intern!(py, "serialize_data"), (pickle,))?;
                *value = stored.cast::<PyBytes>()?.as_bytes().to_vec();
            }
        }
        let (tiers, replaced) = self.tiers(py, binding, &values)?;
        Ok(Outcome { puts: values, records, tiers, replaced })
    }

    /// What each tier does, and how many rows are deleted or replaced.
    fn tiers(
        &self,
        py: Python<'_>,
        binding: &Binding,
        puts: &[(i64, Vec<u8>)],
    ) -> PyResult<(Vec<TierOutcome>, usize)> {
        let replaces = self.run.puts().iter().filter(|put| put.replaces).map(|put| put.time);
        let mut gone: Vec<i64> = self.run.deletes().iter().copied().chain(replaces).collect();
        gone.sort_unstable();
        let count = self.run.tallies().len();
        let (mut rows, mut bytes) = (vec![[0; 2]; count], vec![[0; 2]; count]);
        for time in &gone {
            if let Some(tier) = self.run.tier_of(*time) {
                rows[tier][0] += 1;
            }
        }
        let mut known = self.sizes.iter().peekable();
        let mut add = |time: i64, size: usize| {
            if let Some(tier) = self.run.tier_of(time) {
                bytes[tier][0] += size;
            }
        };
        // A row with an object was not read.
        let mut rest = Vec::new();
        for time in &gone {
            while known.next_if(|(known, _)| known < time).is_some() {}
            match known.next_if(|(known, _)| known == time) {
                Some((_, size)) => add(*time, *size),
                None => rest.push(*time),
            }
        }
        if let Some(storage) = &binding.storage {
            py.detach(|| {
                storage.read_many(&rest, gone.len(), |at, value| {
                    add(rest[at], value.len());
                    ControlFlow::Continue(())
                })
            })?;
        }
        for (time, value) in puts {
            if let Some(tier) = self.run.tier_of(*time) {
                rows[tier][1] += 1;
                bytes[tier][1] += value.len();
            }
        }
        let outcome = |(place, tally): (usize, &crate::retention::Tally)| {
            let names = self.keys.iter().map(|(name, _)| name.clone());
            let readings = names.zip(tally.readings.iter().copied());
            (
                tally.tier.age,
                tally.tier.interval,
                tally.due.cutoff,
                tally.rows,
                rows[place],
                bytes[place],
                readings.filter(|(_, [before, _])| *before > 0).collect(),
            )
        };
        Ok((self.run.tallies().iter().enumerate().map(outcome).collect(), gone.len()))
    }

    /// The record that a row is to be, made by its class.
    fn record(
        &self,
        py: Python<'_>,
        state: &SequenceState,
        class: &RecordClass,
        request: &Request,
        put: &Replacement,
    ) -> PyResult<Py<PyAny>> {
        let fields = PyDict::new(py);
        let former = PyDict::new(py);
        for (key, cell, source) in &put.values {
            let (name, _) = &self.keys[*key];
            let value = match cell {
                Cell::None => continue,
                Cell::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
                Cell::Int(value) => value.into_pyobject(py)?.into_any(),
                Cell::Float(value) => value.into_pyobject(py)?.into_any(),
                Cell::Text(value) => value.as_str().into_pyobject(py)?.into_any(),
                Cell::EmptyDict => PyDict::new(py).into_any(),
                Cell::DateTime { .. } | Cell::Other => {
                    let names = [name.clone()];
                    let columns = Columns::read(py, state, Span::at(*source), &names)?;
                    let Some(value) = columns.objects(py, state, 0, &[0])?.pop() else { continue };
                    value
                }
            };
            // The values of keys that are configured no longer stay where they were.
            let into = if request.keys.contains(name) { &fields } else { &former };
            into.set_item(name, value)?;
        }
        if !former.is_empty() {
            fields.set_item(intern!(py, "configured_data"), former)?;
        }
        // Else a field without a value would get its default, which nobody measured.
        for name in &request.nullable {
            if !fields.contains(name)? {
                fields.set_item(name, py.None())?;
            }
        }
        let instant = timestamp(py, put.time)?.call_method0(intern!(py, "to_datetime"))?;
        fields.set_item(intern!(py, "date_time"), instant)?;
        class.make(py, &fields).map_err(|cause| {
            let message = format!(
                "the records from {} on cannot be made one of {fields}: {}; nothing was written, \
                 give the key another aggregation by db_compact_aggregations()",
                crate::Timestamp::from_seconds(put.time).map_or(String::new(), |at| at.to_string()),
                cause.value(py),
            );
            let error = exception(py, "InvalidArgumentError", message);
            error.set_cause(py, Some(cause));
            error
        })
    }
}
