//! One run of compaction: rows are led through all tiers, piece by piece, and what becomes of them
//! is gathered.

use std::collections::{BTreeMap, VecDeque};

use super::stage::{Rows, Stage};
use super::tiers::{Due, Tier};
use super::{Consolidation, consolidate};
use crate::error::Result;
use crate::interval::{Span, SpanSet};
use crate::series::{Cell, MeterRules};

/// A row to write in place of what was there.
#[derive(Debug, Clone, PartialEq)]
pub struct Replacement {
    /// The UTC second of the row.
    pub time: i64,
    /// Whether there was a row at this second.
    pub replaces: bool,
    /// For each key that has a value, by its index: the value, and the second of the stored row it
    /// comes from.
    pub values: Vec<(usize, Cell, i64)>,
}

/// What a tier does with the rows of its buckets. A row that two tiers take counts for the coarser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The tier.
    pub tier: Tier,
    /// What it has to do.
    pub due: Due,
    /// How many rows lie in its buckets before and after.
    pub rows: [usize; 2],
    /// How many readings each key has in them, before and after.
    pub readings: Vec<[usize; 2]>,
}

/// A run of compaction.
///
/// ```
/// use std::collections::BTreeMap;
/// use eosdb::retention::{Consolidation, Rows, Run, Tier};
/// use eosdb::series::{Cell, MeterRules};
///
/// let tier = Tier { age: 7_200, interval: 900 };
/// let due = tier.due(9_000, 0, None, None, &[])?.expect("older than two hours");
/// let keys = [("power_w".to_owned(), Consolidation::MeanOrLast)];
/// let mut run = Run::new(vec![(tier, due)], &keys, &MeterRules::default())?;
/// for span in run.needs() {
///     // Here the rows of `span` are read.
///     let power = vec![Cell::Float(300.0), Cell::Float(500.0), Cell::Float(900.0)];
///     run.push(Rows::stored(vec![0, 300, 900], vec![power]))?;
///     run.finish_span()?;
/// }
/// assert_eq!(run.deletes(), [300]);
/// assert_eq!(run.puts()[0].values[0].1, Cell::Float(400.0));
/// # Ok::<(), eosdb::Error>(())
/// ```
#[derive(Debug)]
pub struct Run {
    /// From the finest tier to the coarsest.
    stages: Vec<Stage>,
    tallies: Vec<Tally>,
    /// What is still to be read; the first is worked on.
    needs: VecDeque<Span>,
    /// The times of its rows, as they were and as they are to be.
    former: Vec<i64>,
    latter: Vec<i64>,
    puts: Vec<Replacement>,
    deletes: Vec<i64>,
}

impl Run {
    /// A run of these tiers, each with what it has to do, over rows with these keys. `rules` hold for
    /// the meters, and their longest gap for all keys; `None` is twice the interval of each tier.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) as [`plan`](super::plan).
    pub fn new(
        mut tiers: Vec<(Tier, Due)>,
        keys: &[(String, Consolidation)],
        rules: &MeterRules,
    ) -> Result<Self> {
        // Finer ones first, so that it makes no difference whether a coarser one runs now or later.
        tiers.sort_by_key(|(tier, _)| tier.interval);
        let tally = |(tier, due): &(Tier, Due)| Tally {
            tier: *tier,
            due: due.clone(),
            rows: [0; 2],
            readings: vec![[0; 2]; keys.len()],
        };
        let tallies = tiers.iter().map(tally).collect();
        let stages: Vec<Stage> = tiers
            .into_iter()
            .map(|(tier, due)| Stage::new(tier, due, keys, rules))
            .collect::<Result<_>>()?;
        let mut needs = SpanSet::default();
        stages.iter().flat_map(Stage::needs).for_each(|span| needs.insert(span));
        Ok(Self {
            stages,
            tallies,
            needs: needs.spans().iter().copied().collect(),
            former: Vec::new(),
            latter: Vec::new(),
            puts: Vec::new(),
            deletes: Vec::new(),
        })
    }

    /// The spans whose rows have to be pushed, in this order, each to one row beyond its end, and
    /// then finished.
    #[must_use]
    pub fn needs(&self) -> Vec<Span> {
        self.needs.iter().copied().collect()
    }

