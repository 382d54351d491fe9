//! How the readings of a bucket become one value, and what fills the others.

use eosdb::Error;
use eosdb::series::{Aggregation, Cell, Fill};

use super::ask::{Ask, HOUR, SECOND, all, ask, ask_nothing, text, texts};

const NUMERIC: [Aggregation; 6] = [
    Aggregation::Mean,
    Aggregation::TimeWeightedMean,
    Aggregation::Min,
    Aggregation::Max,
    Aggregation::Sum,
    Aggregation::CircularMean,
];
const PICKING: [Aggregation; 3] = [Aggregation::First, Aggregation::Last, Aggregation::Mode];

/// One hour of readings, and an hour with none.
fn hour() -> Ask {
    let values = [f64::NAN, 3.0, -1.0, 4.0, 3.0, f64::NAN];
    ask((0..).step_by(10).zip(values)).within(0, 120).strict()
}

#[test]
fn each_aggregation_has_its_value() {
    let of = |aggregation| hour().by(aggregation).numbers();
    assert_eq!(of(Aggregation::Min), [Some(-1.0), None]);
    assert_eq!(of(Aggregation::Max), [Some(4.0), None]);
    assert_eq!(of(Aggregation::Sum), [Some(9.0), None]);
    assert_eq!(of(Aggregation::First), [Some(3.0), None]);
    assert_eq!(of(Aggregation::Last), [Some(3.0), None]);
    assert_eq!(of(Aggregation::Mode), [Some(3.0), None]);
    assert_eq!(of(Aggregation::Mean), hour().numbers());
}

#[test]
fn only_the_mean_takes_the_edges_for_readings() {
    // The last value stands at the end, and there only for the mean.
    let ask = ask([(0, 1.0), (60, 10.0), (70, 30.0)]).within(0, 90).strict();
    assert_eq!(ask.clone().by(Aggregation::Mean).numbers(), all([1.0, 70.0 / 3.0]));
    assert_eq!(ask.clone().by(Aggregation::Sum).numbers(), all([1.0, 40.0]));
    let empty = ask_nothing().within(0, 180);
    for aggregation in NUMERIC.into_iter().chain(PICKING) {
        assert_eq!(empty.clone().by(aggregation).numbers(), [None; 3], "{aggregation}");
    }
}

#[test]
fn a_fill_on_demand_fills_other_aggregations_too() {
    let ask = ask([(0, 0.0), (180, 30.0)]).within(0, 240);
    for aggregation in [Aggregation::Min, Aggregation::Last, Aggregation::Sum] {
        let ask = ask.clone().by(aggregation);
        assert_eq!(ask.numbers(), [Some(0.0), None, None, Some(30.0)], "{aggregation}");
        let filled = ask.fill(Fill::Interpolate).numbers();
        assert_eq!(filled, all([0.0, 10.0, 20.0, 30.0]), "{aggregation}");
    }
}

#[test]
fn a_mean_over_time_weighs_readings_by_how_long_they_hold() {
    let ask = ask([(0, 0.0), (45, 100.0), (60, 10.0)]).within(0, 120).strict();
    let ask = ask.by(Aggregation::TimeWeightedMean);
    assert_eq!(ask.numbers(), all([25.0, 10.0]));
}

#[test]
fn the_reading_before_a_bucket_counts_in_it() {
    let ask = ask([(-30, 8.0), (30, 4.0), (60, 0.0)]).within(0, 60).aligned();
    assert_eq!(ask.by(Aggregation::TimeWeightedMean).numbers(), all([6.0]));
}

#[test]
fn a_reading_holds_for_two_intervals_at_most() {
    let ask = ask([(30, 8.0), (30 + 240, 4.0)]).within(0, 360).strict();
    let ask = ask.by(Aggregation::TimeWeightedMean);
    let eight = Some(8.0);
    assert_eq!(ask.numbers(), [eight, eight, eight, None, Some(4.0), Some(4.0)]);
    // NaN is no reading: it ends nothing.
    let mut with_nan = ask;
    with_nan.records.insert(1, (with_nan.records[0].0 + 60, Cell::Float(f64::NAN)));
    assert_eq!(with_nan.numbers()[..4], [eight, eight, eight, None]);
}

#[test]
fn a_constant_stays_what_it_is_over_time() {
    let ask = ask((0..600).map(|reading| (7 * reading, 230.1))).within(0, 4200).strict();
    let ask = ask.by(Aggregation::TimeWeightedMean).every(13 * 60 * SECOND);
    assert_eq!(ask.numbers(), vec![Some(230.1); 4200_usize.div_ceil(13)]);
}

#[test]
fn directions_have_a_mean_direction() {
    let of = |values: &[f64]| {
        let ask = ask((0..).zip(values.iter().copied())).within(0, 60).strict();
        ask.by(Aggregation::CircularMean).numbers()[0]
    };
    let close = |value: Option<f64>, expected: f64| {
        let value = value.expect("a direction");
        assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
        assert!((0.0..360.0).contains(&value));
    };
    close(of(&[350.0, 30.0]), 10.0);
    close(of(&[-90.0]), 270.0);
    close(of(&[360.0]), 0.0);
    close(of(&[-1e-20]), 0.0);
    close(of(&[80.0, 100.0, f64::NAN]), 90.0);
    close(of(&[3650.0]), 50.0);
    assert_eq!(of(&[0.0, 180.0]), None, "opposite directions have no mean");
    assert_eq!(of(&[f64::INFINITY, 1.0]), None);
}

