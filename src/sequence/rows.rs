//! A map from UTC seconds to rows that keeps them sorted and numbered.
//!
//! Sorted runs of bounded length: lookups, insertions and removals cost a logarithm and one short
//! move, rows can be reached by position, and a sorted load fills the runs completely.

use crate::interval::Span;

/// The most rows in one run; a move of half of them costs less than a cache miss or two.
const RUN: usize = 512;

#[derive(Debug, Clone)]
struct Run<T> {
    /// The last of `times`, kept here so that a search among runs does not touch each run's.
    last: i64,
    times: Vec<i64>,
    values: Vec<T>,
}

impl<T> Run<T> {
    fn new(times: Vec<i64>, values: Vec<T>) -> Self {
        let last = times.last().copied().unwrap_or(i64::MIN);
        Self { last, times, values }
    }

    /// To be called after `times` changed.
    fn note_last(&mut self) {
        self.last = self.times.last().copied().unwrap_or(i64::MIN);
    }

    /// Where `time` is.
    fn find(&self, time: i64) -> Option<usize> {
        // Most rows come at even distances: then it is where a straight line has it.
        let first = *self.times.first()?;
        let (passed, length) = (time.checked_sub(first)?, self.last.checked_sub(first)?);
        let steps = i64::try_from(self.times.len() - 1).ok()?;
        let guess = passed.checked_mul(steps).and_then(|along| along.checked_div(length));
        if let Some(guess) = guess.and_then(|guess| usize::try_from(guess).ok())
            && self.times.get(guess) == Some(&time)
        {
            return Some(guess);
        }
        self.times.binary_search(&time).ok()
    }
}

/// Rows ordered by their UTC second.
#[derive(Debug, Clone)]
pub struct Rows<T> {
    runs: Vec<Run<T>>,
    len: usize,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { runs: Vec::new(), len: 0 }
    }
}

impl<T> Rows<T> {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Tells whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The run that holds `time`, or would.
    fn run_for(&self, time: i64) -> usize {
        self.runs.partition_point(|run| run.last < time).min(self.runs.len().saturating_sub(1))
    }

    fn find(&self, time: i64) -> Option<(usize, usize)> {
        let run = self.run_for(time);
        let at = self.runs.get(run)?.find(time)?;
        Some((run, at))
    }

    /// The row at `time`.
    #[must_use]
    pub fn get(&self, time: i64) -> Option<&T> {
        self.find(time).map(|(run, at)| &self.runs[run].values[at])
    }

    /// The row at `time`, to be changed.
    pub fn get_mut(&mut self, time: i64) -> Option<&mut T> {
        self.find(time).map(|(run, at)| &mut self.runs[run].values[at])
    }

    /// Puts `value` at `time` and returns the one that was there.
    pub fn insert(&mut self, time: i64, value: T) -> Option<T> {
        if let Some(run) = self.runs.last_mut()
            && run.times.len() < RUN
            && run.last < time
        {
            // Most rows come in order.
            run.times.push(time);
            run.values.push(value);
            run.last = time;
            self.len += 1;
            return None;
        }
        let last = self.runs.len().saturating_sub(1);
        let mut run = self.run_for(time);
        if self.runs.is_empty() {
            self.runs.push(Run::new(Vec::new(), Vec::new()));
        }
        let at = match self.runs[run].times.binary_search(&time) {
            Ok(at) => return Some(std::mem::replace(&mut self.runs[run].values[at], value)),
            Err(at) => at,
        };
        let mut at = at;
        if self.runs[run].times.len() == RUN {
            // A row behind the last one opens a new run, so that sorted loads fill the others;
            // anywhere else the run is halved.
            let keep = if run == last && at == RUN { RUN } else { RUN / 2 };
            let full = &mut self.runs[run];
            let split = Run::new(full.times.split_off(keep), full.values.split_off(keep));
            full.note_last();
            self.runs.insert(run + 1, split);
            if at >= keep {
                run += 1;
                at -= keep;
            }
        }
        self.runs[run].times.insert(at, time);
        self.runs[run].values.insert(at, value);
        self.runs[run].note_last();
        self.len += 1;
        None
    }

    /// Takes the row at `time` out.
    pub fn remove(&mut self, time: i64) -> Option<T> {
        let (run, at) = self.find(time)?;
        self.runs[run].times.remove(at);
        let value = self.runs[run].values.remove(at);
        self.runs[run].note_last();
        if self.runs[run].times.is_empty() {
            self.runs.remove(run);
        }
        self.len -= 1;
        Some(value)
    }

    /// How many rows lie before `time`.
    #[must_use]
    pub fn rank(&self, time: i64) -> usize {
        let run = self.run_for(time);
        let before: usize = self.runs.iter().take(run).map(|run| run.times.len()).sum();
        before + self.runs.get(run).map_or(0, |run| run.times.partition_point(|at| *at < time))
    }

    /// The row at `position` in the order of time.
    #[must_use]
    pub fn at(&self, mut position: usize) -> Option<(i64, &T)> {
        for run in &self.runs {
            if position < run.times.len() {
                return Some((run.times[position], &run.values[position]));
            }
            position -= run.times.len();
        }
        None
    }

    /// The last time before `time`.
    #[must_use]
    pub fn last_before(&self, time: i64) -> Option<i64> {
        let run = self.run_for(time);
        let at = self.runs.get(run)?.times.partition_point(|known| *known < time);
        match at.checked_sub(1) {
            Some(at) => Some(self.runs[run].times[at]),
            None => self.runs.get(run.checked_sub(1)?)?.times.last().copied(),
        }
    }

