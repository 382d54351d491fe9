//! What holds for any readings and any question.

use eosdb::series::{
    Aggregation, Boundary, Cell, Fill, Query, Resampling, Values, Window, resample,
};
use proptest::prelude::*;

use super::ask::{EPOCH, SECOND, text};

fn any_cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell::None),
        any::<bool>().prop_map(Cell::Bool),
        any::<i64>().prop_map(Cell::Int),
        any::<f64>().prop_map(Cell::Float),
        "[a1. e]{0,3}".prop_map(|value| text(&value)),
        Just(Cell::EmptyDict),
        Just(Cell::Other),
    ]
}

fn any_fill() -> impl Strategy<Value = Option<Fill>> {
    prop::option::of(prop::sample::select(vec![
        Fill::None,
        Fill::Interpolate,
        Fill::Forward,
        Fill::Backward,
    ]))
}

fn any_aggregation() -> impl Strategy<Value = Option<Aggregation>> {
    prop::option::of(prop::sample::select(vec![
        Aggregation::Mean,
        Aggregation::TimeWeightedMean,
        Aggregation::Min,
        Aggregation::Max,
        Aggregation::Sum,
        Aggregation::First,
        Aggregation::Last,
        Aggregation::CircularMean,
        Aggregation::Mode,
    ]))
}

fn any_boundary() -> impl Strategy<Value = Boundary> {
    prop::sample::select(vec![Boundary::Strict, Boundary::Context])
}

/// Microseconds: plausible ones, and the last ones that there are. Not those between, for which
/// just under 100 million values might have to be made.
fn any_time() -> impl Strategy<Value = Option<i64>> {
    prop::option::of(prop_oneof![
        6 => (-100_000 * SECOND..100_000 * SECOND).prop_map(|time| EPOCH * SECOND + time),
        1 => i64::MAX - 100_000 * SECOND..=i64::MAX,
        1 => i64::MIN..=i64::MIN + 100_000 * SECOND,
    ])
}

/// Microseconds: usual intervals, extreme ones and such as make no sense.
fn any_interval() -> impl Strategy<Value = i64> {
    prop_oneof![
        prop::sample::select(vec![1, 7, 60, 900, 3600]).prop_map(|seconds| seconds * SECOND),
        SECOND..3600 * SECOND,
        i64::MAX - SECOND..=i64::MAX,
        i64::MIN..=0,
    ]
}

fn length(values: &Values) -> usize {
    match values {
        Values::Numbers(values) => values.len(),
        Values::Picked(values) => values.len(),
    }
}

/// Readings at ascending times of one window of a day, and a window within it.
fn readings() -> impl Strategy<Value = (Vec<i64>, Vec<f64>)> {
    let value = prop_oneof![4 => -1e6..1e6, 1 => Just(f64::NAN)];
    prop::collection::btree_map(0..86_400_i64, value, 1..60).prop_map(|readings| {
        readings.into_iter().map(|(time, value)| (EPOCH + time, value)).unzip()
    })
}

/// The values within this day of readings that are numbers.
fn day(times: &[i64], values: &[f64], how: &Resampling) -> Vec<f64> {
    let cells: Vec<_> = values.iter().copied().map(Cell::Float).collect();
    let start = Some(EPOCH * SECOND);
    let end = Some((EPOCH + 86_400) * SECOND);
    let window = Window { start, end, boundary: Boundary::Strict };
    let answer = resample(times, &cells, &window, &Query { start, end }, how, 0);
    match answer.expect("an answer").values {
        Values::Numbers(values) => values,
        Values::Picked(_) => panic!("expected numbers"),
    }
}

