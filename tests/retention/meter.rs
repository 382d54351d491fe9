//! Meters: the cases that deserve a name.

use eosdb::Span;
use eosdb::retention::{Changed, Consolidation, conserved};
use eosdb::series::{Cell, MeterRules};

use super::table::{HOUR, MIDNIGHT, QUARTER, Table, minutes, single, text};

const RULES: MeterRules = MeterRules { max_gap: None, reset_below: 0.1, jitter: 0.01 };

fn meter(readings: &[(i64, f64)]) -> Table {
    single(Consolidation::Meter, readings.iter().map(|(at, value)| (*at, Cell::Float(*value))))
}

/// What an hour of quarters becomes, in minutes.
fn hour(readings: &[(i64, f64)]) -> Vec<(i64, f64)> {
    let mut table = meter(readings);
    table.compact(&[minutes(0, 60)], QUARTER, &RULES);
    let (times, values) = table.readings(0);
    times.into_iter().map(|time| (time - MIDNIGHT) / 60).zip(values).collect()
}

#[test]
fn the_readings_at_the_boundaries_are_kept_or_interpolated() {
    let rising = [(-10, 0.0), (10, 20.0), (15, 30.0), (29, 32.0), (31, 34.0), (40, 34.0)];
    let found = hour(&[&rising[..], &[(50, 44.0), (70, 64.0)]].concat());
    let kept = [(-10, 0.0), (0, 10.0), (15, 30.0), (30, 33.0), (45, 39.0), (50, 44.0), (70, 64.0)];
    assert_eq!(found, kept, "that of 0:50 for the boundary at 1:00, which is not open");
    let found = hour(&[&rising[..], &[(70, 64.0)]].concat());
    let kept = [(-10, 0.0), (0, 10.0), (15, 30.0), (30, 33.0), (45, 39.0), (70, 64.0)];
    assert_eq!(found, kept, "that of 0:45 tells of the boundary at 1:00");
}

#[test]
fn the_last_reading_of_a_run_goes_with_the_next_run() {
    let mut table =
        meter(&[(0, 0.0), (10, 1.0), (20, 2.0), (25, 2.5), (35, 3.5), (50, 5.0), (61, 6.1)]);
    table.compact(&[minutes(0, 30)], QUARTER, &RULES);
    assert!(table.rows.contains_key(&(MIDNIGHT + 25 * 60)));
    table.compact(&[minutes(15, 60)], QUARTER, &RULES);
    assert!(!table.rows.contains_key(&(MIDNIGHT + 25 * 60)));
    let times: Vec<_> = table.times().iter().map(|time| (time - MIDNIGHT) / 60).collect();
    assert_eq!(times, [0, 15, 30, 45, 50, 61]);
}

#[test]
fn a_reading_on_the_end_of_a_run_needs_no_other() {
    let found = hour(&[(0, 0.0), (50, 5.0), (60, 6.0)]);
    assert_eq!(found, [(0, 0.0), (50, 5.0), (60, 6.0)], "a gap of 50 minutes keeps both");
    let found = hour(&[(0, 0.0), (25, 2.5), (50, 5.0), (60, 6.0)]);
    assert_eq!(found, [(0, 0.0), (15, 1.5), (30, 3.0), (45, 4.5), (60, 6.0)]);
}

#[test]
fn gaps_resets_drops_and_dips_keep_both_readings() {
    for (before, after) in [(100.0, 3.0), (100.0, 50.0), (100.0, 99.5)] {
        let drop = [
            (-1, 90.0),
            (8, 95.0),
            (13, before),
            (17, after),
            (21, after + 1.0),
            (60, after + 2.0),
        ];
        let found = hour(&drop);
        assert!(found.contains(&(13, before)) && found.contains(&(17, after)), "{found:?}");
        assert!(found.iter().all(|(at, _)| *at != 15 && *at != 8), "{found:?}");
    }
    let gap = hour(&[(-1, 1.0), (9, 2.0), (41, 3.0), (50, 4.0), (61, 5.0)]);
    let at: Vec<_> = gap.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [-1, 0, 9, 41, 45, 50, 61], "nothing at 0:15 and 0:30");
}

#[test]
fn wrong_readings_go() {
    let found = hour(&[
        (0, 100.0),
        (5, 101.0),
        (16, 0.0),
        (17, 0.0),
        (20, 101.5),
        (58, 110.0),
        (60, 111.0),
    ]);
    assert!(found.iter().all(|(_, value)| *value > 99.0), "{found:?}");
}

