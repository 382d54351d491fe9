//! Gzip around stored values, readable by and from Python's `gzip` module.
//!
//! A value is a few hundred bytes, so setting up a compressor costs more than running it: each
//! thread keeps those it used, and one decompressor, and resets them. For the same reason building
//! the tables of a dynamic Huffman code costs the reader of such a value more than all the rest, and
//! describing that code to the reader takes up most of what it saves: short values are written with
//! deflate's fixed code, which has its tables already (RFC 1951, section 3.2.6).

use std::cell::RefCell;

use flate2::{Crc, Decompress, FlushDecompress, Status};
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Strategy};

use crate::error::{Error, Result};

/// The most bytes that one stored value may decode to (64 MiB).
pub const MAX_DECODED: usize = 64 << 20;

/// How much memory a thread keeps for inflating its next value.
const SCRATCH_KEPT: usize = 64 << 10;

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const METHOD_DEFLATE: u8 = 8;
const HEADER: usize = 10;
const TRAILER: usize = 8;
const UNKNOWN_SYSTEM: u8 = 255;

const FLAG_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0b1110_0000;

/// Room behind the expected end of the output. The inflater leaves its fast loop when less than
/// one longest match (258 bytes) fits.
const INFLATE_MARGIN: usize = 288;

const BEST: u32 = 9;

/// Pickles up to this many bytes are written with the fixed code. Measured with records of 4 to 200
/// numbers at level 9: inflating takes a half to a third of the time, for 1.4 % more bytes (322 bytes
/// of pickle), 2.7 % (935) and 7 % (2,180), where the gain ends.
const FIXED_CODE_UP_TO: usize = 1024;

/// A raw deflate stream with the largest window, as zlib spells it.
const RAW_WINDOW: i32 = -15;

type Compressors = [[Option<Deflate>; 2]; BEST as usize];

thread_local! {
    /// By level, with a code of the value's own and with the fixed one.
    static COMPRESSORS: RefCell<Compressors> = const {
        RefCell::new([const { [const { None }; 2] }; BEST as usize])
    };
    static DECOMPRESSOR: RefCell<Option<Decompress>> = const { RefCell::new(None) };
}

/// Whether stored bytes are gzip. They are the bare pickle otherwise.
#[must_use]
pub fn is_gzip(stored: &[u8]) -> bool {
    stored.starts_with(&MAGIC)
}

/// Replaces the content of `out` by the stored form of `pickle`.
///
/// Level 0 stores the pickle as it is, levels 1 to 9 (and anything above, taken as 9) one gzip
/// member. The member carries no time, so equal pickles give equal bytes.
pub fn encode_stored(pickle: &[u8], level: u32, out: &mut Vec<u8>) {
    out.clear();
    // The length field of gzip has 32 bits; what does not fit it is stored bare.
    let Ok(length) = u32::try_from(pickle.len()) else {
        out.extend_from_slice(pickle);
        return;
    };
    if level == 0 || !deflate_member(pickle, length, level.min(BEST), out) {
        out.clear();
        out.extend_from_slice(pickle);
    }
}

/// Writes one member; `false` if the compressor gave up, which leaves the value to be stored bare.
fn deflate_member(pickle: &[u8], length: u32, level: u32, out: &mut Vec<u8>) -> bool {
    // What Python's gzip module writes: 2 for the best compression, 4 for the fastest.
    let extra_flags = match level {
        BEST => 2,
        1 => 4,
        _ => 0,
    };
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[METHOD_DEFLATE, 0, 0, 0, 0, 0, extra_flags, UNKNOWN_SYSTEM]);
    // The fixed code has at most nine bits for a byte; otherwise five bytes a block are added.
    let room = pickle.len() + pickle.len() / 8 + 64;
    out.reserve(room + TRAILER);
    out.resize(HEADER + room, 0);
    let fixed = pickle.len() <= FIXED_CODE_UP_TO;
    let deflated = COMPRESSORS.with_borrow_mut(|compressors| {
        let slot = &mut compressors[level as usize - 1][usize::from(fixed)];
        let compressor = slot.get_or_insert_with(|| compressor(level, fixed));
        compressor.reset();
        let status = compressor.compress(pickle, &mut out[HEADER..], DeflateFlush::Finish);
        let length = usize::try_from(compressor.total_out()).ok()?;
        matches!(status, Ok(zlib_rs::Status::StreamEnd)).then_some(length)
    });
    let Some(deflated) = deflated else { return false };
    out.truncate(HEADER + deflated);
    out.extend_from_slice(&checksum(pickle).to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    true
}

fn compressor(level: u32, fixed: bool) -> Deflate {
    Deflate::new_with_config(DeflateConfig {
        level: level.cast_signed(),
        window_bits: RAW_WINDOW,
        strategy: if fixed { Strategy::Fixed } else { Strategy::Default },
        ..DeflateConfig::default()
    })
}

