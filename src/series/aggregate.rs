//! The ways in which the readings of a bucket become one value.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use super::cell::Cell;
use super::numbers::{Kind, is_nothing, kind, number};

/// How the readings of a bucket become one value. Readings that are nothing or NaN do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// The mean of the readings, whatever time lies between them. The first value also stands one
    /// interval before the window, and the last one at its end.
    Mean,
    /// The mean over time: a reading holds until the next one, but no longer than two intervals.
    TimeWeightedMean,
    /// The smallest reading.
    Min,
    /// The largest reading.
    Max,
    /// The sum of the readings.
    Sum,
    /// The first reading.
    First,
    /// The last reading.
    Last,
    /// The mean direction of angles in degrees, from 0 to below 360; nothing where the directions
    /// cancel each other.
    CircularMean,
    /// The most frequent reading, the earliest of them on a tie.
    Mode,
}

impl fmt::Display for Aggregation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Mean => "mean",
            Self::TimeWeightedMean => "time_weighted_mean",
            Self::Min => "min",
            Self::Max => "max",
            Self::Sum => "sum",
            Self::First => "first",
            Self::Last => "last",
            Self::CircularMean => "circular_mean",
            Self::Mode => "mode",
        })
    }
}

impl Aggregation {
    /// One number for the readings, by an aggregation that makes one of them alone; `None` if they
    /// are not all numbers or truth values, or have no such number.
    pub(crate) fn number(self, cells: &[Cell]) -> Option<f64> {
        let value = match self {
            _ if !matches!(kind(cells), Ok(Kind::Numbers { .. })) => f64::NAN,
            Self::Mean => Sum::<true>::of(cells).mean(),
            Self::Min => min(cells),
            Self::Max => max(cells),
            Self::Sum => sum(cells),
            Self::CircularMean => circular_mean(cells),
            Self::TimeWeightedMean | Self::First | Self::Last | Self::Mode => f64::NAN,
        };
        (!value.is_nan()).then_some(value)
    }

    /// The mean of values, each with the seconds for which it holds; `None` if they are not all
    /// numbers, or hold for no time.
    pub(crate) fn weighted_mean(held: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
        let (mut sum, mut seconds) = (Sum::<true>::default(), 0.0);
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        for (value, time) in held.filter(|(_, time)| *time > 0.0) {
            if value.is_nan() {
                return None;
            }
            sum.add(value * time);
            seconds += time;
            (min, max) = (min.min(value), max.max(value));
        }
        let mean = sum.total() / seconds;
        // Rounding must not move it out of the values, nor a constant off itself.
        (!mean.is_nan()).then(|| mean.clamp(min, max))
    }

    /// The index of the reading within `range` that stands for all of them; the last one where no
    /// reading is picked out by this aggregation. `None` if there is none.
    pub(crate) fn pick(self, cells: &[Cell], range: Range<usize>) -> Option<usize> {
        match self {
            Self::First => first(cells, range),
            Self::Mode => Modes::default().mode(cells, range),
            _ => last(cells, range),
        }
    }
}

/// A sum of numbers other than NaN; `COMPENSATED`, it carries rounding errors along (Kahan).
#[derive(Debug, Default)]
pub(super) struct Sum<const COMPENSATED: bool> {
    total: f64,
    compensation: f64,
    count: f64,
}

impl<const COMPENSATED: bool> Sum<COMPENSATED> {
    /// The sum of the readings that are numbers.
    fn of(cells: &[Cell]) -> Self {
        let mut sum = Self::default();
        for cell in cells {
            sum.add(number(cell));
        }
        sum
    }

    /// Adds `value` unless it is NaN.
    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        self.count += 1.0;
        if !COMPENSATED {
            self.total += value;
            return;
        }
        let corrected = value - self.compensation;
        let total = self.total + corrected;
        self.compensation = total - self.total - corrected;
        // An infinity has no rounding error; as NaN it would make the total NaN.
        if self.compensation.is_nan() {
            self.compensation = 0.0;
        }
        self.total = total;
    }

    /// The sum; NaN of nothing.
    pub(super) fn total(&self) -> f64 {
        if self.count > 0.0 { self.total } else { f64::NAN }
    }

    /// The mean; NaN of nothing.
    pub(super) fn mean(&self) -> f64 {
        self.total / self.count
    }
}

