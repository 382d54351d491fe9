//! A store that fails on demand: it fails as it is told, and tells what a power cut would leave.

use std::path::Path;
use std::sync::Arc;

use eosdb::store::{
    Batch, Durability, Failure, Faults, FaultyStore, KeyRange, Kind, LmdbOptions, LmdbStore,
    MemoryStore, MetadataChange, Operation, Store,
};
use eosdb::{Error, Result, Timestamp};

const HOUSE: Option<&str> = Some("house");

fn key(minute: i64) -> Vec<u8> {
    Timestamp::from_seconds(1_700_000_000 + 60 * minute).expect("in range").to_key().to_vec()
}

/// Ten bytes of value behind a key of sixteen.
fn put(minute: i64) -> Batch {
    let puts = vec![(key(minute), vec![b'v'; 10])];
    Batch { puts, ..Batch::default() }
}

fn count(store: &dyn Store) -> u64 {
    store.count(HOUSE, KeyRange::default()).expect("a count")
}

fn on_lmdb(path: &Path, durability: Durability) -> (Arc<FaultyStore>, Arc<Faults>) {
    let faults = Faults::new();
    (open(path, durability, &faults), faults)
}

fn open(path: &Path, durability: Durability, faults: &Arc<Faults>) -> Arc<FaultyStore> {
    let options = LmdbOptions { durability, ..LmdbOptions::default() };
    let store = LmdbStore::open(path, options).expect("an environment");
    FaultyStore::new(store, durability, Arc::clone(faults)).expect("a store")
}

fn in_memory() -> (Arc<FaultyStore>, Arc<Faults>) {
    let faults = Faults::new();
    let store = Arc::new(MemoryStore::new());
    (FaultyStore::new(store, Durability::Commit, Arc::clone(&faults)).expect("a store"), faults)
}

fn is_injected<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(Error::Storage { cause, .. }) if cause.contains("on demand"))
}

#[test]
fn every_operation_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (store, faults) = on_lmdb(&directory.path().join("db"), Durability::Commit);
    store.commit(HOUSE, &put(1)).unwrap();
    count(&*store);
    store.get(None, &key(1)).unwrap();
    store.contains(HOUSE, &key(1)).unwrap();
    store.generation(HOUSE).unwrap();
    store.metadata(HOUSE).unwrap();
    store.stats(HOUSE).unwrap();
    store.namespaces().unwrap();
    store.sync().unwrap();
    store.copy_to(&directory.path().join("copy"), true).unwrap();
    let house = Some("house".to_owned());
    let expected = [
        (Operation::Commit, house.clone()),
        (Operation::Count, house.clone()),
        (Operation::Get, None),
        (Operation::Contains, house.clone()),
        (Operation::Metadata, house.clone()),
        (Operation::Stats, house),
        (Operation::Namespaces, None),
        (Operation::Sync, None),
        (Operation::Copy, None),
    ];
    assert_eq!(faults.operations(), expected);
}

#[test]
fn the_operation_that_is_to_fail_fails_and_no_other() {
    let (store, faults) = in_memory();
    faults.fail(Failure { after: 2, ..Failure::default() });
    store.commit(HOUSE, &put(1)).unwrap();
    store.sync().unwrap();
    assert!(is_injected(&store.metadata(HOUSE)));
    store.metadata(HOUSE).unwrap();

    for (kind, name) in [(Kind::Read, "read"), (Kind::Commit, "commit"), (Kind::Sync, "sync")] {
        faults.fail(Failure { on: Some(kind), after: 1, ..Failure::default() });
        for round in 0..3 {
            let expected = |this| kind == this && round == 1;
            let read = store.get(HOUSE, &key(1));
            assert_eq!(is_injected(&read), expected(Kind::Read), "{name} {round}");
            let before = count_unseen(&store);
            let committed = store.commit(HOUSE, &put(100 * round + i64::from(name == "read")));
            assert_eq!(is_injected(&committed), expected(Kind::Commit), "{name} {round}");
            if committed.is_err() {
                assert_eq!(count_unseen(&store), before);
            }
            assert_eq!(is_injected(&store.sync()), expected(Kind::Sync), "{name} {round}");
        }
    }
}

/// The generation, which is no operation, tells whether anything was committed.
fn count_unseen(store: &FaultyStore) -> u64 {
    store.generation(HOUSE).expect("a generation")
}