/// The pickle within stored bytes, as [`decode_stored`] finds it, in a buffer of its own.
///
/// # Errors
/// Those of [`decode_stored`].
pub fn decode_to_vec(stored: &[u8]) -> Result<Vec<u8>> {
    thread_local! {
        static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let pickle = decode_stored(stored, scratch).map(<[u8]>::to_vec);
        // One huge value must not keep its memory for the rest of the thread's life.
        scratch.clear();
        scratch.shrink_to(SCRATCH_KEPT);
        pickle
    })
}

/// The pickle within stored bytes: the bytes themselves if they are not gzip, else what they
/// inflate to, in `scratch`, whose content is replaced and whose capacity is reused.
///
/// As in Python, members may follow one another and zero bytes may follow the last.
///
/// # Errors
/// [`Error::Decode`] if the gzip data is truncated or damaged, if its checksum or length differ,
/// or if it decodes to more than [`MAX_DECODED`] bytes.
pub fn decode_stored<'a>(stored: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    if !is_gzip(stored) {
        if stored.len() > MAX_DECODED {
            return Err(too_long());
        }
        return Ok(stored);
    }
    scratch.clear();
    let mut rest = stored;
    while !rest.is_empty() {
        rest = inflate_member(rest, scratch)?;
        let padding = rest.iter().take_while(|&&byte| byte == 0).count();
        rest = &rest[padding..];
    }
    Ok(scratch)
}

/// Appends one member to `out` and returns what follows it.
fn inflate_member<'a>(member: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8]> {
    let body = skip_header(member)?;
    let start = out.len();
    // The last four bytes hold the length. They may lie, so they only hint at the capacity:
    // deflate cannot exceed a ratio of 1032.
    let hint = body.last_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
    let hint = hint.min(body.len().saturating_mul(1032)).min(MAX_DECODED);
    out.reserve(hint + INFLATE_MARGIN);
    let consumed = DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = slot.get_or_insert_with(|| Decompress::new(false));
        decompressor.reset(false);
        loop {
            let consumed = usize::try_from(decompressor.total_in()).unwrap_or(body.len());
            let status = decompressor
                .decompress_vec(&body[consumed..], out, FlushDecompress::Finish)
                .map_err(|error| {
                    decode(format!(
                        "the deflate data is damaged: {}",
                        error.message().unwrap_or("invalid code")
                    ))
                })?;
            if out.len() > MAX_DECODED {
                return Err(too_long());
            }
            match status {
                Status::StreamEnd => {
                    return Ok(usize::try_from(decompressor.total_in()).unwrap_or(body.len()));
                }
                Status::Ok | Status::BufError if out.len() == out.capacity() => {
                    out.reserve(out.len().max(4096));
                }
                Status::Ok | Status::BufError => return Err(truncated("deflate data")),
            }
        }
    })?;
    let (trailer, rest) = body[consumed..]
        .split_first_chunk::<TRAILER>()
        .ok_or_else(|| truncated("checksum and length"))?;
    let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
    let (expected, length) =
        (u32::from_le_bytes([c0, c1, c2, c3]), u32::from_le_bytes([l0, l1, l2, l3]));
    let decoded = &out[start..];
    if decoded.len() != length as usize {
        return Err(decode(format!(
            "the gzip data decodes to {} bytes where it states {length}",
            decoded.len()
        )));
    }
    let actual = checksum(decoded);
    if actual != expected {
        return Err(decode(format!(
            "the gzip data has the checksum {actual:08x} where it states {expected:08x}"
        )));
    }
    Ok(rest)
}

/// What follows the header of a member.
fn skip_header(member: &[u8]) -> Result<&[u8]> {
    if !is_gzip(member) {
        return Err(decode("bytes that are no gzip follow the gzip data".to_owned()));
    }
    let (header, mut rest) =
        member.split_first_chunk::<HEADER>().ok_or_else(|| truncated("header"))?;
    let flags = header[3];
    if header[2] != METHOD_DEFLATE {
        return Err(decode(format!("gzip compression method {} is unknown", header[2])));
    }
    if flags & FLAGS_RESERVED != 0 {
        return Err(decode(format!("gzip header flags {flags:#04x} are unknown")));
    }
    if flags & FLAG_EXTRA != 0 {
        let (length, after) =
            rest.split_first_chunk::<2>().ok_or_else(|| truncated("extra field"))?;
        let length = usize::from(u16::from_le_bytes(*length));
        rest = after.get(length..).ok_or_else(|| truncated("extra field"))?;
    }
    for (flag, field) in [(FLAG_NAME, "file name"), (FLAG_COMMENT, "comment")] {
        if flags & flag != 0 {
            let end = rest.iter().position(|&byte| byte == 0).ok_or_else(|| truncated(field))?;
            rest = &rest[end + 1..];
        }
    }
    if flags & FLAG_CRC != 0 {
        rest = rest.get(2..).ok_or_else(|| truncated("header checksum"))?;
    }
    Ok(rest)
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn decode(cause: String) -> Error {
    Error::Decode(cause)
}

fn truncated(what: &str) -> Error {
    decode(format!("the gzip data is truncated in its {what}"))
}

fn too_long() -> Error {
    decode(format!("the value decodes to more than {} MiB", MAX_DECODED >> 20))
}
