//! Saves of a sequence: what is pending stays so until it is on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use eosdb::sequence::{Encoded, Mark, Sequence, Slot, Storage};
use eosdb::store::{MetadataChange, Store};
use eosdb::{Error, Result, Span};

use super::cuts::{Engine, Session, folder};
use super::disk::Random;
use super::faults::{is_told, must_be_opened_again};
use super::recorder::{Fault, Recorder};
use super::workload::{self, Content, Space};

const START: i64 = 1_700_000_000;
const NAME: &str = "house";

/// A sequence whose records are numbers, and what it holds.
pub struct Saver {
    sequence: Sequence<Arc<AtomicU32>>,
    storage: Storage,
    rows: BTreeMap<i64, u32>,
    random: Random,
}

/// A value that takes some room, and several pages here and there.
fn value(number: u32) -> Vec<u8> {
    let repeats = if number.is_multiple_of(50) { 2000 } else { 20 };
    number.to_le_bytes().repeat(repeats)
}

/// A number of seconds below `limit`.
fn second(random: &mut Random, limit: usize) -> i64 {
    i64::try_from(random.below(limit)).expect("a small number")
}

impl Saver {
    pub fn new(store: Arc<dyn Store>, seed: u64) -> Self {
        let storage = Storage::new(store, Some(NAME.to_owned()));
        let (sequence, random) = (Sequence::default(), Random::new(seed));
        Self { sequence, storage, rows: BTreeMap::new(), random }
    }

    /// Inserts, changes and deletes.
    pub fn change(&mut self) {
        let storage = Some(&self.storage);
        for _ in 0..self.random.range(1, 40) {
            let (time, number) = (START + second(&mut self.random, 800), self.random.below(1000));
            let number = u32::try_from(number).expect("a small number");
            let shown = || "shown".to_owned();
            let record = || Arc::new(AtomicU32::new(number));
            match self.sequence.insert(storage, time, record(), Mark::Put, &shown) {
                Ok(()) => {}
                Err(Error::Duplicate { .. }) => {
                    // The row becomes an object of another value.
                    self.sequence.delete(storage, Span::at(time)).expect("deleted");
                    let again = self.sequence.insert(storage, time, record(), Mark::Put, &shown);
                    again.expect("there is no such row");
                }
                Err(error) => panic!("{error}"),
            }
            self.rows.insert(time, number);
        }
        if self.random.below(3) == 0 {
            let start = START + second(&mut self.random, 800);
            let span = Span::new(start, start + 1 + second(&mut self.random, 700));
            let deleted = self.sequence.delete(storage, span).expect("deleted");
            let before = self.rows.len();
            self.rows.retain(|time, _| !(span.start..span.end).contains(time));
            assert_eq!(deleted.0, before - self.rows.len());
        }
    }

    /// Saves what is pending.
    pub fn save(&self) -> Result<()> {
        let (plan, values) = {
            let mut index = self.sequence.lock();
            let plan = index.plan_save();
            let encoded = |time: &i64| match index.rows().get(*time) {
                Some(Slot::Live(record)) => (*time, value(record.load(Ordering::SeqCst))),
                slot => panic!("{time} is to be written and is {slot:?}"),
            };
            let values: Vec<Encoded> = plan.puts.iter().map(encoded).collect();
            (plan, values)
        };
        let metadata = MetadataChange::Put(self.rows.len().to_le_bytes().to_vec());
        self.sequence.commit(&self.storage, &plan, values, metadata)
    }

    /// What storage holds when everything is saved.
    pub fn content(&self) -> Content {
        let rows = self.rows.iter().map(|(time, number)| (workload::key_at(*time), value(*number)));
        let metadata = Some(self.rows.len().to_le_bytes().to_vec());
        Content::from([(NAME.to_owned(), Space { rows: rows.collect(), metadata })])
    }

    /// What is to be written, and what is to be deleted.
    fn pending(&self) -> (BTreeSet<i64>, BTreeSet<i64>) {
        let index = self.sequence.lock();
        (index.dirty().collect(), index.deleted().collect())
    }

    /// Goes on with a store that was opened again.
    fn rebind(&mut self, store: Arc<dyn Store>) {
        let gone = self.sequence.lock().detach();
        drop(gone);
        self.storage = Storage::new(store, Some(NAME.to_owned()));
    }
}

/// Saves `steps` times, and closes the store.
pub fn saved(engine: Engine, seed: u64, steps: usize) -> Session {
    let mut session = Session::new(engine);
    let mut saver = Saver::new(Arc::clone(&session.store), seed);
    for _ in 0..steps {
        saver.change();
        session.change(saver.content(), false, || saver.save());
    }
    drop(saver);
    session.close();
    session
}

/// Saves `steps` times, with `fault` in between; tells whether it was met.
pub fn saved_in_spite_of(engine: Engine, fault: Fault, seed: u64, steps: usize) -> bool {
    let folder = folder();
    let home: &Path = folder.path();
    let recorder = Recorder::silent(home);
    let mut store = engine.open(home).expect("a store");
    recorder.fail(fault);
    let mut saver = Saver::new(Arc::clone(&store), seed);
    let mut met = false;
    let mut before = Content::new();
    for _ in 0..steps {
        saver.change();
        let pending = saver.pending();
        if let Err(error) = saver.save() {
            met = true;
            assert!(is_told(&error, fault), "{fault:?}: {error:?}");
            assert_eq!(saver.pending(), pending, "{fault:?}");
            recorder.relieve();
            if let Err(error) = saver.save() {
                assert!(must_be_opened_again(&error), "{fault:?}: {error:?}");
                assert_eq!(saver.pending(), pending, "{fault:?}");
                store.close();
                store = engine.open(home).expect("it opens again");
                assert!(workload::content(&*store).unwrap() == before, "{fault:?}");
                saver.rebind(Arc::clone(&store));
                assert_eq!(saver.pending(), pending, "{fault:?}");
                saver.save().expect("it works again");
            }
        }
        assert_eq!(saver.pending(), Default::default());
        before = saver.content();
        if met {
            assert!(workload::content(&*store).unwrap() == before, "{fault:?}");
        }
    }
    assert!(workload::content(&*store).unwrap() == before, "{fault:?}");
    met
}