proptest! {
    #[test]
    fn no_input_does_harm(
        mut readings in prop::collection::vec((any_time(), any_cell()), 0..12),
        sorted in any::<bool>(),
        (start, end, q0, q1) in (any_time(), any_time(), any_time(), any_time()),
        boundary in any_boundary(),
        interval in any_interval(),
        (fill, align, aggregation) in (any_fill(), any::<bool>(), any_aggregation()),
        now in any_time(),
    ) {
        let now = now.unwrap_or(EPOCH * SECOND);
        if sorted {
            readings.sort_by_key(|(time, _)| *time);
        }
        let (times, cells): (Vec<_>, Vec<_>) =
            readings.into_iter().map(|(time, cell)| (time.unwrap_or(now) / SECOND, cell)).unzip();
        let window = Window { start, end, boundary };
        let asked = window.query(|second, _| Ok::<_, ()>(second.checked_mul(3))).expect("no error");
        let how = Resampling { interval, fill, align, aggregation };
        for query in [asked, Query { start: q0, end: q1 }] {
            let _ = query.span();
            if let Ok(answer) = resample(&times, &cells, &window, &query, &how, now) {
                prop_assert!(length(&answer.values) <= 100_000_000);
                if let Values::Picked(picked) = answer.values {
                    prop_assert!(picked.into_iter().flatten().all(|index| index < cells.len()));
                }
            }
        }
    }

    #[test]
    fn a_window_has_a_value_for_each_interval(
        (times, values) in readings(),
        minutes in 1..2000_i64,
        fill in any_fill(),
        aggregation in any_aggregation(),
    ) {
        let how = Resampling { interval: minutes * 60 * SECOND, fill, align: false, aggregation };
        let expected = usize::try_from(1440_i64.div_euclid(minutes) + i64::from(1440 % minutes > 0));
        prop_assert_eq!(Ok(day(&times, &values, &how).len()), expected);
    }

    #[test]
    fn means_lie_between_the_readings(
        (times, values) in readings(),
        minutes in 1..300_i64,
        fill in any_fill(),
        aggregation in prop::sample::select(vec![Aggregation::Mean, Aggregation::TimeWeightedMean]),
    ) {
        let interval = minutes * 60 * SECOND;
        let how = Resampling { interval, fill, align: true, aggregation: Some(aggregation) };
        let min = values.iter().copied().fold(f64::NAN, f64::min);
        let max = values.iter().copied().fold(f64::NAN, f64::max);
        let slack = 1e-15 * min.abs().max(max.abs());
        for value in day(&times, &values, &how).into_iter().filter(|value| !value.is_nan()) {
            prop_assert!(min - slack <= value && value <= max + slack, "{min} {value} {max}");
        }
    }

    #[test]
    fn a_fill_changes_no_value_and_invents_none(
        (times, values) in readings(),
        minutes in 1..300_i64,
        fill in any_fill(),
        aggregation in any_aggregation(),
    ) {
        let interval = minutes * 60 * SECOND;
        let open = Resampling { interval, fill: Some(Fill::None), align: false, aggregation };
        let given = day(&times, &values, &open);
        let filled = day(&times, &values, &Resampling { fill, ..open });
        prop_assert_eq!(given.len(), filled.len());
        for (given, filled) in given.iter().zip(&filled) {
            prop_assert!(given.is_nan() || given.to_bits() == filled.to_bits());
        }
        if matches!(fill, Some(Fill::Forward | Fill::Backward)) {
            let mut known: Vec<_> = given.iter().map(|value| value.to_bits()).collect();
            if aggregation.is_none_or(|how| how == Aggregation::Mean) {
                // Those at the edges stand outside of the window, and it is filled from there.
                known.extend([values[0], values[values.len() - 1]].map(f64::to_bits));
            }
            for value in filled.iter().filter(|value| !value.is_nan()) {
                prop_assert!(known.contains(&value.to_bits()), "{value} is from nowhere");
            }
        }
    }

    #[test]
    fn a_sum_over_the_day_is_the_sum_of_its_hours(
        (times, values) in readings(),
        minutes in prop::sample::select(vec![1_i64, 15, 60, 240]),
    ) {
        let of = |minutes: i64| {
            let interval = minutes * 60 * SECOND;
            let aggregation = Some(Aggregation::Sum);
            day(&times, &values, &Resampling { interval, fill: None, align: true, aggregation })
        };
        let sum = |values: Vec<f64>| values.into_iter().filter(|value| !value.is_nan()).sum::<f64>();
        prop_assert!((sum(of(minutes)) - sum(of(1440))).abs() < 1e-6);
    }
}
