//! What a process changes: rows inserted, marked and deleted, until a save has brought them to
//! storage.

use std::sync::Arc;

use super::index::{Index, Slot};
use crate::interval::Span;
use crate::store::MetadataChange;

/// What is to be done with a row at the next save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Nothing: it lives in this process only until it is marked.
    Held,
    /// It is written.
    Put,
    /// It is deleted.
    Delete,
}

/// What is pending about one row.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) mark: Mark,
    /// Whether storage holds a value at this instant, where that is known.
    pub(super) stored: Option<bool>,
    /// Whether storage has to be asked again, since a save of this row failed half way.
    pub(super) doubtful: bool,
    /// Whether a save that is under way, or failed half way, may put a value there.
    pub(super) planned: bool,
    /// The number of the change, so that a save forgets only what it has seen.
    pub(super) change: u64,
}

impl Pending {
    /// Whether storage certainly holds nothing at this instant, and no save is about to.
    pub(super) fn is_nowhere(&self) -> bool {
        self.stored == Some(false) && !self.doubtful && !self.planned
    }
}

/// Rows that take the place of others in storage, made from what it held.
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    /// The generation of the namespace when it was read.
    pub generation: u64,
    /// The number of the last change of this process that was seen.
    pub change: u64,
    /// Where rows may be written or deleted: what this process has changed there since is in the
    /// way.
    pub spans: Vec<Span>,
    /// The rows to write with their stored values, ascending.
    pub puts: Vec<(i64, Vec<u8>)>,
    /// The rows to delete, ascending; none of them is written.
    pub deletes: Vec<i64>,
    /// What becomes of the metadata.
    pub metadata: MetadataChange,
}

/// The rows to write and delete in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavePlan {
    change: u64,
    replaced: u64,
    /// Rows to write, in ascending order.
    pub puts: Vec<i64>,
    /// Rows to delete, in ascending order.
    pub deletes: Vec<i64>,
}

impl SavePlan {
    /// Tells whether there is nothing to save.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }

    /// How many rows the save writes and deletes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.puts.len() + self.deletes.len()
    }
}

impl<R> Index<R> {
    /// Adds the row at `time`, of which storage is known to hold nothing (`stored: Some(false)`),
    /// or not known (`None`). A pending deletion is taken back.
    ///
    /// There must be no known row at `time`.
    pub fn insert(&mut self, time: i64, record: R, mark: Mark, stored: Option<bool>) {
        self.version += 1;
        self.damaged.remove(&time);
        self.mark(time, mark, stored);
        self.rows.insert(time, Slot::Live(record));
    }

    /// Marks the row at `time` to be written; tells whether there was a live row to mark.
    pub fn mark_dirty(&mut self, time: i64) -> bool {
        if !matches!(self.rows.get(time), Some(Slot::Live(_))) {
            return false;
        }
        self.mark(time, Mark::Put, Some(true));
        true
    }

    /// Deletes every known row of `span`, and every damaged one. The span must be covered.
    /// Returns how many there were, and the slots that were let go of.
    pub fn delete(&mut self, span: Span) -> (usize, Vec<Slot<R>>) {
        let removed = self.rows.remove_range(span, |_, _| true);
        let damaged: Vec<i64> = if span.is_empty() {
            Vec::new()
        } else {
            self.damaged.range(span.start..span.end).map(|(time, _)| *time).collect()
        };
        let count = removed.len() + damaged.len();
        for time in removed.iter().map(|(time, _)| *time).chain(damaged) {
            self.damaged.remove(&time);
            if self.pending.get(&time).is_some_and(Pending::is_nowhere) {
                self.pending.remove(&time);
            } else {
                self.mark(time, Mark::Delete, Some(true));
            }
        }
        self.version += u64::from(count > 0);
        (count, removed.into_iter().map(|(_, slot)| slot).collect())
    }

    /// Marks instants to be deleted of which it is not known whether storage holds anything.
    pub fn mark_deleted(&mut self, times: &[i64]) {
        for time in times {
            if self.rows.get(*time).is_none() {
                self.mark(*time, Mark::Delete, None);
            }
        }
    }

    /// Marks the row at `time`; what is known of storage stays known, else it is `stored`.
    fn mark(&mut self, time: i64, mark: Mark, stored: Option<bool>) {
        self.change += 1;
        let change = self.change;
        self.pending
            .entry(time)
            .and_modify(|pending| {
                pending.mark = mark;
                pending.change = change;
            })
            .or_insert(Pending { mark, stored, doubtful: false, planned: false, change });
    }

    /// What the next save writes and deletes. From here on the save counts as under way.
    pub fn plan_save(&mut self) -> SavePlan {
        let plan = SavePlan {
            change: self.change,
            replaced: self.replaced,
            puts: self.dirty().collect(),
            deletes: self.deleted().collect(),
        };
        for time in &plan.puts {
            if let Some(pending) = self.pending.get_mut(time) {
                pending.planned = true;
            }
        }
        plan
    }

