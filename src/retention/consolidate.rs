//! One value for the readings of a bucket.

use std::ops::Range;

use super::open::Open;
use crate::series::{Aggregation, Cell, MeterRules};

/// What replaces readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A number of its own.
    Number(f64),
    /// A reading as it is, by the index of its row.
    Reading(usize),
}

/// How the readings of a key in a bucket are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consolidation {
    /// By their mean, or the last one if they are not all numbers; truth values are none.
    MeanOrLast,
    /// By one value at the start of the bucket; the last one where an aggregation of numbers meets
    /// other readings, or where none comes of it, such as a mean of directions that cancel each
    /// other. A reading that a time-weighted mean begins with holds at most the longest gap.
    By(Aggregation),
    /// As a cumulative meter: by its readings at the starts of the buckets, interpolated between
    /// those around them, and by those at their own times that its energy cannot do without. Wrong
    /// readings go, and what is no number stays.
    Meter,
}

/// Whether the cell is neither `None` nor NaN.
pub(super) fn is_reading(cell: &Cell) -> bool {
    Aggregation::Last.pick(std::slice::from_ref(cell), 0..1).is_some()
}

/// One value at the start of each open bucket with a reading, `None` by mean or last.
///
/// `times` ascend, and `cells` are as many.
pub(super) fn points(
    times: &[i64],
    cells: &[Cell],
    aggregation: Option<Aggregation>,
    open: &Open,
    rules: &MeterRules,
) -> Vec<(i64, Value)> {
    let mut points = Vec::new();
    for span in open.spans() {
        let mut from = times.partition_point(|time| *time < span.start);
        while let Some(time) = times.get(from).filter(|time| **time < span.end) {
            let end = open.next_start(*time);
            let to = from + times[from..].partition_point(|time| *time < end);
            let bucket = Bucket { times, cells, rows: from..to, start: end - open.interval(), end };
            if let Some(value) = bucket.value(aggregation, rules) {
                points.push((bucket.start, value));
            }
            from = to;
        }
    }
    points
}

/// The rows of a bucket among all.
struct Bucket<'c> {
    times: &'c [i64],
    cells: &'c [Cell],
    rows: Range<usize>,
    start: i64,
    end: i64,
}

impl Bucket<'_> {
    fn value(&self, aggregation: Option<Aggregation>, rules: &MeterRules) -> Option<Value> {
        let first = Aggregation::First.pick(self.cells, self.rows.clone())?;
        let last = Aggregation::Last.pick(self.cells, self.rows.clone())?;
        if first == last {
            return Some(Value::Reading(first));
        }
        let number = match aggregation {
            None if !self.is_numbers() => None,
            None => Aggregation::Mean.number(&self.cells[self.rows.clone()]),
            Some(Aggregation::TimeWeightedMean) => self.time_weighted_mean(rules),
            Some(aggregation) => aggregation.number(&self.cells[self.rows.clone()]),
        };
        let pick = || aggregation.unwrap_or(Aggregation::Last).pick(self.cells, self.rows.clone());
        number.map(Value::Number).or_else(|| pick().map(Value::Reading))
    }

    /// Whether all readings are numbers.
    fn is_numbers(&self) -> bool {
        let number = |cell: &Cell| matches!(cell, Cell::None | Cell::Int(_) | Cell::Float(_));
        self.cells[self.rows.clone()].iter().all(number)
    }

    fn time_weighted_mean(&self, rules: &MeterRules) -> Option<f64> {
        let holds = |row: usize| {
            self.times[row].saturating_add(rules.max_gap.unwrap_or(i64::MAX)).min(self.end)
        };
        let before = (0..self.rows.start)
            .rev()
            .take_while(|row| holds(*row) > self.start)
            .find(|row| is_reading(&self.cells[*row]));
        let readings: Vec<usize> = before
            .into_iter()
            .chain(self.rows.clone().filter(|row| is_reading(&self.cells[*row])))
            .collect();
        let next = readings.iter().skip(1).map(|row| self.times[*row]).chain([self.end]);
        let held: Vec<_> = readings
            .iter()
            .zip(next)
            .map(|(row, next)| {
                let seconds = holds(*row).min(next) - self.times[*row].max(self.start);
                #[expect(clippy::cast_precision_loss, reason = "exact for any bucket of readings")]
                let seconds = seconds as f64;
                (*row, seconds)
            })
            .collect();
        Aggregation::weighted_mean(self.cells, &held)
    }
}
