//! Compaction of one sequence: reads what is due, has the core decide, and commits the outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::cells::cell_of;
use super::columns::Columns;
use super::datetime::timestamp;
use super::errors::exception;
use super::record_class::RecordClass;
use super::series::aggregation_named;
use super::state::{Binding, SequenceState, Shared};
use crate::codec::pickle_write::Writer;
use crate::codec::{gzip, in_shares};
use crate::interval::Span;
use crate::retention::{
    Consolidation, Due, Replacement, Rows, Run, Tier, implausible_from, newest_plausible,
};
use crate::sequence::{Configured, Mark, PIECE, Rewrite};
use crate::series::{Aggregation, Cell, MeterRules, Place};
use crate::store::MetadataChange;

/// What a run of compaction is asked for.
#[derive(FromPyObject)]
struct Request {
    /// Age and interval of each tier, in seconds.
    tiers: Vec<(i64, i64)>,
    /// The keys that can be written.
    keys: Vec<String>,
    /// How the readings of keys are consolidated, by name.
    aggregations: BTreeMap<String, String>,
    /// The keys that do not take fractions.
    whole: BTreeSet<String>,
    /// The fields that may be None.
    nullable: BTreeSet<String>,
    /// Up to where each tier, by its interval, has compacted; UTC seconds since 1970.
    cutoffs: BTreeMap<i64, i64>,
    /// The time by the clock.
    now: i64,
    /// The longest gap of meters in seconds.
    max_gap: Option<i64>,
    /// Whether the first value of a bucket wins where there are no more rows than buckets.
    first_wins: bool,
    /// Returns what the sequence's own resampling makes of a key in a window, or None.
    resampled: Option<Py<PyAny>>,
    /// Is told how many of how many rows were looked at.
    progress: Option<Py<PyAny>>,
}

/// What a tier does: age, interval, cutoff, rows before and after, rows deleted and written, bytes
/// before and after, and for each key the readings before and after.
type TierOutcome = (i64, i64, i64, [usize; 2], [usize; 2], [usize; 2], Vec<(String, [usize; 2])>);

/// A planned compaction.
#[pyclass(frozen, module = "eosdb._core")]
pub struct Compaction {
    rewrite: Mutex<Option<Rewrite>>,
    /// The rows to write, where there is no storage.
    records: Mutex<Vec<(i64, Shared)>>,
    /// What each tier does, from the finest to the coarsest.
    #[pyo3(get)]
    tiers: Vec<TierOutcome>,
    /// Up to where each tier, by its interval, has compacted afterwards.
    #[pyo3(get)]
    cutoffs: BTreeMap<i64, i64>,
    /// How many rows are deleted or replaced.
    #[pyo3(get)]
    replaced: usize,
}

/// Plan a compaction as `request` asks for it; None if nothing is due.
#[pyfunction]
pub fn plan_compaction(
    py: Python<'_>,
    state: &Bound<'_, SequenceState>,
    request: &Bound<'_, PyAny>,
) -> PyResult<Option<Compaction>> {
    let request: Request = request.extract()?;
    let state = state.get();
    state
        .run(py, |sequence, storage| storage.map_or(Ok(()), |storage| sequence.refresh(storage)))?;
    let Some(binding) = state.binding(py) else { return Ok(None) };
    let generation = binding.storage.as_ref().map(crate::sequence::Storage::generation);
    let generation = generation.transpose()?.unwrap_or_default();
    let change = state.lock(py).change();
    let due = due(py, state, &request)?;
    if due.is_empty() {
        return Ok(None);
    }
    let mut keys = request.keys.clone();
    let mut work = loop {
        let damaged = damaged(py, state);
        let without = |(tier, due): &(Tier, Due)| (*tier, due.without(tier.interval, &damaged));
        let due = due.iter().map(without).collect();
        match Work::read(py, state, &request, due, keys.clone())? {
            Ok(work) if damaged == self::damaged(py, state) => break work,
            // Damage was met on the way, whose buckets are left alone.
            Ok(_) => {}
            // Records hold values of keys that are configured no longer: they are kept.
            Err(all) => keys = all,
        }
    };
    work.resample(py, &request)?;
    let outcome = work.outcome(py, state, &binding, &request)?;
    let Outcome { puts, records, tiers, replaced } = outcome;
    let spans = due.into_iter().flat_map(|(_, due)| due.open).collect();
    let cutoffs = work.run.cutoffs();
    let rewrite = Rewrite {
        generation,
        change,
        spans,
        puts,
        deletes: work.run.into_deletes(),
        metadata: MetadataChange::Keep,
    };
    Ok(Some(Compaction {
        rewrite: Mutex::new(Some(rewrite)),
        records: Mutex::new(records),
        tiers,
        cutoffs,
        replaced,
    }))
}

