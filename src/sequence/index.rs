//! What a process knows of one namespace, and the decisions that follow from it.
//!
//! Plain state without any I/O: which rows are known, which spans of storage have been read, what
//! was inserted, changed or deleted and not yet saved. Methods that need storage say so with a
//! plan ([`LoadPlan`], [`SavePlan`]) that [`Sequence`](super::Sequence) carries out.
//!
//! # Invariants
//! - The logical content is: what storage holds, overlaid by the pending rows, less the pending
//!   deletions. Known rows are a cache of it, never a filter.
//! - Within the coverage every row of storage is known, deleted, or damaged.
//! - A row that is not pending was read from storage.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::rows::Rows;
use crate::interval::{Span, SpanSet};

/// A generation that no store has: what was read has to be read again.
const STALE: u64 = u64::MAX;

/// How a known row is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot<R> {
    /// In storage only; read again when it is asked for.
    Stored,
    /// As storage had it, for stores in which reading single values is slow.
    Encoded(Arc<[u8]>),
    /// As an object that was handed out or in: the authority for its row.
    Live(R),
}

/// How far loading has come, as upstream names it. It informs; answers depend on coverage alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was loaded.
    #[default]
    None,
    /// Some window was loaded.
    Initial,
    /// Everything was loaded.
    Full,
}

/// What is known about the row at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It exists and is known.
    Known,
    /// Its deletion is pending.
    Deleted,
    /// It does not exist.
    Absent,
    /// Storage holds a value that cannot be decoded, for this cause.
    Damaged(String),
    /// Storage has to be asked.
    Unknown,
}

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

#[derive(Debug, Clone)]
struct Pending {
    mark: Mark,
    /// Whether storage holds a value at this instant, where that is known.
    stored: Option<bool>,
    /// Whether storage has to be asked again, since a save of this row failed half way.
    doubtful: bool,
    /// Whether a save that is under way, or failed half way, may put a value there.
    planned: bool,
    /// The number of the change, so that a save forgets only what it has seen.
    change: u64,
}

impl Pending {
    /// Whether storage certainly holds nothing at this instant, and no save is about to.
    fn is_nowhere(&self) -> bool {
        self.stored == Some(false) && !self.doubtful && !self.planned
    }
}

/// The spans to read so that a request can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadPlan {
    /// The state of storage the plan was made for; see [`Index::absorb`].
    pub basis: u64,
    /// What to read, in ascending order.
    pub gaps: Vec<Span>,
}

/// The rows to write and delete in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavePlan {
    change: u64,
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

/// Where the neighbour of an instant may be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeighborPlan {
    /// The nearest known row.
    pub known: Option<i64>,
    /// The spans nearer than that which storage must be searched in, nearest first.
    pub gaps: Vec<Span>,
}

/// A row as a scan of storage found it: its second, and its value where it is to be kept.
pub type FoundRow = (i64, Option<Arc<[u8]>>);

/// The state of one namespace in one process; `R` is the handle of a live record.
#[derive(Debug, Clone)]
pub struct Index<R> {
    rows: Rows<Slot<R>>,
    coverage: SpanSet,
    pending: BTreeMap<i64, Pending>,
    damaged: BTreeMap<i64, String>,
    foreign: BTreeSet<String>,
    phase: Phase,
    generation: Option<u64>,
    basis: u64,
    change: u64,
    version: u64,
}

impl<R> Default for Index<R> {
    fn default() -> Self {
        Self {
            rows: Rows::default(),
            coverage: SpanSet::default(),
            pending: BTreeMap::new(),
            damaged: BTreeMap::new(),
            foreign: BTreeSet::new(),
            phase: Phase::None,
            generation: None,
            basis: 0,
            change: 0,
            version: 0,
        }
    }
}

impl<R> Index<R> {
    /// The known rows.
    #[must_use]
    pub fn rows(&self) -> &Rows<Slot<R>> {
        &self.rows
    }

    /// The spans whose storage has been read.
    #[must_use]
    pub fn coverage(&self) -> &SpanSet {
        &self.coverage
    }

