//! The cases that deserve a name.

use std::sync::Arc;

use eosdb::sequence::{Mark, Presence, Sequence, Slot, Storage};
use eosdb::store::{Batch, MemoryStore, MetadataChange, Store};
use eosdb::{Error, Span, Timestamp};

use super::START;
use super::model::Call;
use super::stores::{Fault, Moment, Wrapped};
use super::world::{
    Record, encode, forget_loaded, key, object, perform, planned, record, save, value_of,
};

pub fn shown() -> String {
    "shown".to_owned()
}

pub fn store() -> (Arc<Wrapped>, Storage) {
    let store = Wrapped::new(Arc::new(MemoryStore::new()));
    let storage = Storage::new(Arc::clone(&store) as Arc<dyn Store>, Some("house".to_owned()));
    (store, storage)
}

pub fn insert(sequence: &Sequence<Record>, storage: Option<&Storage>, time: i64, value: u32) {
    sequence.insert(storage, time, record(value), Mark::Put, &shown).expect("inserted");
}

fn value_at(sequence: &Sequence<Record>, storage: &Storage, time: i64) -> Option<u32> {
    object(sequence, Some(storage), time).map(|record| value_of(&record))
}

/// Has another process write `puts` and delete `deletes`.
pub fn others(storage: &Storage, puts: &[(i64, u32)], deletes: &[i64]) {
    let batch = Batch {
        puts: puts.iter().map(|(time, value)| (key(*time), encode(*value))).collect(),
        deletes: deletes.iter().map(|time| key(*time)).collect(),
        ..Batch::default()
    };
    storage.store.commit(storage.namespace.as_deref(), &batch).expect("committed");
}

#[test]
fn what_was_being_saved_when_storage_was_replaced_is_saved_to_the_new_one_too() {
    let (_, former) = store();
    let (_, storage) = store();
    let sequence = Sequence::default();
    insert(&sequence, Some(&former), START, 1);
    let (plan, values) = planned(&sequence);
    let gone = sequence.lock().replace_storage();
    assert!(gone.is_empty(), "nothing was saved yet");
    sequence.commit(&former, &plan, values, MetadataChange::Keep).expect("saved");
    assert_eq!(sequence.lock().dirty().collect::<Vec<_>>(), [START]);
    save(&sequence, &storage).expect("saved");
    assert!(sequence.lock().plan_save().is_empty());
    for storage in [former, storage] {
        let fresh = Sequence::<Record>::default();
        fresh.load(Some(&storage), Span::ALL).expect("loaded");
        assert_eq!(value_at(&fresh, &storage, START), Some(1));
    }
}

#[test]
fn a_failed_save_leaves_everything_pending_to_be_saved_again() {
    let (store, storage) = store();
    let sequence = Sequence::default();
    insert(&sequence, Some(&storage), START, 1);
    insert(&sequence, Some(&storage), START + 1, 2);
    save(&sequence, &storage).expect("saved");
    sequence.delete(Some(&storage), Span::at(START)).expect("deleted");
    insert(&sequence, Some(&storage), START + 2, 3);
    for fault in [Fault::Before, Fault::Between, Fault::After] {
        store.fail(fault);
        save(&sequence, &storage).expect_err("failed on demand");
        let index = sequence.lock();
        assert_eq!(index.dirty().collect::<Vec<_>>(), [START + 2], "{fault:?}");
        assert_eq!(index.deleted().collect::<Vec<_>>(), [START], "{fault:?}");
        drop(index);
        assert_eq!(sequence.count(Some(&storage)).expect("counted"), 2, "{fault:?}");
    }
    save(&sequence, &storage).expect("saved");
    assert!(sequence.lock().plan_save().is_empty());
    let fresh = Sequence::<Record>::default();
    assert_eq!(fresh.load(Some(&storage), Span::ALL).expect("loaded"), 2);
    assert_eq!(value_at(&fresh, &storage, START), None);
    assert_eq!(value_at(&fresh, &storage, START + 2), Some(3));
}

