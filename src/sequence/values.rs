//! Reads the values of some keys of stored rows, decoding on all cores.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::sync::{Mutex, PoisonError};

use super::storage::Storage;
use crate::codec::gzip;
use crate::codec::in_shares;
use crate::error::Result;
use crate::series::{Cell, Selection};

/// How many rows are read in one piece: few enough for Ctrl-C.
pub const PIECE: usize = 8_192;

/// How many bytes of stored values end a piece, and as many of pickles are handed out by each core.
const PIECE_BYTES: usize = 16 << 20;

/// What reading one row gave.
#[derive(Debug)]
pub enum RowRead {
    /// The values, in the order of the keys.
    Cells(Box<[Cell]>),
    /// The pickle of a record that has to be made to know its values, or why there is none. `None`
    /// if it has to be read alone: the pickles of one piece would take too much memory.
    Apart(Option<Result<Vec<u8>>>),
    /// Storage holds nothing there.
    Gone,
}

/// What is gathered of records while they are read.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The names under which they hold configured data.
    pub names: BTreeSet<String>,
    /// The times of rows of a store of the core, with the sizes of their stored values.
    pub sizes: Vec<(i64, usize)>,
}

/// Reads the rows at `times`, ascending, from one snapshot of a store of the core; `among` tells
/// how many rows lie between the first and the last of them. Large values may end the piece early:
/// then the result is shorter than `times`. `gathered` takes names and sizes.
///
/// # Errors
/// Those of [`Store::scan`](crate::store::Store::scan).
pub fn read_rows(
    storage: &Storage,
    selection: &Selection,
    times: &[i64],
    among: usize,
    gathered: Option<&Mutex<Gathered>>,
) -> Result<Vec<RowRead>> {
    let mut bytes = Vec::new();
    let mut places: Vec<Option<Range<usize>>> = vec![None; times.len()];
    let mut read = times.len();
    storage.read_many(times, among, |at, value| {
        let start = bytes.len();
        bytes.extend_from_slice(value);
        if let Some(place) = places.get_mut(at) {
            *place = Some(start..bytes.len());
        }
        if bytes.len() < PIECE_BYTES {
            return ControlFlow::Continue(());
        }
        read = at + 1;
        ControlFlow::Break(())
    })?;
    places.truncate(read);
    if let Some(gathered) = gathered {
        let sizes = times.iter().zip(&places);
        let sizes = sizes.filter_map(|(time, place)| Some((*time, place.as_ref()?.len())));
        gathered.lock().unwrap_or_else(PoisonError::into_inner).sizes.extend(sizes);
    }
    Ok(in_shares(&places, |share| {
        let mut picker = selection.picker();
        let mut scratch = Vec::new();
        let mut room = PIECE_BYTES;
        let mut read = |place: &Option<Range<usize>>| {
            let Some(place) = place else { return RowRead::Gone };
            let pickle = match gzip::decode_stored(&bytes[place.clone()], &mut scratch) {
                Ok(pickle) => pickle,
                Err(error) => return RowRead::Apart(Some(Err(error))),
            };
            if let Some(cells) = picker.pick(pickle) {
                return RowRead::Cells(cells);
            }
            let fits = room >= pickle.len();
            room = room.saturating_sub(pickle.len());
            RowRead::Apart(fits.then(|| Ok(pickle.to_vec())))
        };
        let rows = share.iter().map(&mut read).collect();
        if let Some(gathered) = gathered {
            let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
            gathered.names.append(&mut picker.names());
        }
        rows
    }))
}
