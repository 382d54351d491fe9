//! What `key_to_array` of Akkudoktor-EOS answers, case by case; minutes and hours unless said.

use eosdb::Error;
use eosdb::series::{Cell, Fill};

use super::ask::{EPOCH, HOUR, SECOND, all, ask, ask_nothing, text, texts};

const QUARTERS: [(i64, f64); 5] = [(0, 0.0), (15, 1.0), (30, 2.0), (45, 3.0), (60, 4.0)];

#[test]
fn readings_of_an_hour_become_their_mean() {
    assert_eq!(ask(QUARTERS).within(0, 60).numbers(), all([1.5]));
}

#[test]
fn buckets_begin_at_the_reading_before_the_window_or_where_they_are_told_to() {
    let ask = ask(QUARTERS).within(30, 90);
    assert_eq!(ask.numbers(), all([4.0]));
    assert_eq!(ask.clone().strict().numbers(), all([3.0]));
    assert_eq!(ask.aligned().numbers(), all([4.0]));
}

#[test]
fn context_shifts_a_meter_by_an_hour() {
    let meter = ask([(-10, 100.0), (0, 0.0), (60, 60.0), (120, 120.0), (180, 180.0)]);
    let meter = meter.within(0, 180);
    assert_eq!(meter.numbers(), all([60.0, 120.0, 180.0]));
    assert_eq!(meter.first(), 50 * 60 * SECOND);
    assert_eq!(meter.clone().strict().numbers(), all([0.0, 60.0, 120.0]));
    assert_eq!(meter.aligned().numbers(), all([0.0, 60.0, 120.0]));
}

#[test]
fn a_record_without_the_key_moves_the_buckets_too() {
    let records = [Cell::None, Cell::Float(0.0), Cell::Float(60.0), Cell::Float(120.0)];
    let records = [-10, 0, 60, 120].into_iter().zip(records);
    assert_eq!(ask(records).within(0, 120).numbers(), all([60.0, 120.0]));
}

#[test]
fn without_readings_nothing_is_at_each_hour() {
    assert_eq!(ask_nothing().within(0, 180).numbers(), [None; 3]);
    assert_eq!(ask_nothing().from(0).numbers(), []);
    let unbounded = ask_nothing();
    assert_eq!(unbounded.numbers(), [None]);
    assert_eq!(unbounded.first(), 0, "at the hour of now");
}

#[test]
fn the_first_and_the_last_value_reach_to_the_edges() {
    assert_eq!(ask([(90, 1.0), (150, 2.0)]).within(0, 240).numbers(), all([1.0, 1.0, 2.0, 2.0]));
    assert_eq!(ask([(200, 5.0)]).within(0, 120).numbers(), all([5.0, 5.0]));
}

#[test]
fn the_record_behind_the_window_counts_in_context() {
    let ask = ask([(0, 0.0), (60, 10.0), (80, 1000.0), (120, 20.0)]).within(0, 75);
    assert_eq!(ask.numbers(), all([0.0, (10.0 + 1000.0 + 1000.0) / 3.0]));
    assert_eq!(ask.strict().numbers(), all([0.0, 10.0]));
}

#[test]
fn the_last_value_stands_at_the_end_too() {
    let ask = ask([(0, 0.0), (60, 10.0), (70, 30.0)]).within(0, 90);
    assert_eq!(ask.numbers(), all([0.0, 70.0 / 3.0]));
}

#[test]
fn gaps_are_filled_as_told() {
    let ask = ask([(0, 0.0), (180, 30.0)]).within(0, 240);
    let filled = |fill| ask.clone().fill(fill).numbers();
    assert_eq!(ask.numbers(), all([0.0, 10.0, 20.0, 30.0]));
    assert_eq!(filled(Fill::Interpolate), all([0.0, 10.0, 20.0, 30.0]));
    assert_eq!(filled(Fill::Forward), all([0.0, 0.0, 0.0, 30.0]));
    assert_eq!(filled(Fill::Backward), all([0.0, 30.0, 30.0, 30.0]));
    assert_eq!(filled(Fill::None), [Some(0.0), None, None, Some(30.0)]);
}

#[test]
fn a_leading_gap_stays_where_none_is_kept() {
    let records = [(0, Cell::None), (60, Cell::Float(5.0))];
    let ask = ask(records).within(0, 180).keeping_none();
    assert_eq!(ask.numbers(), [None, Some(5.0), Some(5.0)]);
}

#[test]
fn gaps_at_the_edges_are_filled_from_inside() {
    let records = [(0, f64::NAN), (60, 5.0), (120, f64::NAN)];
    let ask = ask(records).within(0, 180);
    assert_eq!(ask.numbers(), [None, Some(5.0), Some(5.0)]);
    assert_eq!(ask.clone().fill(Fill::Forward).numbers(), [None, Some(5.0), Some(5.0)]);
    assert_eq!(ask.fill(Fill::Backward).numbers(), [Some(5.0), Some(5.0), None]);
}

