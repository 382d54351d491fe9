//! Threads that share one sequence.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use eosdb::Span;
use eosdb::sequence::{Mark, Rewrite, Sequence, Storage};
use eosdb::store::{Durability, LmdbOptions, LmdbStore, MetadataChange};

use super::START;
use super::cases::{insert, others, shown, store};
use super::model::Call;
use super::stores::{Fault, Moment};
use super::world::{Record, forget_loaded, perform, record, save};

#[test]
fn of_threads_that_insert_at_one_instant_exactly_one_succeeds() {
    let (_, storage) = store();
    let sequence = Sequence::default();
    let inserted: usize = thread::scope(|scope| {
        let (sequence, storage) = (&sequence, &storage);
        let insert = |thread| {
            let inserted = |time: &i64| {
                sequence.insert(Some(storage), *time, record(thread), Mark::Put, &shown).is_ok()
            };
            (START..START + 200).filter(inserted).count()
        };
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || insert(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(inserted, 200);
    assert_eq!(sequence.count(Some(&storage)).expect("counted"), 200);
}

#[test]
fn threads_that_insert_delete_save_and_read_side_by_side_lose_nothing() {
    const ROWS: i64 = 1_500;
    let folder = tempfile::tempdir().expect("a folder");
    let options = LmdbOptions { durability: Durability::None, ..Default::default() };
    let store = LmdbStore::open(folder.path(), options).expect("a store");
    let storage = Storage::new(store, Some("house".to_owned()));
    let sequence = Sequence::default();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (sequence, storage, done) = (&sequence, &storage, &done);
        let saver = scope.spawn(move || {
            while !done.load(Ordering::SeqCst) {
                save(sequence, storage).expect("saved");
            }
        });
        let other = scope.spawn(move || {
            // Another process's namesake: every commit makes the sequence look again.
            let far = START + 1_000_000;
            for number in 0.. {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                others(storage, &[(far, number)], &[]);
                thread::yield_now();
            }
        });
        let reader = scope.spawn(move || {
            while !done.load(Ordering::SeqCst) {
                sequence.load(Some(storage), Span::ALL).expect("loaded");
                forget_loaded(sequence);
            }
        });
        let workers: Vec<_> = [0, 10_000]
            .map(|offset| {
                scope.spawn(move || {
                    for number in 0..ROWS {
                        let time = START + offset + number;
                        insert(sequence, Some(storage), time, 1);
                        assert!(sequence.locate(Some(storage), time).expect("an answer"), "lost");
                        if number % 2 == 0 {
                            let deleted = sequence.delete(Some(storage), Span::at(time));
                            assert_eq!(deleted.expect("deleted").0, 1, "{number} was there");
                            let found = sequence.locate(Some(storage), time);
                            assert!(!found.expect("an answer"), "{number} came back");
                        }
                    }
                })
            })
            .into_iter()
            .collect();
        let outcomes: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::SeqCst);
        for thread in [saver, other, reader] {
            thread.join().expect("no panic");
        }
        for outcome in outcomes {
            outcome.expect("no panic");
        }
    });
    save(&sequence, &storage).expect("saved");
    let fresh = Sequence::<Record>::default();
    fresh.load(Some(&storage), Span::new(START, START + 20_000)).expect("loaded");
    let rows: Vec<i64> = fresh.lock().rows().range(Span::ALL).map(|(time, _)| time).collect();
    let expected: Vec<i64> = [0, 10_000]
        .iter()
        .flat_map(|offset| (0..ROWS).filter(|n| n % 2 == 1).map(move |n| START + offset + n))
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn what_a_thread_deletes_is_deleted_though_another_forgets_what_was_loaded() {
    let (_, storage) = store();
    others(&storage, &[(START, 1)], &[]);
    let sequence = Sequence::<Record>::default();
    let done = AtomicBool::new(false);
    let deleted: Vec<usize> = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                forget_loaded(&sequence);
            }
        });
        let deleted = (0..20_000)
            .map(|_| {
                let (count, _) = sequence.delete(Some(&storage), Span::ALL).expect("deleted");
                perform(&sequence, None, &Call::ClearMarks { mark: Mark::Delete });
                count
            })
            .collect();
        done.store(true, Ordering::SeqCst);
        deleted
    });
    assert_eq!(deleted.iter().filter(|count| **count != 1).count(), 0, "of 20,000");
}

#[test]
fn during_a_rewrite_only_those_wait_who_change_what_is_rewritten() {
    let (store, storage) = store();
    others(&storage, &[(START, 1), (START + 1, 3), (START + 100, 5)], &[]);
    let sequence = Arc::new(Sequence::<Record>::default());
    sequence.load(Some(&storage), Span::ALL).expect("loaded");
    let (its_sequence, its_storage) = (Arc::clone(&sequence), storage.clone());
    let (sender, receiver) = mpsc::channel();
    store.at(Moment::BeforeCommit, move || {
        let (sequence, storage) = (its_sequence, its_storage);
        assert_eq!(sequence.lock().rows().len(), 3, "who looks waits for nobody");
        let is_at_hand = |time| sequence.at_hand(Some(&storage), time).expect("asked").is_some();
        assert!(!is_at_hand(START));
        assert!(!is_at_hand(START + 9));
        assert!(is_at_hand(START + 100));
        insert(&sequence, Some(&storage), START + 101, 7);
        let waiting = thread::spawn(move || {
            let deleted = sequence.delete(Some(&storage), Span::new(START + 1, START + 5));
            deleted.expect("deleted").0
        });
        thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished(), "what is rewritten must not change");
        sender.send(waiting).expect("received");
    });
    let rewrite = Rewrite {
        generation: storage.generation().expect("a generation"),
        change: sequence.lock().change(),
        spans: vec![Span::new(START, START + 10)],
        puts: vec![(START, vec![2])],
        deletes: vec![START + 1],
        metadata: MetadataChange::Keep,
    };
    sequence.rewrite(&storage, rewrite).expect("rewritten");
    let waiting = receiver.recv().expect("sent");
    assert_eq!(waiting.join().expect("no panic"), 0, "the row is gone when its turn comes");
    save(&sequence, &storage).expect("saved");
    let fresh = Sequence::<Record>::default();
    fresh.load(Some(&storage), Span::ALL).expect("loaded");
    let rows: Vec<i64> = fresh.lock().rows().range(Span::ALL).map(|(time, _)| time).collect();
    assert_eq!(rows, [START, START + 100, START + 101]);
}

#[test]
fn a_rewrite_that_fails_or_panics_keeps_nobody_waiting() {
    let (store, storage) = store();
    others(&storage, &[(START, 1)], &[]);
    let sequence = Sequence::<Record>::default();
    let rewrite = || Rewrite {
        generation: storage.generation().expect("a generation"),
        change: sequence.lock().change(),
        spans: vec![Span::ALL],
        deletes: vec![START],
        ..Rewrite::default()
    };
    store.fail(Fault::Before);
    sequence.rewrite(&storage, rewrite()).expect_err("failed on demand");
    assert!(sequence.locate(Some(&storage), START).expect("an answer"));
    store.at(Moment::BeforeCommit, || panic!("on demand"));
    let panicked = catch_unwind(AssertUnwindSafe(|| sequence.rewrite(&storage, rewrite())));
    assert!(panicked.is_err());
    assert!(sequence.locate(Some(&storage), START).expect("an answer"));
    sequence.rewrite(&storage, rewrite()).expect("rewritten");
    assert!(!sequence.locate(Some(&storage), START).expect("an answer"));
}
