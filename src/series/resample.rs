//! Readings at irregular times become values on a regular grid.

use std::ops::Range;

use super::aggregate::{self, Aggregation, Modes, Sum};
use super::cell::Cell;
use super::fill::{Bucket, Fill, Filler, line};
use super::numbers::{Kind, is_nothing, kind, number};
use super::window::{Query, SECOND, Window};
use crate::error::{Error, Result};

/// More buckets than this are refused: ten years in steps of 3 s.
const MAX_BUCKETS: i64 = 100_000_000;

/// How readings become values on a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resampling {
    /// Microseconds from one value to the next, at least a second. The grid has its whole seconds;
    /// the value that stands before the window does so by all of it.
    pub interval: i64,
    /// How buckets without a reading get a value; `None` for what goes with the aggregation:
    /// interpolated means, readings that are no numbers repeated, all else left open.
    pub fill: Option<Fill>,
    /// Whether the buckets begin at multiples of the interval since 1970 instead of at the start of
    /// what is read.
    pub align: bool,
    /// How a bucket's readings become one value; `None` for the mean, or the first one of readings
    /// that are no numbers, both with the first value standing one interval before the window and
    /// the last one at its end.
    pub aggregation: Option<Aggregation>,
}

/// The values of a grid.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Numbers; NaN where there is nothing.
    Numbers(Vec<f64>),
    /// The indices of the readings that are the values; `None` where there is nothing.
    Picked(Vec<Option<usize>>),
}

/// Values one interval (in whole seconds) apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Resampled {
    /// The time of the first value, in microseconds since 1970 UTC; where there is no value, the
    /// time that the first one would have.
    pub first: i64,
    /// The values.
    pub values: Values,
}

/// The readings at `times` as values on a grid, those of which are returned whose times lie in
/// `[start, end - 1 s]` of the window.
///
/// `times` are whole seconds since 1970 UTC within the query's span, ascending;
/// `cells` are the readings then. `now` (microseconds since 1970 UTC) is where the grid lies if
/// there is neither a start nor a reading.
///
/// # Errors
/// [`Error::Type`] if the numbers to aggregate are text; [`Error::Invalid`] if the aggregation
/// needs numbers and there are others, if there would be more than 100 million values or no memory
/// for them, or if the grid leaves the years that microseconds can count.
pub fn resample(
    times: &[i64],
    cells: &[Cell],
    window: &Window,
    query: &Query,
    how: &Resampling,
    now: i64,
) -> Result<Resampled> {
    let count = times.len().min(cells.len());
    let (times, cells) = (&times[..count], &cells[..count]);
    let grid = Grid::new(times, window, query, how, now)?;
    let picks =
        matches!(how.aggregation, Some(Aggregation::First | Aggregation::Last | Aggregation::Mode));
    let values = match kind(cells) {
        Ok(Kind::Numbers { plain_sum }) => {
            Values::Numbers(grid.numbers(times, cells, how, plain_sum)?)
        }
        Err(error) if !picks => return Err(error),
        Ok(Kind::Values) | Err(_) => match how.aggregation {
            Some(aggregation) if !picks => {
                return Err(Error::Invalid(format!(
                    "'{aggregation}' needs numbers, and there are other values: take 'first', \
                     'last' or 'mode'"
                )));
            }
            _ => Values::Picked(grid.picked(times, cells, how)?),
        },
    };
    Ok(Resampled { first: grid.label(grid.kept.start), values })
}

impl Resampling {
    /// The microseconds within a second at which every bucket begins. Where they are not 0, readings
    /// of the same second may lie in two buckets: then [`seconds_from`] tells which.
    #[must_use]
    pub fn fraction(&self, query: &Query) -> i64 {
        if self.align { 0 } else { query.start.unwrap_or(0).rem_euclid(SECOND) }
    }
}

/// Whole seconds for readings at `times` and `microseconds` within the second, which lie in the
/// same buckets, if every bucket begins `fraction` microseconds after a second.
#[must_use]
pub fn seconds_from(times: &[i64], microseconds: &[i64], fraction: i64) -> Vec<i64> {
    let second = |(time, within): (&i64, &i64)| time.saturating_add(i64::from(*within >= fraction));
    times.iter().zip(microseconds).map(second).collect()
}

