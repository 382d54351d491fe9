//! The energy of a cumulative meter per bucket: by how much its reading rises inside.
//!
//! Each pair of neighbouring readings gives one increase, spread evenly over the time between them,
//! which is the same as interpolating the reading at the bounds of the buckets. Pairs are judged
//! one by one, and readings that are wrong by those around them, so an answer depends on no reading
//! but those near its window.

use super::cell::Cell;
use super::numbers::number;
use crate::error::{Error, Result};

const SECOND: i64 = 1_000_000;

const MOST_BUCKETS: u64 = 100_000_000;

/// More readings than this, one after the other, are not taken for wrong: looking for the end of
/// them must not make the time grow by the square of the readings.
const MOST_WRONG: usize = 1_000;

/// How gaps, dips and resets of a meter are told apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeterRules {
    /// The longest time between two readings over which the meter is taken to have risen evenly,
    /// in seconds, itself included; `None` is no limit. What rises over a longer time is unknown.
    pub max_gap: Option<i64>,
    /// A drop to at most this fraction of the reading before is a reset: the meter started again
    /// from zero. 0 to 1; at 0 only a drop to zero or below it is one.
    pub reset_below: f64,
    /// A dip by at most this fraction of the size of the reading before is jitter: the reading
    /// counts as it is, and the increase is negative. 0 to 1; a reset goes before.
    pub jitter: f64,
}

impl Default for MeterRules {
    /// No limit of gaps, resets below a tenth, jitter up to a hundredth.
    fn default() -> Self {
        Self { max_gap: None, reset_below: 0.1, jitter: 0.01 }
    }
}

impl MeterRules {
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(max_gap) = self.max_gap.filter(|seconds| *seconds < 0) {
            return Err(Error::Invalid(format!(
                "max_gap must not be negative, but is {max_gap} s"
            )));
        }
        for (name, value) in [("reset_below", self.reset_below), ("jitter", self.jitter)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::Invalid(format!(
                    "{name} must be a fraction from 0 to 1, but is {value}"
                )));
            }
        }
        Ok(())
    }

    /// Whether two readings are so far apart that the meter's rise between them is unknown.
    pub(crate) fn is_gap(&self, before: Reading, after: Reading) -> bool {
        let max_gap = self.max_gap.map(|seconds| seconds.saturating_mul(SECOND).unsigned_abs());
        max_gap.is_some_and(|max_gap| after.at.abs_diff(before.at) > max_gap)
    }

    /// Whether a reading may be that of a meter which did not move since the one before.
    pub(crate) fn is_jitter(&self, before: Reading, after: Reading) -> bool {
        (after.value - before.value).abs() <= self.jitter * before.value.abs()
    }

    pub(crate) fn is_reset(&self, before: Reading, after: Reading) -> bool {
        before.value > 0.0 && after.value <= self.reset_below * before.value
    }

    /// Looks at the readings after `before`, and tells how many of them are wrong: those of a drop
    /// from which the meter returns at one stroke to where it was, before there is a gap.
    fn look_ahead(&self, before: Reading, mut following: impl Iterator<Item = Reading>) -> Outlook {
        let mut outlook = Outlook { wrong: 0, doubted: 0, worn_down: false };
        let Some(first) = following.next() else { return outlook };
        let drops = first.value < before.value && !self.is_jitter(before, first);
        if !drops || before.value <= 0.0 {
            return outlook;
        }
        outlook.doubted = 1;
        for reading in following.take(MOST_WRONG) {
            let is_gap = self.is_gap(before, reading);
            if !is_gap && self.is_jitter(before, reading) {
                return Outlook { wrong: outlook.doubted, doubted: 0, worn_down: false };
            }
            outlook.doubted += 1;
            if is_gap || !self.is_reset(before, reading) && !self.is_jitter(first, reading) {
                return outlook;
            }
        }
        outlook.worn_down = outlook.doubted > MOST_WRONG;
        outlook
    }

    /// Whether neither of two readings after the drop from the first to the second of `drop` tells
    /// if the drop was real; then no value between them does.
    pub(crate) fn leave_open(
        &self,
        drop: (Reading, Reading),
        one: Reading,
        other: Reading,
    ) -> bool {
        let (before, first) = drop;
        let both = |says: &dyn Fn(Reading) -> bool| says(one) && says(other);
        both(&|reading| !self.is_jitter(before, reading))
            && (both(&|reading| self.is_reset(before, reading))
                || both(&|reading| self.is_jitter(first, reading)))
    }

    /// What a cell says of a meter, `None` if nothing.
    pub(crate) fn reading(second: i64, cell: &Cell) -> Option<Reading> {
        Reading::new(second, number(cell))
    }

    /// The pairs of neighbouring right readings.
    pub(crate) fn pairs(
        &self,
        mut readings: impl Iterator<Item = Reading> + Clone,
    ) -> impl Iterator<Item = Pair> {
        let mut former = readings.next();
        std::iter::from_fn(move || {
            let before = former?;
            let mut after = readings.next()?;
            let following = std::iter::once(after).chain(readings.clone());
            let Outlook { wrong, doubted, worn_down } = self.look_ahead(before, following);
            if wrong > 0 {
                after = readings.nth(wrong - 1)?;
            }
            former = Some(after);
            let increase = self.increase(before, after);
            Some(Pair { before, after, wrong, doubted, worn_down, increase })
        })
    }

    /// By how much the meter rose between two neighbouring readings, `None` if that is unknown.
    fn increase(&self, before: Reading, after: Reading) -> Option<f64> {
        if self.is_gap(before, after) {
            return None;
        }
        let rise = after.value - before.value;
        let increase = if rise >= 0.0 {
            rise
        } else if self.is_reset(before, after) {
            after.value.max(0.0)
        } else if self.is_jitter(before, after) {
            rise
        } else {
            return None;
        };
        increase.is_finite().then_some(increase)
    }
}