    /// How far loading has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Notes how far loading has come.
    pub fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// Changes whenever a row appears or vanishes.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Values found damaged, with their causes.
    pub fn damaged(&self) -> impl Iterator<Item = (i64, &str)> {
        self.damaged.iter().map(|(time, cause)| (*time, cause.as_str()))
    }

    /// Keys in storage that are no timestamps: nothing of ours.
    pub fn foreign(&self) -> impl Iterator<Item = &str> {
        self.foreign.iter().map(String::as_str)
    }

    /// Puts `keys` in the place of the foreign keys that were known.
    pub fn set_foreign(&mut self, keys: Vec<String>) {
        self.foreign = keys.into_iter().collect();
    }

    /// Notes keys in storage that are no timestamps.
    pub fn note_foreign(&mut self, keys: Vec<String>) {
        self.foreign.extend(keys);
    }

    /// The instants that the next save deletes.
    pub fn deleted(&self) -> impl Iterator<Item = i64> {
        self.marked(|pending| pending.mark == Mark::Delete)
    }

    /// The instants that the next save writes.
    pub fn dirty(&self) -> impl Iterator<Item = i64> {
        self.marked(|pending| pending.mark == Mark::Put)
    }

    /// The instants that the next save writes for the first time.
    pub fn fresh(&self) -> impl Iterator<Item = i64> {
        self.marked(|pending| pending.mark == Mark::Put && pending.stored != Some(true))
    }

    fn marked(&self, keep: impl Fn(&Pending) -> bool) -> impl Iterator<Item = i64> {
        self.pending.iter().filter(move |(_, pending)| keep(pending)).map(|(time, _)| *time)
    }

    // ---- what is known ----------------------------------------------------------------------

    /// What is known about the row at `time`.
    #[must_use]
    pub fn presence(&self, time: i64) -> Presence {
        if self.rows.get(time).is_some() {
            Presence::Known
        } else if self.pending.get(&time).is_some_and(|pending| pending.mark == Mark::Delete) {
            Presence::Deleted
        } else if let Some(cause) = self.damaged.get(&time) {
            Presence::Damaged(cause.clone())
        } else if self.coverage.covers(Span::at(time)) {
            Presence::Absent
        } else {
            Presence::Unknown
        }
    }

    /// Tells whether a key that storage holds at `time` is no part of what can be read.
    #[must_use]
    pub fn hides(&self, time: i64) -> bool {
        self.damaged.contains_key(&time)
            || self.pending.get(&time).is_some_and(|pending| pending.mark == Mark::Delete)
    }

    /// What to read so that every row of `span` is known.
    #[must_use]
    pub fn plan_load(&self, span: Span) -> LoadPlan {
        LoadPlan { basis: self.basis, gaps: self.coverage.gaps(span) }
    }

    /// Where to find the first row of `span`, or the last one where `backwards`.
    #[must_use]
    pub fn plan_neighbor(&self, span: Span, backwards: bool) -> NeighborPlan {
        if backwards {
            let known = self.rows.last_before(span.end).filter(|time| span.contains(*time));
            let nearer = Span::new(known.map_or(span.start, |time| time + 1), span.end);
            let mut gaps = self.coverage.gaps(nearer);
            gaps.reverse();
            NeighborPlan { known, gaps }
        } else {
            let known = self.rows.first_from(span.start).filter(|time| span.contains(*time));
            let nearer = Span::new(span.start, known.unwrap_or(span.end));
            NeighborPlan { known, gaps: self.coverage.gaps(nearer) }
        }
    }

    /// How many more values the logical content has than storage holds.
    ///
    /// # Errors
    /// The span in which storage must be asked first, by way of [`Index::resolve`].
    pub fn balance(&self) -> Result<i64, Span> {
        let mut unresolved: Option<Span> = None;
        let mut balance = 0;
        for (time, pending) in &self.pending {
            match (pending.mark, pending.stored.filter(|_| !pending.doubtful)) {
                (_, None) => {
                    let start = unresolved.map_or(*time, |span| span.start);
                    unresolved = Some(Span::new(start, time + 1));
                }
                (Mark::Delete, Some(true)) => balance -= 1,
                (Mark::Put | Mark::Held, Some(false)) => balance += 1,
                _ => {}
            }
        }
        unresolved.map_or(Ok(balance), Err)
    }

