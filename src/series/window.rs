//! Which part of time is asked for, and which has to be read to answer.

use crate::interval::Span;

/// Microseconds in a second.
pub(super) const SECOND: i64 = 1_000_000;

/// Whether readings just outside a window count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Only the readings inside.
    Strict,
    /// One more record on either side.
    Context,
}

/// The part of time that is asked for: `[start, end)` in microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first microsecond inside; `None` for no bound.
    pub start: Option<i64>,
    /// The first microsecond outside; `None` for no bound.
    pub end: Option<i64>,
    /// Whether readings just outside count.
    pub boundary: Boundary,
}

impl Window {
    /// The part of time that has to be read.
    ///
    /// `neighbor(second, backwards)` is asked for the second of the nearest record strictly before
    /// or after `second`, whatever the record holds.
    ///
    /// # Errors
    /// What `neighbor` fails with.
    pub fn query<E>(
        &self,
        mut neighbor: impl FnMut(i64, bool) -> Result<Option<i64>, E>,
    ) -> Result<Query, E> {
        if self.boundary == Boundary::Strict {
            return Ok(Query { start: self.start, end: self.end });
        }
        let start = match self.start {
            None => None,
            Some(start) => {
                let before = neighbor(start.div_euclid(SECOND), true)?;
                Some(before.map_or(start, |second| second.saturating_mul(SECOND)))
            }
        };
        let end = match self.end {
            None => None,
            Some(end) => {
                let after = neighbor(end.div_euclid(SECOND), false)?;
                let last = after.map_or(end, |second| second.saturating_mul(SECOND));
                // The bound is exclusive; the record at it is to be read.
                Some(last.saturating_add(SECOND))
            }
        };
        Ok(Query { start, end })
    }
}

/// The part of time that has to be read: `[start, end)` in microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// The first microsecond inside; `None` for no bound.
    pub start: Option<i64>,
    /// The first microsecond outside; `None` for no bound.
    pub end: Option<i64>,
}

impl Query {
    /// The whole seconds to read: a bound within a second counts from that second's beginning.
    #[must_use]
    pub fn span(&self) -> Span {
        Span::new(
            self.start.map_or(i64::MIN, |start| start.div_euclid(SECOND)),
            self.end.map_or(i64::MAX, |end| end.div_euclid(SECOND)),
        )
    }
}