/// The energy per bucket, in the unit of the readings.
#[derive(Debug, Clone, PartialEq)]
pub struct Energy {
    /// The start of the first bucket, in microseconds since 1970 began in UTC. Where there are no
    /// buckets, the start that was asked for, or 0.
    pub first: i64,
    /// The energy of each bucket, one `interval` after the other; not a number where nothing is
    /// known.
    pub values: Vec<f64>,
}

/// The energy that a cumulative meter counted in each bucket of `[start, end)`.
///
/// Two neighbouring readings `a` and `b` tell by how much the meter rose between them, as `rules`
/// say:
///
/// - after a drop from which the meter returns at one stroke, within `max_gap`, to where it was, up
///   to `jitter`: the readings in between, up to 1,000, are wrong and ignored;
/// - more than `max_gap` apart: unknown, a gap stays a gap;
/// - `b >= a`: by `b - a`;
/// - a drop to at most `reset_below * a`, `a` above zero: a reset, by `b`, or 0 where that is
///   negative;
/// - a dip by at most `jitter * |a|`: jitter, by `b - a`, which is negative;
/// - any other drop: unknown. It is too large for jitter, and nothing shows a reset.
///
/// The rise is spread evenly over the time between them. The energy of a bucket is the sum of the
/// known rises inside it, and not a number if no time in it is known. So buckets at the edges of
/// the readings and beside a gap hold the part that is known, finer buckets add up to coarser ones,
/// and all buckets to the last reading less the first, plus what resets took away, less what is
/// unknown.
///
/// `times` are UTC seconds since 1970 in ascending order without repetition, `readings` the meter
/// then; those not finite are ignored. `start`, `end` and `interval` are microseconds. Without a
/// start the first bucket begins at the first reading, rounded down to a multiple of the interval
/// since 1970; without an end the last one is that which the last reading lies in, or at the end
/// of. Otherwise the last bucket ends at `end`, even if `interval` does not divide the window.
/// There are no buckets where `start >= end`, and none without readings unless both are given.
///
/// With a `max_gap`, readings further than twice that before `start`, or further than it after
/// `end`, change nothing. Time and memory grow by readings and buckets together.
///
/// # Errors
/// [`Error::Invalid`] if `times` and `readings` differ in length, `times` do not ascend, `interval`
/// is not positive, a rule is outside its range, there were more than 100 million buckets, or there
/// is no memory for them.
/// [`Error::TimeRange`] if a time, or the start of the first bucket, is more microseconds from 1970
/// than an `i64` holds.
///
/// ```
/// use eosdb::series::{MeterRules, energy};
///
/// // 1 kW, read at 0:00, 0:30 and 1:30.
/// let hourly = energy(
///     &[0, 1800, 5400],
///     &[12_055.0, 12_055.5, 12_056.5],
///     None,
///     None,
///     3_600_000_000,
///     &MeterRules::default(),
/// )?;
/// assert_eq!(hourly.values, [1.0, 0.5]);
/// # Ok::<(), eosdb::Error>(())
/// ```
pub fn energy(
    times: &[i64],
    readings: &[f64],
    start: Option<i64>,
    end: Option<i64>,
    interval: i64,
    rules: &MeterRules,
) -> Result<Energy> {
    if times.len() != readings.len() {
        return Err(Error::Invalid(format!(
            "each reading needs its time, but there are {} readings and {} times",
            readings.len(),
            times.len()
        )));
    }
    if !times.is_sorted_by(|before, after| before < after) {
        return Err(Error::Invalid("the times of readings must ascend".to_owned()));
    }
    if interval <= 0 {
        return Err(Error::Invalid(format!(
            "the interval must be positive, but is {interval} microseconds"
        )));
    }
    rules.check()?;
    for second in times.first().into_iter().chain(times.last()) {
        second.checked_mul(SECOND).ok_or(Error::TimeRange { seconds: *second })?;
    }
    let readings =
        times.iter().zip(readings).filter_map(|(second, value)| Reading::new(*second, *value));
    let ends = readings.clone().next().zip(readings.clone().next_back());
    let Some(grid) = Grid::new(ends, start, end, interval)? else {
        return Ok(Energy { first: start.unwrap_or(0), values: Vec::new() });
    };
    let mut buckets = Buckets::new(grid)?;
    for Pair { before, after, increase, .. } in rules.pairs(readings) {
        if let Some(increase) = increase {
            buckets.spread(increase, before.at, after.at);
        }
    }
    Ok(Energy { first: grid.first, values: buckets.values })
}

