//! Sequences answer from the logical content, whatever was loaded, saved, failed or changed by
//! others before: a model test on every kind of store, and the cases that deserve a name.

#[path = "sequence/cases.rs"]
mod cases;
#[path = "sequence/model.rs"]
mod model;
#[path = "sequence/stores.rs"]
mod stores;
#[path = "sequence/threads.rs"]
mod threads;
#[path = "sequence/world.rs"]
mod world;

use std::sync::Arc;

use eosdb::sequence::Mark;
use eosdb::store::{
    Durability, LmdbOptions, LmdbStore, MemoryStore, SqliteOptions, SqliteStore, Store,
};
use eosdb::{Span, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseResult};

use model::{Call, Rows};
use stores::{Fault, Wrapped};
use world::{Namespace, Save, World};

/// Where rows lie: at both ends of the calendar, and in between ten seconds apart.
const PLACES: i64 = 12;
const START: i64 = 1_700_000_000;

fn place(number: i64) -> i64 {
    match number {
        0 => Timestamp::MIN.seconds(),
        number if number == PLACES - 1 => Timestamp::MAX.seconds(),
        number => START + 10 * number,
    }
}

fn time() -> impl Strategy<Value = i64> {
    (0..PLACES).prop_map(place)
}

fn bound() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => (0..PLACES, -1_i64..=1).prop_map(|(number, off)| place(number) + off),
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
    ]
}

fn span() -> impl Strategy<Value = Span> {
    prop_oneof![
        1 => Just(Span::ALL),
        6 => (bound(), bound()).prop_map(|(a, b)| Span::new(a.min(b), a.max(b))),
        1 => (bound(), bound()).prop_map(|(start, end)| Span::new(start, end)),
    ]
}

fn change() -> impl Strategy<Value = Call> {
    let mark = prop_oneof![4 => Just(Mark::Put), 1 => Just(Mark::Held)];
    prop_oneof![
        6 => (time(), any::<u32>(), mark)
            .prop_map(|(time, value, mark)| Call::Insert { time, value, mark }),
        4 => (time(), any::<u32>()).prop_map(|(time, value)| Call::Change { time, value }),
        2 => time().prop_map(|time| Call::Delete { span: Span::at(time) }),
        2 => span().prop_map(|span| Call::Delete { span }),
    ]
}

fn question() -> impl Strategy<Value = Call> {
    let reach = prop_oneof![
        Just(None),
        (-1_i64..30).prop_map(|seconds| Some(seconds * 1_000_000)),
        Just(Some(10_999_999)),
        Just(Some(i64::MAX)),
    ];
    let near = (0..PLACES, -6_i64..=6).prop_map(|(number, off)| {
        (place(number) + off).clamp(Timestamp::MIN.seconds(), Timestamp::MAX.seconds())
    });
    prop_oneof![
        3 => time().prop_map(|time| Call::Get { time }),
        3 => span().prop_map(|span| Call::Load { span }),
        2 => (span(), any::<bool>())
            .prop_map(|(span, backwards)| Call::Neighbor { span, backwards }),
        2 => (near, reach).prop_map(|(time, reach)| Call::Nearest { time, reach }),
        1 => Just(Call::Count),
    ]
}

fn reset() -> impl Strategy<Value = Call> {
    prop_oneof![
        3 => Just(Call::ForgetLoaded),
        1 => Just(Call::ClearRows),
        1 => Just(Call::ClearMarks { mark: Mark::Put }),
        1 => Just(Call::ClearMarks { mark: Mark::Delete }),
    ]
}

fn call(resets: u32) -> impl Strategy<Value = Call> {
    prop_oneof![8 => change(), 8 => question(), resets => reset()]
}

fn save(silent: bool) -> impl Strategy<Value = Save> {
    let fault = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Fault::Before)),
        1 => Just(Some(Fault::After)),
        1 => Just(Some(Fault::Between)),
    ];
    // A sequence that forgot what it is saving learns from a store's generation that it was saved.
    let calls = move || prop::collection::vec(call(u32::from(!silent)), 0..3);
    (fault, any::<bool>(), calls(), calls()).prop_map(|(fault, late, planned, applied)| Save {
        fault,
        late,
        planned,
        applied,
    })
}