#[test]
fn it_fails_until_it_is_healed() {
    let (store, faults) = in_memory();
    faults.fail(Failure { on: Some(Kind::Commit), repeatedly: true, ..Failure::default() });
    faults.limit_space(Some(0));
    for _ in 0..3 {
        assert!(is_injected(&store.commit(HOUSE, &put(1))));
    }
    assert_eq!(count(&*store), 0);
    faults.heal();
    store.commit(HOUSE, &put(1)).unwrap();
    assert_eq!(faults.operations().len(), 5);
}

#[test]
fn an_acknowledgement_can_be_lost() {
    let (store, faults) = in_memory();
    faults.fail(Failure { on: Some(Kind::Commit), applied: true, ..Failure::default() });
    assert!(is_injected(&store.commit(HOUSE, &put(1))));
    assert_eq!(count(&*store), 1);
    // What is no commit fails before anything is done, whatever was asked for.
    faults.fail(Failure { applied: true, ..Failure::default() });
    assert!(is_injected(&store.get(HOUSE, &key(1))));
}

#[test]
fn a_commit_that_was_not_acknowledged_may_be_on_the_disk_and_does_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let (store, faults) = on_lmdb(directory.path(), Durability::Commit);
    faults.freeze(1).unwrap();
    faults.fail(Failure { on: Some(Kind::Commit), applied: true, ..Failure::default() });
    for minute in 0..3 {
        assert_eq!(store.commit(HOUSE, &put(minute)).is_err(), minute == 0);
    }
    assert_eq!(image(&faults), [0, 1]);
}

#[test]
fn space_runs_out_and_comes_back() {
    let (store, faults) = in_memory();
    store.commit(HOUSE, &put(0)).unwrap();
    faults.limit_space(Some(60));
    store.commit(HOUSE, &put(1)).unwrap();
    let mut metadata = put(2);
    metadata.metadata = MetadataChange::Put(vec![0; 9]);
    let outcome = store.commit(HOUSE, &metadata);
    assert!(matches!(&outcome, Err(Error::Full { cause, .. }) if cause.contains("60 bytes")));
    assert_eq!((count(&*store), store.metadata(HOUSE).unwrap()), (2, None));
    // What fails for another reason takes no space.
    let refused = Batch { puts: vec![(b"no key".to_vec(), vec![0; 20])], ..Batch::default() };
    assert!(matches!(store.commit(HOUSE, &refused), Err(Error::Key { .. })));
    metadata.metadata = MetadataChange::Put(vec![0; 8]);
    store.commit(HOUSE, &metadata).unwrap();
    let deletes = Batch { deletes: vec![key(1)].into(), ..Batch::default() };
    assert_eq!(store.commit(HOUSE, &deletes).unwrap().deleted, 1);
    assert!(matches!(store.commit(HOUSE, &put(3)), Err(Error::Full { .. })));
    faults.limit_space(Some(26));
    store.commit(HOUSE, &put(3)).unwrap();
    faults.limit_space(None);
    store.commit(HOUSE, &put(4)).unwrap();
}

/// The minutes from `0..10` that a disk image has.
fn minutes(image: &Path) -> Vec<i64> {
    let store = LmdbStore::open(image, LmdbOptions::default()).expect("an image");
    (0..10).filter(|minute| store.contains(HOUSE, &key(*minute)).expect("an answer")).collect()
}

fn image(faults: &Faults) -> Vec<i64> {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("image");
    faults.disk_image(&target).expect("an image");
    minutes(&target)
}

#[test]
fn a_power_cut_leaves_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let (store, faults) = on_lmdb(directory.path(), Durability::Commit);
    assert_eq!(image(&faults), [0; 0]);
    for minute in 0..3 {
        store.commit(HOUSE, &put(minute)).unwrap();
        assert_eq!(image(&faults), (0..=minute).collect::<Vec<_>>());
    }
    faults.freeze(0).unwrap();
    store.commit(HOUSE, &put(3)).unwrap();
    store.sync().unwrap();
    assert_eq!(count(&*store), 4);
    assert_eq!(image(&faults), [0, 1, 2]);
    // Neither closing nor another cut brings anything to a disk without power.
    faults.freeze(0).unwrap();
    store.close();
    assert_eq!(image(&faults), [0, 1, 2]);
    let store = open(directory.path(), Durability::Commit, &faults);
    assert_eq!(count(&*store), 4);
    assert_eq!(image(&faults), [0, 1, 2]);
}

