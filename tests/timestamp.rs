//! Keys: every instant of the years 1 to 9999 has one, they sort as the instants do, and nothing
//! else is one.

use chrono::{DateTime, NaiveDate};
use eosdb::{Error, Timestamp};
use proptest::prelude::*;

fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds).expect("within the calendar")
}

fn seconds() -> impl Strategy<Value = i64> {
    prop_oneof![
        Timestamp::MIN.seconds()..=Timestamp::MAX.seconds(),
        // Around today, where neighbours differ in every field of the key.
        1_600_000_000_i64..1_900_000_000,
        -100_i64..100,
    ]
}

/// Whether `key` names an instant, found by chrono's parser rather than ours.
fn is_key(key: &[u8]) -> bool {
    let digits = |range: std::ops::Range<usize>| key[range].iter().all(u8::is_ascii_digit);
    key.len() == 16
        && digits(0..8)
        && key[8] == b'T'
        && digits(9..15)
        && key[15] == b'Z'
        && &key[0..4] != b"0000"
        && &key[13..15] < b"60".as_slice()
        && std::str::from_utf8(key)
            .is_ok_and(|text| chrono::NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        rng_seed: proptest::test_runner::RngSeed::Fixed(20_241_027),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn keys_read_back_as_the_instant_they_were_made_of(seconds in seconds()) {
        let key = instant(seconds).to_key();
        prop_assert_eq!(Timestamp::from_key(&key), Some(instant(seconds)));
        let chrono = DateTime::from_timestamp(seconds, 0).expect("in chrono's range");
        prop_assert_eq!(std::str::from_utf8(&key).unwrap(), chrono.format("%Y%m%dT%H%M%SZ").to_string());
        prop_assert_eq!(instant(seconds).to_string(), std::str::from_utf8(&key).unwrap());
    }

    #[test]
    fn keys_sort_as_their_instants_do(left in seconds(), right in seconds(), step in 1_i64..100_000) {
        prop_assert_eq!(
            instant(left).to_key().cmp(&instant(right).to_key()),
            left.cmp(&right)
        );
        if left + step <= Timestamp::MAX.seconds() {
            prop_assert!(instant(left).to_key() < instant(left + step).to_key());
        }
    }

    #[test]
    fn a_key_with_one_byte_changed_is_another_instant_or_none(
        seconds in seconds(), at in 0_usize..16, byte in any::<u8>()
    ) {
        let mut key = instant(seconds).to_key();
        key[at] = byte;
        prop_assert_eq!(Timestamp::from_key(&key).is_some(), is_key(&key), "{:?}", key);
        if let Some(read) = Timestamp::from_key(&key) {
            prop_assert_eq!(read.to_key(), key);
        }
    }

    #[test]
    fn digits_in_the_right_places_are_a_key_only_if_the_calendar_has_them(
        date in "[0-9]{8}", time in "[0-9]{6}"
    ) {
        let key = format!("{date}T{time}Z");
        prop_assert_eq!(Timestamp::from_key(key.as_bytes()).is_some(), is_key(key.as_bytes()));
    }

    #[test]
    fn other_bytes_are_no_key(key in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(Timestamp::from_key(&key).is_some(), is_key(&key));
    }
}

#[test]
fn the_first_and_the_last_instant() {
    assert_eq!(Timestamp::MIN.to_string(), "00010101T000000Z");
    assert_eq!(Timestamp::MAX.to_string(), "99991231T235959Z");
    assert_eq!(Timestamp::from_seconds(Timestamp::MIN.seconds()).unwrap(), Timestamp::MIN);
    assert_eq!(Timestamp::from_seconds(Timestamp::MAX.seconds()).unwrap(), Timestamp::MAX);
    assert_eq!(Timestamp::from_seconds(0).unwrap().to_string(), "19700101T000000Z");
    assert_eq!(Timestamp::from_key(b"00010101T000000Z"), Some(Timestamp::MIN));
    assert_eq!(Timestamp::from_key(b"99991231T235959Z"), Some(Timestamp::MAX));
}

#[test]
fn seconds_beyond_the_calendar_are_refused_with_their_value() {
    let beyond = [Timestamp::MIN.seconds() - 1, Timestamp::MAX.seconds() + 1, i64::MIN, i64::MAX];
    for seconds in beyond {
        let error = Timestamp::from_seconds(seconds).expect_err("beyond the calendar");
        assert!(matches!(error, Error::TimeRange { seconds: told } if told == seconds));
        assert!(error.to_string().contains(&seconds.to_string()));
    }
}

#[test]
fn every_day_of_a_leap_year_and_its_neighbours_has_its_key() {
    let first = NaiveDate::from_ymd_opt(2023, 1, 1).expect("a day");
    for day in first.iter_days().take(3 * 366) {
        let noon = day.and_hms_opt(12, 0, 0).expect("noon").and_utc().timestamp();
        assert_eq!(instant(noon).to_string(), day.format("%Y%m%dT120000Z").to_string());
    }
}

#[test]
fn malformed_keys_are_none() {
    let malformed: &[&[u8]] = &[
        b"",
        b"Z",
        b"__metadata__",
        b"20241027T113456",
        b"20241027T113456ZZ",
        b"20241027T113456+",
        b"20241027t113456z",
        b"20241027 113456Z",
        b"20241027T113456z",
        b"2024-10-27T11:34",
        b"2024-10-27T11:34:56Z",
        b"2024102T1134567Z",
        b"+2041027T113456Z",
        b"-0010101T000000Z",
        b"00000101T000000Z",
        b"20240001T000000Z",
        b"20241301T000000Z",
        b"20241000T000000Z",
        b"20241032T000000Z",
        b"20230229T000000Z",
        b"21000229T000000Z",
        b"20240431T000000Z",
        b"20241027T240000Z",
        b"20241027T236000Z",
        b"20241027T235960Z",
        b"20241027T235961Z",
        b"20241027T1134\xd9\xa5Z",
        b"\xd9\xa2\xd9\xa0\xd9\xa2\xd9\xa4T\xd9\xa1\xd9\xa1\xd9\xa1Z",
        b"20241027T11 456Z",
        b"\x0020241027T113456",
    ];
    for key in malformed {
        assert_eq!(Timestamp::from_key(key), None, "{:?}", String::from_utf8_lossy(key));
    }
    assert!(Timestamp::from_key(b"20240229T000000Z").is_some(), "a leap day");
}
