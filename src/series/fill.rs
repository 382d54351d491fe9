//! What becomes of buckets without a value.

use std::ops::Range;

/// How a bucket without a value gets one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Not at all.
    None,
    /// On the straight line between its neighbours in time; behind the last value, with that one.
    /// Between values that are no numbers there is no line, and nothing is filled.
    Interpolate,
    /// With the last value before it.
    Forward,
    /// With the first value after it.
    Backward,
}

/// The number of a bucket and its value.
pub(super) type Bucket<V> = (i64, V);

/// Takes the values of buckets in ascending order, keeps those of some buckets, and fills the gaps
/// there, also from values that are not kept.
pub(super) struct Filler<V, L> {
    fill: Fill,
    kept: Range<i64>,
    values: Vec<V>,
    last: Option<Bucket<V>>,
    line: L,
}

impl<V: Copy, L: Fn(Bucket<V>, Bucket<V>, i64, &mut [V])> Filler<V, L> {
    /// `values` has a place for each bucket in `kept`, with nothing in it;
    /// `line(left, right, bucket, gap)` interpolates a gap that begins with `bucket`.
    pub(super) fn new(fill: Fill, kept: Range<i64>, values: Vec<V>, line: L) -> Self {
        Self { fill, kept, values, last: None, line }
    }

    /// Takes the value of a bucket behind all former ones.
    pub(super) fn put(&mut self, bucket: i64, value: V) {
        let from = self.gap_start();
        let gap = places(&mut self.values, &self.kept, from..bucket);
        if !gap.is_empty() {
            match (self.fill, self.last) {
                (Fill::Backward, _) => gap.fill(value),
                (Fill::Forward, Some((_, last))) => gap.fill(last),
                (Fill::Interpolate, Some(last)) => (self.line)(last, (bucket, value), from, gap),
                (Fill::None, _) | (_, None) => {}
            }
        }
        if self.kept.contains(&bucket) {
            places(&mut self.values, &self.kept, bucket..bucket.saturating_add(1)).fill(value);
        }
        self.last = Some((bucket, value));
    }

    /// The values of the buckets to keep.
    pub(super) fn finish(mut self) -> Vec<V> {
        if let (Fill::Forward | Fill::Interpolate, Some((_, last))) = (self.fill, self.last) {
            let gap = self.gap_start()..self.kept.end;
            places(&mut self.values, &self.kept, gap).fill(last);
        }
        self.values
    }

    /// The first bucket to keep behind the last value.
    fn gap_start(&self) -> i64 {
        let next = self.last.map_or(i64::MIN, |(last, _)| last.saturating_add(1));
        next.max(self.kept.start)
    }
}

/// Where those of `buckets` that are kept have their values.
fn places<'v, V>(values: &'v mut [V], kept: &Range<i64>, buckets: Range<i64>) -> &'v mut [V] {
    let place = |bucket: i64| usize::try_from(bucket.saturating_sub(kept.start)).unwrap_or(0);
    let end = place(buckets.end).min(values.len());
    let start = place(buckets.start).min(end);
    &mut values[start..end]
}

/// Interpolation in time, in the steps of `numpy.interp`; `label` is the time of a bucket.
pub(super) fn line(
    label: impl Fn(i64) -> f64,
) -> impl Fn(Bucket<f64>, Bucket<f64>, i64, &mut [f64]) {
    move |(left, from), (right, to), first, gap| {
        let (left, right) = (label(left), label(right));
        let slope = (to - from) / (right - left);
        for (bucket, value) in (first..).zip(gap) {
            let at = label(bucket);
            *value = slope * (at - left) + from;
            // Infinite neighbours leave no slope; the other end may still tell.
            if value.is_nan() {
                *value = slope * (at - right) + to;
            }
            #[expect(clippy::float_cmp, reason = "infinities of the same sign")]
            if value.is_nan() && from == to {
                *value = from;
            }
        }
    }
}