#[test]
fn the_power_is_cut_after_some_more_commits() {
    for after in 0..4 {
        let directory = tempfile::tempdir().unwrap();
        let (store, faults) = on_lmdb(directory.path(), Durability::Commit);
        faults.freeze(after).unwrap();
        faults.fail(Failure { on: Some(Kind::Commit), after: 1, ..Failure::default() });
        let acknowledged: Vec<i64> =
            (0..6).filter(|minute| store.commit(HOUSE, &put(*minute)).is_ok()).collect();
        assert_eq!(acknowledged, [0, 2, 3, 4, 5]);
        assert_eq!(image(&faults), acknowledged[..usize::try_from(after).unwrap()]);
    }
}

#[test]
fn without_syncs_a_power_cut_leaves_what_the_last_one_found() {
    let directory = tempfile::tempdir().unwrap();
    let (store, faults) = on_lmdb(directory.path(), Durability::None);
    store.commit(HOUSE, &put(0)).unwrap();
    assert_eq!(image(&faults), [0; 0]);
    store.sync().unwrap();
    store.commit(HOUSE, &put(1)).unwrap();
    assert_eq!(image(&faults), [0]);
    store.close();
    assert!(matches!(faults.freeze(0), Err(Error::Closed { .. })));
    // Closing has brought the rest to the disk.
    let store = open(directory.path(), Durability::None, &faults);
    assert_eq!(image(&faults), [0, 1]);
    faults.fail(Failure { on: Some(Kind::Sync), ..Failure::default() });
    store.commit(HOUSE, &put(2)).unwrap();
    assert!(is_injected(&store.sync()));
    assert_eq!(image(&faults), [0, 1]);
}

#[test]
fn at_intervals_a_power_cut_takes_the_last_commit_at_most() {
    let directory = tempfile::tempdir().unwrap();
    let (store, faults) = on_lmdb(directory.path(), Durability::Interval);
    store.commit(HOUSE, &put(0)).unwrap();
    assert_eq!(image(&faults), [0; 0]);
    store.commit(HOUSE, &put(1)).unwrap();
    assert_eq!(image(&faults), [0]);
    // Neither what fails nor what changes nothing writes the page that makes the last one valid.
    let refused = Batch { puts: vec![(b"no key".to_vec(), Vec::new())], ..Batch::default() };
    assert!(store.commit(HOUSE, &refused).is_err());
    store.commit(HOUSE, &Batch::default()).unwrap();
    assert_eq!(image(&faults), [0]);
    faults.freeze(1).unwrap();
    store.commit(HOUSE, &put(2)).unwrap();
    store.sync().unwrap();
    assert_eq!(image(&faults), [0, 1]);
}

#[test]
fn a_store_without_files_leaves_no_image() {
    let target = std::env::temp_dir().join("never written");
    let faults = Faults::new();
    assert!(matches!(faults.disk_image(&target), Err(Error::Invalid(_))));
    let (_store, faults) = in_memory();
    for outcome in [faults.freeze(0), faults.freeze(3), faults.disk_image(&target)] {
        assert!(
            matches!(&outcome, Err(Error::Invalid(cause)) if cause.contains("no disk image")),
            "{outcome:?}"
        );
    }
    assert!(!target.exists());
}

#[test]
fn an_image_overwrites_nothing_and_leaves_no_copy_behind() {
    let directory = tempfile::tempdir().unwrap();
    let (store, faults) = on_lmdb(&directory.path().join("db"), Durability::Commit);
    store.commit(HOUSE, &put(0)).unwrap();
    faults.freeze(0).unwrap();
    assert!(matches!(faults.disk_image(&directory.path().join("db")), Err(Error::Invalid(_))));
    let copies = || {
        let prefix = format!("eosdb-disk-{}-", std::process::id());
        let entries = std::env::temp_dir().read_dir().unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(&prefix)).collect::<std::collections::BTreeSet<_>>()
    };
    let kept = copies();
    drop((store, faults));
    // Other tests of this process make and remove theirs meanwhile.
    assert!(kept.difference(&copies()).next().is_some());
}
