//! One tier at work on a stream of rows.

use std::ops::Range;

use super::open::Open;
use super::tiers::{Due, Tier};
use super::{
    Changed, Column, Compaction, Consolidation, Value, conserved, consolidate, meter, plan_part,
};
use crate::error::{Error, Result};
use crate::interval::Span;
use crate::series::{Aggregation, Cell, MeterRules, number};

/// Rows in ascending order of time, as columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// The UTC second of each row.
    pub times: Vec<i64>,
    /// For each key the value of each row.
    pub cells: Vec<Vec<Cell>>,
    /// For each key and row the second of the stored row that the value comes from, so that what a
    /// [`Cell`] only hints at can be had from there.
    pub sources: Vec<Vec<i64>>,
    /// Whether each row is as storage has it.
    pub is_stored: Vec<bool>,
}

impl Rows {
    /// Rows as they are stored, with the value of each key in each of them.
    #[must_use]
    pub fn stored(times: Vec<i64>, cells: Vec<Vec<Cell>>) -> Self {
        let sources = vec![times.clone(); cells.len()];
        Self { is_stored: vec![true; times.len()], times, cells, sources }
    }

    fn none(keys: usize) -> Self {
        Self { cells: vec![Vec::new(); keys], sources: vec![Vec::new(); keys], ..Self::default() }
    }

    fn append(&mut self, mut other: Self) {
        self.times.append(&mut other.times);
        self.is_stored.append(&mut other.is_stored);
        for (cells, others) in self.cells.iter_mut().zip(&mut other.cells) {
            cells.append(others);
        }
        for (sources, others) in self.sources.iter_mut().zip(&mut other.sources) {
            sources.append(others);
        }
    }

    fn remove_first(&mut self, rows: usize) {
        self.times.drain(..rows);
        self.is_stored.drain(..rows);
        self.cells.iter_mut().for_each(|cells| drop(cells.drain(..rows)));
        self.sources.iter_mut().for_each(|sources| drop(sources.drain(..rows)));
    }

    /// Appends these rows of `other` as they are.
    fn push_rows(&mut self, other: &Self, rows: Range<usize>) {
        self.times.extend_from_slice(&other.times[rows.clone()]);
        self.is_stored.extend_from_slice(&other.is_stored[rows.clone()]);
        for (cells, others) in self.cells.iter_mut().zip(&other.cells) {
            cells.extend_from_slice(&others[rows.clone()]);
        }
        for (sources, others) in self.sources.iter_mut().zip(&other.sources) {
            sources.extend_from_slice(&others[rows.clone()]);
        }
    }

    /// Appends a row of these values, whose readings are those of `other`.
    fn push_made(&mut self, time: i64, values: &[(usize, Value)], other: &Self) {
        self.times.push(time);
        self.is_stored.push(false);
        for (cells, sources) in self.cells.iter_mut().zip(&mut self.sources) {
            cells.push(Cell::None);
            sources.push(time);
        }
        let row = self.times.len() - 1;
        for (key, value) in values {
            match value {
                Value::Number(number) => self.cells[*key][row] = Cell::Float(*number),
                Value::Reading(from) => {
                    self.cells[*key][row] = other.cells[*key][*from].clone();
                    self.sources[*key][row] = other.sources[*key][*from];
                }
            }
        }
    }
}

/// What a tier does in a run, and the rows that it has not decided about yet.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) tier: Tier,
    pub(super) due: Due,
    open: Open,
    names: Vec<String>,
    consolidations: Vec<Consolidation>,
    rules: MeterRules,
    /// How far, in seconds, keys look back and ahead.
    before: i64,
    after: i64,
    /// Up to where rows were handed on. Of those before, the buffer keeps as many as keys look back,
    /// as they were.
    done: i64,
    /// What the last bucket of each key became.
    former: Vec<consolidate::Former>,
    buffer: Rows,
}

impl Stage {
    /// # Errors
    /// Those of [`plan`], as far as they concern spans, interval and rules.
    pub(super) fn new(
        tier: Tier,
        due: Due,
        keys: &[(String, Consolidation)],
        rules: &MeterRules,
    ) -> Result<Self> {
        let open = Open::new(&due.open, tier.interval)?;
        let rules = meter::rules_of(rules, tier.interval)?;
        let max_gap = rules.max_gap.unwrap_or_default();
        let has = |looking| keys.iter().any(|(_, consolidation)| *consolidation == looking);
        let is_metered = has(Consolidation::Meter);
        let is_weighted = has(Consolidation::By(Aggregation::TimeWeightedMean));
        Ok(Self {
            tier,
            due,
            open,
            names: keys.iter().map(|(name, _)| name.clone()).collect(),
            consolidations: keys.iter().map(|(_, consolidation)| *consolidation).collect(),
            rules,
            before: if is_metered {
                max_gap.saturating_mul(2)
            } else if is_weighted {
                max_gap
            } else {
                0
            },
            after: if is_metered { max_gap } else { 0 },
            done: i64::MIN,
            former: vec![None; keys.len()],
            buffer: Rows::none(keys.len()),
        })
    }

    /// What has to be read for the open buckets.
    pub(super) fn needs(&self) -> impl Iterator<Item = Span> {
        self.due.open.iter().map(|span| {
            Span::new(
                span.start.saturating_sub(self.before),
                span.end.saturating_add(self.after).saturating_add(1),
            )
        })
    }

    /// Whether the bucket that the second lies in is open.
    pub(super) fn is_open(&self, second: i64) -> bool {
        self.open.contains(second)
    }

