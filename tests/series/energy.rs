//! Energy of meters: the cases that deserve a name.

use eosdb::Error;
use eosdb::series::{MeterRules, energy};

pub const SECOND: i64 = 1_000_000;
pub const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// Midnight UTC, 2023-11-14, in seconds.
pub const MIDNIGHT: i64 = 1_699_920_000;
pub const GAP: i64 = 7_200;
/// The last second that microseconds can hold.
const FAR: i64 = i64::MAX / SECOND;
pub const RULES: MeterRules = MeterRules { max_gap: Some(GAP), reset_below: 0.1, jitter: 0.1 };
pub const UNKNOWN: f64 = f64::NAN;

/// The energy of readings at these minutes after midnight, without bounds.
fn of(readings: &[(i64, f64)], interval: i64, rules: &MeterRules) -> Vec<f64> {
    within(readings, None, None, interval, rules)
}

/// The same with bounds in minutes after midnight.
fn within(
    readings: &[(i64, f64)],
    start: Option<i64>,
    end: Option<i64>,
    interval: i64,
    rules: &MeterRules,
) -> Vec<f64> {
    let times: Vec<_> = readings.iter().map(|(minute, _)| MIDNIGHT + 60 * minute).collect();
    let values: Vec<_> = readings.iter().map(|(_, value)| *value).collect();
    let bound = |minute: i64| MIDNIGHT * SECOND + minute * MINUTE;
    energy(&times, &values, start.map(bound), end.map(bound), interval, rules)
        .expect("valid arguments")
        .values
}

#[track_caller]
pub fn assert_close(found: &[f64], expected: &[f64]) {
    let close = |(found, expected): (&f64, &f64)| {
        (found.is_nan() && expected.is_nan()) || (found - expected).abs() < 1e-9
    };
    let equal = found.len() == expected.len() && found.iter().zip(expected).all(close);
    assert!(equal, "found {found:?}, expected {expected:?}");
}

/// A sum in pairs, which does not gather the rounding that is to be measured.
pub fn total(values: &[f64]) -> f64 {
    match values {
        [] => 0.0,
        [value] => *value,
        _ => {
            let (left, right) = values.split_at(values.len() / 2);
            total(left) + total(right)
        }
    }
}

/// A meter that counts kW between minutes, as `(from, to, kW)`, at `minute`.
fn meter(loads: &[(i64, i64, f64)], minute: i64) -> f64 {
    let minutes = |from: i64, to: i64| f64::from(u16::try_from(to - from).unwrap_or(0));
    12_055.0
        + loads
            .iter()
            .map(|(from, to, kw)| kw * minutes(*from, minute.clamp(*from, *to)) / 60.0)
            .sum::<f64>()
}

#[test]
fn constant_power_gives_equal_hours_whenever_the_meter_is_read() {
    let readings: Vec<_> =
        (0..20).map(|number| 13 * number).map(|at| (at, meter(&[(0, 600, 1.0)], at))).collect();
    assert_close(&within(&readings, Some(0), Some(240), HOUR, &RULES), &[1.0; 4]);
    assert_close(&within(&readings, Some(0), Some(240), 15 * MINUTE, &RULES), &[0.25; 16]);
    // The last reading is of 04:07.
    assert_close(&of(&readings, HOUR, &RULES), &[1.0, 1.0, 1.0, 1.0, 7.0 / 60.0]);
}

#[test]
fn a_car_is_charged_in_the_hours_in_which_it_is_charged() {
    let loads = [(0, 1440, 0.3), (18 * 60 + 20, 20 * 60 + 5, 11.0)];
    let readings: Vec<_> = (17 * 12..=22 * 12).map(|at| (5 * at, meter(&loads, 5 * at))).collect();
    let hours = [0.3, 0.3 + 11.0 * 40.0 / 60.0, 11.3, 0.3 + 11.0 * 5.0 / 60.0, 0.3];
    assert_close(&of(&readings, HOUR, &RULES), &hours);
}

#[test]
fn a_meter_that_starts_again_every_midnight_loses_no_hour() {
    // 1 kW, read at 5, 15, 25 … minutes past the hour.
    let day = |minute: i64| f64::from(u16::try_from(minute % 1440).unwrap_or(0)) / 60.0;
    let readings: Vec<_> =
        (0..3 * 144).map(|number| 5 + 10 * number).map(|at| (at, day(at))).collect();
    let hours = of(&readings, HOUR, &RULES);
    // From 23:55 to 00:05 the meter shows 5 minutes; it forgot the other 5.
    let mut expected = [1.0; 72];
    expected[0] = 55.0 / 60.0;
    for (hour, lost) in [(23, 2.5), (24, 2.5), (47, 2.5), (48, 2.5), (71, 5.0)] {
        expected[hour] = (60.0 - lost) / 60.0;
    }
    assert_close(&hours, &expected);
}