#[test]
fn the_most_frequent_reading_wins_and_the_earliest_on_a_tie() {
    let of = |values: &[&str]| {
        let ask = ask((0..).zip(values.iter().copied())).within(0, 60).strict();
        ask.by(Aggregation::Mode).picked()
    };
    assert_eq!(of(&["a", "b", "b"]), texts(&[Some("b")]));
    assert_eq!(of(&["a", "b", "b", "a"]), texts(&[Some("a")]));
    assert_eq!(of(&["c", "a", "b", "b", "a"]), texts(&[Some("a")]));
    let numbers = ask([(0, 0.0), (1, 1.0), (2, -0.0)]).within(0, 60).strict();
    assert_eq!(numbers.by(Aggregation::Mode).numbers(), all([0.0]));
}

#[test]
fn the_mode_counts_each_bucket_anew() {
    let values = ["a", "a", "a", "b", "b", "a", "c", "a"];
    let ask = ask((0..).step_by(20).zip(values)).within(0, 180).strict();
    let picked = ask.by(Aggregation::Mode).picked();
    assert_eq!(picked, texts(&[Some("a"), Some("b"), Some("c")]));
}

#[test]
fn values_that_are_no_numbers_are_picked() {
    let cells = [Cell::None, text("a"), Cell::Bool(true), Cell::Float(f64::NAN), Cell::EmptyDict];
    let minutes = [0, 1, 2, 3, 70];
    let ask = ask(minutes.into_iter().zip(cells)).within(0, 180).strict().keeping_none();
    let picked = |aggregation| ask.clone().by(aggregation).picked();
    assert_eq!(picked(Aggregation::First), [Some(text("a")), Some(Cell::EmptyDict), None]);
    assert_eq!(picked(Aggregation::Last), [Some(Cell::Bool(true)), Some(Cell::EmptyDict), None]);
    let filled = ask.clone().by(Aggregation::Last).fill(Fill::Forward).picked();
    assert_eq!(filled[2], Some(Cell::EmptyDict));
}

#[test]
fn numbers_as_text_are_picked_but_not_calculated_with() {
    let ask = ask([(0, "1"), (1, "2")]).within(0, 60);
    for aggregation in PICKING {
        let expected = if aggregation == Aggregation::Last { "2" } else { "1" };
        let picked = ask.clone().by(aggregation).picked();
        assert_eq!(picked, texts(&[Some(expected)]), "{aggregation}");
    }
    for aggregation in NUMERIC {
        assert!(matches!(ask.clone().by(aggregation).error(), Error::Type(_)), "{aggregation}");
    }
}

#[test]
fn an_aggregation_of_what_is_no_number_is_named() {
    for aggregation in NUMERIC {
        let Error::Invalid(message) = ask([(0, "a")]).within(0, 60).by(aggregation).error() else {
            panic!("another error for {aggregation}");
        };
        assert!(message.contains(&format!("'{aggregation}'")), "{message}");
    }
}

#[test]
fn infinities_and_rounding_follow_pandas() {
    let mean = |values: &[f64]| {
        let ask = ask((0..).zip(values.iter().copied())).within(0, 60).strict();
        ask.fill(Fill::None).numbers()[0]
    };
    assert_eq!(mean(&[f64::INFINITY, 1.0]), Some(f64::INFINITY));
    assert_eq!(mean(&[f64::INFINITY, f64::NEG_INFINITY]), None);
    // Added one by one, these are 0.09999999999999999.
    assert_eq!(mean(&[0.1; 10]), Some(0.1));
    // With truth values among them they are added one by one: what rounding loses is lost.
    let cells = [Cell::Bool(true), Cell::Float(1e-16), Cell::Float(1e-16), Cell::Float(1e-16)];
    let plain = ask([0, 1, 2, 3].into_iter().zip(cells)).within(0, 60).strict();
    assert_eq!(plain.numbers(), all([0.25]));
}

#[test]
fn infinite_neighbors_are_interpolated_as_numpy_does() {
    let ask = |left, right| ask([(0, left), (120, right)]).within(0, 180).strict().numbers()[1];
    assert_eq!(ask(f64::INFINITY, 1.0), Some(f64::INFINITY));
    assert_eq!(ask(f64::INFINITY, f64::INFINITY), Some(f64::INFINITY));
    assert_eq!(ask(1.0, f64::INFINITY), Some(f64::INFINITY));
}

#[test]
fn too_many_values_are_refused_before_they_take_memory() {
    let ask = ask([(0, 1.0)]).every(SECOND);
    let hours = 100_000_001 / 3600 + 1;
    let error = ask.clone().within(0, hours * 60).error();
    assert!(matches!(&error, Error::Invalid(message) if message.contains("100000000")), "{error}");
    // What lies outside of the window is no value: neighbours may be as far off as they like.
    let mut far = ask.within(0, 1);
    far.records.insert(0, (far.records[0].0 - 40 * 365 * 86_400, Cell::Float(0.0)));
    assert_eq!(far.numbers().len(), 60);
    assert_eq!(far.every(HOUR).numbers().len(), 1);
}
