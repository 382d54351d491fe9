//! Energy of random meters whose truth is known because it came first.

use eosdb::Error;
use eosdb::series::{MeterRules, energy};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::energy::{GAP, MIDNIGHT, MINUTE, RULES, SECOND, UNKNOWN, assert_close, total};

/// A step of a random meter, in seconds, and what really happened in it.
#[derive(Debug, Clone)]
struct Step {
    seconds: i64,
    event: Event,
    /// Whether something that is no reading was stored on the way.
    noise: bool,
}

#[derive(Debug, Clone)]
enum Event {
    Rise(f64),
    /// Jitter, reset and replacement: by which fraction of the reading before.
    Dip(f64),
    Reset(f64),
    Replaced(f64),
    Gap(f64),
}

/// What a meter shows, and what it really counted: `None` where nobody can know.
#[derive(Debug)]
struct Meter {
    times: Vec<i64>,
    readings: Vec<f64>,
    truth: Vec<(i64, i64, Option<f64>)>,
}

fn rise() -> impl Strategy<Value = Event> {
    prop_oneof![Just(0.0), 0.0..20.0].prop_map(Event::Rise)
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => rise(),
        1 => (0.0..0.099).prop_map(Event::Dip),
        1 => (0.001..0.099).prop_map(Event::Reset),
        1 => (0.101..0.899).prop_map(Event::Replaced),
        1 => (0.0..20.0).prop_map(Event::Gap),
    ]
}

fn meters(event: impl Strategy<Value = Event>) -> impl Strategy<Value = Meter> {
    let seconds = prop_oneof![1..60_i64, 60..=GAP];
    let step = (seconds, event, any::<bool>()).prop_map(|(seconds, event, noise)| Step {
        seconds,
        event,
        noise,
    });
    (0..100_000_i64, 1.0..100_000.0, prop::collection::vec(step, 0..40)).prop_map(
        |(offset, first, steps)| {
            let (mut time, mut reading) = (MIDNIGHT + offset, first);
            let mut meter = Meter { times: vec![time], readings: vec![reading], truth: vec![] };
            let mut shown = vec![reading];
            for step in steps {
                let (length, after, counted) = match step.event {
                    Event::Rise(by) => (step.seconds, reading + by, Some(by)),
                    Event::Dip(by) => (step.seconds, reading * (1.0 - by), Some(-reading * by)),
                    Event::Reset(to) => (step.seconds, reading * to, Some(reading * to)),
                    Event::Replaced(to) => (step.seconds, reading * to, None),
                    Event::Gap(by) => (step.seconds + GAP, reading + by, None),
                };
                if step.noise && length > 1 {
                    meter.times.push(time + length / 2);
                    meter.readings.push(UNKNOWN);
                }
                meter.truth.push((time, time + length, counted));
                (time, reading) = (time + length, after);
                meter.times.push(time);
                meter.readings.push(reading);
                shown.push(reading);
            }
            meter.truth = without_wrong_readings(&meter.truth, &shown);
            meter
        },
    )
}

/// The truth as far as anybody can tell from what was `shown` at the steps' bounds: after a drop,
/// a meter that is back within jitter at one stroke has shown something wrong in between.
fn without_wrong_readings(
    truth: &[(i64, i64, Option<f64>)],
    shown: &[f64],
) -> Vec<(i64, i64, Option<f64>)> {
    let mut told = Vec::new();
    let mut step = 0;
    while step < truth.len() {
        let (from, to, counted) = truth[step];
        let (before, low) = (shown[step], shown[step + 1]);
        let near = |reading: f64, to: f64| (reading - to).abs() <= RULES.jitter * to;
        let is_low = |reading: f64| reading <= RULES.reset_below * before || near(reading, low);
        let back =
            (step + 2..shown.len()).find(|at| near(shown[*at], before) || !is_low(shown[*at]));
        match back {
            Some(back)
                if low < before
                    && !near(low, before)
                    && near(shown[back], before)
                    && truth[back - 1].1 - from <= GAP =>
            {
                told.push((from, truth[back - 1].1, Some(shown[back] - before)));
                step = back;
            }
            _ => {
                told.push((from, to, counted));
                step += 1;
            }
        }
    }
    told
}

/// Seconds as a number; they are few.
fn number(count: i64) -> f64 {
    f64::from(u32::try_from(count).expect("few"))
}

