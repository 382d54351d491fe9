//! Writes what Python's pickler writes at protocol 5, byte for byte.
//!
//! Python stores an object that occurs twice once, by identity. So every method that writes an
//! object takes its `identity`: the address of the Python object, or 0 for one that occurs once.
//! The objects must stay alive until the pickle is finished. What a reduction brings in itself
//! (names of classes, keys of its state) is shared as Python shares its interned texts; only
//! a field that is named like one of them, `getattr` for instance, is written again.

mod reductions;

use super::memo::Memo;
use super::opcode as op;
use crate::error::{Error, Result};

const PROTOCOL: u8 = 5;
const FRAME_HEADER: usize = 9;
/// A frame with less in it is written without its header.
const FRAME_SIZE_MIN: usize = 4;
/// A frame with as much in it ends; a text or bytes as long is written outside of frames.
const FRAME_SIZE_TARGET: usize = 64 * 1024;
/// The most elements or items that one opcode adds.
const BATCH: usize = 1000;

/// The deepest nesting of containers that is written: less than what is read, as a date with time
/// nests some levels itself.
pub const MAX_DEPTH_WRITTEN: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    List,
    Dict,
    Tuple,
}

/// A container whose content is being written.
#[derive(Clone, Copy, Debug)]
struct Open {
    kind: Kind,
    len: usize,
    identity: usize,
    /// The number of values written so far, where a dictionary's pair counts two.
    written: usize,
}

