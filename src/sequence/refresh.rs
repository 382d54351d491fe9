//! What becomes of the known rows when others changed storage, or when it is another storage.

use std::collections::BTreeSet;

use super::changes::Mark;
use super::index::{FoundRow, Index, Phase, Slot};
use crate::interval::Span;

/// A generation that no store has: what was read has to be read again.
const STALE: u64 = u64::MAX;

/// What to read again after storage changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshPlan {
    /// The state of storage the plan was made for.
    pub basis: u64,
    /// The generation that storage is at.
    pub generation: u64,
    /// The spans that are covered.
    pub spans: Vec<Span>,
    /// The known rows outside of them.
    pub loose: Vec<i64>,
}

impl<R> Index<R> {
    /// Tells whether storage at `generation` is as it was read, and no row waits to be let go of.
    #[must_use]
    pub fn is_current(&self, generation: u64) -> bool {
        self.generation == Some(generation) && self.kept.is_empty()
    }

    /// What to read again, now that storage is at `generation`; `None` if nothing has changed since
    /// it was read. Nothing is forgotten yet: see [`Index::refresh`].
    pub fn plan_refresh(&mut self, generation: u64) -> Option<RefreshPlan> {
        match self.generation {
            // A generation lower than the known one was asked for before our own last save.
            Some(known) if known != STALE && known >= generation => None,
            Some(_) => Some(RefreshPlan {
                basis: self.basis,
                generation,
                spans: self.coverage.spans().to_vec(),
                loose: self
                    .rows
                    .range(Span::ALL)
                    .map(|(time, _)| time)
                    .filter(|time| !self.coverage.covers(Span::at(*time)))
                    .collect(),
            }),
            None => {
                self.generation = Some(generation);
                None
            }
        }
    }

    /// Puts what was read by `plan` in the place of what was known: `found` per span, and whether
    /// storage still has a value for each `loose` row. What is pending stays, and so do the objects
    /// that somebody holds, where storage still has a value: those `held` tells the times of.
    ///
    /// Returns the slots that were let go of, or `None` if the plan is stale.
    pub fn refresh(
        &mut self,
        plan: &RefreshPlan,
        found: Vec<Vec<FoundRow>>,
        loose: &[bool],
        held: &BTreeSet<i64>,
    ) -> Option<Vec<Slot<R>>> {
        if plan.basis != self.basis {
            return None;
        }
        self.damaged.clear();
        self.coverage.clear();
        self.cells.clear();
        let pending = &self.pending;
        let gone_loose: BTreeSet<i64> = plan
            .loose
            .iter()
            .zip(loose)
            .filter(|(_, there)| !**there)
            .map(|(time, _)| *time)
            .collect();
        let gone = self.rows.remove_range(Span::ALL, |time, slot| {
            let kept = matches!(slot, Slot::Live(_)) && held.contains(&time);
            !pending.contains_key(&time) && (!kept || gone_loose.contains(&time))
        });
        self.kept.clone_from(held);
        let mut gone: Vec<_> = gone.into_iter().map(|(_, slot)| slot).collect();
        for pending in self.pending.values_mut() {
            pending.doubtful = true;
        }
        for (span, found) in plan.spans.iter().zip(found) {
            if let Some((_, slots)) = self.absorb(plan.basis, *span, found) {
                gone.extend(slots);
            }
        }
        self.generation = Some(plan.generation);
        self.basis += 1;
        self.version += 1;
        Some(gone)
    }

    /// Forgets the row at `time` if it is not pending: storage no longer holds it.
    pub fn forget(&mut self, time: i64) -> Option<Slot<R>> {
        if self.pending.contains_key(&time) {
            return None;
        }
        self.version += 1;
        self.rows.remove(time)
    }

    /// The rows that outlived a refresh because somebody held their objects.
    #[must_use]
    pub fn kept(&self) -> &BTreeSet<i64> {
        &self.kept
    }

    /// Lets go of the objects of kept rows that nobody holds any more; `held` tells the times of
    /// those that somebody does. They are read again when they are asked for.
    pub fn release(&mut self, held: &BTreeSet<i64>) -> Vec<Slot<R>> {
        let mut gone = Vec::new();
        for time in std::mem::take(&mut self.kept) {
            if held.contains(&time) {
                self.kept.insert(time);
            } else if !self.pending.contains_key(&time)
                && let Some(slot) = self.rows.get_mut(time)
            {
                gone.push(std::mem::replace(slot, Slot::Stored));
            }
        }
        gone
    }

    /// Notes that storage was closed and opened again: whatever was read may have changed.
    pub fn reopened(&mut self) {
        self.generation = Some(STALE);
    }

    /// Takes in a row that is neither new nor changed, and that no storage is known for.
    pub fn restore(&mut self, time: i64, record: R) -> Option<Slot<R>> {
        self.version += 1;
        self.rows.insert(time, Slot::Live(record))
    }

    /// Forgets everything that came from storage; what is pending stays.
    pub fn detach(&mut self) -> Vec<Slot<R>> {
        let pending = &self.pending;
        let gone = self.rows.remove_range(Span::ALL, |time, _| !pending.contains_key(&time));
        for pending in self.pending.values_mut() {
            pending.stored = None;
        }
        self.coverage.clear();
        self.damaged.clear();
        self.foreign.clear();
        self.kept.clear();
        self.rewriting = None;
        self.cells.clear();
        self.phase = Phase::None;
        self.generation = None;
        self.basis += 1;
        self.version += 1;
        gone.into_iter().map(|(_, slot)| slot).collect()
    }

    /// Forgets everything that came from storage, because there is another now. What is pending
    /// stays, though a save may just be bringing it to the former one.
    pub fn replace_storage(&mut self) -> Vec<Slot<R>> {
        self.replaced += 1;
        self.detach()
    }

    /// Forgets every row, saved or not; deletions stay pending.
    pub fn clear_rows(&mut self) -> Vec<Slot<R>> {
        self.pending.retain(|_, pending| pending.mark == Mark::Delete);
        self.detach()
    }

    /// Takes back the marks that `forget` names; the rows stay as they are.
    pub fn clear_marks(&mut self, forget: impl Fn(Mark, Option<bool>) -> bool) {
        for pending in self.pending.values_mut() {
            if pending.mark == Mark::Put && forget(pending.mark, pending.stored) {
                pending.mark = Mark::Held;
            }
        }
        self.pending.retain(|_, pending| {
            pending.mark != Mark::Delete || !forget(pending.mark, pending.stored)
        });
        // Storage may still hold what is no longer to be deleted.
        self.coverage.clear();
        self.cells.clear();
        self.basis += 1;
    }
}
