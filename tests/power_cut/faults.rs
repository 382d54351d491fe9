//! The disk is full, or broken, at every single write and synchronisation.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use eosdb::Error;
use eosdb::store::{Batch, LmdbOptions, LmdbStore, Store};

use super::cuts::folder;
use super::disk::Random;
use super::recorder::{Failure, Fault, Recorder, Target};
use super::workload::{self, Content};

/// Everything that a write can meet.
pub const OF_WRITES: [(Failure, bool); 8] = [
    (Failure::Refused(libc::ENOSPC), true),
    (Failure::Refused(libc::EIO), false),
    (Failure::Short, true),
    (Failure::Refused(libc::ENOSPC), false),
    (Failure::Late(libc::EIO), false),
    (Failure::Refused(libc::EDQUOT), true),
    (Failure::Short, false),
    (Failure::Refused(libc::EIO), true),
];

/// Everything that a synchronisation can meet.
pub const OF_SYNCS: [(Failure, bool); 3] = [
    (Failure::Refused(libc::EIO), false),
    (Failure::Refused(libc::EIO), true),
    (Failure::Refused(libc::ENOSPC), true),
];

/// Runs `work` with a fault at the first call, the second, and so on, until there is none left for
/// it; each with `kinds` of the `failures`, in turn. Returns how many faults there were.
///
/// `work` tells whether it has met the fault.
pub fn at_every_call(
    target: Target,
    failures: &[(Failure, bool)],
    kinds: usize,
    mut work: impl FnMut(Fault) -> bool,
) -> usize {
    let (mut faults, mut turn) = (0, 0);
    for number in 1.. {
        for _ in 0..kinds.min(failures.len()) {
            let (failure, lasts) = failures[turn % failures.len()];
            if !work(Fault { target, number, failure, lasts }) {
                return faults;
            }
            turn += 1;
            faults += 1;
        }
    }
    unreachable!("a workload ends")
}

/// Tells whether `error` says what has happened.
pub fn is_told(error: &Error, fault: Fault) -> bool {
    let is_full = matches!(error, Error::Full { .. });
    let is_broken = matches!(error, Error::Storage { .. });
    match fault.failure {
        Failure::Refused(libc::EIO) | Failure::Late(libc::EIO) => is_broken,
        // There is room again when it is looked for.
        Failure::Short if !fault.lasts => is_full || is_broken,
        _ => is_full,
    }
}

/// Tells whether the store must be opened again, and says so.
pub fn must_be_opened_again(error: &Error) -> bool {
    error.to_string().contains("close every handle and open it again")
}

/// What a copy of the files of `home` holds, opened in another place.
fn copied(home: &Path, options: LmdbOptions) -> Content {
    let place = folder();
    fs::copy(home.join("data.mdb"), place.path().join("data.mdb")).expect("a copy");
    let store = LmdbStore::open(place.path(), options).expect("the copy opens");
    workload::content(&store).expect("the copy is readable")
}

/// Batches of a seed, each with the content after it.
pub struct Script(Vec<(&'static str, Batch, Content)>);

impl Script {
    pub fn new(seed: u64, steps: usize, bulk: usize) -> Self {
        let (mut random, mut content) = (Random::new(seed), Content::new());
        let step = || {
            let (name, batch) = workload::next(&mut random, &content, bulk);
            workload::apply(&mut content, name, &batch);
            (name, batch, content.clone())
        };
        Self(std::iter::repeat_with(step).take(steps).collect())
    }

    /// Commits everything, with `fault` in between; tells whether it was met.
    pub fn run(&self, options: LmdbOptions, fault: Fault) -> bool {
        let folder = folder();
        let recorder = Recorder::silent(folder.path());
        let home = folder.path();
        let open = || LmdbStore::open(home, options).expect("a store");
        let mut store = open();
        recorder.fail(fault);
        let mut met = 0;
        let mut before = &Content::new();
        for (name, batch, after) in &self.0 {
            if let Err(error) = store.commit(workload::namespace(name), batch) {
                assert!(recorder.struck() > met, "{error:?}");
                assert!(is_told(&error, fault), "{fault:?}: {error:?}");
                Self::check(&store, before, fault);
                assert!(copied(home, options) == *before, "{fault:?}: a copy shows something");
                if fault.lasts {
                    let again = store.commit(workload::namespace(name), batch).unwrap_err();
                    assert!(must_be_opened_again(&again) || is_told(&again, fault), "{again:?}");
                    Self::check(&store, before, fault);
                }
                met = recorder.relieve();
                match store.commit(workload::namespace(name), batch) {
                    Ok(_) => {}
                    Err(error) if must_be_opened_again(&error) => {
                        store.close();
                        store = open();
                        assert!(workload::content(&store).unwrap() == *before, "{fault:?}");
                        store.commit(workload::namespace(name), batch).expect("it works again");
                    }
                    Err(error) => panic!("{fault:?}: {error:?} afterwards"),
                }
                Self::check(&store, after, fault);
            } else {
                assert_eq!(recorder.struck(), met, "{fault:?} was met, and nobody was told");
            }
            before = after;
        }
        store.close();
        assert!(workload::content(&open()).unwrap() == *before, "{fault:?}: after opening again");
        met > 0
    }

    /// Checks that the store shows `expected`, or says that it must be opened again.
    fn check(store: &Arc<LmdbStore>, expected: &Content, fault: Fault) {
        match workload::content(store) {
            Ok(found) => assert!(found == *expected, "{fault:?}: the store shows something else"),
            Err(error) => assert!(must_be_opened_again(&error), "{fault:?}: {error:?}"),
        }
    }
}