    /// Notes that `plan` is in storage, whose generation it moved to `generation`, `None` if it
    /// changed nothing there. What was changed since the plan was made stays pending, and so does
    /// all of it if there has been another storage since, which has nothing of it.
    pub fn saved(&mut self, plan: &SavePlan, generation: Option<u64>) {
        if plan.replaced != self.replaced {
            self.unsettled(plan);
            return;
        }
        for (times, written) in [(&plan.puts, true), (&plan.deletes, false)] {
            for time in times {
                if self.settle(*time, written, plan.change) {
                    self.forget_if_torn(*time, written);
                }
            }
        }
        self.basis += 1;
        self.advance_to(generation);
    }

    /// Notes that a rewrite begins, which keeps whoever wants to change rows within `fenced` waiting;
    /// tells whether it may: not during another one, nor if a row within `spans` was changed after
    /// `change`.
    pub fn begin_rewrite(&mut self, change: u64, spans: &[Span], fenced: Vec<Span>) -> bool {
        let may = self.rewriting.is_none() && !self.has_changed_since(change, spans);
        if may {
            self.rewriting = Some(fenced);
        }
        may
    }

    /// Notes that the rewrite has ended; tells whether the rows are still those it was begun with.
    pub fn end_rewrite(&mut self) -> bool {
        self.rewriting.take().is_some()
    }

    /// Tells whether a rewrite is under way that may touch rows of `span`.
    #[must_use]
    pub fn is_being_rewritten(&self, span: Span) -> bool {
        let overlaps = |other: &Span| other.start < span.end && span.start < other.end;
        self.rewriting.as_ref().is_some_and(|spans| spans.iter().any(overlaps))
    }

    /// Tells whether a row within `spans` was inserted, marked or deleted after `change`.
    #[must_use]
    pub fn has_changed_since(&self, change: u64, spans: &[Span]) -> bool {
        let within = |time: i64| spans.iter().any(|span| span.contains(time));
        self.pending.iter().any(|(time, pending)| pending.change > change && within(*time))
    }

    /// The number of the last change.
    #[must_use]
    pub fn change(&self) -> u64 {
        self.change
    }

    /// Notes that rows were rewritten in storage, whose generation that moved to `generation`, `None`
    /// if nothing was changed there. `puts` come with their stored values where those are to be
    /// remembered. Rows changed after `change` stay pending. Returns the slots that were let go of.
    pub fn rewritten(
        &mut self,
        change: u64,
        deletes: &[i64],
        puts: impl Iterator<Item = (i64, Option<Vec<u8>>)>,
        generation: Option<u64>,
    ) -> Vec<Slot<R>> {
        let mut settled: Vec<i64> = deletes.to_vec();
        settled.retain(|time| self.settle(*time, false, change));
        let mut settled = settled.into_iter().peekable();
        let gone = self.rows.remove_range(Span::ALL, |time, _| {
            while settled.next_if(|settled| *settled < time).is_some() {}
            settled.next_if_eq(&time).is_some()
        });
        let mut gone: Vec<_> = gone.into_iter().map(|(_, slot)| slot).collect();
        for (time, value) in puts {
            if self.settle(time, true, change) {
                let slot = value.map_or(Slot::Stored, |value| Slot::Encoded(Arc::new(value)));
                gone.extend(self.rows.insert(time, slot));
            }
        }
        self.version += 1;
        self.basis += 1;
        self.cells.clear();
        self.advance_to(generation);
        gone
    }

    /// Notes that storage now holds a value at `time`, or none; tells whether no later change than
    /// `change` is pending there.
    fn settle(&mut self, time: i64, stored: bool, change: u64) -> bool {
        match self.pending.get_mut(&time) {
            Some(pending) if pending.change > change => {
                pending.stored = Some(stored);
                pending.doubtful = false;
                pending.planned = false;
                false
            }
            _ => {
                self.pending.remove(&time);
                true
            }
        }
    }

    /// Notes that our own commit moved storage to `generation`.
    fn advance_to(&mut self, generation: Option<u64>) {
        // Anybody else's commit in between moved the generation too: then look again.
        let next = self.generation.map_or(generation, |known| known.checked_add(1));
        if generation.is_some() && next == generation {
            self.generation = generation;
        }
    }

    /// Forgets what is known of a saved row that was forgotten, or unmarked, during the save.
    fn forget_if_torn(&mut self, time: i64, written: bool) {
        if written != self.rows.get(time).is_some() {
            self.rows.remove(time);
            self.coverage.clear();
            self.cells.clear();
            self.version += 1;
        }
    }

    /// Notes that carrying out `plan` failed, and that storage may hold any part of it.
    pub fn unsettled(&mut self, plan: &SavePlan) {
        for time in plan.puts.iter().chain(&plan.deletes) {
            if let Some(pending) = self.pending.get_mut(time) {
                pending.doubtful = true;
                pending.planned = false;
            } else {
                self.coverage.clear();
                self.cells.clear();
            }
        }
        self.basis += 1;
    }
}