#[test]
fn a_new_meter_counts_from_zero() {
    let readings = [(0, 12_000.0), (60, 12_001.0), (120, 3.0), (180, 4.0)];
    assert_close(&of(&readings, HOUR, &RULES), &[1.0, 3.0, 1.0]);
}

#[test]
fn a_used_meter_makes_one_hour_unknown() {
    let readings = [(0, 12_000.0), (60, 12_001.0), (120, 5_000.0), (180, 5_002.0)];
    assert_close(&of(&readings, HOUR, &RULES), &[1.0, UNKNOWN, 2.0]);
    // Half of each of these buckets is known.
    let halves = of(&[(0, 12_000.0), (30, 12_001.0), (90, 5_000.0), (120, 5_002.0)], HOUR, &RULES);
    assert_close(&halves, &[1.0, 2.0]);
}

#[test]
fn a_dip_is_no_reset() {
    let readings = [(0, 12_000.0), (60, 12_000.5), (120, 12_000.4), (180, 12_001.0)];
    assert_close(&of(&readings, HOUR, &RULES), &[0.5, -0.1, 0.6]);
    assert_close(&of(&readings, 3 * HOUR, &RULES), &[1.0]);
}

#[test]
fn a_week_without_readings_stays_a_gap() {
    let week = 7 * 24 * 60;
    let readings = [(0, 100.0), (90, 101.5), (90 + week, 301.5), (180 + week, 303.0)];
    let hours = of(&readings, HOUR, &RULES);
    let mut expected = vec![UNKNOWN; 7 * 24 + 3];
    expected[..2].copy_from_slice(&[1.0, 0.5]);
    expected[7 * 24 + 1..].copy_from_slice(&[0.5, 1.0]);
    assert_close(&hours, &expected);

    let spread = of(&readings, HOUR, &MeterRules { max_gap: None, ..RULES });
    assert!(spread.iter().all(|hour| *hour > 0.0));
    assert!((total(&spread) - 203.0).abs() < 1e-9);
}

#[test]
fn a_gap_begins_beyond_the_longest_that_is_allowed() {
    assert_close(&of(&[(0, 1.0), (120, 3.0)], HOUR, &RULES), &[1.0, 1.0]);
    assert_close(&of(&[(0, 1.0), (121, 3.0)], HOUR, &RULES), &[UNKNOWN, UNKNOWN, UNKNOWN]);
}

#[test]
fn readings_that_are_no_numbers_are_as_good_as_none() {
    let readings = [(0, UNKNOWN), (60, 1.0), (90, f64::INFINITY), (120, 2.0), (150, UNKNOWN)];
    assert_close(&of(&readings, HOUR, &RULES), &[1.0]);
    // Without them there is a gap.
    let readings = [(0, 1.0), (90, UNKNOWN), (180, 4.0)];
    assert_close(&of(&readings, HOUR, &RULES), &[UNKNOWN; 3]);
}

#[test]
fn one_reading_tells_of_no_energy() {
    assert_close(&of(&[(30, 5.0)], HOUR, &RULES), &[UNKNOWN]);
    assert_close(&of(&[(60, 5.0)], HOUR, &RULES), &[UNKNOWN]);
    assert_close(&within(&[(60, 5.0)], Some(60), None, HOUR, &RULES), &[UNKNOWN]);
    assert_close(&within(&[(30, 5.0)], Some(0), Some(120), HOUR, &RULES), &[UNKNOWN; 2]);
}

#[test]
fn without_readings_the_buckets_need_both_bounds() {
    for readings in [&[][..], &[(30, UNKNOWN)]] {
        for (start, end) in [(None, None), (Some(0), None), (None, Some(120))] {
            assert_close(&within(readings, start, end, HOUR, &RULES), &[]);
        }
        assert_close(&within(readings, Some(0), Some(120), HOUR, &RULES), &[UNKNOWN; 2]);
    }
}

