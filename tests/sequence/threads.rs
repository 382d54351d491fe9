//! Threads that share one sequence.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use eosdb::Span;
use eosdb::sequence::{Mark, Sequence, Storage};
use eosdb::store::{Durability, LmdbOptions, LmdbStore};

use super::START;
use super::cases::{insert, others, shown, store};
use super::model::Call;
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
                            assert_eq!(deleted.expect("deleted"), 1, "{number} was there");
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
                let count = sequence.delete(Some(&storage), Span::ALL).expect("deleted");
                perform(&sequence, None, &Call::ClearMarks { mark: Mark::Delete });
                count
            })
            .collect();
        done.store(true, Ordering::SeqCst);
        deleted
    });
    assert_eq!(deleted.iter().filter(|count| **count != 1).count(), 0, "of 20,000");
}