#[test]
fn a_row_that_a_failed_save_may_have_written_is_deleted_from_storage() {
    let silent = Wrapped::foreign(Arc::new(MemoryStore::new()));
    let storage = Storage::new(Arc::clone(&silent) as Arc<dyn Store>, None);
    let sequence = Sequence::default();
    insert(&sequence, Some(&storage), START, 1);
    silent.fail(Fault::After);
    save(&sequence, &storage).expect_err("failed on demand");
    assert_eq!(sequence.count(Some(&storage)).expect("counted"), 1);
    assert_eq!(sequence.delete(Some(&storage), Span::ALL).expect("deleted").0, 1);
    save(&sequence, &storage).expect("saved");
    assert_eq!(Sequence::<Record>::default().count(Some(&storage)).expect("counted"), 0);
}

#[test]
fn a_row_deleted_while_its_save_is_under_way_stays_deleted() {
    let (store, storage) = store();
    let sequence = Arc::new(Sequence::default());
    insert(&sequence, Some(&storage), START, 1);
    let (hooked, its_storage) = (Arc::clone(&sequence), storage.clone());
    store.at(Moment::AfterCommit, move || {
        hooked.delete(Some(&its_storage), Span::ALL).expect("deleted");
        assert!(!hooked.locate(Some(&its_storage), START).expect("an answer"));
        hooked.load(Some(&its_storage), Span::ALL).expect("loaded");
    });
    save(&sequence, &storage).expect("saved");
    assert!(!sequence.locate(Some(&storage), START).expect("an answer"));
    save(&sequence, &storage).expect("saved");
    assert_eq!(Sequence::<Record>::default().count(Some(&storage)).expect("counted"), 0);
}

#[test]
fn rows_forgotten_while_their_save_is_under_way_are_not_deleted() {
    let (store, storage) = store();
    let sequence = Arc::new(Sequence::default());
    insert(&sequence, Some(&storage), START, 1);
    let hooked = Arc::clone(&sequence);
    store.at(Moment::AfterCommit, move || {
        perform(&hooked, None, &Call::ClearRows);
    });
    save(&sequence, &storage).expect("saved");
    save(&sequence, &storage).expect("saved");
    assert_eq!(value_at(&sequence, &storage, START), Some(1));
}

#[test]
fn rows_forgotten_between_plan_and_commit_are_found_again() {
    for (fault, silent) in [(None, false), (None, true), (Some(Fault::After), true)] {
        let inner = Arc::new(MemoryStore::new());
        let store = if silent { Wrapped::foreign(inner) } else { Wrapped::new(inner) };
        let storage = Storage::new(Arc::clone(&store) as Arc<dyn Store>, None);
        let sequence = Sequence::default();
        insert(&sequence, Some(&storage), START, 1);
        let (plan, values) = planned(&sequence);
        perform(&sequence, None, &Call::ClearRows);
        assert_eq!(sequence.load(Some(&storage), Span::ALL).expect("loaded"), 0);
        if let Some(fault) = fault {
            store.fail(fault);
        }
        let outcome = sequence.commit(&storage, &plan, values, MetadataChange::Keep);
        assert_eq!(outcome.is_ok(), fault.is_none());
        let found = value_at(&sequence, &storage, START);
        assert_eq!(found, Some(1), "{fault:?}, silent: {silent}");
    }
}

#[test]
fn a_deletion_taken_back_between_plan_and_commit_happens_all_the_same() {
    let (_, storage) = store();
    others(&storage, &[(START, 1)], &[]);
    let sequence = Sequence::<Record>::default();
    sequence.delete(Some(&storage), Span::ALL).expect("deleted");
    let (plan, values) = planned(&sequence);
    perform(&sequence, None, &Call::ClearMarks { mark: Mark::Delete });
    assert_eq!(sequence.load(Some(&storage), Span::ALL).expect("loaded"), 1);
    sequence.commit(&storage, &plan, values, MetadataChange::Keep).expect("saved");
    assert!(!sequence.locate(Some(&storage), START).expect("an answer"));
    assert_eq!(sequence.lock().rows().len(), 0);
}

