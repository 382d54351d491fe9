//! The buckets that are worked on.

use crate::error::{Error, Result};
use crate::interval::{Span, SpanSet};

/// Buckets whose rows are to be replaced, each beginning at a multiple of the interval.
#[derive(Debug)]
pub(super) struct Open {
    interval: i64,
    spans: SpanSet,
}

impl Open {
    /// # Errors
    /// [`Error::Invalid`] if the interval is not positive, or a span is not of whole buckets.
    pub(super) fn new(spans: &[Span], interval: i64) -> Result<Self> {
        if interval <= 0 {
            return Err(Error::Invalid(format!(
                "the interval must be positive, but is {interval} s"
            )));
        }
        let mut set = SpanSet::default();
        for span in spans {
            if span.start % interval != 0 || span.end % interval != 0 {
                return Err(Error::Invalid(format!(
                    "[{}, {}) does not consist of whole buckets of {interval} s",
                    span.start, span.end
                )));
            }
            set.insert(*span);
        }
        Ok(Self { interval, spans: set })
    }

    pub(super) fn interval(&self) -> i64 {
        self.interval
    }

    /// The buckets in order, neighbours joined.
    pub(super) fn spans(&self) -> &[Span] {
        self.spans.spans()
    }

    pub(super) fn contains(&self, second: i64) -> bool {
        self.spans.covers(Span::at(second))
    }

    /// Whether an open bucket lies within `span`, at least in part.
    pub(super) fn meets(&self, span: Span) -> bool {
        let at = self.spans().partition_point(|open| open.end <= span.start);
        !span.is_empty() && self.spans().get(at).is_some_and(|open| open.start < span.end)
    }

    /// Whether `second` is where a bucket, open or not, begins.
    pub(super) fn is_start(&self, second: i64) -> bool {
        second.rem_euclid(self.interval) == 0
    }

    /// Where the bucket behind that of `second` begins.
    pub(super) fn next_start(&self, second: i64) -> i64 {
        second.saturating_add(self.interval - second.rem_euclid(self.interval))
    }

    /// Where open buckets begin between `after` and `before`, both excluded: spans whose every
    /// multiple of the interval is one.
    pub(super) fn starts(&self, after: i64, before: i64) -> impl Iterator<Item = Span> {
        let first = self.next_start(after);
        let from = self.spans().partition_point(|span| span.end <= first);
        self.spans()[from..]
            .iter()
            .map(move |span| Span::new(span.start.max(first), span.end.min(before)))
            .take_while(|span| !span.is_empty())
    }
}
