//! Changes inputs, so that they are no longer what anybody wrote.

use super::random::Random;

/// The longest input that repeating or joining makes.
const LONGEST: usize = 16 << 10;

/// Opcodes of pickle that are followed by a length, with its width.
const LENGTHS: [(u8, usize); 13] = [
    (0x8c, 1),
    (b'U', 1),
    (b'C', 1),
    (0x8a, 1),
    (b'X', 4),
    (b'T', 4),
    (b'B', 4),
    (0x8b, 4),
    (b'r', 4),
    (0x8d, 8),
    (0x8e, 8),
    (0x95, 8),
    (0x96, 8),
];

/// Opcodes that need nothing behind them.
const OPCODES: &[u8] =
    b"(.012NRabdelost})]u\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98Q";

/// Pieces that mean something.
const PIECES: &[&[u8]] = &[
    b"K\x01",
    b"K\xff",
    b"M\xff\xff",
    b"J\xff\xff\xff\x7f",
    b"J\0\0\0\x80",
    b"G\x7f\xf8\0\0\0\0\0\0",
    b"h\0",
    b"h\x01",
    b"h\x02",
    b"q\0",
    b"p1\n",
    b"g0\n",
    b"r\xff\xff\0\0",
    b"I01\n",
    b"I-9223372036854775808\n",
    b"L9223372036854775808L\n",
    b"F-inf\n",
    b"V\\u20ac\n",
    b"S'a'\n",
    b"\x8a\0",
    b"\x8a\x09\0\0\0\0\0\0\0\0\x01",
    b"\x8c\0",
    b"\x8c\x01a",
    b"C\0",
    b"(K\x01",
    b")R",
    b"}b",
    b"2\x86",
    b"2\x85R",
    b"\x80\x02",
    b"\x80\x05",
    b"cbuiltins\ngetattr\n",
    b"cbuiltins\nset\n",
    b"cbuiltins\nbytearray\n",
    b"c_codecs\nencode\n",
    b"cuuid\nUUID\n)\x81",
    b"cos\nsystem\n",
    b"ccollections\nOrderedDict\n)R",
    b"\x1f\x8b\x08\0",
    b"19700101T000003Z",
    b"__metadata__",
];

/// Lengths and numbers at which something changes.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Changes `input` in one to several ways; `other` lends it pieces.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.small(6) {
        change(input, other, random);
    }
}

fn change(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = at + random.small(input.len() - at + 1);
    match random.below(16) {
        0 | 1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = random.byte();
            }
        }
        3 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = *random.one(OPCODES);
            }
        }
        4 => input.insert(at, *random.one(OPCODES)),
        5 | 6 => {
            let piece = *random.one(PIECES);
            input.splice(at..at, piece.iter().copied());
        }
        7 => {
            input.drain(at..end);
        }
        8 => input.truncate(at),
        9 => repeat(input, at, end, random),
        10 => {
            // The start of the one and the end of the other.
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        11 => {
            let from = random.below(other.len() + 1);
            let to = from + random.small(other.len() - from + 1);
            input.splice(at..end, other[from..to].iter().copied());
        }
        12 | 13 => length(input, at, random),
        14 => {
            let number = random.one(&EDGES).to_le_bytes();
            let width = *random.one(&[1, 2, 4, 8]);
            overwrite(input, at, &number[..width]);
        }
        _ => {
            // Two neighbouring pieces change places.
            let width = end - at;
            if let Some(pair) = input.get_mut(at..at + 2 * width) {
                pair.rotate_left(width);
            }
        }
    }
    input.truncate(LONGEST);
}

/// Repeats a piece, now and then very often.
fn repeat(input: &mut Vec<u8>, at: usize, end: usize, random: &mut Random) {
    let end = end.min(at + 64);
    let often = if random.once_in(4) { 1000 } else { 8 };
    let times = random.small(often).min(LONGEST / (end - at).max(1));
    let piece = input[at..end].repeat(times);
    input.splice(at..at, piece);
}

/// Puts another number where an opcode from `at` on states a length or an index.
fn length(input: &mut [u8], at: usize, random: &mut Random) {
    let stated = input.iter().enumerate().skip(at).find_map(|(at, byte)| {
        LENGTHS.iter().find(|(opcode, _)| opcode == byte).map(|(_, width)| (at + 1, *width))
    });
    let Some((at, width)) = stated else { return };
    let number = match random.below(3) {
        0 => *random.one(&EDGES),
        1 => u64::try_from(random.small(input.len() + 2)).unwrap_or(0),
        _ => u64::from(input.get(at).copied().unwrap_or(0))
            .wrapping_add(random.next() % 5)
            .wrapping_sub(2),
    };
    overwrite(input, at, &number.to_le_bytes()[..width]);
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(room) = input.get_mut(at..) {
        room.iter_mut().zip(bytes).for_each(|(byte, new)| *byte = *new);
    }
}