/// Buckets of equal length, numbered from 0.
#[derive(Debug)]
struct Grid {
    /// When bucket 0 begins, in microseconds.
    start: i64,
    /// The length of a bucket in seconds.
    step: i64,
    /// How many buckets there are.
    count: i64,
    /// The buckets whose values are asked for.
    kept: Range<i64>,
    /// Whether the first value stands in bucket 0 too.
    before: bool,
    /// Whether the last value stands in the last bucket too.
    after: bool,
}

/// The readings in a bucket, by their indices.
#[derive(Debug)]
struct Run {
    bucket: i64,
    readings: Range<usize>,
}

impl Grid {
    /// The grid that holds all readings and the edges of what was read.
    fn new(
        times: &[i64],
        window: &Window,
        query: &Query,
        how: &Resampling,
        now: i64,
    ) -> Result<Self> {
        // i128 holds whatever can be made of a few i64.
        let wide = i128::from;
        let second = wide(SECOND);
        let interval = wide(how.interval).max(second);
        let step = interval / second * second;
        let reading = |time: Option<&i64>| time.map(|time| wide(*time) * second);

        let (first, before) = match (query.start.map(wide), reading(times.first())) {
            // A reading in the second of a start within that second stands for itself.
            (Some(start), Some(first)) if first < start => (first, false),
            (Some(start), first) => (start - interval, first.is_some()),
            (None, Some(first)) => (first, false),
            (None, None) => (wide(now), false),
        };
        let last = reading(times.last()).unwrap_or(first).max(first);
        let beyond =
            query.end.map(wide).filter(|end| last.div_euclid(second) < end.div_euclid(second));
        let origin = match query.start {
            None => first.div_euclid(86_400 * second) * 86_400 * second,
            Some(_) if how.align => 0,
            Some(start) => wide(start),
        };
        let floor = |time: i128| time - (time - origin).rem_euclid(step);
        let start = floor(first);
        let end = floor(beyond.unwrap_or(last)) + step;
        let count = (end - start) / step;

        let from = window.start.map_or(0, |from| -((start - wide(from)).div_euclid(step)));
        let from = from.clamp(0, count);
        let to = window.end.map_or(count, |to| (wide(to) - second - start).div_euclid(step) + 1);
        let to = to.clamp(from, count);
        if to - from > wide(MAX_BUCKETS) {
            return Err(Error::Invalid(format!(
                "{} values are asked for, more than {MAX_BUCKETS}: take a longer interval or a \
                 shorter window",
                to - from
            )));
        }
        // No label, and no whole second of a bucket, lies outside of these two.
        let (Ok(start), Ok(_)) = (i64::try_from(start), i64::try_from(end)) else {
            return Err(Error::Invalid(
                "the times are beyond what microseconds since 1970 can count".to_owned(),
            ));
        };
        let small = |value: i128| i64::try_from(value).unwrap_or(i64::MAX);
        Ok(Self {
            start,
            step: small(step / second),
            count: small(count),
            kept: small(from)..small(to),
            before,
            after: beyond.is_some() && !times.is_empty(),
        })
    }

    /// When a bucket begins, in microseconds.
    fn label(&self, bucket: i64) -> i64 {
        self.start.saturating_add(bucket.saturating_mul(self.step).saturating_mul(SECOND))
    }

    /// The first whole second in bucket 0. All others follow from it by whole steps, so that whole
    /// seconds are compared, not microseconds.
    fn first_second(&self) -> i64 {
        self.start.div_euclid(SECOND) + i64::from(self.start.rem_euclid(SECOND) > 0)
    }

    /// The bucket of a reading.
    fn bucket(&self, time: i64) -> i64 {
        time.saturating_sub(self.first_second()).div_euclid(self.step)
    }

    /// The buckets with readings.
    fn runs<'t>(&'t self, times: &'t [i64]) -> Runs<'t> {
        Runs { grid: self, times, at: 0, bucket: -1, length: 1, end: self.first_second() }
    }

