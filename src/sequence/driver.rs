//! Carries out the plans of an [`Index`] against a [`Store`].
//!
//! The index is locked for each decision, never while storage is read or written. What another
//! thread changed in between is noticed by the plan's basis, and the plan is made anew. Rows that are
//! being rewritten must not change meanwhile: whoever wants to waits for that.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::changes::{Mark, Rewrite, SavePlan};
use super::index::{Index, Presence, Slot};
use super::storage::Storage;
use crate::error::{Error, Result};
use crate::interval::Span;
use crate::store::{Batch, Committed, KeyRange, Keys, MetadataChange, Order};
use crate::timestamp::Timestamp;

/// How many rows are read in one piece: few enough that a busy saver does not keep a load from
/// getting through.
const PIECE: usize = 8_192;

/// A row to be written: its second and its stored value.
pub type Encoded = (i64, Vec<u8>);

/// The records of one namespace: an [`Index`] and the ways to ask and change it.
///
/// Every method takes the storage it works on, `None` where there is none: then what is in memory
/// is all there is. `R` is the handle of a live record. Slots and records that are let go of are
/// dropped after the index is unlocked, since dropping them may run foreign code.
#[derive(Debug, Default)]
pub struct Sequence<R> {
    index: Mutex<Index<R>>,
    /// Tells of the end of a rewrite.
    rewritten: Condvar,
}

/// The handle of a live record.
pub trait Handle: Sized {
    /// The rows among `only` (all where `None`) that are not pending and whose records somebody
    /// but the index holds.
    fn held(index: &Mutex<Index<Self>>, only: Option<&BTreeSet<i64>>) -> BTreeSet<i64>;
}

impl<T: ?Sized> Handle for Arc<T> {
    fn held(index: &Mutex<Index<Self>>, only: Option<&BTreeSet<i64>>) -> BTreeSet<i64> {
        let index = index.lock().unwrap_or_else(PoisonError::into_inner);
        index
            .clean()
            .filter(|(time, _)| only.is_none_or(|only| only.contains(time)))
            .filter(|(_, record)| Arc::strong_count(record) > 1)
            .map(|(time, _)| time)
            .collect()
    }
}

impl<R> From<Index<R>> for Sequence<R> {
    fn from(index: Index<R>) -> Self {
        Self { index: Mutex::new(index), rewritten: Condvar::new() }
    }
}