/// The energy between two seconds, by asking every step.
fn truth(meter: &Meter, start: i64, end: i64) -> f64 {
    let known: Vec<_> = meter
        .truth
        .iter()
        .filter_map(|(from, to, counted)| {
            let inside = end.min(*to) - start.max(*from);
            counted
                .filter(|_| inside > 0)
                .map(|counted| counted * number(inside) / number(to - from))
        })
        .collect();
    if known.is_empty() { UNKNOWN } else { total(&known) }
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// An interval, and where a window of how many buckets begins after midnight; in seconds.
fn grids() -> impl Strategy<Value = (i64, i64, i64)> {
    let interval = prop_oneof![Just(3_600), Just(900), 1_000..20_000_i64];
    (interval, -20_000..150_000_i64, 1..60_i64)
}

fn anywhere() -> impl Strategy<Value = i64> {
    prop_oneof![4 => any::<i64>(), 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
}

fn seeded(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(20_241_124),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(seeded(500))]

    #[test]
    fn buckets_hold_the_truth_and_nothing_where_it_is_unknown(
        meter in meters(any_event()),
        (interval, start, count) in grids(),
        cut in 0..1_000_i64,
    ) {
        let start = MIDNIGHT + start;
        let end = start + count * interval - cut;
        let found = energy(
            &meter.times, &meter.readings, Some(start * SECOND), Some(end * SECOND),
            interval * SECOND, &RULES,
        ).unwrap();
        prop_assert_eq!(found.first, start * SECOND);
        let expected: Vec<_> = (0..count)
            .map(|number| start + number * interval)
            .filter(|from| *from < end)
            .map(|from| truth(&meter, from, end.min(from + interval)))
            .collect();
        assert_close(&found.values, &expected);
    }

    #[test]
    fn nothing_is_lost_and_nothing_invented(meter in meters(any_event()), (interval, ..) in grids()) {
        let found = energy(
            &meter.times, &meter.readings, None, None, interval * SECOND, &RULES,
        ).unwrap();
        let known: Vec<_> = found.values.into_iter().filter(|value| !value.is_nan()).collect();
        let counted: Vec<_> = meter.truth.iter().filter_map(|(.., counted)| *counted).collect();
        prop_assert!((total(&known) - total(&counted)).abs() < 1e-9);
    }

    #[test]
    fn finer_buckets_add_up_to_coarser_ones(
        meter in meters(any_event()),
        (interval, start, count) in grids(),
        parts in 2..10_i64,
    ) {
        let start = (MIDNIGHT + start) * SECOND;
        let (fine, coarse) = (interval * MINUTE / parts, interval * MINUTE / parts * parts);
        let end = start + count * fine;
        let of = |interval| {
            energy(&meter.times, &meter.readings, Some(start), Some(end), interval, &RULES)
                .unwrap()
                .values
        };
        let merged: Vec<_> = of(fine)
            .chunks(usize::try_from(parts).unwrap())
            .map(|chunk| {
                let known: Vec<_> = chunk.iter().copied().filter(|part| !part.is_nan()).collect();
                if known.is_empty() { UNKNOWN } else { total(&known) }
            })
            .collect();
        assert_close(&merged, &of(coarse));
    }

    #[test]
    fn a_window_is_a_slice_of_the_whole_and_needs_no_readings_but_those_around_it(
        meter in meters(any_event()),
        (interval, start, count) in grids(),
        (skip, take) in (0..60_usize, 1..60_usize),
    ) {
        let of = |start: i64, end: i64, from: usize, to: usize| {
            energy(
                &meter.times[from..to], &meter.readings[from..to], Some(start * SECOND),
                Some(end * SECOND), interval * SECOND, &RULES,
            ).unwrap().values
        };
        let at = |bucket: usize| MIDNIGHT + start + i64::try_from(bucket).unwrap() * interval;
        let last = usize::try_from(count).unwrap();
        let (skip, take) = (skip.min(last - 1), take.min(last - skip.min(last - 1)));
        let whole = of(at(0), at(last), 0, meter.times.len());
        let (window_start, window_end) = (at(skip), at(skip + take));
        let from = meter.times.partition_point(|time| *time < window_start - 2 * GAP);
        let to = meter.times.partition_point(|time| *time <= window_end + GAP);
        let window = of(window_start, window_end, from, to.max(from));
        prop_assert_eq!(bits(&window), bits(&whole[skip..skip + take]));
    }

    #[test]
    fn the_clock_does_not_matter(
        meter in meters(any_event()),
        (interval, ..) in grids(),
        shift in -100_000..100_000_i64,
    ) {
        let of = |times: &[i64]| {
            energy(times, &meter.readings, None, None, interval * SECOND, &RULES).unwrap()
        };
        let shifted: Vec<_> = meter.times.iter().map(|time| time + shift * interval).collect();
        let (before, after) = (of(&meter.times), of(&shifted));
        prop_assert_eq!(before.first + shift * interval * SECOND, after.first);
        prop_assert_eq!(bits(&before.values), bits(&after.values));
    }

    #[test]
    fn a_meter_that_never_falls_gives_no_negative_energy(
        meter in meters(rise()),
        (interval, ..) in grids(),
    ) {
        let found = energy(
            &meter.times, &meter.readings, None, None, interval * SECOND, &RULES,
        ).unwrap();
        // One reading alone makes a bucket of which nothing is known.
        let known = meter.times.len() > 1;
        prop_assert!(found.values.iter().all(|value| *value >= 0.0 || !known));
    }

    #[test]
    fn no_number_does_harm(
        points in prop::collection::btree_map(any::<i64>(), prop::num::f64::ANY, 0..20),
        start in prop::option::of(anywhere()),
        end in prop::option::of(anywhere()),
        (interval, shift) in (any::<i64>(), 0..63),
        max_gap in prop::option::of(anywhere()),
        (reset_below, jitter) in (0.0..1.2, 0.0..1.2),
    ) {
        let times: Vec<_> = points.keys().map(|time| time >> shift).collect();
        let readings: Vec<_> = points.values().copied().collect();
        let rules = MeterRules { max_gap, reset_below, jitter };
        // Buckets enough for the test, but not for the machine's memory.
        let interval = interval | 1 << 45;
        let (start, end) = (start.map(|at| at >> shift), end.map(|at| at >> shift));
        match energy(&times, &readings, start, end, interval, &rules) {
            Ok(found) => prop_assert!(found.values.len() <= 2 << 20),
            Err(Error::Invalid(_) | Error::TimeRange { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
