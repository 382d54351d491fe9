//! What every store must do: one suite, run against the stores in memory, on LMDB and on SQLite, each
//! as it is and behind faults that there are none of.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use eosdb::store::{
    Batch, Committed, Durability, Faults, FaultyStore, KeyRange, LmdbOptions, LmdbStore,
    METADATA_KEY, MemoryStore, MetadataChange, Namespace, Order, SqliteOptions, SqliteStore, Store,
};
use eosdb::{Error, Timestamp};
use proptest::prelude::*;

const HOUSE: Namespace<'_> = Some("house");

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn key(minute: i64) -> Vec<u8> {
    Timestamp::from_seconds(1_700_000_000 + 60 * minute).expect("in range").to_key().to_vec()
}

fn puts(minutes: impl IntoIterator<Item = i64>) -> Batch {
    let puts = minutes.into_iter().map(|minute| (key(minute), minute.to_string().into_bytes()));
    Batch { puts: puts.collect(), ..Batch::default() }
}

fn deletes(minutes: impl IntoIterator<Item = i64>) -> Batch {
    Batch { deletes: minutes.into_iter().map(key).collect(), ..Batch::default() }
}

fn metadata(change: MetadataChange) -> Batch {
    Batch { metadata: change, ..Batch::default() }
}

fn rows(store: &dyn Store, namespace: Namespace<'_>, range: KeyRange<'_>, order: Order) -> Rows {
    let mut rows = Vec::new();
    let outcome = store.scan(namespace, range, order, &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    });
    outcome.expect("a scan");
    rows
}

fn all(store: &dyn Store, namespace: Namespace<'_>) -> Rows {
    rows(store, namespace, KeyRange::default(), Order::Ascending)
}

fn round_trip(store: &dyn Store) {
    let mut batch = puts([1, 2]);
    batch.puts.push((key(3), Vec::new()));
    batch.puts.push((key(4), vec![7; 100_000]));
    batch.puts.push((b"2024-10-27T11:34:56+00:00".to_vec(), b"with separators".to_vec()));
    let committed = store.commit(HOUSE, &batch).unwrap();
    assert_eq!((committed.written, committed.deleted), (5, 0));
    for (key, value) in &batch.puts {
        assert_eq!(store.get(HOUSE, key).unwrap().as_ref(), Some(value));
        assert!(store.contains(HOUSE, key).unwrap());
    }
    assert_eq!(all(store, HOUSE).len(), 5);
    assert_eq!(store.get(HOUSE, &key(5)).unwrap(), None);
    assert!(!store.contains(HOUSE, &key(5)).unwrap());
    assert_eq!(store.get(Some("garage"), &key(1)).unwrap(), None);
    store.sync().unwrap();

    let committed = store.commit(HOUSE, &puts([1])).unwrap();
    assert_eq!(committed.written, 1);
    assert_eq!(store.count(HOUSE, KeyRange::default()).unwrap(), 5);
}

fn ranges_in_both_orders(store: &dyn Store) {
    let minutes: Vec<i64> = (0..50).map(|index| 2 * index).collect();
    store.commit(HOUSE, &puts(minutes.clone())).unwrap();
    store.commit(HOUSE, &metadata(MetadataChange::Put(b"m".to_vec()))).unwrap();
    let bounds = [None, Some(-5), Some(0), Some(1), Some(40), Some(41), Some(98), Some(99)];
    for start in bounds {
        for end in bounds.into_iter().chain([Some(500)]) {
            let expected: Vec<Vec<u8>> = minutes
                .iter()
                .filter(|minute| start.is_none_or(|start| **minute >= start))
                .filter(|minute| end.is_none_or(|end| **minute < end))
                .map(|minute| key(*minute))
                .collect();
            let (start, end) = (start.map(key), end.map(key));
            let range = KeyRange { start: start.as_deref(), end: end.as_deref() };
            let keys = |order| rows(store, HOUSE, range, order).into_iter().map(|row| row.0);
            assert_eq!(keys(Order::Ascending).collect::<Vec<_>>(), expected, "{range:?}");
            assert_eq!(keys(Order::Descending).rev().collect::<Vec<_>>(), expected, "{range:?}");
            assert_eq!(store.count(HOUSE, range).unwrap(), expected.len() as u64, "{range:?}");
        }
    }
    let from_nothing = KeyRange { start: Some(b""), end: None };
    assert_eq!(rows(store, HOUSE, from_nothing, Order::Descending).len(), 50);
    assert_eq!(store.count(HOUSE, from_nothing).unwrap(), 50);
    let to_nothing = KeyRange { start: None, end: Some(b"") };
    assert_eq!(rows(store, HOUSE, to_nothing, Order::Ascending), []);
    assert_eq!(store.count(Some("garage"), KeyRange::default()).unwrap(), 0);
}