#[pymethods]
impl Compaction {
    /// The rows to write, as keys and stored values, and the keys to delete.
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<Changes<'py>> {
        let rewrite = self.rewrite.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rewrite) = &*rewrite else { return Ok((Vec::new(), Vec::new())) };
        let key = |time: i64| {
            let key = crate::Timestamp::from_seconds(time)?.to_key();
            PyResult::Ok(PyBytes::new(py, &key))
        };
        let put = |(time, value): &(i64, Vec<u8>)| Ok((key(*time)?, PyBytes::new(py, value)));
        let puts = rewrite.puts.iter().map(put).collect::<PyResult<_>>()?;
        let deletes = rewrite.deletes.iter().map(|time| key(*time)).collect::<PyResult<_>>()?;
        Ok((puts, deletes))
    }

    /// Commit it, with `metadata`, in one transaction; once.
    fn commit(
        &self,
        py: Python<'_>,
        state: &Bound<'_, SequenceState>,
        metadata: Vec<u8>,
    ) -> PyResult<()> {
        let state = state.get();
        let rewrite = self.rewrite.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut rewrite) = rewrite else {
            return Err(exception(py, "InvalidArgumentError", "this compaction was committed"));
        };
        if state.has_storage(py) {
            rewrite.metadata = MetadataChange::Put(metadata);
            state.run(py, |sequence, storage| {
                storage.map_or(Ok(()), |storage| sequence.rewrite(storage, rewrite))
            })?;
            state.set_metadata_kept(true);
            return Ok(());
        }
        let records =
            std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner));
        let mut gone = Vec::new();
        let mut index = state.lock(py);
        if index.has_changed_since(rewrite.change, &rewrite.spans) {
            drop(index);
            return Err(crate::Error::Conflict { namespace: String::new() }.into());
        }
        for time in rewrite.deletes {
            gone.extend(index.delete(Span::at(time)).1);
        }
        for (time, record) in records {
            gone.extend(index.delete(Span::at(time)).1);
            index.insert(time, record, Mark::Put, None);
        }
        drop(index);
        drop(gone);
        Ok(())
    }
}

/// Keys with values, and keys.
type Changes<'py> = (Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>, Vec<Bound<'py, PyBytes>>);

/// The rows that nobody could read so far.
fn damaged(py: Python<'_>, state: &SequenceState) -> Vec<i64> {
    state.lock(py).damaged().map(|(time, _)| time).collect()
}

/// What each tier has to do, if anything.
fn due(py: Python<'_>, state: &SequenceState, request: &Request) -> PyResult<Vec<(Tier, Due)>> {
    let nearest = |span, backwards| {
        state.run(py, |sequence, storage| sequence.neighbor(storage, span, backwards))
    };
    let Some(first) = nearest(Span::ALL, false)? else { return Ok(Vec::new()) };
    let plausible = Span::new(i64::MIN, implausible_from(request.now));
    let last = nearest(plausible, true)?;
    let known: Vec<i64> = [Some(first), last].into_iter().flatten().collect();
    let Some(newest) = newest_plausible(&known, request.now) else { return Ok(Vec::new()) };
    let mut dues = Vec::new();
    for (age, interval) in &request.tiers {
        let tier = Tier { age: *age, interval: *interval };
        let former = request.cutoffs.get(interval).copied();
        let coarser = request.cutoffs.range(interval + 1..).map(|(_, cutoff)| *cutoff).max();
        let mut behind = Vec::new();
        if let Some(former) = former {
            let span = Span::new(coarser.unwrap_or(i64::MIN), former);
            state.run(py, |sequence, storage| sequence.load(storage, span))?;
            let index = state.lock(py);
            let late = |time: &i64| time % interval != 0;
            behind.extend(index.rows().range(span).map(|(time, _)| time).filter(late));
        }
        if let Some(due) = tier.due(newest, first, former, coarser, &behind)? {
            dues.push((tier, due));
        }
    }
    Ok(dues)
}

/// A run whose rows were pushed.
struct Work {
    keys: Vec<(String, Consolidation)>,
    run: Run,
}

