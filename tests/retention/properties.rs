//! What holds for all rows, whatever is opened.

use std::collections::{BTreeMap, BTreeSet};

use eosdb::Span;
use eosdb::retention::{Column, Consolidation, conserved, plan};
use eosdb::series::{Aggregation, Cell, MeterRules};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::table::{MIDNIGHT, QUARTER, Table, is_reading, text};

const END: i64 = MIDNIGHT + 40 * QUARTER;

fn config(cases: u32, seed: u64) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(seed), ..ProptestConfig::default() }
}

pub fn aggregations() -> impl Strategy<Value = Option<Aggregation>> {
    prop_oneof![
        Just(None),
        prop::sample::select(vec![
            Some(Aggregation::Mean),
            Some(Aggregation::TimeWeightedMean),
            Some(Aggregation::Min),
            Some(Aggregation::Max),
            Some(Aggregation::Sum),
            Some(Aggregation::First),
            Some(Aggregation::Last),
            Some(Aggregation::CircularMean),
            Some(Aggregation::Mode),
        ]),
    ]
}

pub fn consolidation(aggregation: Option<Aggregation>) -> Consolidation {
    aggregation.map_or(Consolidation::MeanOrLast, Consolidation::By)
}

/// A cell of any kind, mostly a number.
pub fn cells() -> impl Strategy<Value = Cell> {
    prop_oneof![
        6 => (-50..400_i32).prop_map(|number| Cell::Float(f64::from(number) / 4.0)),
        2 => Just(Cell::None),
        1 => Just(Cell::Float(f64::NAN)),
        1 => (0..9_i64).prop_map(Cell::Int),
        1 => any::<bool>().prop_map(Cell::Bool),
        1 => prop::sample::select(vec!["on", "off", "7"]).prop_map(text),
        1 => Just(Cell::Other),
    ]
}

/// Buckets of the ten hours, any of them.
fn open() -> impl Strategy<Value = Vec<Span>> {
    let some = prop::collection::vec(any::<bool>(), 40);
    let all = Just(vec![true; 40]);
    prop_oneof![some, all].prop_map(|buckets| {
        let starts = (0..).map(|bucket| MIDNIGHT + bucket * QUARTER);
        let spans = starts.map(|start| Span::new(start, start + QUARTER));
        spans.zip(buckets).filter_map(|(span, open)| open.then_some(span)).collect()
    })
}

#[derive(Debug, Clone)]
enum Event {
    Rise(f64),
    Fall(f64),
}

fn falls() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..0.3, 0.3..1.2, Just(0.0)]
}

/// The readings of a meter every few seconds or minutes, up to `longest` seconds apart, which falls
/// to these shares of what it was, and may return.
pub fn meters(
    longest: i64,
    falls: impl Strategy<Value = f64>,
) -> impl Strategy<Value = Vec<(i64, Cell)>> {
    let event = prop_oneof![
        12 => (0.0..3.0).prop_map(Event::Rise),
        2 => Just(Event::Rise(0.0)),
        4 => falls.prop_map(Event::Fall),
        // Up to where it may have been before.
        2 => (10.0..150.0).prop_map(Event::Rise),
    ];
    let pause = prop_oneof![4 => 5..400_i64, 1 => 400..=longest, 1 => Just(300)];
    let noise = prop_oneof![
        12 => Just(None),
        1 => Just(Some(Cell::None)),
        1 => Just(Some(Cell::Float(f64::NAN))),
        1 => Just(Some(text("unavailable"))),
    ];
    let steps = prop::collection::vec((pause, event, any::<bool>(), noise), 1..80);
    (steps, any::<bool>()).prop_map(|(steps, on_grid)| {
        let (mut time, mut value, mut former) = (MIDNIGHT, 100.0, 100.0);
        let mut rows = Vec::new();
        for (pause, event, returns, noise) in steps {
            time += if on_grid { (pause / 300 + 1) * 300 } else { pause };
            value = match event {
                _ if returns && value < former => former,
                Event::Rise(rise) => value + rise,
                Event::Fall(share) => value * share,
            };
            // What it fell from, until it is there again or far from it.
            former = if value > former || value > 0.3 * former { value } else { former };
            rows.push((time, noise.unwrap_or(Cell::Float(value))));
        }
        rows
    })
}

fn rules() -> impl Strategy<Value = MeterRules> {
    let max_gap = prop_oneof![Just(None), (QUARTER..9_000).prop_map(Some)];
    let share = || prop_oneof![3 => Just(0.1), 1 => 0.0..=1.0];
    (max_gap, share(), prop_oneof![Just(0.01), share()])
        .prop_map(|(max_gap, reset_below, jitter)| MeterRules { max_gap, reset_below, jitter })
}