    /// Takes the next rows, and returns those that are decided about; only those `within` change.
    pub(super) fn push(&mut self, rows: Rows, within: Span) -> Result<Rows> {
        self.buffer.append(rows);
        let Some(last) = self.buffer.times.last() else { return self.advance(self.done, within) };
        let known = last.saturating_sub(self.after).saturating_sub(1);
        let until = known.saturating_sub(known.rem_euclid(self.tier.interval));
        self.advance(until.max(self.done), within)
    }

    /// Returns all rows that are left: no more come, or only far behind them.
    pub(super) fn finish(&mut self, within: Span) -> Result<Rows> {
        let rest = self.advance(i64::MAX, within);
        self.done = i64::MIN;
        self.former.fill(None);
        self.buffer = Rows::none(self.names.len());
        rest
    }

    /// Decides about the rows before `until`, where a bucket begins.
    fn advance(&mut self, until: i64, within: Span) -> Result<Rows> {
        let rows = |until| self.buffer.times.partition_point(|time| *time < until);
        let (first, end) = (rows(self.done), rows(until));
        let part = Span::new(self.done.max(within.start), until.min(within.end));
        let mut decided = Rows::none(self.names.len());
        if self.buffer.times.is_empty() || !self.open.meets(part) {
            decided.push_rows(&self.buffer, first..end);
        } else {
            let columns: Vec<_> = (self.buffer.cells.iter().zip(&self.consolidations))
                .map(|(cells, consolidation)| Column { cells, consolidation: *consolidation })
                .collect();
            let (times, rules) = (&self.buffer.times, &self.rules);
            let planned = plan_part(times, &columns, &self.open, rules, part, &mut self.former)?;
            for (key, points) in &planned.meters {
                self.check(*key, points, part)?;
            }
            self.apply(&planned.compaction, first..end, &mut decided);
        }
        // Meters look at rows as they were: so the pieces that rows come in make no difference.
        let keep = until.saturating_sub(self.before);
        let old = self.buffer.times.partition_point(|time| *time < keep);
        self.buffer.remove_first(old);
        self.done = until;
        Ok(decided)
    }

    /// Appends to `decided` what becomes of the buffer's `rows`.
    fn apply(&self, planned: &Compaction, rows: Range<usize>, decided: &mut Rows) {
        let mut made = planned.rows.iter().peekable();
        let mut deleted = planned.delete.iter().peekable();
        for row in rows {
            let time = self.buffer.times[row];
            while let Some((at, values)) = made.next_if(|(at, _)| *at <= time) {
                decided.push_made(*at, values, &self.buffer);
            }
            let is_replaced = decided.times.last() == Some(&time);
            if deleted.next_if_eq(&&time).is_none() && !is_replaced {
                decided.push_rows(&self.buffer, row..row + 1);
            }
        }
        for (at, values) in made {
            decided.push_made(*at, values, &self.buffer);
        }
    }

    /// Whether a meter whose readings become these `points` counts as much in each of the open
    /// buckets within `part` as before.
    fn check(&self, key: usize, points: &[(i64, Value)], part: Span) -> Result<()> {
        let cells = &self.buffer.cells[key];
        let reading = |(time, cell): (&i64, &Cell)| {
            let value = number(cell);
            (!value.is_nan()).then_some((*time, value))
        };
        let before: Vec<(i64, f64)> =
            self.buffer.times.iter().zip(cells).filter_map(reading).collect();
        let mut after: Vec<(i64, f64)> =
            before.iter().filter(|(time, _)| !self.open.contains(*time)).copied().collect();
        after.extend(points.iter().filter_map(|(time, value)| match value {
            Value::Number(number) => Some((*time, *number)),
            Value::Reading(row) => reading((time, &cells[*row])),
        }));
        after.sort_unstable_by_key(|(time, _)| *time);
        for span in self.open.spans() {
            let window = Span::new(span.start.max(part.start), span.end.min(part.end));
            let (was, is) = (self.around(&before, window), self.around(&after, window));
            let Some(window) = clip(window, [was, is], self.tier.interval) else { continue };
            let (was, is) = (was.iter().copied().unzip(), is.iter().copied().unzip());
            let (was, is): ((Vec<_>, Vec<_>), (Vec<_>, Vec<_>)) = (was, is);
            if let Err(Changed { bucket, before, after }) = conserved(
                (&was.0, &was.1),
                (&is.0, &is.1),
                window,
                self.tier.interval,
                &self.rules,
            )? {
                let key = self.names[key].clone();
                return Err(Error::NotConserved { key, bucket, before, after });
            }
        }
        Ok(())
    }

    /// The readings that tell about `window`.
    fn around<'r>(&self, readings: &'r [(i64, f64)], window: Span) -> &'r [(i64, f64)] {
        let from = window.start.saturating_sub(self.before);
        let to = window.end.saturating_add(self.after).saturating_add(1);
        let first = readings.partition_point(|(time, _)| *time < from).saturating_sub(1);
        let last = readings.partition_point(|(time, _)| *time < to).saturating_add(1);
        &readings[first.min(last)..last.min(readings.len())]
    }
}

/// The part of `window` that readings reach, in whole buckets; `None` if there is none.
fn clip(window: Span, readings: [&[(i64, f64)]; 2], interval: i64) -> Option<Span> {
    let first =
        readings.iter().filter_map(|readings| readings.first()).map(|(time, _)| time).min()?;
    let last =
        readings.iter().filter_map(|readings| readings.last()).map(|(time, _)| time).max()?;
    let floor = |second: i64| second.saturating_sub(second.rem_euclid(interval));
    let start = window.start.max(floor(*first));
    let end = window.end.min(floor(*last).saturating_add(interval));
    (start < end).then_some(Span::new(start, end))
}
