//! Compaction of one sequence: reads what is due, has the core decide, and commits the outcome.

mod outcome;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use self::outcome::Outcome;
use super::cells::cell_of;
use super::columns::Columns;
use super::errors::exception;
use super::series::aggregation_named;
use super::state::{SequenceState, Shared};
use super::turns::{let_go, yield_to_others};
use crate::interval::Span;
use crate::retention::{Consolidation, Due, Rows, Run, Tier, implausible_from, newest_plausible};
use crate::sequence::{Gathered, Mark, PIECE, Rewrite};
use crate::series::{Aggregation, Cell, MeterRules};
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
    /// The same, for those of keys that are configured no longer and not named.
    former: Option<String>,
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
    state.read_again(py)?;
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
            let gone = state.run(py, |sequence, storage| {
                storage.map_or(Ok(Vec::new()), |storage| sequence.rewrite(storage, rewrite))
            })?;
            let_go(py, gone);
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
        let_go(py, gone);
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
    /// The sizes of the stored values that were read, by time.
    sizes: Vec<(i64, usize)>,
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
        let (mut done, mut sizes) = (0, Vec::new());
        let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        for times in spans {
            for piece in times.chunks(PIECE) {
                yield_to_others(py)?;
                let (Some(first), Some(last)) = (piece.first(), piece.last()) else { continue };
                let gathered = Mutex::new(Gathered::default());
                let span = Span::new(*first, last + 1);
                let columns = Columns::read_anew(py, state, span, &names, Some(&gathered))?;
                let found = gathered.into_inner().unwrap_or_else(PoisonError::into_inner);
                sizes.extend(found.sizes);
                let missing: Vec<_> =
                    found.names.into_iter().filter(|name| !known.contains(name.as_str())).collect();
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
        // What was begun anew was read twice.
        sizes.sort_unstable();
        sizes.dedup_by_key(|(time, _)| *time);
        Ok(Ok(Self { keys, run, sizes }))
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
}

/// How the readings of `key` are consolidated.
fn consolidation(
    py: Python<'_>,
    request: &Request,
    key: &str,
    first_wins: bool,
) -> PyResult<Consolidation> {
    let takes_fractions = !request.whole.contains(key);
    let former = request.former.as_ref().filter(|_| !request.keys.iter().any(|one| one == key));
    let Some(name) = request.aggregations.get(key).or(former) else {
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
