//! Bytes that nobody wrote, made of those that somebody did: whatever reads them neither panics nor
//! takes more memory than in proportion to their length, nor forever.
//!
//! `EOSDB_FUZZ_CASES` is the number of inputs for each target, `EOSDB_FUZZ_SEED` what they follow
//! from; `EOSDB_FUZZ_STATS=1` with `--nocapture` prints what was measured. What fails is printed as
//! hexadecimal digits: add it to [`FOUND`], and it stays tested.

#[path = "fuzz/corpus.rs"]
mod corpus;
#[path = "fuzz/generate.rs"]
mod generate;
#[path = "fuzz/memory.rs"]
mod memory;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/random.rs"]
mod random;
#[path = "fuzz/targets.rs"]
mod targets;

use std::io::{Read, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corpus::CORPUS;
use eosdb::codec::gzip;
use flate2::read::DeflateDecoder;
use memory::{Cost, cost};
use random::Random;
use targets::{GZIP, KEYS, METADATA, PICKLE, STORED, Target};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// How many inputs each target gets unless told otherwise: about a second's worth.
const CASES: u64 = 4_000;

/// After this time without an end a read counts as hanging. Generous: a busy machine must not
/// make it fail.
const HANGS_AFTER: Duration = Duration::from_secs(120);

/// The most bytes that reading takes at one time, for each byte that is read, and besides.
const PEAK: (usize, usize) = (96, 16 << 10);

/// The most bytes that reading allocates altogether. As time is, it would be out of proportion
/// wherever work is, if it needs memory.
const TOTAL: (usize, usize) = (144, 32 << 10);

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
        Err(_) => default,
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// How many bytes reading `input` has to look at. What compressed bytes hold counts too, if they are
/// right; else as much as they can hold.
fn content(target: Target, input: &[u8]) -> usize {
    if ![GZIP.name, STORED.name].contains(&target.name) || !gzip::is_gzip(input) {
        return input.len();
    }
    match gzip::decode_to_vec(input) {
        Ok(decoded) => input.len() + decoded.len(),
        Err(_) => input.len() + input.len().saturating_mul(1032).min(gzip::MAX_DECODED),
    }
}

/// Reads one input in every way; what is wrong about it is an error.
fn run(target: Target, input: &[u8]) -> Result<Cost, String> {
    catch_unwind(AssertUnwindSafe(|| (target.check)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("it panicked").to_owned()
    })?;
    cost_of(target, input)
}

/// What reading one input costs, or that it is out of proportion.
fn cost_of(target: Target, input: &[u8]) -> Result<Cost, String> {
    let cost = cost(|| (target.read)(input));
    let content = content(target, input);
    for (what, actual, (each, besides)) in
        [("at one time", cost.peak, PEAK), ("altogether", cost.total, TOTAL)]
    {
        let most = each * content + besides;
        if actual > most {
            return Err(format!(
                "it allocates {actual} bytes {what} for {content}, more than {most}"
            ));
        }
    }
    Ok(cost)
}

/// Tells of an input that is read for too long. The process ends then: a thread cannot be stopped.
struct Watchdog {
    reading: Arc<Mutex<(u64, Vec<u8>)>>,
    /// Dropped when all is done.
    _done: mpsc::Sender<()>,
}

impl Watchdog {
    fn new(target: Target, seed: u64) -> Self {
        let reading = Arc::new(Mutex::new((0, Vec::new())));
        let (done, over) = mpsc::channel();
        let watched = Arc::clone(&reading);
        std::thread::spawn(move || {
            let mut before = None;
            while over.recv_timeout(HANGS_AFTER) == Err(RecvTimeoutError::Timeout) {
                let (case, input) = watched.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if before == Some(case) {
                    let told = hex(&input);
                    let text = format!("{} hangs, seed {seed}, case {case}: {told}\n", target.name);
                    // Not by a macro: what those print is held back until the test is over.
                    let _ = std::io::stderr().write_all(text.as_bytes());
                    std::process::abort();
                }
                before = Some(case);
            }
        });
        Self { reading, _done: done }
    }

    fn reads(&self, case: u64, input: &[u8]) {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        reading.0 = case;
        reading.1.clear();
        reading.1.extend_from_slice(input);
    }
}

/// Reads as many inputs as `make` makes.
fn fuzz(target: Target, make: fn(&mut Random) -> Vec<u8>) {
    let cases = number("EOSDB_FUZZ_CASES", CASES);
    let seed = number("EOSDB_FUZZ_SEED", 1);
    // What a thread keeps for its next value is no cost of the first one.
    CORPUS.stored.iter().for_each(|stored| (target.read)(stored));
    let watchdog = Watchdog::new(target, seed);
    let mut worst = (0.0_f64, Vec::new());
    let mut most = Cost::default();
    for case in 0..cases {
        let input = make(&mut Random::new(seed, case));
        watchdog.reads(case, &input);
        let cost = run(target, &input).unwrap_or_else(|cause| {
            panic!("{}, seed {seed}, case {case}: {cause}\n{}", target.name, hex(&input))
        });
        most.total = most.total.max(cost.total);
        most.peak = most.peak.max(cost.peak);
        let beyond = cost.peak.saturating_sub(PEAK.1);
        let each = as_float(beyond) / as_float(content(target, &input).max(1));
        if each > worst.0 {
            worst = (each, input);
        }
    }
    if std::env::var_os("EOSDB_FUZZ_STATS").is_some() {
        println!(
            "{}: {cases} inputs of seed {seed}; at most {} bytes at one time, {} altogether; \
             beyond {} bytes at most {:.1} for each, for these {}: {}",
            target.name,
            most.peak,
            most.total,
            PEAK.1,
            worst.0,
            worst.1.len(),
            hex(&worst.1[..worst.1.len().min(200)])
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures to look at")]
fn as_float(number: usize) -> f64 {
    number as f64
}

/// One of `inputs`, mutated more often than not, with pieces of another.
fn mutated(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = random.one(inputs).clone();
    if !random.once_in(20) {
        let other = random.input(inputs);
        mutate::mutate(&mut input, other, random);
    }
    input
}

/// A made input, mutated now and then.
fn made(make: fn(&mut Random) -> Vec<u8>, random: &mut Random) -> Vec<u8> {
    let mut input = make(random);
    if random.once_in(2) {
        let other = make(random);
        mutate::mutate(&mut input, &other, random);
    }
    input
}

fn any_pickle(random: &mut Random) -> Vec<u8> {
    match random.below(9) {
        0..=2 => mutated(&CORPUS.pickles, random),
        8 => made(generate::repetition, random),
        3..=5 => made(generate::pickle, random),
        6 => made(generate::record, random),
        _ => made(generate::opcodes, random),
    }
}

fn any_stored(random: &mut Random) -> Vec<u8> {
    if random.once_in(8) {
        return mutated(&CORPUS.stored, random);
    }
    let pickle = match random.below(8) {
        0..=3 => made(generate::record, random),
        4 => any_pickle(random),
        _ => {
            let stored = random.one(&CORPUS.stored);
            let mut pickle = gzip::decode_to_vec(stored).expect("a golden value");
            let other = generate::record(random);
            mutate::mutate(&mut pickle, &other, random);
            pickle
        }
    };
    let level = *random.one(&[0, 0, 0, 1, 9]);
    let mut stored = Vec::new();
    gzip::encode_stored(&pickle, level, &mut stored);
    stored
}

fn any_key(random: &mut Random) -> Vec<u8> {
    let mut key = random.one(&CORPUS.keys).clone();
    match random.below(4) {
        0 => {
            let other = random.input(&CORPUS.keys);
            mutate::mutate(&mut key, other, random);
        }
        1 => key.extend_from_slice(random.input(&CORPUS.keys)),
        _ => {
            // Other digits, sometimes one that is none.
            for _ in 0..=random.small(4) {
                let at = random.below(key.len());
                if let Some(byte) = key.get_mut(at) {
                    *byte = *random.one(b"0123456789TZtz+-:. \0");
                }
            }
        }
    }
    key
}

fn any_metadata(random: &mut Random) -> Vec<u8> {
    match random.below(4) {
        0 => mutated(&CORPUS.metadata, random),
        1 => made(generate::pickle, random),
        _ => made(generate::metadata, random),
    }
}

fn any_gzip(random: &mut Random) -> Vec<u8> {
    let mut stored = random.one(&CORPUS.stored).clone();
    if !gzip::is_gzip(&stored) || random.once_in(4) {
        let pickle = any_pickle(random);
        let level = u32::try_from(random.within(1..10)).unwrap_or(9);
        gzip::encode_stored(&pickle, level, &mut stored);
    }
    let other = random.input(&CORPUS.stored);
    mutate::mutate(&mut stored, other, random);
    if random.once_in(2) {
        mend(&mut stored);
    }
    if random.once_in(4)
        && let Some(flags) = stored.get_mut(3)
    {
        // Optional parts of the header, and perhaps its end within one of them.
        *flags = random.byte() & 0x3f;
        if random.once_in(2) {
            stored.truncate(random.within(4..30));
        }
    }
    if random.once_in(8) {
        // Two members, perhaps with padding between them.
        stored.resize(stored.len() + random.small(4), 0);
        stored.extend_from_slice(random.input(&CORPUS.stored));
    }
    stored
}

/// Gives a changed member the header, checksum and length that let its data be looked at.
fn mend(member: &mut Vec<u8>) {
    const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
    let body = member.split_off(member.len().min(HEADER.len()));
    let mut decoder = DeflateDecoder::new(&body[..]);
    let mut content = Vec::new();
    let read = (&mut decoder).take(1 << 20).read_to_end(&mut content);
    let taken = usize::try_from(decoder.total_in()).unwrap_or(body.len());
    *member = HEADER.to_vec();
    member.extend_from_slice(&body[..taken]);
    if read.is_ok() {
        let mut checksum = flate2::Crc::new();
        checksum.update(&content);
        member.extend_from_slice(&checksum.sum().to_le_bytes());
        member.extend_from_slice(&checksum.amount().to_le_bytes());
    }
}

#[test]
fn pickles() {
    fuzz(PICKLE, any_pickle);
}

#[test]
fn stored_values() {
    fuzz(STORED, any_stored);
}

#[test]
fn keys() {
    fuzz(KEYS, any_key);
}

#[test]
fn metadata() {
    fuzz(METADATA, any_metadata);
}

#[test]
fn compressed_bytes() {
    fuzz(GZIP, any_gzip);
}

/// One piece over and over, at lengths where what holds the values has just grown: no pickle is
/// dearer for its length. [`PEAK`] and [`TOTAL`] are what was found here, and some room.
#[test]
fn the_dearest_pickles() {
    let mut text = b"c_codecs\nencode\nq\0U\x06latin1q\x01X\0\x10\0\0".to_vec();
    text.extend_from_slice(&[b'a'; 1 << 12]);
    text.extend_from_slice(b"q\x02");
    let pieces: [(&[u8], &[u8]); 11] = [
        (b"", b"]"),
        (b"", b"("),
        (b"", b"K\0"),
        (b"", b"V\n"),
        (b"", b"c\n\n"),
        (b"", b"]\x94"),
        (b"cuuid\nUUID\n", b"2)R0"),
        (b"cuuid\nUUID\n", b"2)\x81"),
        (b"](", b"NN"),
        (b"]", b"]Naa"),
        (&text, b"h\0h\x02h\x01\x86R0"),
    ];
    let (mut peak, mut total) = (0.0_f64, 0.0_f64);
    for (before, piece) in pieces {
        for size in [1 << 12, 1 << 14] {
            let pickle = [before, &piece.repeat(size / piece.len() + 1), b"N."].concat();
            let cost = cost_of(PICKLE, &pickle);
            let cost = cost.unwrap_or_else(|cause| panic!("{}: {cause}", piece.escape_ascii()));
            peak = peak.max(as_float(cost.peak) / as_float(pickle.len()));
            total = total.max(as_float(cost.total) / as_float(pickle.len()));
        }
    }
    if std::env::var_os("EOSDB_FUZZ_STATS").is_some() {
        println!("the dearest: {peak:.1} bytes for each at one time, {total:.1} altogether");
    }
    assert!(peak > 50.0 && total > 90.0, "{peak} and {total}: is anything counted?");
}

/// Inputs that did harm once, or cost more than in proportion.
const FOUND: [(Target, &[u8]); 3] = [
    // A text that each call copies anew, and what else a call may be given.
    (PICKLE, b"\x80\x02c_codecs\nencode\nq\0X\x03\0\0\0abcq\x01X\x06\0\0\0latin1q\x02h\0h\x01h\x02\x86R."),
    // A tuple of tuples of tuples as a key: hashing it takes as long as it is wide at the bottom.
    (PICKLE, b"\x80\x04}()2\x862\x862\x862\x862\x862\x862\x862\x862\x862\x862\x862\x862\x862\x862\x86Nu."),
    // Damaged where the room for what it holds ends.
    (GZIP, b"\x1f\x8b\x08\0\0\0\0\0\x02\xff\x6d\x92\xbd\x4e\x1c\x31\x10\xc7"),
];

#[test]
fn what_was_found() {
    for (target, input) in FOUND {
        run(target, input).unwrap_or_else(|cause| {
            panic!("{}: {cause}\n{}", target.name, hex(input));
        });
    }
}