    /// The buckets with readings, and those in which only an edge stands.
    fn edged_runs<'t>(&'t self, times: &'t [i64]) -> impl Iterator<Item = Run> {
        let last = self.count - 1;
        let elsewhere = |time: Option<&i64>, bucket| time.is_none_or(|t| self.bucket(*t) != bucket);
        let before = self.before && elsewhere(times.first(), 0);
        // Either edge may be all there is in the only bucket.
        let after = self.after && elsewhere(times.last(), last) && !(self.before && last == 0);
        let edge = |bucket, at| Run { bucket, readings: at..at };
        let before = before.then(|| edge(0, 0));
        let after = after.then(|| edge(last, times.len()));
        before.into_iter().chain(self.runs(times)).chain(after)
    }

    /// Whether the first and the last value stand in a bucket too.
    fn edges(&self, bucket: i64) -> (bool, bool) {
        (self.before && bucket == 0, self.after && bucket == self.count - 1)
    }

    fn numbers(
        &self,
        times: &[i64],
        cells: &[Cell],
        how: &Resampling,
        plain_sum: bool,
    ) -> Result<Vec<f64>> {
        #[expect(clippy::cast_precision_loss, reason = "as NumPy converts times")]
        let label = |bucket| self.label(bucket) as f64;
        let aggregation = how.aggregation.unwrap_or(Aggregation::Mean);
        let default = if aggregation == Aggregation::Mean { Fill::Interpolate } else { Fill::None };
        let fill = how.fill.unwrap_or(default);
        let values = allocate(&self.kept, f64::NAN)?;
        let mut filler = Filler::new(fill, self.kept.clone(), values, line(label));
        let mut put = |bucket, value: f64| {
            if !value.is_nan() {
                filler.put(bucket, value);
            }
        };
        let mut of_cells = |value: fn(&[Cell]) -> f64| {
            self.runs(times).for_each(|run| put(run.bucket, value(&cells[run.readings])));
        };
        match aggregation {
            Aggregation::Mean if plain_sum => self.means::<false>(times, cells, put),
            Aggregation::Mean => self.means::<true>(times, cells, put),
            Aggregation::TimeWeightedMean => {
                let hold = how.interval.saturating_mul(2);
                self.time_weighted_means(times, cells, hold, put);
            }
            Aggregation::Min => of_cells(aggregate::min),
            Aggregation::Max => of_cells(aggregate::max),
            Aggregation::Sum => of_cells(aggregate::sum),
            Aggregation::CircularMean => of_cells(aggregate::circular_mean),
            Aggregation::First | Aggregation::Last | Aggregation::Mode => {
                self.picks(times, cells, aggregation, |bucket, at| put(bucket, number(&cells[at])));
            }
        }
        Ok(filler.finish())
    }

    fn picked(
        &self,
        times: &[i64],
        cells: &[Cell],
        how: &Resampling,
    ) -> Result<Vec<Option<usize>>> {
        let default = if how.aggregation.is_none() { Fill::Forward } else { Fill::None };
        let fill = match how.fill.unwrap_or(default) {
            Fill::Interpolate => Fill::None,
            fill => fill,
        };
        let line = |_: Bucket<_>, _: Bucket<_>, _: i64, _: &mut [_]| ();
        let values = allocate(&self.kept, None)?;
        let mut filler = Filler::new(fill, self.kept.clone(), values, line);
        match how.aggregation {
            Some(aggregation) => {
                self.picks(times, cells, aggregation, |bucket, at| filler.put(bucket, Some(at)));
            }
            None => {
                for run in self.edged_runs(times) {
                    let (before, after) = self.edges(run.bucket);
                    let edge = |at: usize| cells.get(at).is_some_and(|cell| !is_nothing(cell));
                    let last = cells.len().saturating_sub(1);
                    let picked = (before && edge(0))
                        .then_some(0)
                        .or_else(|| aggregate::first(cells, run.readings))
                        .or_else(|| (after && edge(last)).then_some(last));
                    if picked.is_some() {
                        filler.put(run.bucket, picked);
                    }
                }
            }
        }
        Ok(filler.finish())
    }

    /// One of each bucket's readings.
    fn picks(
        &self,
        times: &[i64],
        cells: &[Cell],
        aggregation: Aggregation,
        mut put: impl FnMut(i64, usize),
    ) {
        let mut modes = Modes::default();
        for run in self.runs(times) {
            let picked = match aggregation {
                Aggregation::Last => aggregate::last(cells, run.readings),
                Aggregation::Mode => modes.mode(cells, run.readings),
                _ => aggregate::first(cells, run.readings),
            };
            if let Some(picked) = picked {
                put(run.bucket, picked);
            }
        }
    }

    /// Each bucket's mean, with the edges as readings.
    fn means<const COMPENSATED: bool>(
        &self,
        times: &[i64],
        cells: &[Cell],
        mut put: impl FnMut(i64, f64),
    ) {
        let edge = |cell: Option<&Cell>| cell.map_or(f64::NAN, number);
        for run in self.edged_runs(times) {
            let (before, after) = self.edges(run.bucket);
            let mut sum = Sum::<COMPENSATED>::default();
            if before {
                sum.add(edge(cells.first()));
            }
            for cell in &cells[run.readings] {
                sum.add(number(cell));
            }
            if after {
                sum.add(edge(cells.last()));
            }
            put(run.bucket, sum.mean());
        }
    }

    /// Each bucket's mean over the time that readings hold, at most `hold` microseconds each.
    fn time_weighted_means(
        &self,
        times: &[i64],
        cells: &[Cell],
        hold: i64,
        mut put: impl FnMut(i64, f64),
    ) {
        let mut readings = times
            .iter()
            .map(|time| time.saturating_mul(SECOND))
            .zip(cells.iter().map(number))
            .filter(|(_, value)| !value.is_nan())
            .peekable();
        let grid_end = self.label(self.count);
        let step = self.step.saturating_mul(SECOND);
        let (mut bucket, mut bucket_end) = (0, self.label(1));
        let mut mean = TimeWeighted::default();
        while let Some((start, value)) = readings.next() {
            let next = readings.peek().map_or(i64::MAX, |(next, _)| *next);
            let end = start.saturating_add(hold).min(next).min(grid_end);
            let mut from = start.max(self.start);
            while from < end {
                if from >= bucket_end {
                    put(bucket, std::mem::take(&mut mean).value());
                    bucket = from.saturating_sub(self.start) / step;
                    bucket_end = self.label(bucket.saturating_add(1));
                }
                let to = end.min(bucket_end);
                mean.add(value, to.saturating_sub(from));
                from = to;
            }
        }
        put(bucket, mean.value());
    }
}