    // ---- what storage answered --------------------------------------------------------------

    /// Takes in what storage holds in `span`, in ascending order, and notes it as covered.
    ///
    /// Known rows stay as they are, deleted ones deleted; rows that came from storage and are no
    /// longer there vanish. Returns how many rows became known and the slots that were let go of,
    /// or `None` if the plan's `basis` is stale: then plan and read again.
    pub fn absorb(
        &mut self,
        basis: u64,
        span: Span,
        found: Vec<FoundRow>,
    ) -> Option<(usize, Vec<Slot<R>>)> {
        if basis != self.basis {
            return None;
        }
        self.resolve(span, &found);
        let pending = &self.pending;
        let gone = self.rows.remove_range(span, |time, _| {
            !pending.contains_key(&time) && found.binary_search_by_key(&time, |row| row.0).is_err()
        });
        let mut loaded = 0;
        for (time, value) in found {
            if !self.hides(time) && self.rows.get(time).is_none() {
                self.rows.insert(time, value.map_or(Slot::Stored, Slot::Encoded));
                loaded += 1;
            }
        }
        self.coverage.insert(span);
        self.version += u64::from(loaded > 0 || !gone.is_empty());
        Some((loaded, gone.into_iter().map(|(_, slot)| slot).collect()))
    }

    /// Notes for each pending row of `span` whether storage holds a value for it.
    pub fn resolve(&mut self, span: Span, found: &[FoundRow]) {
        if span.is_empty() {
            return;
        }
        for (time, pending) in self.pending.range_mut(span.start..span.end) {
            pending.stored = Some(found.binary_search_by_key(time, |row| row.0).is_ok());
            pending.doubtful = false;
        }
    }

    /// Takes in which row of storage, `next`, is the first at or after `time`, of which nothing
    /// was known. If it lies behind `time`, nothing is in between: that much is covered then, so
    /// that records added one after another ask storage once. Returns whether the answer still
    /// holds; if not, ask again.
    pub fn discover(&mut self, basis: u64, time: i64, next: Option<FoundRow>) -> bool {
        if basis != self.basis || self.presence(time) != Presence::Unknown {
            return false;
        }
        match next {
            Some((found, value)) if found == time => {
                self.rows.insert(time, value.map_or(Slot::Stored, Slot::Encoded));
                self.version += 1;
            }
            next => {
                let span = Span::new(time, next.map_or(i64::MAX, |(found, _)| found));
                // Islands would pile up where records are added here and there.
                if span.end == i64::MAX || self.coverage.touches(span) {
                    self.absorb(basis, span, Vec::new());
                }
            }
        }
        true
    }

    /// The number that [`LoadPlan::basis`] carries now.
    #[must_use]
    pub fn basis(&self) -> u64 {
        self.basis
    }

    /// Sets a row aside whose stored value, read at `basis`, cannot be decoded. Returns its slot,
    /// or `None` if the row has changed since.
    pub fn set_damaged(&mut self, basis: u64, time: i64, cause: String) -> Option<Slot<R>> {
        if basis != self.basis || matches!(self.rows.get(time)?, Slot::Live(_)) {
            return None;
        }
        self.damaged.insert(time, cause);
        self.version += 1;
        self.rows.remove(time)
    }

    /// Keeps `record`, made of the value read at `basis`, as the object for the row at `time`, and
    /// returns the slot it replaced.
    ///
    /// # Errors
    /// The record, if the row has an object already or has changed since.
    pub fn set_live(&mut self, basis: u64, time: i64, record: R) -> Result<Slot<R>, R> {
        match self.rows.get_mut(time) {
            Some(slot @ (Slot::Stored | Slot::Encoded(_))) if basis == self.basis => {
                Ok(std::mem::replace(slot, Slot::Live(record)))
            }
            _ => Err(record),
        }
    }

    // ---- what the process changes -----------------------------------------------------------

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

    // ---- saving -----------------------------------------------------------------------------

