//! Sequences on one store, run side by side with their models.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use eosdb::sequence::{Encoded, Presence, SavePlan, Sequence, Slot, Storage};
use eosdb::store::{Batch, KeyRange, MetadataChange, Order, Store};
use eosdb::{Error, Span, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::model::{Answer, Call, Model, Rows};
use super::stores::{Fault, Moment, Wrapped};

/// A record is one number, which its holders can change.
pub type Record = Arc<AtomicU32>;

/// What a sequence is bound to; `None` where it has no storage.
pub type Namespace = Option<&'static str>;

pub fn record(value: u32) -> Record {
    Arc::new(AtomicU32::new(value))
}

pub fn value_of(record: &Record) -> u32 {
    record.load(Ordering::SeqCst)
}

pub fn key(time: i64) -> Vec<u8> {
    Timestamp::from_seconds(time).expect("within the calendar").to_key().to_vec()
}

fn decode(stored: &[u8]) -> u32 {
    u32::from_le_bytes(stored.try_into().expect("four bytes"))
}

pub fn encode(value: u32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

/// The object of the row at `time`, made if it does not exist yet.
pub fn object(sequence: &Sequence<Record>, storage: Option<&Storage>, time: i64) -> Option<Record> {
    if !sequence.locate(storage, time).expect("no damage") {
        return None;
    }
    let (slot, basis) = {
        let index = sequence.lock();
        (index.rows().get(time).cloned()?, index.basis())
    };
    let value = match slot {
        Slot::Live(record) => return Some(record),
        Slot::Encoded(stored) => decode(&stored),
        Slot::Stored => {
            let stored = storage.expect("a row of storage").get(time).expect("a value");
            decode(&stored.expect("a located row"))
        }
    };
    let object = record(value);
    let kept = sequence.lock().set_live(basis, time, Arc::clone(&object));
    assert!(kept.is_ok(), "a row without an object takes one");
    Some(object)
}

pub fn forget_loaded(sequence: &Sequence<Record>) {
    let gone = sequence.lock().detach();
    drop(gone);
}

/// Makes the call, and tells what it answered.
pub fn perform(sequence: &Sequence<Record>, storage: Option<&Storage>, call: &Call) -> Answer {
    match *call {
        Call::Insert { time, value, mark } => {
            let shown = || "shown".to_owned();
            match sequence.insert(storage, time, record(value), mark, &shown) {
                Ok(()) => Answer::Done,
                Err(Error::Duplicate { .. }) => Answer::Duplicate,
                Err(error) => panic!("{error}"),
            }
        }
        Call::Get { time } => {
            Answer::Value(object(sequence, storage, time).map(|record| value_of(&record)))
        }
        Call::Change { time, value } => {
            let object = object(sequence, storage, time);
            Answer::Value(object.map(|record| {
                let before = record.swap(value, Ordering::SeqCst);
                assert!(sequence.lock().mark_dirty(time), "a live row can be marked");
                before
            }))
        }
        Call::Delete { span } => Answer::Number(sequence.delete(storage, span).expect("deleted").0),
        Call::Load { span } => {
            sequence.load(storage, span).expect("loaded");
            if storage.is_some() {
                assert!(sequence.lock().coverage().covers(span), "what was loaded is covered");
            }
            Answer::Done
        }
        Call::Neighbor { span, backwards } => {
            Answer::Time(sequence.neighbor(storage, span, backwards).expect("an answer"))
        }
        Call::Nearest { time, reach } => {
            Answer::Time(sequence.nearest(storage, time, reach).expect("an answer"))
        }
        Call::Count => Answer::Number(sequence.count(storage).expect("an answer")),
        Call::ForgetLoaded => {
            forget_loaded(sequence);
            Answer::Done
        }
        Call::ClearRows => {
            let gone = sequence.lock().clear_rows();
            drop(gone);
            Answer::Done
        }
        Call::ClearMarks { mark } => {
            sequence.lock().clear_marks(|kind, _| kind == mark);
            Answer::Done
        }
    }
}

/// One save, and what happens while it is under way.
#[derive(Debug, Clone)]
pub struct Save {
    pub fault: Option<Fault>,
    /// Whether values are taken at the commit rather than with the plan.
    pub late: bool,
    /// Calls between the plan and the commit.
    pub planned: Vec<Call>,
    /// Calls when the commit is in storage and the sequence does not know it yet.
    pub applied: Vec<Call>,
}

struct Actor {
    sequence: Arc<Sequence<Record>>,
    namespace: Namespace,
    model: Model,
    /// The version of the index and the rows that it had then.
    seen: (u64, Vec<i64>),
}

/// Sequences on one store.
pub struct World {
    store: Arc<Wrapped>,
    /// What somebody else writes by.
    others: Arc<dyn Store>,
    atomic: bool,
    stored: BTreeMap<&'static str, Rows>,
    actors: Vec<Actor>,
}

impl World {
    /// `actors` new sequences on `store`; `atomic` tells whether its commits are.
    pub fn new(store: Arc<Wrapped>, others: Arc<dyn Store>, atomic: bool, actors: usize) -> Self {
        let actor = || Actor {
            sequence: Arc::default(),
            namespace: Some("house"),
            model: Model::default(),
            seen: (0, Vec::new()),
        };
        let actors = (0..actors).map(|_| actor()).collect();
        Self { store, others, atomic, stored: BTreeMap::new(), actors }
    }

    fn storage(&self, actor: usize) -> Option<Storage> {
        let namespace = self.actors[actor].namespace?.to_owned();
        Some(Storage::new(Arc::clone(&self.store) as Arc<dyn Store>, Some(namespace)))
    }

    fn stored(&self, actor: usize) -> Rows {
        let namespace = self.actors[actor].namespace;
        namespace.and_then(|name| self.stored.get(name)).cloned().unwrap_or_default()
    }

    /// Has a sequence answer `call`, and its model too.
    pub fn call(&mut self, actor: usize, call: &Call) -> TestCaseResult {
        let (storage, stored) = (self.storage(actor), self.stored(actor));
        let actor = &mut self.actors[actor];
        let answer = perform(&actor.sequence, storage.as_ref(), call);
        prop_assert_eq!(answer, actor.model.call(&stored, call), "{:?}", call);
        Ok(())
    }

    /// Saves what a sequence has pending.
    pub fn save(&mut self, number: usize, save: &Save) -> TestCaseResult {
        let Some(storage) = self.storage(number) else { return Ok(()) };
        let sequence = Arc::clone(&self.actors[number].sequence);
        let planned = self.actors[number].model.plan();

        let (plan, records) = {
            let mut index = sequence.lock();
            let plan = index.plan_save();
            let object = |time: &i64| match index.rows().get(*time) {
                Some(Slot::Live(record)) => (*time, Arc::clone(record)),
                slot => panic!("{time} is to be written and is {slot:?}"),
            };
            let records: Vec<(i64, Record)> = plan.puts.iter().map(object).collect();
            (plan, records)
        };
        prop_assert_eq!(plan.puts.iter().copied().collect::<BTreeSet<_>>(), planned.puts().clone());
        let values = || records.iter().map(|(time, record)| (*time, value_of(record))).collect();
        let early: Rows = values();
        for call in &save.planned {
            self.call(number, call)?;
        }
        let values: Rows = if save.late { values() } else { early };
        drop(records);

        let fault = save.fault.filter(|fault| *fault != Fault::Between || !self.atomic);
        if let Some(fault) = fault {
            self.store.fail(fault);
        }
        let answers = Arc::new(Mutex::new(Vec::new()));
        {
            let (answers, sequence) = (Arc::clone(&answers), Arc::clone(&sequence));
            let (storage, calls) = (storage.clone(), save.applied.clone());
            self.store.at(Moment::AfterCommit, move || {
                for call in calls {
                    let answer = perform(&sequence, Some(&storage), &call);
                    answers.lock().expect("no panic").push((call, answer));
                }
            });
        }
        let encoded: Vec<Encoded> =
            values.iter().map(|(time, value)| (*time, encode(*value))).collect();
        let outcome = sequence.commit(&storage, &plan, encoded, MetadataChange::Keep);
        prop_assert_eq!(outcome.is_ok(), fault.is_none());

        let name = self.actors[number].namespace.expect("storage has a name");
        if fault != Some(Fault::Before) {
            let stored = self.stored.entry(name).or_default();
            planned.apply(stored, &values, fault != Some(Fault::Between));
        }
        let stored = self.stored(number);
        let model = &mut self.actors[number].model;
        for (call, answer) in answers.lock().expect("no panic").drain(..) {
            let expected = model.call(&stored, &call);
            // Whether the commit is in the count already, a silent store does not tell.
            if self.atomic || call != Call::Count {
                prop_assert_eq!(answer, expected, "while saving: {:?}", call);
            }
        }
        if fault.is_none() {
            model.saved(&planned);
        }
        Ok(())
    }

    /// Binds a sequence to another namespace, or to no storage.
    pub fn bind(&mut self, actor: usize, namespace: Namespace) {
        let actor = &mut self.actors[actor];
        actor.namespace = namespace;
        forget_loaded(&actor.sequence);
    }

    /// Has somebody else write `puts` and delete `deletes`.
    pub fn others(&mut self, puts: &Rows, deletes: &[i64]) {
        let batch = Batch {
            puts: puts.iter().map(|(time, value)| (key(*time), encode(*value))).collect(),
            deletes: deletes.iter().map(|time| key(*time)).collect(),
            ..Batch::default()
        };
        self.others.commit(Some("house"), &batch).expect("committed");
        let stored = self.stored.entry("house").or_default();
        stored.extend(puts);
        stored.retain(|time, _| !deletes.contains(time));
    }

    /// Checks storage, every sequence's invariants, and what it would answer now.
    pub fn check(&mut self) -> TestCaseResult {
        for (name, rows) in &self.stored {
            let mut found = Rows::new();
            let range = KeyRange::default();
            let scanned =
                self.store.scan(Some(name), range, Order::Ascending, &mut |key, value| {
                    let time = Timestamp::from_key(key).expect("a key").seconds();
                    found.insert(time, decode(value));
                    ControlFlow::Continue(())
                });
            scanned.expect("scanned");
            prop_assert_eq!(&found, rows, "what storage holds in {}", name);
        }
        for number in 0..self.actors.len() {
            let (storage, stored) = (self.storage(number), self.stored(number));
            let actor = &mut self.actors[number];
            check_marks(actor, &stored)?;
            check_rows(actor)?;
            let content = actor.model.content(&stored);
            check_answers(&actor.sequence, storage.as_ref(), &content)?;
        }
        Ok(())
    }
}

fn check_marks(actor: &mut Actor, stored: &Rows) -> TestCaseResult {
    let index = actor.sequence.lock();
    let dirty: BTreeSet<i64> = index.dirty().collect();
    let deleted: BTreeSet<i64> = index.deleted().collect();
    prop_assert_eq!(&dirty, &actor.model.dirty(), "what is to be written");
    for time in &dirty {
        let slot = index.rows().get(*time);
        prop_assert!(matches!(slot, Some(Slot::Live(_))), "{} is dirty and {:?}", time, slot);
    }
    let fresh: BTreeSet<i64> = index.fresh().collect();
    prop_assert!(fresh.is_subset(&dirty));
    for time in &deleted {
        prop_assert_eq!(index.presence(*time), Presence::Deleted);
    }
    prop_assert!(deleted.is_subset(&actor.model.deleted()), "deleted for no reason: {:?}", deleted);
    for time in actor.model.deleted().difference(&deleted) {
        prop_assert!(!stored.contains_key(time), "the deletion of {} is lost", time);
        // What storage never held needs no deletion.
        actor.model.forget_deletion(*time);
    }
    Ok(())
}

fn check_rows(actor: &mut Actor) -> TestCaseResult {
    let index = actor.sequence.lock();
    let rows: Vec<i64> = index.rows().range(Span::ALL).map(|(time, _)| time).collect();
    prop_assert!(rows.is_sorted_by(|left, right| left < right));
    prop_assert_eq!(index.rows().len(), rows.len());
    for pair in index.coverage().spans().windows(2) {
        prop_assert!(pair[0].end < pair[1].start, "{:?}", index.coverage());
    }
    if rows != actor.seen.1 {
        prop_assert_ne!(index.version(), actor.seen.0, "the version tells of other rows");
    }
    actor.seen = (index.version(), rows);
    Ok(())
}

/// A sequence in the same state, with objects of its own.
fn twin(sequence: &Sequence<Record>) -> Sequence<Record> {
    let copy = |object: &Record| Ok::<_, ()>(record(value_of(object)));
    sequence.lock().try_map(copy).expect("copied").into()
}

/// Asks copies of the sequence, so that it stays as it is.
fn check_answers(
    sequence: &Sequence<Record>,
    storage: Option<&Storage>,
    content: &Rows,
) -> TestCaseResult {
    let counted = twin(sequence);
    prop_assert_eq!(counted.count(storage).expect("counted"), content.len(), "counted");

    let asked = twin(sequence);
    let ends = |backwards| asked.neighbor(storage, Span::ALL, backwards).expect("an answer");
    prop_assert_eq!(ends(false), content.keys().next().copied(), "the first row");
    prop_assert_eq!(ends(true), content.keys().next_back().copied(), "the last row");
    for number in 0..super::PLACES {
        let time = super::place(number);
        let presence = asked.lock().presence(time);
        let possible = match presence {
            Presence::Known => content.contains_key(&time),
            Presence::Absent | Presence::Deleted => !content.contains_key(&time),
            Presence::Unknown => true,
            Presence::Damaged(_) => false,
        };
        prop_assert!(possible, "{} is {:?} in {:?}", time, presence, content);
        let found = asked.neighbor(storage, Span::new(time + 1, i64::MAX), false);
        let expected = content.range(time + 1..).next().map(|row| *row.0);
        prop_assert_eq!(found.expect("an answer"), expected, "after {}", time);
        let found = asked.neighbor(storage, Span::new(i64::MIN, time), true);
        let expected = content.range(..time).next_back().map(|row| *row.0);
        prop_assert_eq!(found.expect("an answer"), expected, "before {}", time);
    }
    for number in 0..super::PLACES {
        let time = super::place(number);
        let found = object(&asked, storage, time).map(|record| value_of(&record));
        prop_assert_eq!(found, content.get(&time).copied(), "the row at {}", time);
    }

    let loaded = twin(sequence);
    loaded.load(storage, Span::ALL).expect("loaded");
    let rows: Vec<i64> = loaded.lock().rows().range(Span::ALL).map(|(time, _)| time).collect();
    prop_assert_eq!(&rows, &content.keys().copied().collect::<Vec<_>>(), "everything loaded");
    for time in rows {
        let found = object(&loaded, storage, time).map(|record| value_of(&record));
        prop_assert_eq!(found, content.get(&time).copied(), "the loaded row at {}", time);
    }
    prop_assert_eq!(loaded.count(storage).expect("counted"), content.len(), "counted again");

    // What is pending decides, not what was loaded: a sequence that knows nothing else agrees.
    sequence_of_the_pending(sequence).load(storage, Span::ALL).expect("loaded");
    let fresh = sequence_of_the_pending(sequence);
    prop_assert_eq!(fresh.count(storage).expect("counted"), content.len(), "counted anew");
    Ok(())
}

fn sequence_of_the_pending(sequence: &Sequence<Record>) -> Sequence<Record> {
    let twin = twin(sequence);
    forget_loaded(&twin);
    twin
}

/// What a save of what is pending now writes.
pub fn planned(sequence: &Sequence<Record>) -> (SavePlan, Vec<Encoded>) {
    let mut index = sequence.lock();
    let plan = index.plan_save();
    let value = |time: &i64| match index.rows().get(*time) {
        Some(Slot::Live(record)) => (*time, encode(value_of(record))),
        slot => panic!("{time} is to be written and is {slot:?}"),
    };
    let values = plan.puts.iter().map(value).collect();
    (plan, values)
}

/// Saves what is pending.
pub fn save(sequence: &Sequence<Record>, storage: &Storage) -> eosdb::Result<()> {
    let (plan, values) = planned(sequence);
    sequence.commit(storage, &plan, values, MetadataChange::Keep)
}
