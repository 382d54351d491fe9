//! The least that reading one field of every stored record can cost: an LMDB cursor, inflating
//! with one reused state, and a walk over each pickle up to the field. One thread, and none of
//! eosdb's code; no checksums, no times, nothing kept but a sum.
//!
//! ```text
//! cargo bench --bench floor -- <directory of the environment> <namespace> <field>
//! ```
//!
//! It prints one line of JSON: the seconds of the fastest pass, the records that have the field
//! as a number, and the mean of it.

// Mapping a file is unsafe; all else here is not.
#![expect(unsafe_code, reason = "a floor uses heed directly, and heed's `open` is unsafe")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::{Decompress, FlushDecompress, Status};
use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions};

const PASSES: usize = 7;
const METADATA_KEY: &[u8] = b"__metadata__";
const GZIP_MAGIC: &[u8] = b"\x1f\x8b";
/// Magic, method, no flags, time, level and system: what Python's gzip and eosdb write.
const GZIP_HEADER: usize = 10;

type Records = Database<'static, Bytes, Bytes>;
type Outcome<T> = Result<T, Box<dyn Error>>;

/// What one pass over all records finds.
#[derive(Default)]
struct Total {
    records: usize,
    sum: f64,
}

fn main() -> Outcome<()> {
    // Cargo adds an option of its own.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [directory, namespace, field] = arguments.as_slice() else {
        eprintln!("floor: give a directory, a namespace and a field to measure");
        return Ok(());
    };
    let env = open(Path::new(directory))?;
    let records = named(&env, namespace)?;
    let mut best = Duration::MAX;
    let mut total = Total::default();
    for _ in 0..PASSES {
        let start = Instant::now();
        total = pass(&env, records, field.as_bytes())?;
        best = best.min(start.elapsed());
    }
    if total.records == 0 {
        return Err("no record has the field as a number".into());
    }
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 records")]
    let mean = total.sum / total.records as f64;
    let (seconds, records) = (best.as_secs_f64(), total.records);
    println!(r#"{{"seconds": {seconds}, "records": {records}, "mean": {mean}}}"#);
    Ok(())
}

fn open(directory: &Path) -> heed::Result<Env> {
    let mut options = EnvOpenOptions::new();
    options.max_dbs(1);
    // SAFETY: the benchmark has closed the file, nobody truncates it, and LMDB locks it against
    // writers of other processes. `READ_ONLY` takes the size of the map from the file.
    unsafe { options.flags(EnvFlags::READ_ONLY).open(directory) }
}

fn named(env: &Env, namespace: &str) -> Outcome<Records> {
    let found = env.open_databases_and_commit(env.read_txn()?, |opener, transaction| {
        let records = opener.open_database::<Bytes, Bytes>(transaction, Some(namespace))?;
        Ok::<_, heed::Error>(records.map_or(CommitOrAbort::Abort(()), CommitOrAbort::Commit))
    })?;
    Ok(found.commit().ok_or("no such namespace")?)
}

/// Adds up a field over all records.
fn pass(env: &Env, records: Records, field: &[u8]) -> Outcome<Total> {
    let transaction = env.read_txn()?;
    let mut inflate = Decompress::new(false);
    let mut buffer = vec![0; 1 << 16];
    let mut total = Total::default();
    for entry in records.iter(&transaction)? {
        let (key, value) = entry?;
        if key == METADATA_KEY {
            continue;
        }
        let pickle = if value.starts_with(GZIP_MAGIC) {
            inflate.reset(false);
            let body = value.get(GZIP_HEADER..).ok_or("a value ends in its header")?;
            let status = inflate.decompress(body, &mut buffer, FlushDecompress::Finish)?;
            if status != Status::StreamEnd {
                return Err("a value is cut off, or larger than any record".into());
            }
            buffer.get(..usize::try_from(inflate.total_out())?).ok_or("too long")?
        } else {
            value
        };
        if let Some(number) = number_of(pickle, field) {
            total.records += 1;
            total.sum += number;
        }
    }
    Ok(total)
}

/// Walks over a pickle to the float that follows the name `field`; `None` where there is none.
fn number_of(pickle: &[u8], field: &[u8]) -> Option<f64> {
    let mut rest = pickle;
    let mut named = false;
    loop {
        let (&opcode, after) = rest.split_first()?;
        let size = match opcode {
            // PROTO, BININT1, BINGET
            0x80 | b'K' | b'h' => 1,
            // BININT2
            b'M' => 2,
            // BININT, LONG_BINGET
            b'J' | b'j' => 4,
            // BINFLOAT, FRAME
            b'G' | 0x95 => 8,
            // SHORT_BINUNICODE, SHORT_BINBYTES
            0x8c | b'C' => 1 + usize::from(*after.first()?),
            // BINUNICODE
            b'X' => 4 + usize::try_from(u32::from_le_bytes(*after.first_chunk()?)).ok()?,
            // STOP
            b'.' => return None,
            _ => 0,
        };
        let (argument, next) = after.split_at_checked(size)?;
        match opcode {
            b'G' if named => return Some(f64::from_be_bytes(argument.try_into().ok()?)),
            0x8c => named = argument.get(1..) == Some(field),
            // MEMOIZE stands between a name and its value.
            0x94 => {}
            _ => named = false,
        }
        rest = next;
    }
}
