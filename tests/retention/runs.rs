//! One run over everything ends in the same rows as many runs while data arrive.

use std::collections::BTreeMap;

use eosdb::retention::{Consolidation, Rows, Run, Tier, newest_plausible};
use eosdb::series::{Cell, MeterRules};
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

    /// Compacts by all tiers at once, the rows read in pieces of this many.
    fn run(&mut self, piece: usize) {
        let times = self.table.times();
        let Some(newest) = newest_plausible(&times, i64::MAX) else { return };
        let due = |tier: Tier| {
            let former = self.cutoffs.get(&tier.interval).copied();
            let coarser = self.cutoffs.range(tier.interval + 1..).map(|(_, cutoff)| *cutoff).max();
            let behind: Vec<_> = times
                .iter()
                .copied()
                .filter(|time| former.is_some_and(|former| *time < former))
                .filter(|time| coarser.is_none_or(|coarser| *time >= coarser))
                .collect();
            let due = tier.due(newest, times[0], former, coarser, &behind).expect("a valid tier");
            due.map(|due| (tier, due))
        };
        let tiers: Vec<_> = TIERS.into_iter().filter_map(due).collect();
        let names = (0..).map(|key: usize| key.to_string());
        let keys: Vec<_> = names.zip(self.table.keys.iter().copied()).collect();
        let mut run = Run::new(tiers, &keys, &self.rules).expect("valid arguments");
        for span in run.needs() {
            let next = self.table.rows.range(span.end..).next().map(|(time, _)| *time);
            let end = next.map_or(span.end, |time| time + 1);
            let rows: Vec<_> = self.table.rows.range(span.start..end).collect();
            for rows in rows.chunks(piece) {
                let times = rows.iter().map(|(time, _)| **time).collect();
                let cells = (0..keys.len())
                    .map(|key| rows.iter().map(|(_, row)| row[key].clone()).collect())
                    .collect();
                run.push(Rows::stored(times, cells)).expect("valid rows");
            }
            run.finish_span().expect("valid rows");
        }
        for time in run.deletes() {
            assert!(self.table.rows.remove(time).is_some(), "no row at {time} to delete");
        }
        for put in run.puts() {
            let mut row = vec![Cell::None; keys.len()];
            for (key, cell, _) in &put.values {
                row[*key] = cell.clone();
            }
            self.table.rows.insert(put.time, row);
        }
        self.cutoffs.extend(run.cutoffs());
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
    once.run(7);
    let mut hour = None;
    for (time, row) in rows {
        if hour.replace(time / HOUR).is_some_and(|hour| hour != time / HOUR) {
            often.run(usize::MAX);
        }
        often.table.rows.insert(*time, row.clone());
    }
    often.run(usize::MAX);
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
    fn of_everything_else(
        rows in prop::collection::btree_map(
            MIDNIGHT..MIDNIGHT + 30 * HOUR,
            (cells(), cells()).prop_map(|(one, two)| vec![one, two]),
            0..150,
        ),
        keys in (aggregations(), aggregations()),
    ) {
        let keys = [consolidation(keys.0), consolidation(keys.1)];
        let (once, often) = both(&keys, MeterRules::default(), &rows);
        assert_same(&once, &often, &rows);
    }
}
