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

use super::cells::Cells;
use super::changes::{Mark, Pending};
use super::rows::Rows;
use crate::interval::{Span, SpanSet};

/// How a known row is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot<R> {
    /// In storage only; read again when it is asked for.
    Stored,
    /// As storage had it, for stores in which reading single values is slow.
    Encoded(Arc<Vec<u8>>),
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

/// The spans to read so that a request can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadPlan {
    /// The state of storage the plan was made for; see [`Index::absorb`].
    pub basis: u64,
    /// What to read, in ascending order.
    pub gaps: Vec<Span>,
}

/// Where the neighbour of an instant may be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeighborPlan {
    /// The nearest known row.
    pub known: Option<i64>,
    /// The spans nearer than that which storage must be searched in, nearest first.
    pub gaps: Vec<Span>,
    /// Instants in those spans at which a value of storage does not count.
    pub hidden: BTreeSet<i64>,
}

/// A row as a scan of storage found it: its second, and its value where it is to be kept.
pub type FoundRow = (i64, Option<Arc<Vec<u8>>>);

/// The state of one namespace in one process; `R` is the handle of a live record.
#[derive(Debug, Clone)]
pub struct Index<R> {
    pub(super) rows: Rows<Slot<R>>,
    pub(super) coverage: SpanSet,
    pub(super) pending: BTreeMap<i64, Pending>,
    pub(super) damaged: BTreeMap<i64, String>,
    pub(super) foreign: BTreeSet<String>,
    /// Rows that outlived a refresh because somebody held their objects.
    pub(super) kept: BTreeSet<i64>,
    /// Where a rewrite that is under way may write or delete rows.
    pub(super) rewriting: Option<Vec<Span>>,
    pub(super) cells: Cells,
    pub(super) phase: Phase,
    pub(super) generation: Option<u64>,
    pub(super) basis: u64,
    /// How often another storage took the place of one.
    pub(super) replaced: u64,
    pub(super) change: u64,
    pub(super) version: u64,
}

impl<R> Default for Index<R> {
    fn default() -> Self {
        Self {
            rows: Rows::default(),
            coverage: SpanSet::default(),
            pending: BTreeMap::new(),
            damaged: BTreeMap::new(),
            foreign: BTreeSet::new(),
            kept: BTreeSet::new(),
            rewriting: None,
            cells: Cells::default(),
            phase: Phase::None,
            generation: None,
            basis: 0,
            replaced: 0,
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

    /// Tells whether the next save has nothing to write and nothing to delete.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        self.pending.values().all(|pending| pending.mark == Mark::Held)
    }

    /// The instants that the next save writes for the first time.
    pub fn fresh(&self) -> impl Iterator<Item = i64> {
        self.marked(|pending| pending.mark == Mark::Put && pending.stored != Some(true))
    }

    fn marked(&self, keep: impl Fn(&Pending) -> bool) -> impl Iterator<Item = i64> {
        self.pending.iter().filter(move |(_, pending)| keep(pending)).map(|(time, _)| *time)
    }

    // ---- what is known ---------------------------------------------------------------------

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

    /// Tells whether it is certain that there is no record at `time`. Where nothing is stored, what is
    /// known is all there is.
    #[must_use]
    pub fn lacks(&self, time: i64, has_storage: bool) -> bool {
        match self.presence(time) {
            Presence::Absent | Presence::Deleted => true,
            Presence::Unknown => !has_storage,
            Presence::Known | Presence::Damaged(_) => false,
        }
    }

    /// Tells whether a value that storage holds at `time` is no part of what can be read.
    fn hides(&self, time: i64) -> bool {
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
        let (known, nearer) = if backwards {
            let known = self.rows.last_before(span.end).filter(|time| span.contains(*time));
            (known, Span::new(known.map_or(span.start, |time| time + 1), span.end))
        } else {
            let known = self.rows.first_from(span.start).filter(|time| span.contains(*time));
            (known, Span::new(span.start, known.unwrap_or(span.end)))
        };
        let mut gaps = self.coverage.gaps(nearer);
        if backwards {
            gaps.reverse();
        }
        let hidden = if gaps.is_empty() {
            BTreeSet::new()
        } else {
            let damaged = self.damaged.range(nearer.start..nearer.end).map(|(time, _)| *time);
            let deleted = self
                .pending
                .range(nearer.start..nearer.end)
                .filter(|(_, pending)| pending.mark == Mark::Delete)
                .map(|(time, _)| *time);
            damaged.chain(deleted).collect()
        };
        NeighborPlan { known, gaps, hidden }
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

    // ---- what storage answered -------------------------------------------------------------

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

    // ---- copies ----------------------------------------------------------------------------

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
            kept: self.kept.clone(),
            rewriting: None,
            cells: Cells::default(),
            phase: self.phase,
            generation: self.generation,
            basis: self.basis,
            replaced: self.replaced,
            change: self.change,
            version: self.version,
        })
    }

    /// The live records, in the order of time.
    pub fn live(&self) -> impl Iterator<Item = (i64, &R)> {
        self.rows.range(Span::ALL).filter_map(|(time, slot)| match slot {
            Slot::Live(record) => Some((time, record)),
            _ => None,
        })
    }

    /// The live records that are not pending: storage has them too.
    pub fn clean(&self) -> impl Iterator<Item = (i64, &R)> {
        self.live().filter(|(time, _)| !self.pending.contains_key(time))
    }
}