#[test]
fn a_reset_meter_that_rises_past_its_former_reading_did_not_return_to_it() {
    // At 0:15 it would show 100, and the reset would look like wrong readings.
    let mut table =
        meter(&[(0, 90.0), (4, 100.0), (10, 0.0), (20, 200.0), (40, 210.0), (60, 220.0)]);
    let before = table.energy(0, MIDNIGHT, MIDNIGHT + HOUR, &RULES);
    table.compact(&[minutes(0, 60)], QUARTER, &RULES);
    assert!((table.energy(0, MIDNIGHT, MIDNIGHT + HOUR, &RULES) - before).abs() < 1e-9);
}

/// Compacts what was read at these seconds, and checks the energy of two hours.
#[track_caller]
fn assert_conserved(readings: &[(i64, f64)], open: Span, rules: &MeterRules) {
    let rows = readings.iter().map(|(at, value)| (MIDNIGHT + at, vec![Cell::Float(*value)]));
    let mut table = Table::new(vec![Consolidation::Meter], rows);
    let (times, values) = table.readings(0);
    table.compact(&[open], QUARTER, rules);
    let (left, kept) = table.readings(0);
    let found = conserved((&times, &values), (&left, &kept), minutes(0, 120), QUARTER, rules);
    assert_eq!(found.expect("valid arguments"), Ok(()), "{table:?}");
}

#[test]
fn a_reading_beyond_the_longest_gap_is_no_return() {
    let rules = MeterRules { jitter: 0.1, ..RULES };
    let readings = [(900, 100.0), (1_200, 88.9), (2_585, 89.3), (2_701, 90.3), (3_600, 91.0)];
    assert_conserved(&readings, minutes(0, 60), &rules);
}

#[test]
fn wrong_readings_that_stay_for_now_stay_wrong() {
    // Both others are like the first of them, but not like each other.
    let readings =
        [(0, 99.0), (600, 100.0), (720, 50.0), (960, 50.4), (1_020, 49.6), (1_200, 100.5)];
    assert_conserved(&readings, minutes(0, 15), &RULES);
}

#[test]
fn more_readings_than_can_be_wrong_stay_more() {
    let second = |(second, value)| (MIDNIGHT + second, vec![Cell::Float(value)]);
    let zeros = (10..1_200).map(|at| (at, 0.0));
    let ends =
        [(0, 100.0), (5, 101.0)].into_iter().chain(zeros).chain([(1_201, 101.5), (3_600, 120.0)]);
    let mut table = Table::new(vec![Consolidation::Meter], ends.map(second));
    let before = table.energy(0, MIDNIGHT, MIDNIGHT + HOUR, &RULES);
    table.compact(&[minutes(0, 60)], QUARTER, &RULES);
    assert!((table.energy(0, MIDNIGHT, MIDNIGHT + HOUR, &RULES) - before).abs() < 1e-9);
}

#[test]
fn what_is_no_number_stays_where_it_is() {
    let rows = [
        (-5, Cell::Float(1.0)),
        (0, text("unavailable")),
        (5, Cell::Float(2.0)),
        (8, Cell::None),
        (12, text("starting")),
        (16, Cell::Float(3.0)),
        (17, Cell::Float(f64::NAN)),
        (40, Cell::Float(5.0)),
    ];
    let mut table = single(Consolidation::Meter, rows);
    table.compact(&[minutes(0, 30)], QUARTER, &RULES);
    let at: Vec<_> = table.times().iter().map(|time| (time - MIDNIGHT) / 60).collect();
    assert_eq!(at, [-5, 0, 5, 12, 15, 16, 40]);
    assert_eq!(table.column(0)[1], text("unavailable"));
}

#[test]
fn a_change_of_energy_is_found_in_its_bucket() {
    let times = [0, 3_600, 7_200];
    let check = |before: &[f64], after: &[f64]| {
        let window = Span::new(0, 7_200);
        conserved((&times, before), (&times, after), window, HOUR, &RULES).expect("valid")
    };
    assert_eq!(check(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), Ok(()));
    assert_eq!(check(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0 + 1e-10]), Ok(()));
    let changed = Changed { bucket: Span::new(3_600, 7_200), before: 1.0, after: 1.5 };
    assert_eq!(check(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.5]), Err(changed));
    let found = check(&[1.0, 2.0, 3.0], &[1.0, 2.0, f64::NAN]).expect_err("unknown now");
    assert_eq!(found.bucket, changed.bucket);
    assert!(found.after.is_nan());
    // 1e-9 of a thousand, and half a digit of a hundred million, are rounding.
    assert_eq!(check(&[0.0, 1e3, 2e3], &[0.0, 1e3, 2e3 + 5e-7]), Ok(()));
    assert_eq!(check(&[1e8, 1e8, 1e8], &[1e8, 1e8, 1e8 + 1.5e-8]), Ok(()));
}
