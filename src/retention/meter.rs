//! The readings of a cumulative meter that its energy cannot do without.
//!
//! While a meter rises evenly from reading to reading, those at the starts of the buckets tell as
//! much of its energy between any two of these as all of them do. What is no such rise, a gap, a
//! reset or a dip, is told by the two readings around it, and they stay as they are.

use std::ops::Range;

use super::consolidate::{Value, is_reading};
use super::open::Open;
use crate::error::{Error, Result};
use crate::interval::Span;
use crate::series::{Cell, MeterRules, Pair, Reading, energy};

const SECOND: i64 = 1_000_000;

const MOST_READINGS: i64 = 10_000_000;

/// The rules with their longest gap, twice the interval by default.
///
/// # Errors
/// [`Error::Invalid`] if it is shorter than the interval: then readings one interval apart would
/// tell nothing.
pub(super) fn rules_of(rules: &MeterRules, interval: i64) -> Result<MeterRules> {
    let max_gap = rules.max_gap.unwrap_or(interval.saturating_mul(2));
    if max_gap < interval {
        return Err(Error::Invalid(format!(
            "max_gap must be at least the interval of {interval} s, but is {max_gap} s"
        )));
    }
    let rules = MeterRules { max_gap: Some(max_gap), ..*rules };
    rules.check()?;
    Ok(rules)
}

/// What is kept of the readings in open buckets.
///
/// `times` ascend, and `cells` are as many.
pub(super) fn points(
    times: &[i64],
    cells: &[Cell],
    open: &Open,
    rules: &MeterRules,
) -> Result<Vec<(i64, Value)>> {
    for second in times.first().into_iter().chain(times.last()) {
        second.checked_mul(SECOND).ok_or(Error::TimeRange { seconds: *second })?;
    }
    let mut meter = Meter {
        open,
        rows: Vec::new(),
        readings: Vec::new(),
        kept: Vec::new(),
        others: Vec::new(),
    };
    let mut points = Vec::new();
    for (row, (time, cell)) in times.iter().zip(cells).enumerate() {
        if let Some(reading) = MeterRules::reading(*time, cell) {
            meter.rows.push((row, *time));
            meter.readings.push(reading);
        } else if is_reading(cell) {
            if open.contains(*time) {
                points.push((*time, Value::Reading(row)));
            }
            if open.is_start(*time) {
                meter.others.push(*time);
            }
        }
    }
    meter.kept = vec![false; meter.rows.len()];
    meter.keep(rules, &mut points)?;
    let kept = meter.rows.iter().zip(&meter.kept);
    points.extend(
        kept.filter(|((_, time), kept)| **kept && open.contains(*time))
            .map(|((row, time), _)| (*time, Value::Reading(*row))),
    );
    Ok(points)
}

struct Meter<'o> {
    open: &'o Open,
    /// The row and the time of each reading.
    rows: Vec<(usize, i64)>,
    readings: Vec<Reading>,
    /// Which of them are kept at their own times.
    kept: Vec<bool>,
    /// When something that is no reading of the meter, such as a text, stands where a bucket
    /// begins. It stays there.
    others: Vec<i64>,
}