fn a_visitor_breaks_off(store: &dyn Store) {
    store.commit(HOUSE, &puts(0..10)).unwrap();
    for (order, expected) in [(Order::Ascending, [0, 1, 2]), (Order::Descending, [9, 8, 7])] {
        let mut seen = Vec::new();
        let visit = &mut |key: &[u8], _: &[u8]| {
            seen.push(key.to_vec());
            if seen.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        store.scan(HOUSE, KeyRange::default(), order, visit).unwrap();
        assert_eq!(seen, expected.map(key));
    }
}

fn get_many_keeps_the_given_order(store: &dyn Store) {
    store.commit(HOUSE, &puts([1, 2, 3])).unwrap();
    let wanted: Vec<[u8; 16]> =
        [3, 9, 1, 3, 2].map(|minute| key(minute).try_into().unwrap()).to_vec();
    let mut seen = Vec::new();
    let visit = &mut |key: &[u8; 16], value: Option<&[u8]>| {
        seen.push((*key, value.map(<[u8]>::to_vec)));
        if seen.len() == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.get_many(HOUSE, &mut wanted.iter().copied(), visit).unwrap();
    let found = |text: &str| Some(text.as_bytes().to_vec());
    let expected = [found("3"), None, found("1"), found("3")];
    assert_eq!(seen, wanted.into_iter().zip(expected).collect::<Vec<_>>());

    let mut missing = 0;
    let visit = &mut |_: &[u8; 16], value: Option<&[u8]>| {
        missing += usize::from(value.is_none());
        ControlFlow::Continue(())
    };
    store.get_many(Some("garage"), &mut [[b'0'; 16]; 2].into_iter(), visit).unwrap();
    assert_eq!(missing, 2);
}

fn metadata_is_apart_from_records(store: &dyn Store) {
    let namespaces = [HOUSE, Some("garage"), None];
    for namespace in namespaces {
        assert_eq!(store.metadata(namespace).unwrap(), None);
        store.commit(namespace, &puts([1])).unwrap();
        let name = namespace.unwrap_or("unnamed").as_bytes().to_vec();
        store.commit(namespace, &metadata(MetadataChange::Put(name))).unwrap();
        store.commit(namespace, &puts([2, 0, 3])).unwrap();
    }
    for namespace in namespaces {
        let name = namespace.unwrap_or("unnamed").as_bytes();
        assert_eq!(store.metadata(namespace).unwrap().as_deref(), Some(name));
        assert_eq!(all(store, namespace).len(), 4);
        assert_eq!(store.count(namespace, KeyRange::default()).unwrap(), 4);
        assert_eq!(store.stats(namespace).unwrap().entries, 4);
        assert_eq!(store.get(namespace, METADATA_KEY).unwrap(), None);
        assert!(!store.contains(namespace, METADATA_KEY).unwrap());
        let batch = Batch { deletes: vec![METADATA_KEY].into(), ..Batch::default() };
        assert_eq!(store.commit(namespace, &batch).unwrap().deleted, 0);
        assert_eq!(store.metadata(namespace).unwrap().as_deref(), Some(name));
    }
    let both = Batch { metadata: MetadataChange::Put(b"new".to_vec()), ..puts([4, 5]) };
    store.commit(HOUSE, &both).unwrap();
    assert_eq!(store.metadata(HOUSE).unwrap().as_deref(), Some(&b"new"[..]));
    assert_eq!(all(store, HOUSE).len(), 6);
    let gone = Batch { metadata: MetadataChange::Delete, ..puts([6]) };
    store.commit(HOUSE, &gone).unwrap();
    assert_eq!(store.metadata(HOUSE).unwrap(), None);
    assert_eq!(all(store, HOUSE).len(), 7);
    assert_eq!(store.metadata(Some("garage")).unwrap().as_deref(), Some(&b"garage"[..]));
}

fn deletes_follow_puts(store: &dyn Store) {
    store.commit(HOUSE, &puts(0..6)).unwrap();
    let batch = Batch { deletes: vec![key(1), key(7), key(9), key(1)].into(), ..puts([7, 8]) };
    let committed = store.commit(HOUSE, &batch).unwrap();
    assert_eq!((committed.written, committed.deleted), (2, 2));
    let keys: Vec<_> = all(store, HOUSE).into_iter().map(|row| row.0).collect();
    assert_eq!(keys, [0, 2, 3, 4, 5, 8].map(key));
}

fn the_last_of_equal_keys_wins(store: &dyn Store) {
    store.commit(HOUSE, &puts([10])).unwrap();
    let value = |text: &str| text.as_bytes().to_vec();
    let puts = [(20, "a"), (5, "b"), (20, "c"), (10, "d"), (5, "e"), (15, "f")];
    let puts = puts.map(|(minute, text)| (key(minute), value(text))).to_vec();
    let committed = store.commit(HOUSE, &Batch { puts, ..Batch::default() }).unwrap();
    assert_eq!(committed.written, 4);
    let expected = [(5, "e"), (10, "d"), (15, "f"), (20, "c")];
    assert_eq!(all(store, HOUSE), expected.map(|(minute, text)| (key(minute), value(text))));
}

fn names_are_checked(store: &dyn Store) {
    let long = "n".repeat(512);
    for name in ["", "a\0b", "__metadata__", "20241027T113456Z", long.as_str()] {
        let namespace = Some(name);
        let refused = |outcome: eosdb::Result<()>| {
            assert!(matches!(outcome, Err(Error::Namespace { .. })), "{name:?}: {outcome:?}");
        };
        refused(store.commit(namespace, &puts([1])).map(drop));
        refused(store.get(namespace, &key(1)).map(drop));
        refused(store.count(namespace, KeyRange::default()).map(drop));
        refused(store.metadata(namespace).map(drop));
        refused(store.stats(namespace).map(drop));
    }
    assert_eq!(store.namespaces().unwrap(), [""; 0]);
    let longest = "n".repeat(511);
    store.commit(Some(&longest), &puts([1])).unwrap();
    store.commit(Some("größe/東京 1"), &puts([1])).unwrap();
    assert_eq!(store.namespaces().unwrap(), ["größe/東京 1", longest.as_str()]);
}

fn keys_are_checked_before_anything_is_written(store: &dyn Store) {
    let long = [b"2024-10-27T11:34:56.", "0".repeat(600).as_bytes(), b"+00:00"].concat();
    for bad in [b"".to_vec(), b"house".to_vec(), METADATA_KEY.to_vec(), vec![b'2'; 512], long] {
        let mut batch = Batch { deletes: vec![key(1)].into(), ..puts([1, 2]) };
        batch.puts.push((bad.clone(), b"value".to_vec()));
        let outcome = store.commit(HOUSE, &batch);
        assert!(matches!(outcome, Err(Error::Key { .. })), "{outcome:?}");
        assert_eq!(store.namespaces().unwrap(), [""; 0]);

        assert_eq!(store.get(HOUSE, &bad).unwrap(), None);
        assert!(!store.contains(None, &bad).unwrap());
        let batch = Batch { deletes: vec![bad].into(), ..Batch::default() };
        assert_eq!(store.commit(None, &batch).unwrap().deleted, 0);
    }
}

fn the_unnamed_namespace_holds_records_only(store: &dyn Store) {
    store.commit(HOUSE, &puts([1])).unwrap();
    store.commit(Some("0 sorts before the records"), &puts([1, 2])).unwrap();
    store.commit(None, &metadata(MetadataChange::Put(b"shared".to_vec()))).unwrap();
    assert_eq!(all(store, None), []);
    store.commit(None, &puts([5, 4])).unwrap();
    assert_eq!(all(store, None), [(key(4), b"4".to_vec()), (key(5), b"5".to_vec())]);
    assert_eq!(store.count(None, KeyRange::default()).unwrap(), 2);
    assert_eq!(store.stats(None).unwrap().entries, 2);
    assert_eq!(store.get(None, b"house").unwrap(), None);
    assert!(!store.contains(None, b"house").unwrap());
    let batch = Batch { deletes: vec![b"house".to_vec(), key(4)].into(), ..Batch::default() };
    assert_eq!(store.commit(None, &batch).unwrap().deleted, 1);
    assert_eq!(all(store, HOUSE).len(), 1);
    assert_eq!(store.namespaces().unwrap(), ["0 sorts before the records", "house"]);
}

fn only_content_creates_a_namespace(store: &dyn Store) {
    let generation = store.generation(HOUSE).unwrap();
    for batch in [Batch::default(), deletes([1]), metadata(MetadataChange::Delete)] {
        let expected = Committed { written: 0, deleted: 0, generation };
        assert_eq!(store.commit(HOUSE, &batch).unwrap(), expected);
    }
    assert_eq!(store.namespaces().unwrap(), [""; 0]);
    store.commit(HOUSE, &metadata(MetadataChange::Put(Vec::new()))).unwrap();
    assert_eq!(store.namespaces().unwrap(), ["house"]);
    assert_eq!(store.metadata(HOUSE).unwrap(), Some(Vec::new()));
    assert_eq!(store.count(HOUSE, KeyRange::default()).unwrap(), 0);
}

fn the_generation_counts_changes(store: &dyn Store) {
    let garage = store.generation(Some("garage")).unwrap();
    let mut before = store.generation(HOUSE).unwrap();
    let changes = [
        puts([1, 2]),
        puts([3]),
        deletes([1]),
        metadata(MetadataChange::Put(b"m".to_vec())),
        metadata(MetadataChange::Delete),
    ];
    for batch in changes {
        let committed = store.commit(HOUSE, &batch).unwrap();
        assert_eq!(committed.generation, before + 1);
        assert_eq!(store.generation(HOUSE).unwrap(), committed.generation);
        before = committed.generation;
    }
    for batch in [Batch::default(), deletes([1]), metadata(MetadataChange::Delete)] {
        assert_eq!(store.commit(HOUSE, &batch).unwrap().generation, before);
    }
    all(store, HOUSE);
    store.get(HOUSE, &key(2)).unwrap();
    store.count(HOUSE, KeyRange::default()).unwrap();
    store.stats(HOUSE).unwrap();
    assert_eq!(store.generation(HOUSE).unwrap(), before);
    assert_eq!(store.generation(Some("garage")).unwrap(), garage);
}

fn a_closed_store_says_so(store: &dyn Store) {
    store.commit(HOUSE, &puts([1])).unwrap();
    assert!(store.is_open());
    store.close();
    store.close();
    assert!(!store.is_open());
    let target = std::env::temp_dir().join("never written");
    let go_on = ControlFlow::Continue(());
    let everything = KeyRange::default();
    let outcomes = [
        store.scan(HOUSE, everything, Order::Ascending, &mut |_, _| go_on),
        store.get(HOUSE, &key(1)).map(drop),
        store.get_many(HOUSE, &mut std::iter::empty(), &mut |_, _| go_on),
        store.contains(HOUSE, &key(1)).map(drop),
        store.count(HOUSE, everything).map(drop),
        store.commit(HOUSE, &puts([2])).map(drop),
        store.metadata(HOUSE).map(drop),
        store.namespaces().map(drop),
        store.generation(HOUSE).map(drop),
        store.stats(HOUSE).map(drop),
        store.sync(),
        store.copy_to(&target, false),
    ];
    for (index, outcome) in outcomes.into_iter().enumerate() {
        assert!(matches!(outcome, Err(Error::Closed { .. })), "{index}: {outcome:?}");
    }
    assert!(!target.exists());
}

macro_rules! conformance {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[test]
            fn $test() {
                super::$test(&super::MemoryStore::new());
            })*
        }
        mod lmdb {
            $(#[test]
            fn $test() {
                let directory = tempfile::tempdir().unwrap();
                super::$test(&*super::open(directory.path()));
            })*
        }
        mod sqlite {
            $(#[test]
            fn $test() {
                let directory = tempfile::tempdir().unwrap();
                super::$test(&*super::open_sqlite(directory.path()));
            })*
        }
        mod memory_without_faults {
            $(#[test]
            fn $test() {
                super::$test(&*super::without_faults(std::sync::Arc::new(super::MemoryStore::new())));
            })*
        }
        mod lmdb_without_faults {
            $(#[test]
            fn $test() {
                let directory = tempfile::tempdir().unwrap();
                super::$test(&*super::without_faults(super::open(directory.path())));
            })*
        }
        mod sqlite_without_faults {
            $(#[test]
            fn $test() {
                let directory = tempfile::tempdir().unwrap();
                super::$test(&*super::without_faults(super::open_sqlite(directory.path())));
            })*
        }
    };
}