impl<R: Handle> Sequence<R> {
    /// The index, locked. A thread that panicked while it held the lock left it consistent enough:
    /// it is a cache and a list of marks, each changed in one step.
    pub fn lock(&self) -> MutexGuard<'_, Index<R>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index, locked once no row of `span` is being rewritten.
    fn lock_settled(&self, span: Span) -> MutexGuard<'_, Index<R>> {
        let waits = |index: &mut Index<R>| index.is_being_rewritten(span);
        let settled = self.rewritten.wait_while(self.lock(), waits);
        settled.unwrap_or_else(PoisonError::into_inner)
    }

    /// The index, locked, if the row at `time` may be changed at once, and what is known of it is all
    /// that there is to know: without waiting, and asking storage for no more than its generation.
    ///
    /// # Errors
    /// Those of [`Store::generation`](crate::store::Store::generation).
    pub fn at_hand(
        &self,
        storage: Option<&Storage>,
        time: i64,
    ) -> Result<Option<MutexGuard<'_, Index<R>>>> {
        let generation = storage.map(Storage::generation).transpose()?;
        let Ok(index) = self.index.try_lock() else { return Ok(None) };
        let is_known = generation.is_none_or(|generation| index.is_current(generation))
            && !index.is_being_rewritten(Span::at(time));
        Ok(is_known.then_some(index))
    }

    /// The mutex itself, for callers that must not block while they wait.
    pub fn mutex(&self) -> &Mutex<Index<R>> {
        &self.index
    }

    /// Reads again what anybody else may have changed since, and puts it in place in one step.
    ///
    /// # Errors
    /// Those of [`Store::scan`](crate::store::Store::scan); then everything is as before.
    pub fn refresh(&self, storage: &Storage) -> Result<()> {
        loop {
            let generation = storage.generation()?;
            let (plan, kept) = {
                let mut index = self.lock();
                (index.plan_refresh(generation), index.kept().clone())
            };
            let Some(plan) = plan else {
                if !kept.is_empty() {
                    let held = R::held(&self.index, Some(&kept));
                    let gone = self.lock().release(&held);
                    drop(gone);
                }
                return Ok(());
            };
            let mut found = Vec::with_capacity(plan.spans.len());
            let mut foreign = Vec::new();
            for span in &plan.spans {
                let scanned = storage.scan(*span, usize::MAX)?;
                found.push(scanned.rows);
                foreign.extend(scanned.foreign);
            }
            let mut loose = Vec::with_capacity(plan.loose.len());
            for time in &plan.loose {
                loose.push(storage.contains(*time)?);
            }
            let held = R::held(&self.index, None);
            let gone = {
                let mut index = self.lock();
                let gone = index.refresh(&plan, found, &loose, &held);
                if gone.is_some() {
                    index.set_foreign(foreign);
                }
                gone
            };
            if gone.is_some() {
                return Ok(());
            }
        }
    }

    /// Makes every row of `span` known.
    ///
    /// Returns how many rows became known.
    ///
    /// # Errors
    /// Those of [`Store::scan`](crate::store::Store::scan).
    pub fn load(&self, storage: Option<&Storage>, span: Span) -> Result<usize> {
        let Some(storage) = storage else { return Ok(0) };
        self.refresh(storage)?;
        self.read(storage, span)
    }

    fn read(&self, storage: &Storage, span: Span) -> Result<usize> {
        let mut loaded = 0;
        loop {
            let plan = self.lock().plan_load(span);
            let Some(gap) = plan.gaps.first() else { return Ok(loaded) };
            let found = storage.scan(*gap, PIECE)?;
            let absorbed = {
                let mut index = self.lock();
                index.note_foreign(found.foreign);
                index.absorb(plan.basis, Span::new(gap.start, found.end), found.rows)
            };
            // If another thread's save came in between, this piece is read again.
            if let Some((rows, _gone)) = absorbed {
                loaded += rows;
            }
        }
    }

    /// Makes the row at `time` known, if there is one.
    ///
    /// # Errors
    /// [`Error::Damaged`] where its value is known to be, and those of [`Store::get`](crate::store::Store::get).
    pub fn locate(&self, storage: Option<&Storage>, time: i64) -> Result<bool> {
        if let Some(storage) = storage {
            self.refresh(storage)?;
        }
        loop {
            let (presence, basis) = {
                let index = self.lock_settled(Span::at(time));
                (index.presence(time), index.basis())
            };
            match (presence, storage) {
                (Presence::Known, _) => return Ok(true),
                (Presence::Damaged(cause), storage) => {
                    return Err(damaged(storage, time, cause));
                }
                (Presence::Unknown, Some(storage)) => {
                    let next = storage.first_from(time)?;
                    let found = next.as_ref().is_some_and(|(found, _)| *found == time);
                    if self.lock().discover(basis, time, next) {
                        return Ok(found);
                    }
                }
                (Presence::Unknown | Presence::Absent | Presence::Deleted, _) => return Ok(false),
            }
        }
    }

    /// The first row of `span`, or the last one where `backwards`.
    ///
    /// # Errors
    /// Those of [`Store::scan`](crate::store::Store::scan).
    pub fn neighbor(
        &self,
        storage: Option<&Storage>,
        span: Span,
        backwards: bool,
    ) -> Result<Option<i64>> {
        if let Some(storage) = storage {
            self.refresh(storage)?;
        }
        let plan = self.lock().plan_neighbor(span, backwards);
        let Some(storage) = storage else { return Ok(plan.known) };
        let order = if backwards { Order::Descending } else { Order::Ascending };
        for gap in plan.gaps {
            let mut nearest = None;
            storage.scan_with(gap, order, |time, _| {
                if plan.hidden.contains(&time) {
                    return ControlFlow::Continue(());
                }
                nearest = Some(time);
                ControlFlow::Break(())
            })?;
            if nearest.is_some() {
                return Ok(nearest);
            }
        }
        Ok(plan.known)
    }

    /// The row nearest to `time`, no further than `reach` microseconds away (unbounded where
    /// `None`). Of two equally near rows the later one.
    ///
    /// # Errors
    /// Those of [`Sequence::neighbor`].
    pub fn nearest(
        &self,
        storage: Option<&Storage>,
        time: i64,
        reach: Option<i64>,
    ) -> Result<Option<i64>> {
        let seconds = reach.map_or(i64::MAX, |reach| reach.div_euclid(1_000_000));
        let from = time.saturating_sub(seconds);
        let to = time.saturating_add(seconds).saturating_add(1);
        let after = self.neighbor(storage, Span::new(time, to), false)?;
        if after == Some(time) {
            return Ok(after);
        }
        // Nothing further away than the later neighbour can be the nearest.
        let from = after.map_or(from, |after| from.max(time.saturating_sub(after - time) + 1));
        let before = self.neighbor(storage, Span::new(from, time), true)?;
        Ok(before.or(after))
    }

    /// How many records the logical content has, damaged values and foreign keys included: the
    /// number does not depend on what was read.
    ///
    /// # Errors
    /// Those of [`Store::count`](crate::store::Store::count).
    pub fn count(&self, storage: Option<&Storage>) -> Result<usize> {
        let Some(storage) = storage else { return Ok(self.lock().rows().len()) };
        self.refresh(storage)?;
        loop {
            let (balance, basis) = {
                let index = self.lock();
                if !storage.store.reads_single_values_fast() && index.coverage().covers(Span::ALL) {
                    let unreadable = index.damaged().count() + index.foreign().count();
                    return Ok(index.rows().len() + unreadable);
                }
                (index.balance(), index.basis())
            };
            match balance {
                Ok(balance) => {
                    let stored = storage.store.count(storage.name(), KeyRange::default())?;
                    if self.lock().basis() == basis {
                        let stored = i64::try_from(stored).unwrap_or(i64::MAX);
                        return Ok(usize::try_from(stored + balance).unwrap_or(0));
                    }
                }
                Err(span) => {
                    let found = storage.scan(span, usize::MAX)?;
                    let mut index = self.lock();
                    if index.basis() == basis {
                        index.resolve(span, &found.rows);
                    }
                }
            }
        }
    }

    /// Adds `record` at `time`, of which `date_time` is how its owner writes it.
    ///
    /// # Errors
    /// [`Error::Duplicate`] where a record exists, loaded or not; [`Error::TimeRange`];
    /// [`Error::Damaged`]; and those of [`Store::get`](crate::store::Store::get).
    pub fn insert(
        &self,
        storage: Option<&Storage>,
        time: i64,
        record: R,
        mark: Mark,
        date_time: &dyn Fn() -> String,
    ) -> Result<()> {
        let timestamp = Timestamp::from_seconds(time)?;
        let duplicate =
            || Error::Duplicate { date_time: date_time(), timestamp: timestamp.to_string() };
        if self.locate(storage, time)? {
            return Err(duplicate());
        }
        // Without storage nobody can say yet what the storage that comes later holds.
        let stored = storage.map(|_| false);
        {
            let mut index = self.lock_settled(Span::at(time));
            // Another thread may have been faster.
            if index.rows().get(time).is_none() {
                index.insert(time, record, mark, stored);
                return Ok(());
            }
        }
        Err(duplicate())
    }

    /// Marks the live record at `time` to be written; tells whether there is one.
    pub fn mark_dirty(&self, time: i64) -> bool {
        self.lock_settled(Span::at(time)).mark_dirty(time)
    }

    /// Deletes every record of `span`; returns how many there were, and the slots that were let go of.
    ///
    /// # Errors
    /// Those of [`Sequence::load`].
    pub fn delete(&self, storage: Option<&Storage>, span: Span) -> Result<(usize, Vec<Slot<R>>)> {
        loop {
            self.load(storage, span)?;
            let mut index = self.lock_settled(span);
            // Another thread may have had to forget what was loaded.
            if storage.is_none() || index.coverage().covers(span) {
                return Ok(index.delete(span));
            }
        }
    }

    /// Carries out `plan` with the values of its rows, and sets the metadata, in one transaction.
    ///
    /// # Errors
    /// Those of [`Store::commit`](crate::store::Store::commit); then everything stays pending.
    pub fn commit(
        &self,
        storage: &Storage,
        plan: &SavePlan,
        values: Vec<Encoded>,
        metadata: MetadataChange,
    ) -> Result<()> {
        let batch = batch(values, &plan.deletes, metadata)?;
        // The generation to compare with must be known, or the commit's would be taken for ours.
        self.refresh(storage)?;
        let committed = match storage.store.commit(storage.name(), &batch) {
            Ok(committed) => committed,
            Err(error) => {
                self.lock().unsettled(plan);
                return Err(error);
            }
        };
        self.lock().saved(plan, moved(&batch, committed));
        Ok(())
    }

    /// Commits `rewrite` in one transaction; returns the slots that were let go of.
    ///
    /// # Errors
    /// [`Error::Conflict`] if somebody else has changed the namespace since it was read, or this
    /// process a row where it is rewritten, and those of
    /// [`Store::commit`](crate::store::Store::commit); then nothing is changed.
    pub fn rewrite(&self, storage: &Storage, rewrite: Rewrite) -> Result<Vec<Slot<R>>> {
        let Rewrite { generation, change, spans, puts, deletes, metadata } = rewrite;
        let times: Vec<i64> = puts.iter().map(|(time, _)| *time).collect();
        let batch = Batch { based_on: Some(generation), ..batch(puts, &deletes, metadata)? };
        let keep = !storage.store.reads_single_values_fast();
        self.refresh(storage)?;
        // Nobody may change a row between this look and the commit's end. A store that is a backend
        // of another language may call back, so for it nobody is kept waiting.
        let fenced = if keep { Vec::new() } else { spans.clone() };
        if !self.lock().begin_rewrite(change, &spans, fenced) {
            let namespace = storage.name().unwrap_or_default().to_owned();
            return Err(Error::Conflict { namespace });
        }
        let _ending = Ending(self);
        let committed = storage.store.commit(storage.name(), &batch);
        let mut index = self.lock();
        let is_ours = index.end_rewrite();
        let committed = match committed {
            Ok(committed) => committed,
            Err(error) => {
                // A store that commits in steps may have done some of them.
                index.reopened();
                return Err(error);
            }
        };
        if !is_ours {
            return Ok(Vec::new());
        }
        let generation = moved(&batch, committed);
        // Many keys to delete take a lot of memory.
        let Batch { puts, .. } = batch;
        let values = puts.into_iter().map(|(_, value)| keep.then_some(value));
        Ok(index.rewritten(change, &deletes, times.into_iter().zip(values), generation))
    }

    /// Sets the row at `time` aside as damaged, whose value was read at `basis`, and returns the
    /// error that says so; `None` if the row has changed since.
    pub fn damage(
        &self,
        storage: Option<&Storage>,
        basis: u64,
        time: i64,
        cause: String,
    ) -> Option<Error> {
        let slot = self.lock().set_damaged(basis, time, cause.clone())?;
        drop(slot);
        Some(damaged(storage, time, cause))
    }
}

