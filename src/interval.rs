//! Half-open ranges of UTC seconds, and the set of those already read from storage.

use crate::store::KeyRange;
use crate::timestamp::Timestamp;

/// A half-open range of UTC seconds, `[start, end)`; empty where `end <= start`.
///
/// [`Span::ALL`] has no bounds: its ends lie beyond every [`Timestamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first second inside.
    pub start: i64,
    /// The first second outside.
    pub end: i64,
}

impl Span {
    /// Every instant there is.
    pub const ALL: Self = Self { start: i64::MIN, end: i64::MAX };

    /// The range `[start, end)`.
    #[must_use]
    pub const fn new(start: i64, end: i64) -> Self {
        Self { start, end }
    }

    /// The range that holds just the second `at`.
    #[must_use]
    pub const fn at(at: i64) -> Self {
        Self { start: at, end: at.saturating_add(1) }
    }

    /// Tells whether no second lies inside.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Tells whether the second `at` lies inside.
    #[must_use]
    pub const fn contains(self, at: i64) -> bool {
        self.start <= at && at < self.end
    }

    /// The keys of the instants inside, as bounds for a scan.
    #[must_use]
    pub fn keys(self) -> SpanKeys {
        let key = |seconds: i64| match Timestamp::from_seconds(seconds) {
            Ok(instant) => Some(instant.to_key()),
            // Before every key there is: as good as no bound below, and nothing above.
            Err(_) if seconds < 0 => Some([0; 16]),
            Err(_) => None,
        };
        SpanKeys {
            start: (self.start != i64::MIN).then(|| key(self.start).unwrap_or([0xff; 16])),
            end: if self.end == i64::MAX { None } else { key(self.end) },
        }
    }
}

/// The bounds of a [`Span`] as keys; it owns what a [`KeyRange`] borrows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanKeys {
    start: Option<[u8; 16]>,
    end: Option<[u8; 16]>,
}

impl SpanKeys {
    /// The bounds as a store takes them.
    #[must_use]
    pub fn range(&self) -> KeyRange<'_> {
        KeyRange {
            start: self.start.as_ref().map(<[u8; 16]>::as_slice),
            end: self.end.as_ref().map(<[u8; 16]>::as_slice),
        }
    }
}

/// A set of seconds, kept as sorted spans that neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpanSet {
    spans: Vec<Span>,
}

impl SpanSet {
    /// Adds every second of `span`.
    pub fn insert(&mut self, span: Span) {
        if span.is_empty() {
            return;
        }
        // Everything from the first span that reaches `span` to the last one it reaches is merged.
        let from = self.spans.partition_point(|known| known.end < span.start);
        let to = self.spans.partition_point(|known| known.start <= span.end);
        let merged = self.spans[from..to].iter().fold(span, |merged, known| {
            Span::new(merged.start.min(known.start), merged.end.max(known.end))
        });
        self.spans.splice(from..to, [merged]);
    }

    /// Tells whether every second of `span` is in the set; an empty span always is.
    #[must_use]
    pub fn covers(&self, span: Span) -> bool {
        span.is_empty() || {
            let at = self.spans.partition_point(|known| known.end <= span.start);
            self.spans
                .get(at)
                .is_some_and(|known| known.start <= span.start && span.end <= known.end)
        }
    }

    /// Tells whether `span` overlaps the set or lies right beside a part of it.
    #[must_use]
    pub fn touches(&self, span: Span) -> bool {
        let at = self.spans.partition_point(|known| known.end < span.start);
        self.spans.get(at).is_some_and(|known| known.start <= span.end)
    }

    /// The parts of `span` that are not in the set, in ascending order.
    #[must_use]
    pub fn gaps(&self, span: Span) -> Vec<Span> {
        let mut gaps = Vec::new();
        let mut from = span.start;
        let at = self.spans.partition_point(|known| known.end <= span.start);
        for known in &self.spans[at..] {
            if known.start >= span.end {
                break;
            }
            if from < known.start {
                gaps.push(Span::new(from, known.start));
            }
            from = known.end;
        }
        if from < span.end {
            gaps.push(Span::new(from, span.end));
        }
        gaps
    }

    /// The smallest span that holds the whole set; `None` if it is empty.
    #[must_use]
    pub fn hull(&self) -> Option<Span> {
        Some(Span::new(self.spans.first()?.start, self.spans.last()?.end))
    }

    /// The spans in ascending order.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Empties the set.
    pub fn clear(&mut self) {
        self.spans.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn seconds(set: &SpanSet) -> BTreeSet<i64> {
        set.spans().iter().flat_map(|span| span.start..span.end).collect()
    }

    proptest! {
        #[test]
        fn a_span_set_behaves_as_a_set_of_seconds(
            inserted in prop::collection::vec((-20_i64..20, 0_i64..8), 0..12),
            (start, length) in (-25_i64..25, 0_i64..30),
        ) {
            let mut set = SpanSet::default();
            let mut model = BTreeSet::new();
            for (start, length) in inserted {
                set.insert(Span::new(start, start + length));
                model.extend(start..start + length);
            }
            prop_assert_eq!(&seconds(&set), &model);
            for pair in set.spans().windows(2) {
                prop_assert!(pair[0].end < pair[1].start, "spans touch: {:?}", set);
            }
            let asked = Span::new(start, start + length);
            let missing: BTreeSet<i64> =
                set.gaps(asked).iter().flat_map(|gap| gap.start..gap.end).collect();
            let expected: BTreeSet<i64> =
                (start..start + length).filter(|second| !model.contains(second)).collect();
            prop_assert_eq!(set.covers(asked), expected.is_empty());
            if length > 0 {
                let near = (start - 1..=start + length).any(|second| model.contains(&second));
                prop_assert_eq!(set.touches(asked), near);
            }
            prop_assert_eq!(missing, expected);
        }
    }

    #[test]
    fn unbounded_spans_meet_bounded_ones() {
        let mut set = SpanSet::default();
        set.insert(Span::new(10, 20));
        assert_eq!(set.gaps(Span::ALL), [Span::new(i64::MIN, 10), Span::new(20, i64::MAX)]);
        set.insert(Span::new(i64::MIN, 10));
        set.insert(Span::new(20, i64::MAX));
        assert_eq!(set.spans(), [Span::ALL]);
        assert_eq!(set.hull(), Some(Span::ALL));
    }

    #[test]
    fn keys_of_spans_beyond_the_calendar_hold_every_key() {
        let keys = Span::new(-99_999_999_999, 999_999_999_999).keys();
        assert_eq!(keys.range().start, Some([0_u8; 16].as_slice()));
        assert_eq!(keys.range().end, None);
        assert_eq!(Span::ALL.keys().range(), KeyRange::default());
        let beyond = Span::new(999_999_999_999, i64::MAX).keys();
        assert_eq!(beyond.range().start, Some([0xff_u8; 16].as_slice()));
    }
}
