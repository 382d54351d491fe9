//! Values of keys of the rows that are in storage only, kept after they were read once.
//!
//! A row without an object is what storage holds. Its values are kept per key, so that reading the
//! same again costs neither storage nor decoding. A row with an object is never answered from
//! here, whatever was kept before it got one.

use std::sync::Arc;

use super::index::{Index, Slot};
use super::rows::Rows;
use crate::interval::Span;
use crate::series::Cell;

/// The most values that are kept; beyond, the keys that were not asked for the longest time go.
/// 24 bytes each, so about 50 MB, and texts.
const MOST_CELLS: usize = 2 << 20;

/// The values that are kept, by key.
#[derive(Debug, Clone, Default)]
pub(super) struct Cells {
    /// Changes when values may be others than the kept ones.
    epoch: u64,
    /// The key that was asked for last comes last.
    columns: Vec<(String, Rows<Cell>)>,
}

impl Cells {
    /// Forgets everything: storage, or what rows stand for, may have changed.
    pub(super) fn clear(&mut self) {
        self.columns.clear();
        self.epoch += 1;
    }

    fn column(&self, key: &str) -> Option<&Rows<Cell>> {
        self.columns.iter().find(|(known, _)| known == key).map(|(_, cells)| cells)
    }

    /// The column of `key`, made if there is none, and noted as the one asked for last.
    fn column_mut(&mut self, key: &str) -> &mut Rows<Cell> {
        match self.columns.iter().position(|(known, _)| known == key) {
            Some(at) => self.columns[at..].rotate_left(1),
            None => self.columns.push((key.to_owned(), Rows::default())),
        }
        let last = self.columns.len() - 1;
        &mut self.columns[last].1
    }

    /// Drops the keys that were not asked for the longest time until the rest is small enough; the
    /// last one stays.
    fn shrink(&mut self) {
        let mut size: usize = self.columns.iter().map(|(_, cells)| cells.len()).sum();
        let mut left = self.columns.len();
        self.columns.retain(|(_, cells)| {
            let keep = size <= MOST_CELLS || left == 1;
            (size, left) = if keep { (size, left) } else { (size - cells.len(), left - 1) };
            keep
        });
    }
}

/// The values of some keys over the rows of a span, as far as they are known.
#[derive(Debug)]
pub struct CellPlan<R> {
    /// The UTC second of each row.
    pub times: Vec<i64>,
    /// For each key the value of each row; of rows that are `live` or `unread`, anything.
    pub columns: Vec<Vec<Cell>>,
    /// The rows that have an object, with it: the object knows their values.
    pub live: Vec<(usize, R)>,
    /// The rows whose values have to be read.
    pub unread: Vec<usize>,
    /// The rows whose stored values are kept, with them, in the order of the rows.
    pub encoded: Vec<(usize, Arc<Vec<u8>>)>,
    /// The state of storage the plan was made for.
    pub basis: u64,
    epoch: u64,
}

/// A position in a kept column that moves along with the rows.
struct Cursor<'c, I> {
    rest: I,
    times: &'c [i64],
    cells: &'c [Cell],
}

impl<'c, I: Iterator<Item = (&'c [i64], &'c [Cell])>> Cursor<'c, I> {
    /// Appends the cells at `times` to `column`, [`Cell::Other`] where none is kept, and tells
    /// `missing` which of `times` those are.
    fn follow(&mut self, times: &[i64], column: &mut Vec<Cell>, mut missing: impl FnMut(usize)) {
        if self.times.is_empty()
            && let Some((times, cells)) = self.rest.next()
        {
            (self.times, self.cells) = (times, cells);
        }
        if self.times == times {
            // Rows that were loaded and read in one go lie in the same pieces.
            column.extend_from_slice(self.cells);
            self.skip(times.len());
            return;
        }
        let mut at = 0;
        while at < times.len() {
            if self.times.is_empty() {
                let Some((times, cells)) = self.rest.next() else { break };
                (self.times, self.cells) = (times, cells);
                continue;
            }
            let pairs = times[at..].iter().zip(self.times);
            let same = pairs.take_while(|(wanted, kept)| wanted == kept).count();
            column.extend_from_slice(&self.cells[..same]);
            at += same;
            self.skip(same);
            let (Some(wanted), Some(kept)) = (times.get(at), self.times.first()) else { continue };
            if kept < wanted {
                self.skip(self.times.partition_point(|kept| kept < wanted));
            } else {
                missing(at);
                column.push(Cell::Other);
                at += 1;
            }
        }
        for at in at..times.len() {
            missing(at);
            column.push(Cell::Other);
        }
    }

    fn skip(&mut self, count: usize) {
        (self.times, self.cells) = (&self.times[count..], &self.cells[count..]);
    }
}

impl<R> Index<R> {
    /// What is known of the values of `keys` in the known rows of `span`, from kept values only
    /// where `use_kept`; `share` copies the handle of a record.
    pub fn plan_cells(
        &self,
        span: Span,
        keys: &[String],
        use_kept: bool,
        mut share: impl FnMut(&R) -> R,
    ) -> CellPlan<R> {
        let rows = self.rows.slices(span).map(|(times, _)| times.len()).sum();
        let mut plan = CellPlan {
            times: Vec::with_capacity(rows),
            columns: keys.iter().map(|_| Vec::with_capacity(rows)).collect(),
            live: Vec::new(),
            unread: Vec::new(),
            encoded: Vec::new(),
            basis: self.basis,
            epoch: self.cells.epoch,
        };
        let nothing = Rows::default();
        let mut kept: Vec<_> = keys
            .iter()
            .map(|key| self.cells.column(key).filter(|_| use_kept).unwrap_or(&nothing).slices(span))
            .map(|rest| Cursor { rest, times: &[], cells: &[] })
            .collect();
        let mut missing = Vec::new();
        for (times, slots) in self.rows.slices(span) {
            let first = plan.times.len();
            plan.times.extend_from_slice(times);
            missing.clear();
            for (column, kept) in plan.columns.iter_mut().zip(&mut kept) {
                kept.follow(times, column, |at| missing.push(at));
            }
            missing.sort_unstable();
            missing.dedup();
            for (at, slot) in slots.iter().enumerate() {
                match slot {
                    Slot::Stored => {}
                    Slot::Live(record) => plan.live.push((first + at, share(record))),
                    Slot::Encoded(value) => plan.encoded.push((first + at, Arc::clone(value))),
                }
            }
            let unread = missing.iter().filter(|at| !matches!(slots[**at], Slot::Live(_)));
            plan.unread.extend(unread.map(|at| first + at));
        }
        plan
    }

    /// Keeps the values of `keys` that were read for the rows `read` of `plan`, unless they may
    /// have changed since.
    pub fn keep_cells(&mut self, plan: &CellPlan<R>, keys: &[String], read: &[usize]) {
        if !self.holds(plan) {
            return;
        }
        for (key, cells) in keys.iter().zip(&plan.columns) {
            let column = self.cells.column_mut(key);
            for row in read {
                if let (Some(time), Some(cell)) = (plan.times.get(*row), cells.get(*row)) {
                    column.insert(*time, cell.clone());
                }
            }
        }
        self.cells.shrink();
    }

    /// Tells whether nobody else has changed storage since `plan` was made, as far as is known.
    #[must_use]
    pub fn holds(&self, plan: &CellPlan<R>) -> bool {
        self.cells.epoch == plan.epoch
    }
}