    /// Takes the next rows of a span, as they are stored.
    ///
    /// # Errors
    /// Those of [`plan`](super::plan), and
    /// [`Error::NotConserved`](crate::Error::NotConserved).
    pub fn push(&mut self, rows: Rows) -> Result<()> {
        self.former.extend_from_slice(&rows.times);
        self.count(&rows, 0);
        let within = self.within();
        let decided =
            self.stages.iter_mut().try_fold(rows, |rows, stage| stage.push(rows, within))?;
        self.gather(decided);
        Ok(())
    }

    /// Decides about the rows that are left of the span.
    ///
    /// # Errors
    /// As [`Run::push`].
    pub fn finish_span(&mut self) -> Result<()> {
        let within = self.within();
        for at in 0..self.stages.len() {
            let rest = self.stages[at].finish(within)?;
            let later = &mut self.stages[at + 1..];
            let decided =
                later.iter_mut().try_fold(rest, |rows, stage| stage.push(rows, within))?;
            self.gather(decided);
        }
        let mut latter = self.latter.iter().peekable();
        for time in &self.former {
            while latter.next_if(|kept| *kept < time).is_some() {}
            if latter.peek() != Some(&time) {
                self.deletes.push(*time);
            }
        }
        self.former.clear();
        self.latter.clear();
        self.needs.pop_front();
        Ok(())
    }

    /// Where rows may be changed now: the row beyond a span may lie in another one.
    fn within(&self) -> Span {
        self.needs.front().copied().unwrap_or(Span::new(0, 0))
    }

    /// The rows to write, ascending.
    #[must_use]
    pub fn puts(&self) -> &[Replacement] {
        &self.puts
    }

    /// Puts other values in the place of those that the tier at `place` among the tallies made of
    /// `key` in an open span: `value` is asked with the number of the bucket in it.
    ///
    /// # Errors
    /// Those of `value`.
    pub fn replace<E>(
        &mut self,
        place: usize,
        span: Span,
        key: usize,
        mut value: impl FnMut(usize) -> Result<Option<Cell>, E>,
    ) -> Result<(), E> {
        let interval = self.tallies[place].tier.interval;
        let from = self.puts.partition_point(|put| put.time < span.start);
        for put in self.puts[from..].iter_mut().take_while(|put| put.time < span.end) {
            let bucket = usize::try_from((put.time - span.start) / interval).unwrap_or_default();
            let of_key = put.values.iter_mut().find(|(known, _, _)| *known == key);
            if let Some((_, cell, _)) = of_key
                && let Some(value) = value(bucket)?
            {
                *cell = value;
            }
        }
        Ok(())
    }

    /// The rows to delete, ascending; none of them is written.
    #[must_use]
    pub fn deletes(&self) -> &[i64] {
        &self.deletes
    }

    /// The same, without a copy.
    #[must_use]
    pub fn into_deletes(self) -> Vec<i64> {
        self.deletes
    }

    /// What each tier does, from the finest to the coarsest.
    #[must_use]
    pub fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// The tier that has the last word about the row at `second`, by its place among the tallies.
    #[must_use]
    pub fn tier_of(&self, second: i64) -> Option<usize> {
        self.stages.iter().rposition(|stage| stage.is_open(second))
    }

    /// Up to where each tier, by its interval, has compacted after the run.
    #[must_use]
    pub fn cutoffs(&self) -> BTreeMap<i64, i64> {
        self.stages.iter().map(|stage| (stage.tier.interval, stage.due.cutoff)).collect()
    }

    fn count(&mut self, rows: &Rows, state: usize) {
        let within = self.within();
        for (row, time) in rows.times.iter().enumerate().filter(|(_, time)| within.contains(**time))
        {
            let Some(tier) = self.tier_of(*time) else { continue };
            let tally = &mut self.tallies[tier];
            tally.rows[state] += 1;
            for (cells, readings) in rows.cells.iter().zip(&mut tally.readings) {
                readings[state] += usize::from(consolidate::is_reading(&cells[row]));
            }
        }
    }

    fn gather(&mut self, mut rows: Rows) {
        self.count(&rows, 1);
        self.latter.extend_from_slice(&rows.times);
        for (row, time) in rows.times.iter().enumerate() {
            if rows.is_stored[row] {
                continue;
            }
            let values = (rows.cells.iter_mut().zip(&rows.sources).enumerate())
                .filter(|(_, (cells, _))| !matches!(cells[row], Cell::None))
                .map(|(key, (cells, sources))| {
                    (key, std::mem::replace(&mut cells[row], Cell::None), sources[row])
                })
                .collect();
            let replaces = self.former.binary_search(time).is_ok();
            self.puts.push(Replacement { time: *time, replaces, values });
        }
    }
}