/// A meter's reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// Microseconds since 1970.
    pub(crate) at: i64,
    /// Finite.
    pub(crate) value: f64,
}

impl Reading {
    /// `None` if the value is not finite.
    fn new(second: i64, value: f64) -> Option<Self> {
        value.is_finite().then_some(Self { at: second.saturating_mul(SECOND), value })
    }
}

/// Two neighbouring right readings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) before: Reading,
    pub(crate) after: Reading,
    /// How many wrong readings lie between them.
    pub(crate) wrong: usize,
    /// How many readings after `before` it took to believe in a drop; 0 without one.
    pub(crate) doubted: usize,
    /// Whether the drop is believed in only because so many readings stayed below.
    pub(crate) worn_down: bool,
    /// By how much the meter rose, `None` if that is unknown.
    pub(crate) increase: Option<f64>,
}

/// What the readings after one say of it, as in [`Pair`].
struct Outlook {
    wrong: usize,
    doubted: usize,
    worn_down: bool,
}

/// Where the buckets lie: at least one, in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Grid {
    first: i64,
    end: i64,
    interval: i64,
    count: usize,
}

impl Grid {
    /// `None` if there are no buckets; `ends` are the first and the last reading.
    fn new(
        ends: Option<(Reading, Reading)>,
        start: Option<i64>,
        end: Option<i64>,
        interval: i64,
    ) -> Result<Option<Self>> {
        let first = match (start, ends) {
            (Some(start), _) => start,
            (None, None) => return Ok(None),
            (None, Some((earliest, _))) => earliest
                .at
                .checked_sub(earliest.at.rem_euclid(interval))
                .ok_or(Error::TimeRange { seconds: earliest.at / SECOND })?,
        };
        let end = match (end, ends) {
            (Some(end), _) => end,
            (None, None) => return Ok(None),
            // A reading just at the start lies in the first bucket. It is on a whole second, and no
            // such is the last microsecond there is.
            (None, Some((_, latest))) if latest.at == first => first + 1,
            (None, Some((_, latest))) => latest.at,
        };
        if first >= end {
            return Ok(None);
        }
        let count = (end.abs_diff(first) - 1) / interval.unsigned_abs() + 1;
        let most = usize::try_from(count).ok().filter(|_| count <= MOST_BUCKETS);
        let Some(count) = most else {
            return Err(Error::Invalid(format!(
                "{count} buckets are too many, {MOST_BUCKETS} is the limit: \
                 take a longer interval or a shorter window"
            )));
        };
        Ok(Some(Self { first, end, interval, count }))
    }
}

/// The buckets while they are filled, from the first to the last.
struct Buckets {
    grid: Grid,
    /// The one that is being filled, where it ends, and what it holds.
    current: usize,
    until: i64,
    sum: Sum,
    values: Vec<f64>,
}

impl Buckets {
    fn new(grid: Grid) -> Result<Self> {
        let mut values = Vec::new();
        if values.try_reserve_exact(grid.count).is_err() {
            return Err(Error::Invalid(format!(
                "there is no memory for {} buckets: take a longer interval or a shorter window",
                grid.count
            )));
        }
        values.resize(grid.count, f64::NAN);
        let until = grid.first.saturating_add(grid.interval);
        Ok(Self { grid, current: 0, until, sum: Sum::default(), values })
    }

    /// Adds what the meter rose over `[from, to)`, which is not before the one added last.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share of an increase needs no more digits than the increase has"
    )]
    fn spread(&mut self, increase: f64, from: i64, to: i64) {
        let length = to.abs_diff(from) as f64;
        let end = to.min(self.grid.end);
        let mut at = from.max(self.grid.first);
        while at < end {
            while self.until <= at {
                self.current += 1;
                self.until = self.until.saturating_add(self.grid.interval);
                self.sum = Sum::default();
            }
            let next = end.min(self.until);
            self.sum.add(increase * (next.abs_diff(at) as f64 / length));
            self.values[self.current] = self.sum.value();
            at = next;
        }
    }
}

/// A sum that carries what rounding dropped (Neumaier), so that a bucket of a million readings is
/// as exact as one of two.
#[derive(Default)]
struct Sum {
    rounded: f64,
    dropped: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.rounded + value;
        self.dropped += if self.rounded.abs() >= value.abs() {
            (self.rounded - sum) + value
        } else {
            (value - sum) + self.rounded
        };
        self.rounded = sum;
    }

    fn value(&self) -> f64 {
        self.rounded + self.dropped
    }
}
