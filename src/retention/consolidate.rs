//! One value for the readings of a bucket.

use std::ops::Range;

use super::open::Open;
use crate::interval::Span;
use crate::series::{Aggregation, Cell, MeterRules, number as number_of};

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
    /// other. A time-weighted mean begins with what the bucket before became, which holds at most
    /// the longest gap.
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

/// What a bucket became: its start, and the value as a number.
pub(super) type Former = Option<(i64, f64)>;

/// One value at the start of each open bucket within `part` that has a reading; `None` by mean or
/// last. `former` is what the last bucket before became, and afterwards what the last one became.
///
/// `times` ascend, and `cells` are as many. `part` begins and ends with a bucket.
pub(super) fn points(
    times: &[i64],
    cells: &[Cell],
    aggregation: Option<Aggregation>,
    open: &Open,
    part: Span,
    rules: &MeterRules,
    former: &mut Former,
) -> Vec<(i64, Value)> {
    let mut points: Vec<(i64, Value)> = Vec::new();
    for span in open.spans() {
        let span = Span::new(span.start.max(part.start), span.end.min(part.end));
        let mut from = times.partition_point(|time| *time < span.start);
        while let Some(time) = times.get(from).filter(|time| **time < span.end) {
            let end = open.next_start(*time);
            let to = from + times[from..].partition_point(|time| *time < end);
            let bucket = Bucket { times, cells, rows: from..to, start: end - open.interval(), end };
            if let Some(value) = bucket.value(aggregation, open, *former, rules) {
                let as_number = match value {
                    Value::Number(number) => number,
                    Value::Reading(row) => number_of(&cells[row]),
                };
                *former = Some((bucket.start, as_number));
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
    /// What becomes of the bucket; `former` is what became of the one before it.
    fn value(
        &self,
        aggregation: Option<Aggregation>,
        open: &Open,
        former: Former,
        rules: &MeterRules,
    ) -> Option<Value> {
        let first = Aggregation::First.pick(self.cells, self.rows.clone())?;
        let last = Aggregation::Last.pick(self.cells, self.rows.clone())?;
        let is_weighted = aggregation == Some(Aggregation::TimeWeightedMean);
        if first == last && (self.times[first] == self.start || !is_weighted) {
            return Some(Value::Reading(first));
        }
        let number = match aggregation {
            None if !self.is_numbers() => None,
            None => Aggregation::Mean.number(&self.cells[self.rows.clone()]),
            Some(Aggregation::TimeWeightedMean) => self.time_weighted_mean(open, former, rules),
            Some(aggregation) => aggregation.number(&self.cells[self.rows.clone()]),
        };
        // The reading itself, where it is one of them: an integer stays what it is.
        if let (Some(number), Some(Aggregation::Min | Aggregation::Max)) = (number, aggregation) {
            let is_it = |row: &usize| number_of(&self.cells[*row]).total_cmp(&number).is_eq();
            return self.rows.clone().find(is_it).map(Value::Reading);
        }
        let pick = || aggregation.unwrap_or(Aggregation::Last).pick(self.cells, self.rows.clone());
        number.map(Value::Number).or_else(|| pick().map(Value::Reading))
    }

    /// Whether all readings are numbers.
    fn is_numbers(&self) -> bool {
        let number = |cell: &Cell| matches!(cell, Cell::None | Cell::Int(_) | Cell::Float(_));
        self.cells[self.rows.clone()].iter().all(number)
    }

    /// The mean over the bucket, a reading holding until the next one. The bucket begins with what
    /// the one before it became, whether that was just now or in a former run: so it makes no
    /// difference in how many runs rows are compacted.
    fn time_weighted_mean(&self, open: &Open, former: Former, rules: &MeterRules) -> Option<f64> {
        let reach = rules.max_gap.unwrap_or(i64::MAX);
        let before = (0..self.rows.start)
            .rev()
            .take_while(|row| self.times[*row].saturating_add(reach) > self.start)
            .find(|row| is_reading(&self.cells[*row]));
        let before = before.and_then(|row| {
            if !open.contains(self.times[row]) {
                return Some((self.times[row], number_of(&self.cells[row])));
            }
            former
        });
        let inside = self.rows.clone().filter(|row| is_reading(&self.cells[*row]));
        let readings: Vec<(i64, f64)> = before
            .into_iter()
            .chain(inside.map(|row| (self.times[row], number_of(&self.cells[row]))))
            .collect();
        let next = readings.iter().skip(1).map(|(time, _)| *time).chain([self.end]);
        Aggregation::weighted_mean(readings.iter().zip(next).map(|((time, value), next)| {
            let until = time.saturating_add(reach).min(next);
            #[expect(clippy::cast_precision_loss, reason = "exact for any bucket of readings")]
            let seconds = (until - time.max(&self.start)) as f64;
            (*value, seconds)
        }))
    }
}