#[test]
fn what_is_saved_while_storage_is_read_is_not_taken_for_gone() {
    let (store, storage) = store();
    let sequence = Arc::new(Sequence::default());
    let (hooked, its_storage) = (Arc::clone(&sequence), storage.clone());
    store.at(Moment::AfterScan, move || {
        insert(&hooked, Some(&its_storage), START, 1);
        save(&hooked, &its_storage).expect("saved");
    });
    sequence.load(Some(&storage), Span::ALL).expect("loaded");
    assert_eq!(value_at(&sequence, &storage, START), Some(1));
    assert!(sequence.lock().coverage().covers(Span::ALL));
}

#[test]
fn a_save_that_changes_nothing_does_not_hide_what_others_changed() {
    let (store, storage) = store();
    others(&storage, &[(START, 1), (START + 1, 1)], &[]);
    let sequence = Sequence::<Record>::default();
    sequence.load(Some(&storage), Span::ALL).expect("loaded");
    sequence.delete(Some(&storage), Span::at(START)).expect("deleted");
    others(&storage, &[(START + 1, 99), (START + 2, 5)], &[START]);
    save(&sequence, &storage).expect("saved");
    assert_eq!(value_at(&sequence, &storage, START + 1), Some(99));
    assert_eq!(sequence.count(Some(&storage)).expect("counted"), 2);

    assert_eq!(value_at(&sequence, &storage, START + 2), Some(5));
    sequence.delete(Some(&storage), Span::at(START + 1)).expect("deleted");
    let others_storage = storage.clone();
    store.at(Moment::BeforeCommit, move || {
        others(&others_storage, &[(START + 2, 100)], &[START + 1]);
    });
    save(&sequence, &storage).expect("saved");
    assert_eq!(value_at(&sequence, &storage, START + 2), Some(100));
}

#[test]
fn the_first_save_of_a_sequence_filled_without_storage_lets_it_notice_others() {
    let (store, storage) = store();
    for forget_meanwhile in [false, true] {
        let sequence = Arc::new(Sequence::default());
        insert(&sequence, None, START, 1);
        forget_loaded(&sequence);
        if forget_meanwhile {
            let hooked = Arc::clone(&sequence);
            store.at(Moment::AfterCommit, move || forget_loaded(&hooked));
        }
        save(&sequence, &storage).expect("saved");
        others(&storage, &[(START, 99)], &[]);
        assert_eq!(value_at(&sequence, &storage, START), Some(99));
        others(&storage, &[], &[START]);
        assert_eq!(value_at(&sequence, &storage, START), None);
    }
}

#[test]
fn a_row_that_was_never_saved_leaves_no_deletion_behind() {
    let (_, storage) = store();
    let sequence = Sequence::<Record>::default();
    insert(&sequence, Some(&storage), START, 1);
    sequence.delete(Some(&storage), Span::ALL).expect("deleted");
    others(&storage, &[(START, 7)], &[]);
    assert_eq!(value_at(&sequence, &storage, START), Some(7));
    save(&sequence, &storage).expect("saved");
    assert_eq!(value_at(&sequence, &storage, START), Some(7));
}

#[test]
fn an_object_is_its_row_as_long_as_it_is_held() {
    let (_, storage) = store();
    others(&storage, &[(START, 1), (START + 1, 1)], &[]);
    for covered in [false, true] {
        let sequence = Sequence::<Record>::default();
        if covered {
            sequence.load(Some(&storage), Span::ALL).expect("loaded");
        }
        let held = object(&sequence, Some(&storage), START).expect("a row");
        object(&sequence, Some(&storage), START + 1).expect("a row");
        others(&storage, &[(START, 2), (START + 1, 2)], &[]);
        let again = object(&sequence, Some(&storage), START).expect("a row");
        assert!(Arc::ptr_eq(&held, &again));
        assert_eq!(value_at(&sequence, &storage, START + 1), Some(2), "nobody holds that one");
        drop((held, again));
        assert_eq!(value_at(&sequence, &storage, START), Some(2), "nobody holds it any more");
        others(&storage, &[(START, 1), (START + 1, 1)], &[]);
    }
}