conformance!(
    round_trip,
    ranges_in_both_orders,
    a_visitor_breaks_off,
    get_many_keeps_the_given_order,
    metadata_is_apart_from_records,
    deletes_follow_puts,
    the_last_of_equal_keys_wins,
    names_are_checked,
    keys_are_checked_before_anything_is_written,
    the_unnamed_namespace_holds_records_only,
    only_content_creates_a_namespace,
    the_generation_counts_changes,
    a_closed_store_says_so,
);

fn open(path: &std::path::Path) -> Arc<LmdbStore> {
    LmdbStore::open(path, LmdbOptions::default()).unwrap()
}

fn open_sqlite(path: &std::path::Path) -> Arc<SqliteStore> {
    let options = SqliteOptions { durability: Durability::None, ..SqliteOptions::default() };
    SqliteStore::open(path, options).unwrap()
}

fn without_faults(store: Arc<dyn Store>) -> Arc<FaultyStore> {
    FaultyStore::new(store, Durability::Commit, Faults::new()).unwrap()
}

#[test]
fn a_store_in_memory_cannot_be_copied() {
    let target = std::env::temp_dir().join("never written");
    let outcome = MemoryStore::new().copy_to(&target, true);
    assert!(matches!(outcome, Err(Error::Invalid(_))), "{outcome:?}");
}