#[test]
fn buckets_lie_between_the_bounds() {
    let readings: Vec<_> =
        (0..=24).map(|number| 10 * number).map(|at| (at, meter(&[(0, 600, 1.0)], at))).collect();
    let hours = |start, end| within(&readings, start, end, HOUR, &RULES);
    // From the start in steps of the interval, the last one cut off at the end.
    assert_close(&hours(Some(25), Some(195)), &[1.0, 1.0, 50.0 / 60.0]);
    // Before the first reading and after the last one nothing is known.
    assert_close(&hours(Some(-90), Some(330)), &[UNKNOWN, 0.5, 1.0, 1.0, 1.0, 0.5, UNKNOWN]);
    // Without a start from a full hour, without an end to the last reading.
    assert_close(&hours(None, Some(90)), &[1.0, 0.5]);
    assert_close(&hours(Some(150), None), &[1.0, 0.5]);
    assert_close(&hours(Some(240), None), &[UNKNOWN]);
    assert_close(&hours(Some(241), None), &[]);
    assert_close(&hours(None, Some(0)), &[]);
    assert_close(&hours(Some(60), Some(60)), &[]);
    assert_close(&hours(Some(60), Some(0)), &[]);
}

#[test]
fn the_first_bucket_begins_at_the_start_or_at_a_multiple_of_the_interval() {
    let first = |time: i64, start| {
        energy(&[time, time + 1], &[1.0, 2.0], start, None, 7 * MINUTE, &RULES)
            .expect("valid arguments")
            .first
    };
    assert_eq!(first(430, None), 7 * MINUTE);
    assert_eq!(first(420, None), 7 * MINUTE);
    assert_eq!(first(-1, None), -7 * MINUTE);
    assert_eq!(first(430, Some(123_456_789)), 123_456_789);
}

#[test]
fn the_rules_are_fractions_of_the_reading_before() {
    let hour = |before: f64, after: f64, reset_below: f64, jitter: f64| {
        let rules = MeterRules { max_gap: None, reset_below, jitter };
        of(&[(0, before), (60, after)], HOUR, &rules)[0]
    };
    assert_eq!(hour(80.0, 20.0, 0.25, 0.25).to_bits(), 20.0_f64.to_bits());
    assert!(hour(80.0, 21.0, 0.25, 0.25).is_nan());
    assert!(hour(80.0, 59.0, 0.25, 0.25).is_nan());
    assert_eq!(hour(80.0, 60.0, 0.25, 0.25).to_bits(), (-20.0_f64).to_bits());
    // Off.
    assert_eq!(hour(80.0, 0.0, 0.0, 0.0).to_bits(), 0.0_f64.to_bits());
    assert!(hour(80.0, 1.0, 0.0, 0.0).is_nan());
    assert!(hour(80.0, 79.0, 0.0, 0.0).is_nan());
    // Every drop a reset, every drop jitter.
    assert_eq!(hour(80.0, 79.0, 1.0, 1.0).to_bits(), 79.0_f64.to_bits());
    assert_eq!(hour(80.0, 1.0, 0.0, 1.0).to_bits(), (-79.0_f64).to_bits());
    // Standing still is neither.
    assert_eq!(hour(80.0, 80.0, 1.0, 1.0).to_bits(), 0.0_f64.to_bits());
    // Below zero nothing is a reset, and a reset gives nothing back.
    assert_eq!(hour(80.0, -1.0, 0.1, 0.1).to_bits(), 0.0_f64.to_bits());
    assert_eq!(hour(-80.0, -84.0, 0.1, 0.1).to_bits(), (-4.0_f64).to_bits());
    assert!(hour(-80.0, -200.0, 0.1, 0.1).is_nan());
    assert!(hour(0.0, -1.0, 0.1, 0.1).is_nan());
}

#[test]
fn a_rise_beyond_all_numbers_is_unknown() {
    assert_close(&of(&[(0, -f64::MAX), (30, f64::MAX)], HOUR, &RULES), &[UNKNOWN]);
    assert_close(&of(&[(0, -f64::MAX), (30, f64::MAX), (60, f64::MAX)], HOUR, &RULES), &[0.0]);
}