impl Work {
    /// Reads what is due and has it decided upon; all keys that there are if some were missing.
    fn read(
        py: Python<'_>,
        state: &SequenceState,
        request: &Request,
        due: Vec<(Tier, Due)>,
        names: Vec<String>,
    ) -> PyResult<Result<Self, Vec<String>>> {
        let rules = MeterRules { max_gap: request.max_gap, ..MeterRules::default() };
        let is_sparse = request.first_wins && is_sparse(py, state, &due)?;
        let keys = names
            .iter()
            .map(|name| Ok((name.clone(), consolidation(py, request, name, is_sparse)?)))
            .collect::<PyResult<Vec<_>>>()?;
        let mut run = Run::new(due, &keys, &rules)?;
        let mut spans = Vec::new();
        for span in run.needs() {
            let next = state.run(py, |sequence, storage| {
                sequence.neighbor(storage, Span::new(span.end, i64::MAX), false)
            })?;
            let span = Span::new(span.start, next.map_or(span.end, |next| next + 1));
            state.run(py, |sequence, storage| sequence.load(storage, span))?;
            let index = state.lock(py);
            spans.push(index.rows().range(span).map(|(time, _)| time).collect::<Vec<_>>());
        }
        let total: usize = spans.iter().map(Vec::len).sum();
        let mut done = 0;
        let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        for times in spans {
            for piece in times.chunks(PIECE) {
                py.check_signals()?;
                let (Some(first), Some(last)) = (piece.first(), piece.last()) else { continue };
                let configured = Configured::default();
                let span = Span::new(*first, last + 1);
                let columns = Columns::read_anew(py, state, span, &names, Some(&configured))?;
                let seen = configured.into_inner().unwrap_or_else(PoisonError::into_inner);
                let missing: Vec<_> =
                    seen.into_iter().filter(|name| !known.contains(name.as_str())).collect();
                if !missing.is_empty() {
                    return Ok(Err([names, missing].concat()));
                }
                let rows = Rows::stored(columns.times, columns.cells);
                py.detach(|| run.push(rows))?;
                done += piece.len();
                if let Some(progress) = &request.progress {
                    progress.call1(py, (done, total))?;
                }
            }
            py.detach(|| run.finish_span())?;
        }
        Ok(Ok(Self { keys, run }))
    }

    /// Has the sequence's own resampling decide about means.
    fn resample(&mut self, py: Python<'_>, request: &Request) -> PyResult<()> {
        let Some(resampled) = &request.resampled else { return Ok(()) };
        let tiers = self.run.tallies().to_vec();
        for (key, (name, consolidation)) in self.keys.iter().enumerate() {
            if *consolidation != Consolidation::MeanOrLast {
                continue;
            }
            for (place, tally) in tiers.iter().enumerate() {
                for span in &tally.due.open {
                    let values =
                        resampled.call1(py, (name, span.start, span.end, tally.tier.interval))?;
                    let Some(values) = values.extract::<Option<Vec<Bound<'_, PyAny>>>>(py)? else {
                        continue;
                    };
                    self.run.replace(place, *span, key, |bucket| {
                        let value = values.get(bucket).map(cell_of).transpose()?;
                        Ok::<_, PyErr>(
                            value.filter(|cell| !matches!(cell, Cell::None | Cell::Other)),
                        )
                    })?;
                }
            }
        }
        Ok(())
    }

    /// The values to store, and what each tier does.
    fn outcome(
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
                py.check_signals()?;
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
        if let Some(storage) = &binding.storage {
            py.detach(|| {
                storage.read_many(&gone, gone.len(), |at, value| {
                    if let Some(tier) = self.run.tier_of(gone[at]) {
                        bytes[tier][0] += value.len();
                    }
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

/// What is to be stored, and what is told of it.
struct Outcome {
    puts: Vec<(i64, Vec<u8>)>,
    records: Vec<(i64, Shared)>,
    tiers: Vec<TierOutcome>,
    replaced: usize,
}

/// How the readings of `key` are consolidated.
fn consolidation(
    py: Python<'_>,
    request: &Request,
    key: &str,
    first_wins: bool,
) -> PyResult<Consolidation> {
    let takes_fractions = !request.whole.contains(key);
    let Some(name) = request.aggregations.get(key) else {
        return Ok(match (first_wins, takes_fractions) {
            (true, _) => Consolidation::By(Aggregation::First),
            (false, true) => Consolidation::MeanOrLast,
            (false, false) => Consolidation::By(Aggregation::Last),
        });
    };
    let consolidation = if name == "meter" {
        Consolidation::Meter
    } else {
        Consolidation::By(aggregation_named(py, name)?)
    };
    let fractions = [
        Consolidation::Meter,
        Consolidation::By(Aggregation::Mean),
        Consolidation::By(Aggregation::TimeWeightedMean),
        Consolidation::By(Aggregation::CircularMean),
    ];
    if !takes_fractions && fractions.contains(&consolidation) {
        let message = format!(
            "'{name}' of '{key}' gives fractions, which its field does not take: make it a float, \
             or choose another aggregation"
        );
        return Err(exception(py, "InvalidArgumentError", message));
    }
    Ok(consolidation)
}

/// Whether there are no more rows than buckets.
fn is_sparse(py: Python<'_>, state: &SequenceState, due: &[(Tier, Due)]) -> PyResult<bool> {
    let (mut rows, mut buckets) = (0, 0);
    for (tier, due) in due {
        for span in &due.open {
            state.run(py, |sequence, storage| sequence.load(storage, *span))?;
            rows += state.lock(py).rows().range(*span).count();
            buckets += usize::try_from((span.end - span.start) / tier.interval).unwrap_or_default();
        }
    }
    Ok(rows <= buckets)
}
