//! Reads the values of some keys of stored rows, decoding on all cores.

use std::ops::Range;

use super::storage::Storage;
use crate::codec::gzip;
use crate::codec::in_shares;
use crate::error::Result;
use crate::series::{Cell, Selection};

/// How many rows are read in one piece: few enough for Ctrl-C, and to bound the memory.
pub const PIECE: usize = 8_192;

/// What reading one row gave.
#[derive(Debug)]
pub enum RowRead {
    /// The values, in the order of the keys.
    Cells(Box<[Cell]>),
    /// The pickle of a record that has to be made to know its values; or why there is none.
    Apart(Result<Vec<u8>>),
    /// Storage holds nothing there.
    Gone,
}

/// Reads the rows at `times`, ascending, from one snapshot of a store of the core; `among` tells
/// how many rows lie between the first and the last of them.
///
/// # Errors
/// Those of [`Store::scan`](crate::store::Store::scan).
pub fn read_rows(
    storage: &Storage,
    selection: &Selection,
    times: &[i64],
    among: usize,
) -> Result<Vec<RowRead>> {
    let mut bytes = Vec::new();
    let mut places: Vec<Option<Range<usize>>> = vec![None; times.len()];
    storage.read_many(times, among, |at, value| {
        let start = bytes.len();
        bytes.extend_from_slice(value);
        if let Some(place) = places.get_mut(at) {
            *place = Some(start..bytes.len());
        }
    })?;
    Ok(in_shares(&places, |share| {
        let mut picker = selection.picker();
        let mut scratch = Vec::new();
        let mut read = |place: &Option<Range<usize>>| {
            let Some(place) = place else { return RowRead::Gone };
            match gzip::decode_stored(&bytes[place.clone()], &mut scratch) {
                Ok(pickle) => picker
                    .pick(pickle)
                    .map_or_else(|| RowRead::Apart(Ok(pickle.to_vec())), RowRead::Cells),
                Err(error) => RowRead::Apart(Err(error)),
            }
        };
        share.iter().map(&mut read).collect()
    }))
}