proptest! {
    #![proptest_config(config(400, 1))]
    #[test]
    fn a_meter_counts_between_any_two_surviving_times_what_it_counted(
        rows in meters(3_000, falls()), open in open(), rules in rules(),
    ) {
        let rows = rows.into_iter().map(|(time, cell)| (time, vec![cell]));
        let before = Table::new(vec![Consolidation::Meter], rows);
        let mut after = before.clone();
        after.compact(&open, QUARTER, &rules);

        let rules = MeterRules { max_gap: rules.max_gap.or(Some(2 * QUARTER)), ..rules };
        let (was, is) = (before.readings(0), after.readings(0));
        let all = Span::new(MIDNIGHT - QUARTER, END);
        let (was_of, is_of) = ((&was.0[..], &was.1[..]), (&is.0[..], &is.1[..]));
        let found = conserved(was_of, is_of, all, QUARTER, &rules).unwrap();
        prop_assert_eq!(found, Ok(()), "{:?} became {:?}", before, after);
        for times in is.0.windows(2) {
            let was = before.energy(0, times[0], times[1], &rules);
            let is = after.energy(0, times[0], times[1], &rules);
            prop_assert!(
                was.is_nan() && is.is_nan() || (was - is).abs() <= 1e-9,
                "{was} became {is} at {times:?}: {before:?} became {after:?}"
            );
        }
        // No reading is invented where the meter was not read.
        for time in is.0.iter().filter(|time| !was.0.contains(time)) {
            let next = was.0.partition_point(|read| read < time);
            prop_assert!(next > 0 && next < was.0.len());
        }
        // What is no reading of the meter stays.
        let others = |table: &Table| -> Vec<_> {
            let texts = table.rows.iter().filter(|(_, row)| matches!(row[0], Cell::Text(_)));
            texts.map(|(time, _)| *time).collect()
        };
        prop_assert_eq!(others(&before), others(&after));
    }

    #[test]
    fn a_bucket_with_a_reading_gets_one_and_no_other_does(
        rows in prop::collection::btree_map(
            MIDNIGHT - QUARTER..END, (cells(), cells()).prop_map(|(one, two)| vec![one, two]), 0..60,
        ),
        (one, two) in (aggregations(), aggregations()),
        open in open(),
    ) {
        let before = Table::new(vec![consolidation(one), consolidation(two)], rows);
        let mut after = before.clone();
        after.compact(&open, QUARTER, &MeterRules::default());
        let is_open = |time: &i64| open.iter().any(|span| span.contains(*time));
        for key in 0..2 {
            let buckets = |table: &Table, step: i64| -> BTreeSet<i64> {
                let row = table.rows.iter().filter(|(time, row)| is_open(time) && is_reading(&row[key]));
                row.map(|(time, _)| time / step * step).collect()
            };
            prop_assert_eq!(buckets(&before, QUARTER), buckets(&after, 1));
        }
        let outside = |table: &Table| -> Vec<String> {
            let rows = table.rows.iter().filter(|(time, _)| !is_open(time));
            rows.map(|row| format!("{row:?}")).collect()
        };
        prop_assert_eq!(outside(&before), outside(&after));
    }
}

proptest! {
    #![proptest_config(config(1_500, 2))]
    #[test]
    fn no_input_does_harm(
        times in prop_oneof![
            prop::collection::btree_set(-3_000..3_000_i64, 0..12).prop_map(Vec::from_iter),
            prop::collection::btree_set(any::<i64>(), 0..4).prop_map(Vec::from_iter),
            prop::collection::vec(any::<i64>(), 0..4),
        ],
        cells in prop::collection::vec(
            prop_oneof![cells(), any::<f64>().prop_map(Cell::Float), any::<i64>().prop_map(Cell::Int)], 12,
        ),
        aggregation in aggregations(),
        spans in prop::collection::vec(
            prop_oneof![(-40..40_i64, -40..40_i64), (any::<i64>(), any::<i64>())], 0..5,
        ),
        interval in prop_oneof![4 => 1..2_000_i64, 1 => any::<i64>()],
        (max_gap, reset_below, jitter) in (
            prop::option::of(prop_oneof![0..5_000_i64, any::<i64>()]), -0.1..1.1, -0.1..1.1,
        ),
    ) {
        let cells = &cells[..times.len()];
        let columns = [
            Column { cells, consolidation: Consolidation::Meter },
            Column { cells, consolidation: consolidation(aggregation) },
        ];
        let spans: Vec<_> = spans
            .iter()
            .map(|(start, end)| Span::new(start.wrapping_mul(interval), end.wrapping_mul(interval)))
            .collect();
        let rules = MeterRules { max_gap, reset_below, jitter };
        if let Ok(planned) = plan(&times, &columns, &spans, interval, &rules) {
            let rows: BTreeMap<_, _> = times
                .iter()
                .zip(cells)
                .map(|(time, cell)| (*time, vec![cell.clone(), cell.clone()]))
                .collect();
            let keys = columns.map(|column| column.consolidation).to_vec();
            Table::new(keys, rows).apply(&planned);
        }
    }
}