    /// The first time at or after `time`.
    #[must_use]
    pub fn first_from(&self, time: i64) -> Option<i64> {
        self.next_from(time).map(|(time, _)| time)
    }

    /// The first row at or after `time`.
    #[must_use]
    pub fn next_from(&self, time: i64) -> Option<(i64, &T)> {
        let run = self.runs.get(self.run_for(time))?;
        let at = run.times.partition_point(|known| *known < time);
        Some((*run.times.get(at)?, &run.values[at]))
    }

    /// The rows of `span`, in the order of time.
    pub fn range(&self, span: Span) -> impl Iterator<Item = (i64, &T)> {
        self.slices(span).flat_map(|(times, values)| times.iter().copied().zip(values))
    }

    /// The rows of `span`, in the order of time, as the pieces they are kept in.
    pub fn slices(&self, span: Span) -> impl Iterator<Item = (&[i64], &[T])> {
        let first = self.run_for(span.start);
        self.runs[first.min(self.runs.len())..]
            .iter()
            .take_while(move |run| run.times.first().is_some_and(|start| *start < span.end))
            .map(move |run| {
                if run.times.first() >= Some(&span.start) && run.times.last() < Some(&span.end) {
                    return (run.times.as_slice(), run.values.as_slice());
                }
                let from = run.times.partition_point(|at| *at < span.start);
                let to = run.times.partition_point(|at| *at < span.end);
                let from = from.min(to);
                (&run.times[from..to], &run.values[from..to])
            })
    }

    /// Takes out the rows of `span` that `remove` accepts, and returns them.
    pub fn remove_range(
        &mut self,
        span: Span,
        mut remove: impl FnMut(i64, &T) -> bool,
    ) -> Vec<(i64, T)> {
        let mut removed = Vec::new();
        let first = self.run_for(span.start);
        for run in self.runs.iter_mut().skip(first) {
            if run.times.first().is_none_or(|start| *start >= span.end) {
                break;
            }
            let from = run.times.partition_point(|at| *at < span.start);
            let to = run.times.partition_point(|at| *at < span.end);
            let doomed: Vec<bool> =
                (from..to.max(from)).map(|at| remove(run.times[at], &run.values[at])).collect();
            if !doomed.contains(&true) {
                continue;
            }
            let times = std::mem::take(&mut run.times);
            let values = std::mem::take(&mut run.values);
            for (at, (time, value)) in times.into_iter().zip(values).enumerate() {
                if at.checked_sub(from).and_then(|at| doomed.get(at)).is_some_and(|doomed| *doomed)
                {
                    removed.push((time, value));
                } else {
                    run.times.push(time);
                    run.values.push(value);
                }
            }
            run.note_last();
        }
        self.runs.retain(|run| !run.times.is_empty());
        self.len -= removed.len();
        removed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(i64, u32),
        Remove(i64),
        RemoveRange(i64, i64, u32),
        Fill(i64, i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let time = -2_000_i64..2_000;
        prop_oneof![
            4 => (time.clone(), any::<u32>()).prop_map(|(time, value)| Step::Insert(time, value)),
            2 => time.clone().prop_map(Step::Remove),
            1 => (time.clone(), 0_i64..400, 1_u32..4).prop_map(|(a, n, m)| Step::RemoveRange(a, n, m)),
            1 => (time, 0_i64..1_500).prop_map(|(start, length)| Step::Fill(start, length)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn rows_behave_as_a_sorted_map(
            steps in prop::collection::vec(step(), 1..40),
            probes in prop::collection::vec(-2_100_i64..3_700, 8),
        ) {
            let mut rows = Rows::default();
            let mut model = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Insert(time, value) => {
                        prop_assert_eq!(rows.insert(time, value), model.insert(time, value));
                    }
                    Step::Remove(time) => prop_assert_eq!(rows.remove(time), model.remove(&time)),
                    Step::RemoveRange(start, length, modulus) => {
                        let span = Span::new(start, start + length);
                        let removed = rows.remove_range(span, |_, value| value % modulus == 0);
                        let expected: Vec<_> = model
                            .range(span.start..span.end)
                            .filter(|(_, value)| *value % modulus == 0)
                            .map(|(time, value)| (*time, *value))
                            .collect();
                        for (time, _) in &expected {
                            model.remove(time);
                        }
                        prop_assert_eq!(removed, expected);
                    }
                    Step::Fill(start, length) => {
                        for time in start..start + length {
                            rows.insert(time, 7);
                            model.insert(time, 7);
                        }
                    }
                }
                prop_assert_eq!(rows.len(), model.len());
            }
            let all: Vec<_> = rows.range(Span::ALL).map(|(time, value)| (time, *value)).collect();
            let expected: Vec<_> = model.iter().map(|(time, value)| (*time, *value)).collect();
            prop_assert_eq!(&all, &expected);
            for probe in probes {
                prop_assert_eq!(rows.get(probe), model.get(&probe));
                prop_assert_eq!(rows.rank(probe), model.range(..probe).count());
                prop_assert_eq!(rows.last_before(probe), model.range(..probe).next_back().map(|e| *e.0));
                prop_assert_eq!(rows.first_from(probe), model.range(probe..).next().map(|e| *e.0));
                let span = Span::new(probe, probe + 300);
                let part: Vec<_> = rows.range(span).map(|(time, _)| time).collect();
                let expected: Vec<_> = model.range(probe..probe + 300).map(|entry| *entry.0).collect();
                prop_assert_eq!(part, expected);
            }
            for position in [0, 1, 511, 512, 513, model.len()] {
                let found = rows.at(position).map(|(time, value)| (time, *value));
                prop_assert_eq!(found, expected.get(position).copied());
            }
        }
    }
}
