//! What replaces the readings of a bucket: the cases that deserve a name.

use eosdb::Error;
use eosdb::retention::{Column, Compaction, Consolidation, plan};
use eosdb::series::{Aggregation, Cell, MeterRules};

use super::table::{HOUR, MIDNIGHT, QUARTER, Table, minutes, single, text};

const RULES: MeterRules = MeterRules { max_gap: None, reset_below: 0.1, jitter: 0.01 };

/// What two quarters of an hour become.
fn half_hour(consolidation: Consolidation, rows: Vec<(i64, Cell)>) -> Vec<(i64, Cell)> {
    let mut table = single(consolidation, rows);
    table.compact(&[minutes(0, 30)], QUARTER, &RULES);
    table.rows.into_iter().map(|(time, row)| ((time - MIDNIGHT) / 60, row[0].clone())).collect()
}

fn floats(values: &[(i64, f64)]) -> Vec<(i64, Cell)> {
    values.iter().map(|(minute, value)| (*minute, Cell::Float(*value))).collect()
}

#[test]
fn each_aggregation_makes_one_value_per_bucket() {
    let rows = [(0, 1.0), (3, 4.0), (6, 4.0), (9, 2.0), (15, 7.0), (18, 9.0)];
    for (aggregation, first, second) in [
        (Aggregation::Mean, 2.75, 8.0),
        (Aggregation::TimeWeightedMean, (3.0 + 12.0 + 12.0 + 12.0) / 15.0, (21.0 + 108.0) / 15.0),
        (Aggregation::Min, 1.0, 7.0),
        (Aggregation::Max, 4.0, 9.0),
        (Aggregation::Sum, 11.0, 16.0),
        (Aggregation::First, 1.0, 7.0),
        (Aggregation::Last, 2.0, 9.0),
        (Aggregation::Mode, 4.0, 7.0),
    ] {
        let found = half_hour(Consolidation::By(aggregation), floats(&rows));
        assert_eq!(found, floats(&[(0, first), (15, second)]), "{aggregation}");
    }
    let angles = half_hour(
        Consolidation::By(Aggregation::CircularMean),
        floats(&[(0, 350.0), (5, 10.0), (15, 90.0), (16, 270.0)]),
    );
    assert_eq!(angles, floats(&[(0, 0.0), (15, 270.0)]), "directions that cancel: the last one");
}

#[test]
fn a_bucket_without_a_reading_gets_none() {
    let rows = vec![
        (0, Cell::Float(1.0)),
        (1, Cell::Float(3.0)),
        (16, Cell::None),
        (17, Cell::Float(f64::NAN)),
        (40, Cell::Float(5.0)),
    ];
    let expected = floats(&[(0, 2.0), (40, 5.0)]);
    assert_eq!(half_hour(Consolidation::MeanOrLast, rows), expected);
}

#[test]
fn a_single_reading_is_taken_over_as_it_is() {
    for consolidation in [
        Consolidation::MeanOrLast,
        Consolidation::By(Aggregation::Mean),
        Consolidation::By(Aggregation::CircularMean),
        Consolidation::By(Aggregation::Mode),
    ] {
        let rows = vec![(-5, Cell::Float(1.0)), (7, Cell::Int(400)), (16, text("on"))];
        let expected = vec![(-5, Cell::Float(1.0)), (0, Cell::Int(400)), (15, text("on"))];
        assert_eq!(half_hour(consolidation, rows), expected);
    }
}

#[test]
fn what_is_no_number_survives_as_the_last_reading() {
    let rows = vec![
        (0, Cell::Bool(true)),
        (1, Cell::Bool(false)),
        (2, Cell::None),
        (15, Cell::Float(1.0)),
        (16, text("unavailable")),
    ];
    let expected = vec![(0, Cell::Bool(false)), (15, text("unavailable"))];
    assert_eq!(half_hour(Consolidation::MeanOrLast, rows), expected);
    let rows = vec![(0, Cell::Float(1.0)), (1, text("7")), (15, text("a")), (16, text("b"))];
    let expected = vec![(0, text("7")), (15, text("b"))];
    for aggregation in [Aggregation::Sum, Aggregation::TimeWeightedMean] {
        assert_eq!(half_hour(Consolidation::By(aggregation), rows.clone()), expected);
    }
}