/// A mean over time.
#[derive(Debug)]
struct TimeWeighted {
    sum: Sum<true>,
    seconds: f64,
    min: f64,
    max: f64,
}

impl Default for TimeWeighted {
    fn default() -> Self {
        Self { sum: Sum::default(), seconds: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl TimeWeighted {
    /// Adds a value other than NaN that holds for some time.
    fn add(&mut self, value: f64, microseconds: i64) {
        #[expect(clippy::cast_precision_loss, reason = "exact for 285 years")]
        let seconds = microseconds as f64 / 1e6;
        self.sum.add(value * seconds);
        self.seconds += seconds;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// The mean; NaN of no time.
    fn value(self) -> f64 {
        if self.seconds > 0.0 {
            // Rounding must not move it out of the values, nor a constant off itself.
            (self.sum.total() / self.seconds).clamp(self.min, self.max)
        } else {
            f64::NAN
        }
    }
}

/// A place for each bucket to keep.
fn allocate<V: Copy>(kept: &Range<i64>, nothing: V) -> Result<Vec<V>> {
    let count = usize::try_from(kept.end.saturating_sub(kept.start)).unwrap_or(0);
    let mut values = Vec::new();
    values
        .try_reserve_exact(count)
        .map_err(|_| Error::Invalid(format!("no memory for {count} values")))?;
    values.resize(count, nothing);
    Ok(values)
}

/// The buckets with readings, in order.
#[derive(Debug)]
struct Runs<'t> {
    grid: &'t Grid,
    times: &'t [i64],
    /// The first reading of the next bucket.
    at: usize,
    /// The last bucket.
    bucket: i64,
    /// How many readings were in it.
    length: usize,
    /// The first second behind the last bucket.
    end: i64,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let step = self.grid.step;
        let first = *self.times.get(self.at)?;
        // A division is most of the cost of a short run, and mostly it is the next bucket.
        let beyond = first.saturating_sub(self.end);
        let skipped = if beyond < step { 0 } else { beyond / step };
        self.bucket = self.bucket.saturating_add(skipped).saturating_add(1);
        self.end = self.end.saturating_add(skipped.saturating_add(1).saturating_mul(step));
        // Likely there are as many readings as in the bucket before; at least there is this one.
        let (from, count) = (self.at, self.times.len());
        let mut to = from.saturating_add(self.length).min(count);
        while to < count && self.times[to] < self.end {
            to += 1;
        }
        while to > from + 1 && self.times[to - 1] >= self.end {
            to -= 1;
        }
        (self.at, self.length) = (to, to - from);
        Some(Run { bucket: self.bucket, readings: from..to })
    }
}
