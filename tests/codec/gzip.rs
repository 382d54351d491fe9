//! Gzip as Python writes and reads it.

use std::io::Write;

use eosdb::Error;
use eosdb::codec::gzip::{MAX_DECODED, decode_stored, decode_to_vec, encode_stored, is_gzip};
use flate2::{Compression, GzBuilder};
use proptest::prelude::*;

use super::golden;

fn decode(stored: &[u8]) -> Result<Vec<u8>, String> {
    match decode_stored(stored, &mut Vec::new()) {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(Error::Decode(cause)) => Err(cause),
        Err(other) => panic!("{other:?}"),
    }
}

fn encode(pickle: &[u8], level: u32) -> Vec<u8> {
    let mut stored = vec![1, 2, 3];
    encode_stored(pickle, level, &mut stored);
    stored
}

#[test]
fn level_0_is_the_bare_pickle() {
    let pickle = golden("record_floats");
    assert_eq!(encode(&pickle, 0), pickle);
    assert!(!is_gzip(&pickle));
    assert_eq!(decode(&pickle).unwrap(), pickle);
}

#[test]
fn headers_are_pythons_and_carry_no_time() {
    let pickle = golden("record_floats");
    for (level, extra_flags) in [(1, 4), (2, 0), (6, 0), (8, 0), (9, 2)] {
        let stored = encode(&pickle, level);
        assert_eq!(stored[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, extra_flags, 255]);
        assert_eq!(stored, encode(&pickle, level), "deterministic");
        assert!(stored.len() < pickle.len());
        assert_eq!(decode(&stored).unwrap(), pickle);
    }
    assert_eq!(encode(&pickle, 10), encode(&pickle, 9));
}

/// The kind of a member's first block: 0 stored, 1 the fixed code, 2 a code of its own.
fn block_kind(stored: &[u8]) -> u8 {
    stored[10] >> 1 & 3
}

#[test]
fn short_values_have_the_code_that_readers_know() {
    let pickle = golden("record_floats");
    assert!(pickle.len() < 1024);
    let long = pickle.repeat(1024 / pickle.len() + 1);
    for level in 1..=9 {
        let stored = encode(&pickle, level);
        assert_eq!(block_kind(&stored), 1, "level {level}");
        assert_eq!(decode(&stored).unwrap(), pickle);
    }
    // What a code of its own can gain grows with the length.
    let numbers: Vec<u8> =
        (0..4000_u32).flat_map(|n| format!("{}", n * n % 10).into_bytes()).collect();
    assert_eq!(block_kind(&encode(&numbers, 9)), 2);
    assert_eq!(decode(&encode(&numbers, 9)).unwrap(), numbers);
    assert_eq!(decode(&encode(&long, 9)).unwrap(), long);
}

#[test]
fn what_cannot_be_compressed_is_one_member_all_the_same() {
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    })
    .take(5000)
    .collect();
    for length in (0..=1100).chain([5000]) {
        for level in [1, 6, 9] {
            let stored = encode(&noise[..length], level);
            assert!(is_gzip(&stored), "{length} bytes at level {level}");
            assert!(stored.len() <= length + length / 8 + 64);
            assert_eq!(decode(&stored).unwrap(), noise[..length]);
        }
    }
}

#[test]
fn what_python_compressed() {
    // gzip.compress(b"a value, a value, a value", mtime=1)
    let python = b"\x1f\x8b\x08\x00\x01\x00\x00\x00\x02\xff\x4b\x54\x28\x4b\xcc\x29\x4d\xd5\x51\x48\x44\x63\x00\x00\x02\xbc\xc3\xaa\x19\x00\x00\x00";
    assert_eq!(decode(python).unwrap(), b"a value, a value, a value");
}

#[test]
fn optional_header_fields_members_and_padding() {
    let mut stored = Vec::new();
    let mut first = GzBuilder::new()
        .filename("name")
        .comment("comment")
        .extra(vec![1, 2, 3])
        .write(&mut stored, Compression::new(9));
    first.write_all(b"first ").unwrap();
    first.finish().unwrap();
    stored.extend_from_slice(&[0; 3]);
    stored.extend_from_slice(&encode(b"second", 6));
    stored.extend_from_slice(&[0; 5]);
    assert_eq!(decode(&stored).unwrap(), b"first second");

    let mut with_header_crc = encode(b"value", 9);
    with_header_crc[3] = 2;
    with_header_crc.splice(10..10, [0xab, 0xcd]);
    assert_eq!(decode(&with_header_crc).unwrap(), b"value");
}

#[test]
fn every_truncation_is_an_error() {
    for level in [1, 9] {
        let stored = encode(&golden("record_floats"), level);
        for end in 2..stored.len() {
            let cause = decode(&stored[..end]).unwrap_err();
            assert!(cause.contains("truncated"), "at {end}: {cause}");
        }
    }
}

#[test]
fn every_damaged_byte_is_noticed_or_harmless() {
    let pickle = golden("record_floats");
    let stored = encode(&pickle, 9);
    for position in 2..stored.len() {
        for bit in 0..8 {
            let mut damaged = stored.clone();
            damaged[position] ^= 1 << bit;
            if let Ok(decoded) = decode(&damaged) {
                assert_eq!(decoded, pickle, "byte {position}");
            }
        }
    }
}

#[test]
fn causes_are_precise() {
    let good = encode(b"a value, a value, a value", 9);
    let with = |position: usize, byte: u8| {
        let mut stored = good.clone();
        let length = stored.len();
        stored[if position > 100 { length - (usize::MAX - position) - 1 } else { position }] = byte;
        decode(&stored).unwrap_err()
    };
    assert!(with(2, 7).contains("method 7"));
    assert!(with(3, 0x80).contains("flags 0x80"));
    assert!(with(usize::MAX, 9).contains("states 150994969"));
    assert!(with(usize::MAX - 4, 0).contains("checksum"));
    assert!(with(10, 7).contains("deflate data is damaged"));
    let mut trailing = good.clone();
    trailing.extend_from_slice(b"rest");
    assert!(decode(&trailing).unwrap_err().contains("no gzip"));
}

#[test]
fn a_bomb_is_refused() {
    let bomb = encode(&vec![0; MAX_DECODED + 1], 9);
    assert!(bomb.len() < 100_000);
    assert!(decode(&bomb).unwrap_err().contains("64 MiB"));
    // One that lies about its length, and one in two members.
    let mut liar = bomb.clone();
    let end = liar.len();
    liar[end - 4..].fill(1);
    assert!(decode(&liar).unwrap_err().contains("64 MiB"));
    let half = encode(&vec![0; MAX_DECODED / 2 + 1], 9);
    assert!(decode(&[half.clone(), half].concat()).unwrap_err().contains("64 MiB"));
    let most = encode(&vec![7; MAX_DECODED], 1);
    assert_eq!(decode(&most).unwrap().len(), MAX_DECODED);
}

proptest! {
    #[test]
    fn round_trips(
        pickle in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3000),
            prop::collection::vec(0u8..3, 0..30_000),
        ],
        level in 0u32..=9,
    ) {
        prop_assume!(!is_gzip(&pickle));
        let stored = encode(&pickle, level);
        prop_assert_eq!(&decode_to_vec(&stored).unwrap(), &pickle);
        prop_assert_eq!(decode(&stored).unwrap(), pickle);
    }

    #[test]
    fn random_bytes_never_panic(mut stored in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&stored);
        if stored.len() > 4 {
            stored[..4].copy_from_slice(&[0x1f, 0x8b, 8, 0]);
            let _ = decode(&stored);
        }
    }
}