#[test]
fn truth_values_count_where_their_mean_is_asked_for() {
    let rows = vec![(0, Cell::Bool(true)), (1, Cell::Bool(false))];
    let found = half_hour(Consolidation::By(Aggregation::Mean), rows);
    assert_eq!(found, floats(&[(0, 0.5)]));
}

#[test]
fn a_time_weighted_mean_begins_with_the_reading_before() {
    let weighted = Consolidation::By(Aggregation::TimeWeightedMean);
    let found = half_hour(weighted, floats(&[(-3, 100.0), (5, 10.0), (10, 40.0)]));
    assert_eq!(found, floats(&[(-3, 100.0), (0, (500.0 + 50.0 + 200.0) / 15.0)]));
    // Twice the interval, so it holds for two minutes of the bucket.
    let found = half_hour(weighted, floats(&[(-28, 100.0), (5, 10.0), (10, 40.0)]));
    assert_eq!(found, floats(&[(-28, 100.0), (0, (200.0 + 50.0 + 200.0) / 12.0)]));
}

#[test]
fn a_row_that_stays_as_it_is_is_not_planned() {
    let table = single(Consolidation::MeanOrLast, floats(&[(0, 1.0), (15, 2.0), (30, 3.0)]));
    assert_eq!(table.plan(&[minutes(0, 30)], QUARTER, &RULES), Compaction::default());
}

#[test]
fn keys_meet_in_one_row() {
    let keys = vec![Consolidation::MeanOrLast, Consolidation::Meter, Consolidation::MeanOrLast];
    let row = |power, meter, mode: &str| vec![Cell::Float(power), Cell::Float(meter), text(mode)];
    let mut table = Table::new(
        keys,
        [
            (MIDNIGHT - 300, row(9.0, 10.0, "off")),
            (MIDNIGHT + 300, row(1.0, 11.0, "on")),
            (MIDNIGHT + 600, row(2.0, 12.0, "off")),
            (MIDNIGHT + 1_200, row(8.0, 14.0, "on")),
        ],
    );
    table.compact(&[minutes(0, 15)], QUARTER, &RULES);
    let meter_only = vec![Cell::None, Cell::Float(12.0), Cell::None];
    let expected = [
        (MIDNIGHT - 300, row(9.0, 10.0, "off")),
        (MIDNIGHT, row(1.5, 10.5, "off")),
        (MIDNIGHT + 600, meter_only),
        (MIDNIGHT + 1_200, row(8.0, 14.0, "on")),
    ];
    assert_eq!(table.rows.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn without_columns_nothing_is_planned() {
    let planned = plan(&[MIDNIGHT + 1], &[], &[minutes(0, 60)], HOUR, &RULES).unwrap();
    assert_eq!(planned, Compaction::default());
}

#[test]
fn bad_arguments_are_refused() {
    let cells = [Cell::Int(1), Cell::Int(2)];
    let columns = [Column { cells: &cells, consolidation: Consolidation::Meter }];
    let of = |times: &[i64], open, interval, max_gap| {
        let rules = MeterRules { max_gap, ..RULES };
        plan(times, &columns, &[open], interval, &rules)
    };
    let hour = minutes(0, 60);
    for refused in [
        of(&[2, 1], hour, HOUR, None),
        of(&[1, 1], hour, HOUR, None),
        of(&[1], hour, HOUR, None),
        of(&[1, 2], hour, 0, None),
        of(&[1, 2], hour, -HOUR, None),
        of(&[1, 2], minutes(0, 61), HOUR, None),
        of(&[1, 2], minutes(-1, 60), HOUR, None),
        of(&[1, 2], hour, HOUR, Some(HOUR - 1)),
        of(&[1, 2], hour, HOUR, Some(-1)),
    ] {
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    let far = of(&[1, i64::MAX], hour, HOUR, None);
    assert!(matches!(far, Err(Error::TimeRange { seconds: i64::MAX })), "{far:?}");
    let endless = [Cell::Int(1), Cell::Int(1 << 40)];
    let columns = [Column { cells: &endless, consolidation: Consolidation::Meter }];
    let rules = MeterRules { max_gap: Some(i64::MAX), ..RULES };
    let span = eosdb::Span::new(0, 1 << 40);
    let refused = plan(&[0, 1 << 40], &columns, &[span], 1, &rules);
    assert!(matches!(refused, Err(Error::Invalid(_))));
}