/// Writes one pickle after another into the same buffer.
///
/// ```
/// use eosdb::codec::pickle_write::Writer;
///
/// let mut writer = Writer::new();
/// if writer.begin_dict(1, 0)? {
///     writer.text("power_w", 0);
///     writer.float(310.0);
///     writer.end();
/// }
/// let pickle = writer.finish()?;
/// assert_eq!(pickle, b"\x80\x05\x95\x17\0\0\0\0\0\0\0}\x94\x8c\x07power_w\x94G@s`\0\0\0\0\0s.");
/// # Ok::<(), eosdb::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    frame: usize,
    memo: Memo,
    open: Vec<Open>,
    roots: usize,
    unbalanced: bool,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// A writer at the start of a pickle.
    #[must_use]
    pub fn new() -> Self {
        let mut writer = Self {
            out: Vec::new(),
            frame: 0,
            memo: Memo::new(),
            open: Vec::new(),
            roots: 0,
            unbalanced: false,
        };
        writer.clear();
        writer
    }

    /// Starts the next pickle. The memory is kept.
    pub fn clear(&mut self) {
        self.out.clear();
        self.out.extend_from_slice(&[op::PROTO, PROTOCOL]);
        self.open_frame();
        self.memo.clear();
        self.open.clear();
        self.roots = 0;
        self.unbalanced = false;
    }

    /// Ends the pickle and returns it. Call [`clear`](Self::clear) before you write the next one.
    ///
    /// # Errors
    /// [`Error::Encode`] unless exactly one value was written, with as many elements in each
    /// container as it was begun with.
    pub fn finish(&mut self) -> Result<&[u8]> {
        if self.unbalanced || self.roots != 1 || !self.open.is_empty() {
            return Err(Error::Encode("the pickle is not one complete value".to_owned()));
        }
        self.out.push(op::STOP);
        self.close_frame();
        Ok(&self.out)
    }

    /// Writes `None`.
    pub fn none(&mut self) {
        self.boundary();
        self.out.push(op::NONE);
        self.completed();
    }

    /// Writes a `bool`.
    pub fn bool(&mut self, value: bool) {
        self.boundary();
        self.out.push(if value { op::NEWTRUE } else { op::NEWFALSE });
        self.completed();
    }

    /// Writes an `int` of up to 64 bits.
    pub fn int(&mut self, value: i64) {
        self.raw_int(value);
        self.completed();
    }

    /// Writes an `int` of any size, in little-endian two's complement.
    ///
    /// # Errors
    /// [`Error::Encode`] if it has 2 GiB or more.
    pub fn big_int(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let [head @ .., before, last] = bytes {
            if *last != (if before & 0x80 == 0 { 0 } else { 0xff }) {
                break;
            }
            bytes = &bytes[..=head.len()];
        }
        if let Some(value) = small(bytes) {
            self.int(value);
            return Ok(());
        }
        self.boundary();
        if let Ok(length) = u8::try_from(bytes.len()) {
            self.out.extend_from_slice(&[op::LONG1, length]);
        } else {
            let length = i32::try_from(bytes.len())
                .map_err(|_| Error::Encode("an int of 2 GiB cannot be pickled".to_owned()))?;
            self.out.push(op::LONG4);
            self.out.extend_from_slice(&length.to_le_bytes());
        }
        self.out.extend_from_slice(bytes);
        self.completed();
        Ok(())
    }

    /// Writes a `float`.
    pub fn float(&mut self, value: f64) {
        self.boundary();
        self.out.push(op::BINFLOAT);
        self.out.extend_from_slice(&value.to_be_bytes());
        self.completed();
    }

    /// Writes a `str`.
    pub fn text(&mut self, value: &str, identity: usize) {
        self.raw_text(value, identity);
        self.completed();
    }

    /// Writes a `bytes`.
    pub fn bytes(&mut self, value: &[u8], identity: usize) {
        self.raw_bytes(value, identity);
        self.completed();
    }

    /// Begins a `list` of `len` elements.
    ///
    /// Returns whether the elements are to be written, followed by [`end`](Self::end). If not, the
    /// list is complete: it is empty, or its identity was written before.
    ///
    /// # Errors
    /// [`Error::Encode`] if it is nested deeper than [`MAX_DEPTH_WRITTEN`].
    pub fn begin_list(&mut self, len: usize, identity: usize) -> Result<bool> {
        self.begin(Kind::List, len, identity)
    }

    /// Begins a `dict` of `len` pairs; otherwise like [`begin_list`](Self::begin_list). Each pair
    /// is a key and a value.
    ///
    /// # Errors
    /// [`Error::Encode`] if it is nested deeper than [`MAX_DEPTH_WRITTEN`].
    pub fn begin_dict(&mut self, len: usize, identity: usize) -> Result<bool> {
        self.begin(Kind::Dict, len, identity)
    }

    /// Begins a `tuple` of `len` elements; otherwise like [`begin_list`](Self::begin_list).
    ///
    /// # Errors
    /// [`Error::Encode`] if it is nested deeper than [`MAX_DEPTH_WRITTEN`].
    pub fn begin_tuple(&mut self, len: usize, identity: usize) -> Result<bool> {
        self.begin(Kind::Tuple, len, identity)
    }

    /// Ends the container that was begun last.
    pub fn end(&mut self) {
        let Some(Open { kind, len, identity, written }) = self.open.pop() else {
            self.unbalanced = true;
            return;
        };
        self.unbalanced |= written != if kind == Kind::Dict { 2 * len } else { len };
        if kind == Kind::Tuple {
            self.end_tuple(len, identity);
        }
        self.completed();
    }

    // Containers.

    fn begin(&mut self, kind: Kind, len: usize, identity: usize) -> Result<bool> {
        self.boundary();
        if kind == Kind::Tuple && len == 0 {
            self.out.push(op::EMPTY_TUPLE);
            self.completed();
            return Ok(false);
        }
        if self.seen(identity) {
            self.completed();
            return Ok(false);
        }
        if self.open.len() >= MAX_DEPTH_WRITTEN {
            return Err(Error::Encode(format!(
                "the value is nested deeper than {MAX_DEPTH_WRITTEN} levels"
            )));
        }
        match kind {
            Kind::List => self.memoize(op::EMPTY_LIST, identity),
            Kind::Dict => self.memoize(op::EMPTY_DICT, identity),
            Kind::Tuple if len > 3 => self.out.push(op::MARK),
            Kind::Tuple => {}
        }
        if len == 0 {
            self.completed();
            return Ok(false);
        }
        if kind != Kind::Tuple && len > 1 {
            self.out.push(op::MARK);
        }
        self.open.push(Open { kind, len, identity, written: 0 });
        Ok(true)
    }

    fn end_tuple(&mut self, len: usize, identity: usize) {
        // A tuple that holds itself, by way of a list, is known by now: Python drops the elements.
        if let Some(index) = self.memo.find(identity) {
            if len > 3 {
                self.out.push(op::POP_MARK);
            } else {
                self.out.extend(std::iter::repeat_n(op::POP, len));
            }
            self.get_index(index);
            return;
        }
        let opcode = match len {
            1 => op::TUPLE1,
            2 => op::TUPLE2,
            3 => op::TUPLE3,
            _ => op::TUPLE,
        };
        self.memoize(opcode, identity);
    }

    /// Notes that a value is complete, which may complete a batch of its container.
    fn completed(&mut self) {
        let Some(open) = self.open.last_mut() else {
            self.roots += 1;
            return;
        };
        open.written += 1;
        let (add_one, add_batch) = match open.kind {
            Kind::Tuple => return,
            Kind::List => (op::APPEND, op::APPENDS),
            Kind::Dict => (op::SETITEM, op::SETITEMS),
        };
        let per_element = if open.kind == Kind::Dict { 2 } else { 1 };
        if !open.written.is_multiple_of(per_element) {
            return;
        }
        let elements = open.written / per_element;
        if open.len == 1 {
            self.out.push(add_one);
        } else if elements == open.len {
            self.out.push(add_batch);
            // Python looks for one batch more after a full one of a dictionary.
            if open.kind == Kind::Dict && elements.is_multiple_of(BATCH) {
                self.out.extend_from_slice(&[op::MARK, op::SETITEMS]);
            }
        } else if elements.is_multiple_of(BATCH) {
            self.out.extend_from_slice(&[add_batch, op::MARK]);
        }
    }

    // Values without regard to the container they are in.

    fn raw_int(&mut self, value: i64) {
        self.boundary();
        if let Ok(value) = u8::try_from(value) {
            self.out.extend_from_slice(&[op::BININT1, value]);
        } else if let Ok(value) = u16::try_from(value) {
            let [low, high] = value.to_le_bytes();
            self.out.extend_from_slice(&[op::BININT2, low, high]);
        } else if let Ok(value) = i32::try_from(value) {
            let [b0, b1, b2, b3] = value.to_le_bytes();
            self.out.extend_from_slice(&[op::BININT, b0, b1, b2, b3]);
        } else {
            let bytes = value.to_le_bytes();
            let magnitude = if value < 0 { !value } else { value };
            let length = (64 - magnitude.leading_zeros()) / 8 + 1;
            self.out.extend_from_slice(&[op::LONG1, length.to_le_bytes()[0]]);
            self.out.extend_from_slice(&bytes[..length as usize]);
        }
    }

    fn raw_text(&mut self, value: &str, identity: usize) {
        let codes = (op::SHORT_BINUNICODE, op::BINUNICODE, op::BINUNICODE8);
        self.literal(value.as_bytes(), identity, codes);
    }

    fn raw_bytes(&mut self, value: &[u8], identity: usize) {
        self.literal(value, identity, (op::SHORT_BINBYTES, op::BINBYTES, op::BINBYTES8));
    }

    /// Bytes behind their length, with the opcodes for a length of one, four and eight bytes.
    fn literal(&mut self, value: &[u8], identity: usize, (short, long, huge): (u8, u8, u8)) {
        if self.seen(identity) {
            return;
        }
        let outside_of_frames = value.len() >= FRAME_SIZE_TARGET;
        if outside_of_frames {
            self.close_frame();
        }
        if let Ok(length) = u8::try_from(value.len()) {
            self.out.extend_from_slice(&[short, length]);
        } else if let Ok(length) = u32::try_from(value.len()) {
            self.out.push(long);
            self.out.extend_from_slice(&length.to_le_bytes());
        } else {
            self.out.push(huge);
            self.out.extend_from_slice(&(value.len() as u64).to_le_bytes());
        }
        self.out.extend_from_slice(value);
        if outside_of_frames {
            self.open_frame();
        }
        self.memoize_top(identity);
    }

    // The memo.

    /// Writes a reference if the identity was written before; starts a value either way.
    fn seen(&mut self, identity: usize) -> bool {
        self.boundary();
        let Some(index) = self.memo.find(identity) else { return false };
        self.get_index(index);
        true
    }

    fn get(&mut self, index: u32) {
        self.boundary();
        self.get_index(index);
    }

    fn get_index(&mut self, index: u32) {
        if let Ok(index) = u8::try_from(index) {
            self.out.extend_from_slice(&[op::BINGET, index]);
        } else {
            self.out.push(op::LONG_BINGET);
            self.out.extend_from_slice(&index.to_le_bytes());
        }
    }

    fn memoize(&mut self, opcode: u8, identity: usize) {
        self.out.push(opcode);
        self.memoize_top(identity);
    }

    fn memoize_top(&mut self, identity: usize) {
        self.out.push(op::MEMOIZE);
        self.memo.add(identity);
    }

    // Frames.

    fn open_frame(&mut self) {
        self.frame = self.out.len();
        self.out.extend_from_slice(&[op::FRAME, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    fn close_frame(&mut self) {
        let start = self.frame + FRAME_HEADER;
        let length = self.out.len() - start;
        if length < FRAME_SIZE_MIN {
            self.out.drain(self.frame..start);
        } else {
            self.out[self.frame + 1..start].copy_from_slice(&(length as u64).to_le_bytes());
        }
    }

    /// Before each value: a frame that is full ends here.
    fn boundary(&mut self) {
        if self.out.len() - self.frame >= FRAME_HEADER + FRAME_SIZE_TARGET {
            self.close_frame();
            self.open_frame();
        }
    }
}

/// A two's complement integer that fits 64 bits.
fn small(bytes: &[u8]) -> Option<i64> {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut word = if negative { [0xff; 8] } else { [0; 8] };
    word.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(word))
}