#[test]
fn texts_are_picked_and_repeated() {
    let ask = ask([(0, "a"), (20, "b"), (120, "c")]).within(0, 240);
    assert_eq!(ask.picked(), texts(&[Some("a"), Some("a"), Some("c"), Some("c")]));
    for fill in [Fill::None, Fill::Interpolate] {
        let picked = ask.clone().fill(fill).picked();
        assert_eq!(picked, texts(&[Some("a"), None, Some("c"), None]), "{fill:?}");
    }
    // The last value stands at the end too, and fills from there.
    let backward = ask.fill(Fill::Backward).picked();
    assert_eq!(backward, texts(&[Some("a"), Some("c"), Some("c"), Some("c")]));
}

#[test]
fn numbers_as_text_are_a_type_error() {
    let error = ask([(0, "1"), (20, "2"), (40, "3")]).error();
    assert!(matches!(error, Error::Type(_)), "{error:?}");
}

#[test]
fn truth_values_are_averaged() {
    let ask = ask([(0, true), (20, false), (120, true)]).within(0, 240);
    assert_eq!(ask.numbers(), all([0.5, 0.75, 1.0, 1.0]));
}

#[test]
fn one_text_among_numbers_makes_all_of_them_readings() {
    let cells = [Cell::Float(1.0), text("unavailable"), Cell::Float(3.0), Cell::Float(5.0)];
    let ask = ask([0, 20, 60, 120].into_iter().zip(cells)).within(0, 180);
    assert_eq!(ask.picked(), [1.0, 3.0, 5.0].map(|value| Some(Cell::Float(value))));
}

#[test]
fn a_window_may_begin_within_a_second() {
    let ask = ask([(0, 0.0), (60, 4.0)]).within(0, 240).later(500_000).every(2 * HOUR);
    assert_eq!(ask.numbers(), all([4.0, 4.0]));
    assert_eq!(ask.first(), 500_000);
}

#[test]
fn a_reading_in_the_second_of_the_start_stands_once() {
    // Twice in a bucket, so large a number would add up to infinity.
    let ask = ask([(0, 1.7e308)]).within(0, 60).later(500_000);
    assert_eq!(ask.numbers(), all([1.7e308]));
}

#[test]
fn the_day_on_which_summer_begins_has_23_hours() {
    // 2024-03-31 in Berlin: from 23:00Z on the 30th to 22:00Z on the 31st.
    let start = (1_711_839_600 - EPOCH) / 60;
    let ask = ask((-24..72).map(|hour| (start + 60 * hour, 1.0))).within(start, start + 23 * 60);
    assert_eq!(ask.numbers(), all([1.0; 23]));
    let daily = ask.within(start, start + (23 + 24) * 60).every(24 * HOUR).strict();
    assert_eq!(daily.numbers(), all([1.0; 2]));
    assert_eq!(daily.first(), start * 60 * SECOND, "the grid stays at 23:00Z");
}

#[test]
fn the_hourly_energy_of_a_constant_load_is_smeared() {
    // A meter of 1 kW, read every 13 minutes.
    let reading = |index: i32| (i64::from(13 * index), f64::from(13 * index) / 60.0);
    let values = ask((0..30).map(reading)).within(60, 360).numbers();
    let energies: Vec<_> = values
        .windows(2)
        .map(|pair| pair[1].expect("a value") - pair[0].expect("a value"))
        .collect();
    for (energy, expected) in energies.iter().zip([0.975, 0.975, 1.083_333, 0.65]) {
        assert!((energy - expected).abs() < 1e-3, "{energies:?}");
    }
}

#[test]
fn a_window_that_is_empty_or_backwards_has_no_values() {
    for (start, end) in [(60, 60), (120, 0), (120, 119)] {
        for ask in [ask(QUARTERS).within(start, end), ask(QUARTERS).within(start, end).strict()] {
            assert_eq!(ask.numbers(), []);
            assert_eq!(ask.aligned().numbers(), []);
        }
    }
}

#[test]
fn without_a_start_the_grid_begins_at_midnight() {
    let ask = ask([(40, 1.0), (50, 3.0), (120, 7.0)]).every(37 * 60 * SECOND);
    assert_eq!(ask.numbers(), all([2.0, 4.5, 7.0]));
    assert_eq!(ask.first(), 37 * 60 * SECOND);
}

#[test]
fn an_interval_counts_by_its_whole_seconds() {
    let ask = ask((0..2).map(|minute| (minute, 1.0))).within(0, 1);
    assert_eq!(ask.every(1_999_999).numbers().len(), 60);
}
