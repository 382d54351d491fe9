//! Work on many values, on all cores.

use std::num::NonZero;
use std::thread;

use super::gzip;

/// Fewer values than this are not worth a thread.
const SHARE: usize = 128;

/// What `work` makes of `items`, in their order: each core gets a share of at least `SHARE` items.
pub fn in_shares<T: Sync, U: Send>(items: &[T], work: impl Fn(&[T]) -> Vec<U> + Sync) -> Vec<U> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = items.len().div_ceil(cores).max(SHARE);
    if items.len() <= share {
        return work(items);
    }
    let work = &work;
    let (own, rest) = items.split_at(share);
    thread::scope(|scope| {
        let shares: Vec<_> =
            rest.chunks(share).map(|share| scope.spawn(move || work(share))).collect();
        let mut done = work(own);
        for share in shares {
            match share.join() {
                Ok(results) => done.extend(results),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    })
}

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
    if level == 0 { encode(pickles) } else { in_shares(pickles, encode) }
}
