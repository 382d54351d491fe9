//! Which buckets are due.

use eosdb::retention::{Due, Tier, newest_plausible};
use eosdb::{Error, Span};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const QUARTERS: Tier = Tier { age: 7_200, interval: 900 };

/// What is due, as spans and the new cutoff.
fn of(due: Option<Due>) -> Option<(Vec<(i64, i64)>, i64)> {
    let spans = |open: Vec<Span>| open.into_iter().map(|span| (span.start, span.end)).collect();
    due.map(|due| (spans(due.open), due.cutoff))
}

#[test]
fn the_first_run_takes_whole_buckets_from_the_first_row_to_the_age() {
    assert_eq!(
        of(QUARTERS.due(17_199, 1_000, None, None, &[]).unwrap()),
        Some((vec![(900, 9_900)], 9_900))
    );
}

#[test]
fn the_next_run_begins_where_the_last_one_ended() {
    let next = QUARTERS.due(20_000, 1_000, Some(9_900), None, &[]).unwrap();
    assert_eq!(of(next), Some((vec![(9_900, 12_600)], 12_600)));
}

#[test]
fn nothing_is_due_before_a_bucket_is_full_and_old() {
    assert_eq!(QUARTERS.due(17_999, 1_000, Some(9_900), None, &[]).unwrap(), None);
    assert_eq!(QUARTERS.due(5_000, 1_000, None, None, &[]).unwrap(), None);
}

#[test]
fn what_a_coarser_tier_took_stays_coarse() {
    let next = QUARTERS.due(20_000, 0, None, Some(7_200), &[]).unwrap();
    assert_eq!(of(next), Some((vec![(7_200, 12_600)], 12_600)));
    let behind = QUARTERS.due(20_000, 0, Some(1_800), Some(7_200), &[1_000, 7_000]).unwrap();
    assert_eq!(of(behind), Some((vec![(7_200, 12_600)], 12_600)));
}

#[test]
fn a_bucket_that_a_coarser_tier_took_in_part_is_left() {
    let sevens = Tier { age: 0, interval: 420 };
    let next = sevens.due(4_300, 0, Some(4_000), Some(3_600), &[3_700, 3_790]).unwrap();
    assert_eq!(of(next), Some((vec![(3_780, 4_200)], 4_200)));
}

#[test]
fn late_rows_open_just_their_buckets() {
    let late = QUARTERS.due(17_999, 0, Some(9_900), None, &[900, 1_000, 1_300, 1_800, 5_401]);
    assert_eq!(of(late.unwrap()), Some((vec![(900, 1_800), (5_400, 6_300)], 9_900)));
    let with_new = QUARTERS.due(18_900, 0, Some(9_900), None, &[9_001]);
    assert_eq!(of(with_new.unwrap()), Some((vec![(9_000, 11_700)], 11_700)));
}

#[test]
fn a_cutoff_of_a_wrong_clock_opens_nothing_young() {
    let fresh = QUARTERS.due(20_000, 0, Some(1 << 40), None, &[1_000, 19_000]);
    assert_eq!(of(fresh.unwrap()), Some((vec![(900, 1_800)], 1 << 40)));
}

#[test]
fn tiers_that_make_no_sense_are_refused() {
    for tier in [Tier { age: -1, interval: 900 }, Tier { age: 0, interval: 0 }] {
        assert!(matches!(tier.due(0, 0, None, None, &[]), Err(Error::Invalid(_))));
    }
}

#[test]
fn the_newest_row_is_no_more_than_a_day_ahead_of_the_clock() {
    let now = 1_000_000;
    assert_eq!(newest_plausible(&[5, 900_000, 1_086_400, 1_086_401], now), Some(1_086_400));
    assert_eq!(newest_plausible(&[2_000_000, 3_000_000], now), Some(2_000_000));
    assert_eq!(newest_plausible(&[], now), None);
}

fn second() -> impl Strategy<Value = i64> {
    prop_oneof![8 => -100_000..100_000_i64, 1 => any::<i64>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]
    #[test]
    fn only_whole_old_buckets_behind_no_coarser_tier_are_due(
        (age, interval) in (0..20_000_i64, prop_oneof![1..5_000_i64, Just(i64::MAX)]),
        newest in second(),
        first in second(),
        former in prop::option::of(second()),
        coarser in prop::option::of(second()),
        behind in prop::collection::vec(second(), 0..20),
    ) {
        let tier = Tier { age, interval };
        if let Some(due) = tier.due(newest, first, former, coarser, &behind).unwrap() {
            prop_assert!(!due.open.is_empty());
            prop_assert!(former.is_none_or(|former| former <= due.cutoff));
            for span in &due.open {
                prop_assert!(!span.is_empty());
                prop_assert!(coarser.is_none_or(|coarser| coarser <= span.start));
                prop_assert!(span.end <= newest.saturating_sub(age) && span.end <= due.cutoff);
                // Where no bucket reaches beyond what seconds can count.
                if span.start > i64::MIN && span.end < i64::MAX {
                    prop_assert!(span.start % interval == 0 && span.end % interval == 0);
                }
            }
        }
    }
}