/// Ends a rewrite, whatever becomes of it, and wakes those who wait for that.
struct Ending<'s, R: Handle>(&'s Sequence<R>);

impl<R: Handle> Drop for Ending<'_, R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().end_rewrite();
        }
        self.0.rewritten.notify_all();
    }
}

fn batch(puts: Vec<Encoded>, deletes: &[i64], metadata: MetadataChange) -> Result<Batch> {
    let key = |time: i64| Timestamp::from_seconds(time).map(|time| time.to_key().to_vec());
    let puts = puts.into_iter().map(|(time, value)| Ok((key(time)?, value)));
    let mut keys = Keys::default();
    for time in deletes {
        keys.push(&Timestamp::from_seconds(*time)?.to_key());
    }
    Ok(Batch { puts: puts.collect::<Result<_>>()?, deletes: keys, metadata, ..Batch::default() })
}

/// The generation that a commit moved its namespace to, `None` if it changed nothing.
fn moved(batch: &Batch, committed: Committed) -> Option<u64> {
    let changed =
        committed.written > 0 || committed.deleted > 0 || batch.metadata != MetadataChange::Keep;
    changed.then_some(committed.generation)
}

fn damaged(storage: Option<&Storage>, time: i64, cause: String) -> Error {
    Error::Damaged {
        namespace: storage.and_then(Storage::name).unwrap_or_default().to_owned(),
        key: Timestamp::from_seconds(time).map(|time| time.to_string()).unwrap_or_default(),
        cause,
    }
}