#[test]
fn a_held_object_whose_row_others_deleted_is_no_row() {
    let (store, storage) = store();
    for covered in [false, true] {
        others(&storage, &[(START, 1)], &[]);
        let sequence = Sequence::<Record>::default();
        if covered {
            sequence.load(Some(&storage), Span::ALL).expect("loaded");
        }
        let held = object(&sequence, Some(&storage), START).expect("a row");
        others(&storage, &[], &[START]);
        store.set_unreadable(true);
        sequence.locate(Some(&storage), START).expect_err("unreadable on demand");
        store.set_unreadable(false);
        assert!(!sequence.locate(Some(&storage), START).expect("an answer"), "covered: {covered}");
        assert_eq!(sequence.count(Some(&storage)).expect("counted"), 0);
        drop(held);
    }
}

#[test]
fn only_a_row_with_an_object_can_be_marked() {
    let (_, storage) = store();
    others(&storage, &[(START, 1)], &[]);
    let sequence = Sequence::<Record>::default();
    assert!(!sequence.lock().mark_dirty(START), "unknown");
    sequence.load(Some(&storage), Span::ALL).expect("loaded");
    assert!(!sequence.lock().mark_dirty(START), "in storage only");
    object(&sequence, Some(&storage), START).expect("a row");
    assert!(sequence.lock().mark_dirty(START));
    assert_eq!(sequence.lock().fresh().count(), 0, "storage has it already");
}

