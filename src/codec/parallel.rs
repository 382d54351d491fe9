//! Compressing many values on all cores.

use std::num::NonZero;
use std::thread;

use super::gzip;

/// Fewer values than this are not worth a thread.
const SHARE: usize = 128;

/// Compresses the pickle of each row at `level`; the order stays.
#[must_use]
pub fn encode_all(pickles: &[(i64, Vec<u8>)], level: u32) -> Vec<(i64, Vec<u8>)> {
    let encode = |share: &[(i64, Vec<u8>)]| -> Vec<(i64, Vec<u8>)> {
        share
            .iter()
            .map(|(time, pickle)| {
                let mut stored = Vec::with_capacity(pickle.len());
                gzip::encode_stored(pickle, level, &mut stored);
                stored.shrink_to_fit();
                (*time, stored)
            })
            .collect()
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = pickles.len().div_ceil(cores).max(SHARE);
    if level == 0 || pickles.len() <= share {
        return encode(pickles);
    }
    thread::scope(|scope| {
        let shares: Vec<_> =
            pickles.chunks(share).map(|share| scope.spawn(move || encode(share))).collect();
        let mut encoded = Vec::with_capacity(pickles.len());
        for share in shares {
            match share.join() {
                Ok(rows) => encoded.extend(rows),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        encoded
    })
}