#[test]
fn a_counter_that_runs_both_ways_keeps_its_total() {
    let readings = [(0, 500.0), (30, 502.0), (60, 499.0), (90, 498.0), (120, 501.0)];
    assert_close(&of(&readings, HOUR, &RULES), &[-1.0, 2.0]);
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let refused = |times: &[i64], start, end, interval, rules: &MeterRules| {
        let readings: Vec<_> = times.iter().map(|_| 1.0).collect();
        energy(times, &readings, start, end, interval, rules).expect_err("refused").to_string()
    };
    assert!(refused(&[0, 1], None, None, 0, &RULES).contains("interval"));
    assert!(refused(&[0, 1], None, None, i64::MIN, &RULES).contains("interval"));
    assert!(refused(&[1, 0], None, None, HOUR, &RULES).contains("ascend"));
    assert!(refused(&[0, 0], None, None, HOUR, &RULES).contains("ascend"));
    for wrong in [-0.01, 1.01, UNKNOWN, f64::INFINITY] {
        let rules = MeterRules { reset_below: wrong, ..RULES };
        assert!(refused(&[], None, None, HOUR, &rules).contains("reset_below"));
        let rules = MeterRules { jitter: wrong, ..RULES };
        assert!(refused(&[], None, None, HOUR, &rules).contains("jitter"));
    }
    let rules = MeterRules { max_gap: Some(-1), ..RULES };
    assert!(refused(&[], None, None, HOUR, &rules).contains("max_gap"));
    for (start, end) in [(0, 100_000_001), (i64::MIN, i64::MAX)] {
        assert!(refused(&[], Some(start), Some(end), 1, &RULES).contains("100000000"));
    }
    assert!(refused(&[0, 101], None, None, 1, &RULES).contains("100000000"));

    let error = energy(&[0], &[], None, None, HOUR, &RULES).expect_err("refused");
    assert!(matches!(error, Error::Invalid(_)));
    for time in [i64::MAX, i64::MIN, FAR + 1, -FAR] {
        let error = energy(&[time], &[1.0], None, None, HOUR, &RULES).expect_err("refused");
        assert!(matches!(error, Error::TimeRange { seconds } if seconds == time), "{error}");
    }
}

#[test]
fn time_may_be_long() {
    let rules = MeterRules { max_gap: None, ..RULES };
    let values = energy(&[-FAR, FAR], &[1.0, 3.0], Some(i64::MIN), Some(i64::MAX), 1 << 62, &rules)
        .expect("valid arguments")
        .values;
    assert_close(&values, &[0.5; 4]);
    for (end, expected) in [(None, &[][..]), (Some(i64::MAX), &[UNKNOWN])] {
        let found = energy(&[0, FAR], &[1.0, 3.0], Some(i64::MAX - 1), end, HOUR, &rules);
        assert_close(&found.expect("valid arguments").values, expected);
    }
}

#[test]
fn many_buckets_and_many_readings_are_as_exact_as_few() {
    // 30 kWh an hour around 100,000 kWh, in steps that are no binary fractions.
    let times: Vec<i64> = (0..300_000).map(|number| 12 * number).collect();
    let mut reading = 99_999.9;
    let readings: Vec<_> = times
        .iter()
        .map(|_| {
            reading += 0.1;
            reading
        })
        .collect();
    let increase = readings[299_999] - readings[0];
    for interval in [i64::MAX, HOUR, 35_999_999] {
        let values = energy(&times, &readings, Some(0), None, interval, &RULES)
            .expect("valid arguments")
            .values;
        let error = (total(&values) - increase).abs();
        assert!(error < 1e-9, "{error:e} of {} buckets", values.len());
    }
}

#[test]
fn a_bucket_of_many_resets_is_exact() {
    // Four months in one bucket, read every 12 s; the meter counts the energy of the day.
    let times: Vec<i64> = (0..864_000).map(|number| 12 * number).collect();
    let day: Vec<_> = (0..7_200).map(|number| 0.004_9 * f64::from(number)).collect();
    let readings: Vec<_> = day.iter().copied().cycle().take(times.len()).collect();
    let values = energy(&times, &readings, None, None, i64::MAX, &RULES).expect("valid").values;
    let error = (values[0] - 120.0 * day[7_199]).abs();
    assert!(error < 1e-9, "{error:e}");
}

#[test]
fn a_reading_that_shows_something_else_for_a_moment_is_left_out() {
    let zero = [(0, 12_000.0), (60, 12_001.0), (90, 0.0), (100, 3.0), (120, 12_002.0)];
    assert_close(&of(&zero, HOUR, &RULES), &[1.0, 1.0]);
    // Lower, but no reset: as long as it stays there.
    let other = [(0, 12_000.0), (60, 12_001.0), (90, 5_000.0), (100, 5_001.0), (120, 12_002.0)];
    assert_close(&of(&other, HOUR, &RULES), &[1.0, 1.0]);
}

#[test]
fn a_meter_that_climbs_back_was_reset() {
    let climbs = [(0, 4.0), (60, 5.0), (75, 0.0), (90, 2.0), (105, 4.0), (120, 5.0)];
    assert_close(&of(&climbs, HOUR, &RULES), &[1.0, 5.0]);
}

#[test]
fn a_drop_for_longer_than_a_gap_is_a_reset() {
    let minutes = GAP / 60;
    let half = minutes / 2 + 1;
    let readings = [(0, 12_000.0), (half, 0.0), (2 * half, 12_001.0)];
    assert_close(&of(&readings, HOUR, &RULES)[..1], &[0.0]);
}
