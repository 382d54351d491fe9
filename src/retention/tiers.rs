//! When records are old enough to be compacted.

use crate::error::{Error, Result};
use crate::interval::{Span, SpanSet};
use crate::timestamp::Timestamp;

/// A record further in the future of the clock than this many seconds is not the newest one.
const FUTURE_TOLERANCE: i64 = 86_400;

/// Records from some age on are compacted to one per interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// From which age on, in seconds before the newest record.
    pub age: i64,
    /// The length of the buckets in seconds; each begins at a multiple of it since 1970.
    pub interval: i64,
}

/// What a run of a tier has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The buckets to compact, in order, neighbours joined to one span.
    pub open: Vec<Span>,
    /// Up to where the tier has compacted after the run.
    pub cutoff: i64,
}

impl Due {
    /// The same without the buckets of `interval` seconds that these rows lie in, which nobody can
    /// read: they are left alone.
    #[must_use]
    pub fn without(&self, interval: i64, unreadable: &[i64]) -> Self {
        let mut spared = SpanSet::default();
        for second in unreadable {
            let start = second.saturating_sub(second.rem_euclid(interval));
            spared.insert(Span::new(start, start.saturating_add(interval)));
        }
        let open = self.open.iter().flat_map(|span| spared.gaps(*span)).collect();
        Self { open, cutoff: self.cutoff }
    }
}

impl Tier {
    /// What is due: the buckets that have come of age since the last run, and those before them
    /// that rows have come to since.
    ///
    /// All times are UTC seconds since 1970. `newest` is the [`newest_plausible`] row, `first` the
    /// first one, `former` the cutoff of the tier's last run and `coarser` the largest of those of
    /// tiers with a longer interval. `behind` are the times of the rows that lie before the former
    /// cutoff and not before `coarser`; a row of them that is at no multiple of the interval opens
    /// its bucket again. So does one that a meter needs between two boundaries, to no effect while
    /// it does.
    ///
    /// No bucket is opened that begins before `coarser` or is not of age. `None` if nothing is due.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the age is negative or the interval not positive.
    pub fn due(
        &self,
        newest: i64,
        first: i64,
        former: Option<i64>,
        coarser: Option<i64>,
        behind: &[i64],
    ) -> Result<Option<Due>> {
        if self.age < 0 || self.interval <= 0 {
            return Err(Error::Invalid(format!(
                "a tier needs an age that is not negative and an interval that is positive, not \
                 {} s and {} s",
                self.age, self.interval
            )));
        }
        let floor = |second: i64| second.saturating_sub(second.rem_euclid(self.interval));
        let next = |second: i64| floor(second).saturating_add(self.interval);
        // A bucket that a coarser tier has taken in part is left as it is.
        let earliest = coarser.map_or(i64::MIN, |cutoff| next(cutoff.saturating_sub(1)));
        // A bucket that begins before there are keys is left too.
        let earliest = earliest.max(next(Timestamp::MIN.seconds() - 1));
        let end = floor(newest.saturating_sub(self.age));
        let mut open = SpanSet::default();
        open.insert(Span::new(floor(former.unwrap_or(first)).max(earliest), end));
        let cutoff = former.map_or(end, |former| former.max(end));
        let late = behind.iter().filter(|time| **time % self.interval != 0);
        for bucket in late.map(|time| Span::new(floor(*time), next(*time))) {
            let is_behind = former.is_some_and(|former| bucket.start < former);
            if is_behind && bucket.start >= earliest && bucket.end <= end {
                open.insert(bucket);
            }
        }
        let open = open.spans().to_vec();
        Ok((!open.is_empty()).then_some(Due { open, cutoff }))
    }
}

/// From when on a row is too far in the future of the clock's `now` to be believed, in UTC seconds
/// since 1970.
#[must_use]
pub fn implausible_from(now: i64) -> i64 {
    now.saturating_add(FUTURE_TOLERANCE).saturating_add(1)
}

/// The newest row that a wrong clock cannot have made: the last one up to a day after `now`, or the
/// first one where all are later. `None` without rows.
///
/// `times` are those of the rows, ascending, and `now` the clock's, in UTC seconds since 1970.
#[must_use]
pub fn newest_plausible(times: &[i64], now: i64) -> Option<i64> {
    let plausible = times.partition_point(|time| *time < implausible_from(now));
    times.get(plausible.saturating_sub(1)).copied()
}
