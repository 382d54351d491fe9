//! The disk is full, or broken, at every single write and synchronisation.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use eosdb::Error;
use eosdb::store::{Batch, Store};

use super::cuts::{Engine, folder};
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
    work: impl FnMut(Fault) -> bool,
) -> usize {
    at_every_nth_call(1, target, failures, kinds, work)
}

/// As above, at one call of so many.
pub fn at_every_nth_call(
    stride: usize,
    target: Target,
    failures: &[(Failure, bool)],
    kinds: usize,
    mut work: impl FnMut(Fault) -> bool,
) -> usize {
    let (mut faults, mut turn) = (0, 0);
    for number in (1..).step_by(stride) {
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

/// What a copy of the file of `home` holds, opened in another place.
fn copied(home: &Path, engine: Engine) -> Content {
    let place = folder();
    fs::copy(home.join(engine.data()), place.path().join(engine.data())).expect("a copy");
    let store = engine.open(place.path()).expect("the copy opens");
    workload::content(&*store).expect("the copy is readable")
}

/// Batches of a seed, each with the content after it.
pub struct Script {
    engine: Engine,
    steps: Vec<(&'static str, Batch, Content)>,
}

impl Script {
    pub fn new(engine: Engine, seed: u64, steps: usize, bulk: usize) -> Self {
        let (mut random, mut content) = (Random::new(seed), Content::new());
        let step = || {
            let (name, batch) = workload::next(&mut random, &content, bulk);
            workload::apply(&mut content, name, &batch, engine.keeps_empty());
            (name, batch, content.clone())
        };
        Self { engine, steps: std::iter::repeat_with(step).take(steps).collect() }
    }

    /// Commits everything, with `fault` in between; tells whether it was met.
    pub fn run(&self, fault: Fault) -> bool {
        let folder = folder();
        let recorder = Recorder::silent(folder.path());
        let home = folder.path();
        let open = || self.engine.open(home).expect("a store");
        // What SQLite has in its log it need not have in its file.
        let tells_all = matches!(self.engine, Engine::Lmdb(_));
        let mut store = open();
        recorder.fail(fault);
        let mut told = 0;
        let mut before = &Content::new();
        for (name, batch, after) in &self.steps {
            let commit = |store: &Arc<dyn Store>| store.commit(workload::namespace(name), batch);
            if let Err(error) = commit(&store) {
                assert!(recorder.struck() > told, "{error:?}");
                assert!(is_told(&error, fault), "{fault:?}: {error:?}");
                Self::check(&*store, before, fault);
                if tells_all {
                    let copy = copied(home, self.engine);
                    assert!(copy == *before, "{fault:?}: a copy shows something");
                }
                if fault.lasts {
                    let again = commit(&store).unwrap_err();
                    assert!(must_be_opened_again(&again) || is_told(&again, fault), "{again:?}");
                    Self::check(&*store, before, fault);
                }
                told = recorder.relieve();
                match commit(&store) {
                    Ok(_) => {}
                    Err(error) if must_be_opened_again(&error) => {
                        store.close();
                        store = open();
                        assert!(workload::content(&*store).unwrap() == *before, "{fault:?}");
                        commit(&store).expect("it works again");
                    }
                    Err(error) => panic!("{fault:?}: {error:?} afterwards"),
                }
                Self::check(&*store, after, fault);
            } else if tells_all {
                assert_eq!(recorder.struck(), told, "{fault:?} was met, and nobody was told");
            }
            before = after;
        }
        store.close();
        let met = recorder.relieve() > 0;
        assert!(workload::content(&*open()).unwrap() == *before, "{fault:?}: after opening again");
        met
    }

    /// Checks that the store shows `expected`, or says that it must be opened again.
    fn check(store: &dyn Store, expected: &Content, fault: Fault) {
        match workload::content(store) {
            Ok(found) => assert!(found == *expected, "{fault:?}: the store shows something else"),
            Err(error) => assert!(must_be_opened_again(&error), "{fault:?}: {error:?}"),
        }
    }
}
