//! One run over everything ends in the same rows as many runs while data arrive.

use std::collections::BTreeMap;

use eosdb::retention::{Consolidation, Tier, newest_plausible};
use eosdb::series::{Aggregation, Cell, MeterRules};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::properties::{aggregations, cells, consolidation, meters};
use super::table::{HOUR, MIDNIGHT, QUARTER, Table};

/// From fine to coarse: 15 minutes and an hour, with ages scaled down.
const TIERS: [Tier; 2] =
    [Tier { age: 7_200, interval: QUARTER }, Tier { age: 6 * HOUR, interval: HOUR }];

/// A table that is compacted again and again.
struct Home {
    table: Table,
    cutoffs: BTreeMap<i64, i64>,
    rules: MeterRules,
}

impl Home {
    fn new(keys: Vec<Consolidation>, rules: MeterRules) -> Self {
        Self { table: Table::new(keys, []), cutoffs: BTreeMap::new(), rules }
    }

    fn run(&mut self) {
        for tier in TIERS {
            let times = self.table.times();
            let Some(newest) = newest_plausible(&times, i64::MAX) else { return };
            let former = self.cutoffs.get(&tier.interval).copied();
            let coarser = self.cutoffs.range(tier.interval + 1..).map(|(_, cutoff)| *cutoff).max();
            let behind: Vec<_> = times
                .iter()
                .copied()
                .filter(|time| former.is_some_and(|former| *time < former))
                .filter(|time| coarser.is_none_or(|coarser| *time >= coarser))
                .collect();
            let due = tier.due(newest, times[0], former, coarser, &behind).expect("a valid tier");
            if let Some(due) = due {
                self.table.compact(&due.open, tier.interval, &self.rules);
                self.cutoffs.insert(tier.interval, due.cutoff);
            }
        }
    }
}

/// The rows after one run, and after a run for each hour of data.
fn both(
    keys: &[Consolidation],
    rules: MeterRules,
    rows: &BTreeMap<i64, Vec<Cell>>,
) -> (Table, Table) {
    let (mut once, mut often) = (Home::new(keys.to_vec(), rules), Home::new(keys.to_vec(), rules));
    once.table.rows.clone_from(rows);
    once.run();
    let mut hour = None;
    for (time, row) in rows {
        if hour.replace(time / HOUR).is_some_and(|hour| hour != time / HOUR) {
            often.run();
        }
        often.table.rows.insert(*time, row.clone());
    }
    often.run();
    (once.table, often.table)
}

fn assert_same(once: &Table, often: &Table, rows: &BTreeMap<i64, Vec<Cell>>) {
    let rows = Table::new(once.keys.clone(), rows.clone());
    let message = || format!("{once:?} and {often:?} of {rows:?}");
    assert_eq!(once.times(), often.times(), "{}", message());
    for key in 0..once.keys.len() {
        for (left, right) in once.column(key).iter().zip(often.column(key)) {
            let same = match (left, &right) {
                (Cell::Float(left), Cell::Float(right)) => {
                    left.is_nan() && right.is_nan() || (left - right).abs() < 1e-9
                }
                (left, right) => left == right,
            };
            assert!(same, "{left:?} and {right:?}: {}", message());
        }
    }
}

fn assert_once_as_often(parts: Vec<Vec<(i64, Cell)>>, max_gap: Option<i64>) {
    let mut rows = BTreeMap::new();
    let mut shift = 0;
    for part in parts {
        let last = part.last().map_or(0, |(time, _)| time - MIDNIGHT);
        rows.extend(part.into_iter().map(|(time, cell)| (time + shift, vec![cell])));
        shift += last;
    }
    let rules = MeterRules { max_gap, ..MeterRules::default() };
    let (once, often) = both(&[Consolidation::Meter], rules, &rows);
    assert_same(&once, &often, &rows);
}

/// Resets and jitter. Wrong readings of which only some are below a tenth may keep a reading more,
/// where a run ends among them.
fn falls() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.0..0.09, 0.991..1.0]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]
    #[test]
    fn of_meters_with_one_longest_gap(
        rows in prop::collection::vec(meters(7_200, falls()), 1..4), max_gap in HOUR..=7_200,
    ) {
        assert_once_as_often(rows, Some(max_gap));
    }

    // Where each tier has a gap of its own, the tiers do not agree on which readings are wrong.
    #[test]
    fn of_meters_without_wrong_readings(
        rows in prop::collection::vec(meters(7_200, 0.991..1.0), 1..4),
    ) {
        assert_once_as_often(rows, None);
    }

    #[test]
    fn of_everything_but_time_weighted_means(
        rows in prop::collection::btree_map(
            MIDNIGHT..MIDNIGHT + 30 * HOUR,
            (cells(), cells()).prop_map(|(one, two)| vec![one, two]),
            0..150,
        ),
        keys in (aggregations(), aggregations()),
    ) {
        prop_assume!(![keys.0, keys.1].contains(&Some(Aggregation::TimeWeightedMean)));
        let keys = [consolidation(keys.0), consolidation(keys.1)];
        let (once, often) = both(&keys, MeterRules::default(), &rows);
        assert_same(&once, &often, &rows);
    }
}