#[derive(Debug, Clone)]
enum Step {
    Call(usize, Call),
    Save(usize, Save),
    Bind(usize, Namespace),
    /// Another process writes and deletes.
    Others(Rows, Vec<i64>),
}

fn step(actors: usize) -> impl Strategy<Value = Step> {
    let namespace = prop_oneof![
        1 => Just(None),
        3 => Just(Some("house")),
        1 => Just(Some("garage")),
    ];
    let others = (
        prop::collection::btree_map(time(), any::<u32>(), 0..3),
        prop::collection::vec(time(), 0..3),
    );
    // Nobody else can write to a store that tells nothing of changes.
    let shared = u32::from(actors > 1);
    prop_oneof![
        24 => (0..actors, call(2)).prop_map(|(actor, call)| Step::Call(actor, call)),
        8 => (0..actors, save(actors == 1)).prop_map(|(actor, save)| Step::Save(actor, save)),
        1 => (0..actors, namespace).prop_map(|(actor, namespace)| Step::Bind(actor, namespace)),
        2 * shared => others.prop_map(|(puts, deletes)| Step::Others(puts, deletes)),
    ]
}

fn run(store: Arc<Wrapped>, atomic: bool, actors: usize, steps: Vec<Step>) -> TestCaseResult {
    let others = Arc::clone(&store) as Arc<dyn Store>;
    run_beside(store, others, atomic, actors, steps)
}

/// As above, where somebody else writes by a store of his own.
fn run_beside(
    store: Arc<Wrapped>,
    others: Arc<dyn Store>,
    atomic: bool,
    actors: usize,
    steps: Vec<Step>,
) -> TestCaseResult {
    let mut world = World::new(store, others, atomic, actors);
    for step in steps {
        match step {
            Step::Call(actor, call) => world.call(actor, &call)?,
            Step::Save(actor, save) => world.save(actor, &save)?,
            Step::Bind(actor, namespace) => world.bind(actor, namespace),
            Step::Others(puts, deletes) => world.others(&puts, &deletes),
        }
        world.check()?;
    }
    Ok(())
}

/// Short and the same every time, unless `PROPTEST_CASES` and `PROPTEST_RNG_SEED` say otherwise.
fn config(cases: u32) -> ProptestConfig {
    let wished = ProptestConfig::default();
    let seeded = matches!(wished.rng_seed, RngSeed::Fixed(_));
    ProptestConfig {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() { wished.cases } else { cases },
        rng_seed: if seeded { wished.rng_seed } else { RngSeed::Fixed(1_700_000_000) },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn steps(actors: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(actors), 1..30)
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn two_sequences_on_a_store_in_memory_answer_from_the_logical_content(steps in steps(2)) {
        run(Wrapped::new(Arc::new(MemoryStore::new())), true, 2, steps)?;
    }

    #[test]
    fn a_sequence_on_a_silent_store_without_transactions_does_too(steps in steps(1)) {
        run(Wrapped::foreign(Arc::new(MemoryStore::new())), false, 1, steps)?;
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn two_sequences_on_lmdb_do_too(steps in steps(2)) {
        let folder = tempfile::tempdir().expect("a folder");
        let options = LmdbOptions { durability: Durability::None, ..LmdbOptions::default() };
        let store = LmdbStore::open(folder.path(), options).expect("a store");
        run(Wrapped::new(store), true, 2, steps)?;
    }
}

proptest! {
    // Each look at an SQLite file costs many times one at a map.
    #![proptest_config(config(12))]

    #[test]
    fn two_sequences_on_sqlite_do_too(steps in steps(2)) {
        let folder = tempfile::tempdir().expect("a folder");
        let options = SqliteOptions { durability: Durability::None, ..SqliteOptions::default() };
        let open = || SqliteStore::open(folder.path(), options).expect("a store");
        run_beside(Wrapped::new(open()), open(), true, 2, steps)?;
    }
}