fn any_batch() -> impl Strategy<Value = Batch> {
    let minute = 0..40_i64;
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        (0..6000_usize).prop_map(|length| vec![b'x'; length]),
    ];
    let put = (minute.clone().prop_map(key), value);
    let metadata = prop_oneof![
        3 => Just(MetadataChange::Keep),
        1 => Just(MetadataChange::Delete),
        2 => proptest::collection::vec(any::<u8>(), 0..300).prop_map(MetadataChange::Put),
    ];
    let puts = proptest::collection::vec(put, 0..12);
    let deletes = proptest::collection::vec(minute.prop_map(key), 0..6);
    (puts, deletes, metadata).prop_map(|(puts, deletes, metadata)| Batch {
        puts,
        deletes: deletes.into(),
        metadata,
        ..Batch::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn all_stores_behave_as_maps(
        batches in proptest::collection::vec((0..3_usize, any_batch()), 1..12),
        bounds in (0..42_i64, 0..42_i64),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let stores: [&dyn Store; 3] =
            [&*open(path), &*open_sqlite(path), &MemoryStore::new()];
        let mut models = [const { (BTreeMap::new(), None::<Vec<u8>>) }; 3];
        let range = [key(bounds.0), key(bounds.1)];
        let range = KeyRange { start: Some(&range[0]), end: Some(&range[1]) };
        for (index, batch) in &batches {
            let namespace = [HOUSE, Some("garage"), None][*index];
            let (records, metadata) = &mut models[*index];
            records.extend(batch.puts.iter().cloned());
            let deleted = batch.deletes.iter().filter(|key| records.remove(*key).is_some()).count();
            match &batch.metadata {
                MetadataChange::Keep => {}
                MetadataChange::Put(value) => *metadata = Some(value.clone()),
                MetadataChange::Delete => *metadata = None,
            }
            let expected: Rows = records.clone().into_iter().collect();
            let inside: Rows = expected
                .iter()
                .filter(|(key, _)| Some(&key[..]) >= range.start && Some(&key[..]) < range.end)
                .rev()
                .cloned()
                .collect();
            for store in stores {
                prop_assert_eq!(store.commit(namespace, batch).unwrap().deleted, deleted);
                prop_assert_eq!(&all(store, namespace), &expected);
                prop_assert_eq!(&rows(store, namespace, range, Order::Descending), &inside);
                prop_assert_eq!(store.count(namespace, range).unwrap(), inside.len() as u64);
                let count = store.count(namespace, KeyRange::default()).unwrap();
                prop_assert_eq!(count, expected.len() as u64);
                prop_assert_eq!(&store.metadata(namespace).unwrap(), &*metadata);
            }
        }
    }
}