#[test]
fn a_damaged_value_is_told_skipped_and_deleted() {
    let (_, storage) = store();
    others(&storage, &[(START, 1), (START + 10, 2), (START + 20, 3)], &[]);
    let sequence = Sequence::<Record>::default();
    sequence.load(Some(&storage), Span::ALL).expect("loaded");
    let basis = sequence.lock().basis();
    let damage = |time| sequence.damage(Some(&storage), basis, time, "a cause".to_owned());
    let told = damage(START + 10).expect("a damaged row").to_string();
    for part in ["house", "20231114T221330Z", "a cause"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(damage(START + 10).is_none(), "it is set aside already");
    let damaged: Vec<_> = sequence.lock().damaged().map(|(time, _)| time).collect();
    assert_eq!(damaged, [START + 10]);

    let located = sequence.locate(Some(&storage), START + 10);
    assert!(matches!(located, Err(Error::Damaged { .. })));
    let inserted = sequence.insert(Some(&storage), START + 10, record(9), Mark::Put, &shown);
    assert!(matches!(inserted, Err(Error::Damaged { .. })));
    let after = sequence.neighbor(Some(&storage), Span::new(START + 1, i64::MAX), false);
    assert_eq!(after.expect("an answer"), Some(START + 20));
    let nearest = sequence.nearest(Some(&storage), START + 11, None).expect("an answer");
    assert_eq!(nearest, Some(START + 20));

    assert_eq!(sequence.delete(Some(&storage), Span::at(START + 10)).expect("deleted").0, 1);
    assert!(!sequence.locate(Some(&storage), START + 10).expect("an answer"));
    insert(&sequence, Some(&storage), START + 10, 9);
    save(&sequence, &storage).expect("saved");
    assert_eq!(value_at(&Sequence::default(), &storage, START + 10), Some(9));
}

#[test]
fn damage_found_in_an_old_value_is_not_laid_on_the_new_one() {
    let (_, storage) = store();
    others(&storage, &[(START, 1)], &[]);
    let sequence = Sequence::<Record>::default();
    sequence.load(Some(&storage), Span::ALL).expect("loaded");
    let basis = sequence.lock().basis();
    let damage = || sequence.damage(Some(&storage), basis, START, "a cause".to_owned());
    sequence.delete(Some(&storage), Span::ALL).expect("deleted");
    assert!(damage().is_none(), "it was deleted meanwhile");
    insert(&sequence, Some(&storage), START, 2);
    assert!(damage().is_none(), "it was replaced meanwhile");
    save(&sequence, &storage).expect("saved");
    assert_eq!(value_at(&sequence, &storage, START), Some(2));

    others(&storage, &[(START, 3)], &[]);
    let old = sequence.lock().basis();
    sequence.load(Some(&storage), Span::ALL).expect("loaded");
    let made_of_the_old_value = sequence.lock().set_live(old, START, record(2));
    assert!(made_of_the_old_value.is_err(), "others changed it meanwhile");
    assert_eq!(value_at(&sequence, &storage, START), Some(3));
}

#[test]
fn keys_of_another_form_are_left_alone() {
    let (_, storage) = store();
    let foreign = b"2023-11-14T22:13:20+00:00".to_vec();
    let batch = Batch { puts: vec![(foreign.clone(), vec![1])], ..Batch::default() };
    storage.store.commit(Some("house"), &batch).expect("committed");
    others(&storage, &[(START, 1)], &[]);
    let sequence = Sequence::<Record>::default();
    let counted = sequence.count(Some(&storage)).expect("counted");
    assert_eq!(sequence.load(Some(&storage), Span::ALL).expect("loaded"), 1);
    assert_eq!(sequence.count(Some(&storage)).expect("counted"), counted, "loaded or not");
    assert_eq!(sequence.delete(Some(&storage), Span::ALL).expect("deleted").0, 1);
    save(&sequence, &storage).expect("saved");
    assert!(storage.store.get(Some("house"), &foreign).expect("read").is_some());
    assert_eq!(sequence.neighbor(Some(&storage), Span::ALL, false).expect("an answer"), None);
}

#[test]
fn times_beyond_the_calendar_are_refused_or_absent() {
    let (_, storage) = store();
    others(&storage, &[(Timestamp::MIN.seconds(), 1), (Timestamp::MAX.seconds(), 2)], &[]);
    let sequence = Sequence::default();
    for time in [i64::MIN, Timestamp::MIN.seconds() - 1, Timestamp::MAX.seconds() + 1, i64::MAX] {
        let refused = sequence.insert(Some(&storage), time, record(0), Mark::Put, &shown);
        assert!(matches!(refused, Err(Error::TimeRange { .. })));
        assert!(!sequence.locate(Some(&storage), time).expect("an answer"), "{time}");
        for reach in [None, Some(0), Some(-1), Some(i64::MAX), Some(i64::MIN)] {
            sequence.nearest(Some(&storage), time, reach).expect("an answer");
        }
    }
    for span in [Span::new(5, 5), Span::new(9, 5), Span::new(i64::MAX, i64::MIN)] {
        assert_eq!(sequence.delete(Some(&storage), span).expect("deleted").0, 0);
        assert_eq!(sequence.load(Some(&storage), span).expect("loaded"), 0);
        assert_eq!(sequence.neighbor(Some(&storage), span, true).expect("an answer"), None);
    }
    assert_eq!(sequence.delete(Some(&storage), Span::ALL).expect("deleted").0, 2);
    save(&sequence, &storage).expect("saved");
    assert_eq!(sequence.count(Some(&storage)).expect("counted"), 0);
}

#[test]
fn without_storage_memory_is_all_there_is() {
    let sequence = Sequence::default();
    insert(&sequence, None, START, 1);
    let refused = sequence.insert(None, START, record(2), Mark::Put, &shown);
    let told = refused.expect_err("a duplicate").to_string();
    assert_eq!(told, "Duplicate timestamp shown -> 20231114T221320Z");
    assert_eq!(sequence.count(None).expect("counted"), 1);
    assert_eq!(sequence.load(None, Span::ALL).expect("loaded"), 0);
    assert_eq!(sequence.nearest(None, START + 5, Some(5_000_000)).expect("found"), Some(START));
    assert_eq!(sequence.lock().presence(START + 1), Presence::Unknown);
    assert_eq!(sequence.delete(None, Span::ALL).expect("deleted").0, 1);
    assert!(!sequence.locate(None, START).expect("an answer"));
}

#[test]
fn values_are_kept_only_where_reading_them_again_is_slow() {
    let inner = Arc::new(MemoryStore::new());
    for (store, kept) in
        [(Wrapped::new(Arc::clone(&inner) as _), false), (Wrapped::foreign(inner), true)]
    {
        let storage = Storage::new(store, None);
        others(&storage, &[(START, 1), (START + 1, 2)], &[]);
        let loaded = Sequence::<Record>::default();
        loaded.load(Some(&storage), Span::at(START)).expect("loaded");
        assert!(loaded.locate(Some(&storage), START + 1).expect("an answer"));
        for (_, slot) in loaded.lock().rows().range(Span::ALL) {
            assert_eq!(matches!(slot, Slot::Encoded(_)), kept, "{slot:?}");
        }
    }
}