/// The smallest of the readings that are numbers; NaN of none.
pub(super) fn min(cells: &[Cell]) -> f64 {
    cells.iter().map(number).fold(f64::NAN, f64::min)
}

/// The largest of the readings that are numbers; NaN of none.
pub(super) fn max(cells: &[Cell]) -> f64 {
    cells.iter().map(number).fold(f64::NAN, f64::max)
}

/// The sum of the readings that are numbers; NaN of none.
pub(super) fn sum(cells: &[Cell]) -> f64 {
    Sum::<true>::of(cells).total()
}

/// The mean direction of readings in degrees, in `[0, 360)`; NaN of none, of an infinite one, and
/// where the directions cancel each other.
pub(super) fn circular_mean(cells: &[Cell]) -> f64 {
    let (mut east, mut north, mut count) = (0.0, 0.0, 0.0);
    for degrees in cells.iter().map(number).filter(|degrees| !degrees.is_nan()) {
        let (sine, cosine) = (degrees % 360.0).to_radians().sin_cos();
        east += sine;
        north += cosine;
        count += 1.0;
    }
    // What rounding leaves of directions that cancel each other is none of its own.
    if f64::hypot(east, north) < 1e-9 * count {
        return f64::NAN;
    }
    let degrees = east.atan2(north).to_degrees().rem_euclid(360.0);
    // A tiny negative angle is rounded up to a whole turn.
    if degrees >= 360.0 { 0.0 } else { degrees }
}

/// The index of the first of the readings within `range` that is something.
pub(super) fn first(cells: &[Cell], mut range: Range<usize>) -> Option<usize> {
    range.find(|&index| !is_nothing(&cells[index]))
}

/// The index of the last of the readings within `range` that is something.
pub(super) fn last(cells: &[Cell], range: Range<usize>) -> Option<usize> {
    range.rev().find(|&index| !is_nothing(&cells[index]))
}

/// Finds the most frequent readings of one bucket after another.
///
/// The counts of all buckets share a table, each marked with the start of its bucket, so that a
/// bucket costs no more than its readings.
#[derive(Debug, Default)]
pub(super) struct Modes<'c> {
    seen: HashMap<ModeKey<'c>, Seen>,
}

/// What makes readings the same.
#[derive(Debug, PartialEq, Eq, Hash)]
enum ModeKey<'c> {
    Number(u64),
    Text(&'c str),
    EmptyDict,
    /// A reading that nothing is known of, or the record's own time, which no other record has.
    Alone(usize),
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The first reading of the bucket.
    bucket: usize,
    /// The first reading of this kind in it.
    first: usize,
    /// How many there are.
    times: usize,
}

impl<'c> Modes<'c> {
    /// The index of the first one of the most frequent readings within `range`, which is behind
    /// all former ones.
    pub(super) fn mode(&mut self, cells: &'c [Cell], range: Range<usize>) -> Option<usize> {
        let mut best: Option<Seen> = None;
        let bucket = range.start;
        for index in range {
            let key = match &cells[index] {
                cell if is_nothing(cell) => continue,
                Cell::Text(text) => ModeKey::Text(text),
                Cell::EmptyDict => ModeKey::EmptyDict,
                Cell::DateTime { .. } | Cell::Other => ModeKey::Alone(index),
                // A zero is added for the sake of its sign.
                cell => ModeKey::Number((number(cell) + 0.0).to_bits()),
            };
            let new = Seen { bucket, first: index, times: 0 };
            let seen = self.seen.entry(key).or_insert(new);
            if seen.bucket != bucket {
                *seen = new;
            }
            seen.times += 1;
            let better = |best: Seen| {
                seen.times > best.times || seen.times == best.times && seen.first < best.first
            };
            if best.is_none_or(better) {
                best = Some(*seen);
            }
        }
        best.map(|best| best.first)
    }
}