impl Meter<'_> {
    fn keep(&mut self, rules: &MeterRules, points: &mut Vec<(i64, Value)>) -> Result<()> {
        for end in [0, self.kept.len().saturating_sub(1)] {
            if let Some(kept) = self.kept.get_mut(end) {
                *kept = true;
            }
        }
        let pairs: Vec<Pair> = rules.pairs(self.readings.iter().copied()).collect();
        let evidence = self.evidence(rules, &pairs);
        let (mut at, mut room) = (0, MOST_READINGS);
        for (pair, decides) in pairs.into_iter().zip(evidence) {
            let (from, to) = (at, at + pair.wrong + 1);
            at = to;
            let (before, after) = (self.rows[from].1, self.rows[to].1);
            let is_evidence =
                decides || !self.are_told(from..to, rules) || self.meets_other(before, after);
            let rises = pair.increase.is_some() && pair.after.value >= pair.before.value;
            if is_evidence {
                self.kept[from..=to].fill(true);
            } else if rises {
                for span in self.open.starts(before, after) {
                    room -= (span.end - span.start - 1) / self.open.interval() + 1;
                    if room < 0 {
                        return Err(Error::Invalid(format!(
                            "more than {MOST_READINGS} readings of a meter: take a longer interval"
                        )));
                    }
                    let mut start = span.start;
                    while start < span.end {
                        points.push((start, Value::Number(between(&pair, start))));
                        start += self.open.interval();
                    }
                }
                let boundary = self.open.next_start(before);
                // Where the next boundary stays without a reading, this one tells of it.
                self.kept[from] |= boundary < after && !self.open.contains(boundary);
            } else {
                (self.kept[from], self.kept[to]) = (true, true);
            }
            for end in [from, to] {
                self.kept[end] |= self.open.is_start(self.rows[end].1);
            }
        }
        Ok(())
    }

    /// Whether those of the wrong readings within `way`, behind its first one, that stay for now can
    /// be told without that one and without those that go.
    fn are_told(&self, way: Range<usize>, rules: &MeterRules) -> bool {
        let before = self.readings[way.start];
        let wrong = way.start + 1..way.end;
        let stay = self.rows[wrong.clone()].iter().any(|(_, time)| !self.open.contains(*time));
        let wrong = &self.readings[wrong];
        let like_all = |one| wrong.iter().all(|other| rules.is_jitter(one, *other));
        !stay
            || wrong.iter().all(|reading| rules.is_reset(before, *reading))
            || wrong.iter().all(|reading| like_all(*reading))
    }

    /// Whether there is no place for a reading at the start of a bucket between these times.
    fn meets_other(&self, after: i64, before: i64) -> bool {
        let next = self.others.partition_point(|time| *time <= after);
        self.others.get(next).is_some_and(|time| *time < before)
    }

    /// Which pairs decide, behind a drop, that it was real. In place of one of their readings, or
    /// between them, an interpolated one might look as if the meter had returned to where it was.
    fn evidence(&self, rules: &MeterRules, pairs: &[Pair]) -> Vec<bool> {
        let mut evidence = vec![false; pairs.len()];
        let mut at = 0;
        for (number, pair) in pairs.iter().enumerate() {
            let drop = (pair.before, pair.after);
            let looked_at = at + pair.doubted;
            at += pair.wrong + 1;
            let mut from = at;
            for (decides, way) in evidence.iter_mut().zip(pairs).skip(number + 1) {
                if from >= looked_at {
                    break;
                }
                let to = from + way.wrong + 1;
                let readings = &self.readings[from..=to];
                let boundary = self.open.next_start(self.rows[from].1);
                // What lies beyond the longest gap decides by its time, whatever its value.
                let matters = boundary < self.rows[to].1 || !rules.is_gap(pair.before, readings[1]);
                let tells = readings.windows(2).any(|way| !rules.leave_open(drop, way[0], way[1]));
                *decides |= pair.worn_down || tells && matters;
                from = to;
            }
        }
        evidence
    }
}

/// What an evenly rising meter shows at a second between the two readings.
#[expect(
    clippy::cast_precision_loss,
    reason = "a share of an increase needs no more digits than the increase has"
)]
fn between(pair: &Pair, second: i64) -> f64 {
    let (before, after) = (pair.before, pair.after);
    let share = (second * SECOND).abs_diff(before.at) as f64 / after.at.abs_diff(before.at) as f64;
    before.value + (after.value - before.value) * share
}

/// A bucket whose energy is not what it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Changed {
    /// The bucket, in UTC seconds since 1970.
    pub bucket: Span,
    /// Its energy before, in the unit of the readings; not a number if it was unknown.
    pub before: f64,
    /// Its energy after.
    pub after: f64,
}

/// Tells whether a meter's energy in each bucket of `window` is the same before and after: to 1e-9,
/// absolute or of itself, or to what rounding leaves of the largest reading; unknown where it was.
///
/// Each meter is the times of its readings, UTC seconds since 1970 in ascending order without
/// repetition, and the readings. `window` is in the same seconds, the buckets of `interval` seconds
/// begin with it. `rules` are as for [`plan`](super::plan).
///
/// # Errors
/// The first bucket that changed, inside; outside what
/// [`energy`](crate::series::energy) refuses.
pub fn conserved(
    before: (&[i64], &[f64]),
    after: (&[i64], &[f64]),
    window: Span,
    interval: i64,
    rules: &MeterRules,
) -> Result<std::result::Result<(), Changed>> {
    let rules = rules_of(rules, interval)?;
    let micro =
        |second: i64| second.checked_mul(SECOND).ok_or(Error::TimeRange { seconds: second });
    let (start, end, length) = (micro(window.start)?, micro(window.end)?, micro(interval)?);
    let of = |(times, readings)| energy(times, readings, Some(start), Some(end), length, &rules);
    let (was, is) = (of(before)?, of(after)?);
    let finite = before.1.iter().filter(|reading| reading.is_finite());
    let largest = finite.fold(0.0, |largest: f64, reading| largest.max(reading.abs()));
    let rounding = 4.0 * f64::EPSILON * largest;
    let mut from = window.start;
    for (was, is) in was.values.into_iter().zip(is.values) {
        let to = from.saturating_add(interval).min(window.end);
        let tolerance = rounding.max(1e-9 * was.abs().max(1.0));
        if was.is_nan() != is.is_nan() || (was - is).abs() > tolerance {
            return Ok(Err(Changed { bucket: Span::new(from, to), before: was, after: is }));
        }
        from = to;
    }
    Ok(Ok(()))
}