    /// What the next save writes and deletes. From here on the save counts as under way.
    pub fn plan_save(&mut self) -> SavePlan {
        let plan = SavePlan {
            change: self.change,
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
    /// changed nothing there. What was changed since the plan was made stays pending.
    pub fn saved(&mut self, plan: &SavePlan, generation: Option<u64>) {
        for (times, written) in [(&plan.puts, true), (&plan.deletes, false)] {
            for time in times {
                match self.pending.get_mut(time) {
                    Some(pending) if pending.change > plan.change => {
                        pending.stored = Some(written);
                        pending.doubtful = false;
                        pending.planned = false;
                    }
                    _ => {
                        self.pending.remove(time);
                        self.forget_if_torn(*time, written);
                    }
                }
            }
        }
        self.basis += 1;
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
            self.version += 1;
        }
    }

    /// Notes that carrying out `plan` failed, and that storage may hold any part of it.
    pub fn unsettled(&mut self, plan: &SavePlan) {
        for time in plan.puts.iter().chain(&plan.deletes) {
            match self.pending.get_mut(time) {
                Some(pending) => {
                    pending.doubtful = true;
                    pending.planned = false;
                }
                None => self.coverage.clear(),
            }
        }
        self.basis += 1;
    }

    // ---- when storage changed ---------------------------------------------------------------

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
    /// that somebody holds, as `held` tells, where storage still has a value.
    ///
    /// Returns the slots that were let go of, or `None` if the plan is stale.
    pub fn refresh(
        &mut self,
        plan: &RefreshPlan,
        found: Vec<Vec<FoundRow>>,
        loose: &[bool],
        held: impl Fn(&R) -> bool,
    ) -> Option<Vec<Slot<R>>> {
        if plan.basis != self.basis {
            return None;
        }
        self.damaged.clear();
        self.coverage.clear();
        let pending = &self.pending;
        let gone_loose: BTreeSet<i64> = plan
            .loose
            .iter()
            .zip(loose)
            .filter(|(_, there)| !**there)
            .map(|(time, _)| *time)
            .collect();
        let gone = self.rows.remove_range(Span::ALL, |time, slot| {
            let kept = matches!(slot, Slot::Live(record) if held(record));
            !pending.contains_key(&time) && (!kept || gone_loose.contains(&time))
        });
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
        self.phase = Phase::None;
        self.generation = None;
        self.basis += 1;
        self.version += 1;
        gone.into_iter().map(|(_, slot)| slot).collect()
    }

    /// Forgets every row, saved or not; deletions stay pending.
    pub fn clear_rows(&mut self) -> Vec<Slot<R>> {
        self.pending.retain(|_, pending| pending.mark == Mark::Delete);
        self.detach()
    }

    /// Forgets every row and every change: what storage holds is what there is.
    pub fn discard_changes(&mut self) -> Vec<Slot<R>> {
        self.pending.clear();
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
        self.basis += 1;
    }

    /// The same state with the records that `copy` makes of the live ones.
    ///
    /// # Errors
    /// The first error of `copy`.
    pub fn try_map<S, E>(&self, mut copy: impl FnMut(&R) -> Result<S, E>) -> Result<Index<S>, E> {
        let mut rows = Rows::default();
        for (time, slot) in self.rows.range(Span::ALL) {
            let slot = match slot {
                Slot::Stored => Slot::Stored,
                Slot::Encoded(value) => Slot::Encoded(Arc::clone(value)),
                Slot::Live(record) => Slot::Live(copy(record)?),
            };
            rows.insert(time, slot);
        }
        Ok(Index {
            rows,
            coverage: self.coverage.clone(),
            pending: self.pending.clone(),
            damaged: self.damaged.clone(),
            foreign: self.foreign.clone(),
            phase: self.phase,
            generation: self.generation,
            basis: self.basis,
            change: self.change,
            version: self.version,
        })
    }

    /// The live records, in the order of time.
    pub fn live(&self) -> impl Iterator<Item = &R> {
        self.rows.range(Span::ALL).filter_map(|(_, slot)| match slot {
            Slot::Live(record) => Some(record),
            _ => None,
        })
    }
}
