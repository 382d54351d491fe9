//! A pickle virtual machine that builds a [`Tree`] and executes nothing.
//!
//! It reads protocols 0 to 5 as Python does for plain data: where Python would import a name or
//! make a call, it notes the name or the call. Persistent ids, the extension registry,
//! out-of-band buffers and old-style instances are refused. Time and memory are proportional to
//! the length of the pickle, whatever it claims; and so is what making the objects takes, whatever
//! it refers to over and over.

mod build;
mod text;

use super::gzip::MAX_DECODED;
use super::opcode as op;
use super::tree::{self, Items, NodeId, Slot, Tree};
use crate::error::{Error, Result};

const HIGHEST_PROTOCOL: u8 = 5;

/// Protocols below this one use Python 2's module names.
const FIRST_PYTHON_3_PROTOCOL: u8 = 3;

/// How much work making the objects may take, for each byte of the pickle, and for so many more.
/// References make it more than a byte's worth: a key that is used again is hashed again. Python's
/// own pickles of records need less than ten.
const WORK_PER_BYTE: u64 = 64;
const BYTES_BESIDES: u64 = 64;

/// The work of copying a value, where hashing it is 1.
const COPYING: u64 = 8;

/// An index of the memo that holds nothing.
const ABSENT: NodeId = NodeId(u32::MAX);

/// Reads one pickle.
///
/// # Errors
/// [`Error::Decode`] as for [`Reader::read`].
pub fn read(pickle: &[u8]) -> Result<Tree<'_>> {
    Reader::default().read(pickle)
}

/// Reads pickles one after another, reusing the memory.
#[derive(Debug, Default)]
pub struct Reader {
    spare: Tree<'static>,
    stack: Vec<NodeId>,
    marks: Vec<usize>,
    memo: Vec<NodeId>,
}

impl Reader {
    /// A reader that has read nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one pickle. Bytes behind its end are ignored, as Python does.
    ///
    /// # Errors
    /// [`Error::Decode`] if the pickle is damaged, longer than [`MAX_DECODED`], recursive, nested
    /// deeper than [`MAX_DEPTH`](tree::MAX_DEPTH), or asks for what is refused.
    pub fn read<'a>(&mut self, pickle: &'a [u8]) -> Result<Tree<'a>> {
        if pickle.len() > MAX_DECODED {
            return Err(Error::Decode(format!(
                "the pickle is longer than {} MiB",
                MAX_DECODED >> 20
            )));
        }
        self.stack.clear();
        self.marks.clear();
        self.memo.clear();
        let mut machine = Machine {
            pickle,
            rest: pickle,
            tree: std::mem::take(&mut self.spare).recycle(),
            stack: &mut self.stack,
            marks: &mut self.marks,
            fence: 0,
            memo: &mut self.memo,
            memoized: 0,
            protocol: 0,
            work: 0,
        };
        let result = machine.run();
        let position = machine.pickle.len() - machine.rest.len();
        let mut tree = machine.tree;
        match result {
            Ok(root) => {
                tree.root = Some(root);
                Ok(tree)
            }
            Err(cause) => {
                self.reuse(tree);
                Err(Error::Decode(format!("the pickle is refused at byte {position}: {cause}")))
            }
        }
    }

    /// Takes back the memory of a tree that is no longer needed.
    pub fn reuse(&mut self, tree: Tree<'_>) {
        self.spare = tree.recycle();
    }
}

/// Why a pickle is refused, put into words only once.
type Step<T = ()> = Result<T, &'static str>;

struct Machine<'a, 'r> {
    pickle: &'a [u8],
    rest: &'a [u8],
    tree: Tree<'a>,
    stack: &'r mut Vec<NodeId>,
    marks: &'r mut Vec<usize>,
    /// The stack's length at the last mark: nothing below can be popped.
    fence: usize,
    memo: &'r mut Vec<NodeId>,
    /// The number of values in the memo, which is the index that `MEMOIZE` takes.
    memoized: usize,
    protocol: u8,
    /// The work of making the objects so far.
    work: u64,
}

impl<'a> Machine<'a, '_> {
    #[expect(clippy::too_many_lines, reason = "one arm for each opcode")]
    fn run(&mut self) -> Step<NodeId> {
        loop {
            match self.byte()? {
                op::STOP => {
                    let root = self.pop()?;
                    return match self.tree.spelled_out(root) {
                        Some(size) if size > MAX_DECODED as u64 => Err(REPETITIVE),
                        _ => Ok(root),
                    };
                }
                op::PROTO => self.protocol()?,
                op::FRAME => self.frame()?,
                op::MARK => {
                    self.marks.push(self.stack.len());
                    self.fence = self.stack.len();
                }
                op::POP if self.marks.last() == Some(&self.stack.len()) => {
                    self.pop_mark()?;
                }
                op::POP => {
                    self.pop()?;
                }
                op::POP_MARK => {
                    let start = self.pop_mark()?;
                    self.stack.truncate(start);
                }
                op::DUP => {
                    let top = self.top()?;
                    self.push_shared(top);
                }

                op::NONE => self.stack.push(tree::NONE),
                op::NEWTRUE => self.stack.push(tree::TRUE),
                op::NEWFALSE => self.stack.push(tree::FALSE),
                op::BININT1 => {
                    let value = i64::from(self.byte()?);
                    self.number(op::BININT1, Slot::Int(value));
                }
                op::BININT2 => {
                    let value = i64::from(u16::from_le_bytes(self.array()?));
                    self.number(op::BININT2, Slot::Int(value));
                }
                op::BININT => {
                    let value = i64::from(i32::from_le_bytes(self.array()?));
                    self.number(op::BININT, Slot::Int(value));
                }
                op::LONG1 => {
                    let length = usize::from(self.byte()?);
                    self.long(length)?;
                }
                op::LONG4 => {
                    let length = self.length_i32()?;
                    self.long(length)?;
                }
                op::INT => self.int_line()?,
                op::LONG => self.long_line()?,
                op::BINFLOAT => {
                    let value = f64::from_be_bytes(self.array()?);
                    self.number(op::BINFLOAT, Slot::Float(value));
                }
                op::FLOAT => self.float_line()?,

                op::SHORT_BINUNICODE => {
                    let length = usize::from(self.byte()?);
                    self.text(length)?;
                }
                op::BINUNICODE => {
                    let length = self.length_u32()?;
                    self.text(length)?;
                }
                op::BINUNICODE8 => {
                    let length = self.length_u64()?;
                    self.text(length)?;
                }
                op::UNICODE => self.unicode_line()?,
                op::SHORT_BINSTRING => {
                    let length = usize::from(self.byte()?);
                    self.ascii(length)?;
                }
                op::BINSTRING => {
                    let length = self.length_i32()?;
                    self.ascii(length)?;
                }
                op::STRING => self.string_line()?,
                op::SHORT_BINBYTES => {
                    let length = usize::from(self.byte()?);
                    let bytes = self.take(length)?;
                    self.push(Slot::Bytes(bytes));
                }
                op::BINBYTES => {
                    let length = self.length_u32()?;
                    let bytes = self.take(length)?;
                    self.push(Slot::Bytes(bytes));
                }
                op::BINBYTES8 => {
                    let length = self.length_u64()?;
                    let bytes = self.take(length)?;
                    self.push(Slot::Bytes(bytes));
                }
                op::BYTEARRAY8 => {
                    let length = self.length_u64()?;
                    let bytes = self.take(length)?;
                    self.push(Slot::ByteArray(bytes));
                }

                op::EMPTY_TUPLE => self.stack.push(tree::EMPTY_TUPLE),
                op::TUPLE1 => self.collect_top(1, Slot::Tuple)?,
                op::TUPLE2 => self.collect_top(2, Slot::Tuple)?,
                op::TUPLE3 => self.collect_top(3, Slot::Tuple)?,
                op::TUPLE => self.collect_marked(Slot::Tuple)?,
                op::EMPTY_LIST => self.collect_top(0, Slot::List)?,
                op::LIST => self.collect_marked(Slot::List)?,
                op::EMPTY_DICT => self.collect_top(0, Slot::Dict)?,
                op::DICT => {
                    let start = self.marks.last().copied().ok_or(NO_MARK)?;
                    even(self.stack.len() - start)?;
                    self.hash(start, 2)?;
                    self.collect_marked(Slot::Dict)?;
                }
                op::EMPTY_SET => self.collect_top(0, Slot::Set)?,
                op::FROZENSET => {
                    let start = self.marks.last().copied().ok_or(NO_MARK)?;
                    self.hash(start, 1)?;
                    self.collect_marked(Slot::FrozenSet)?;
                }
                op::APPEND => {
                    let start = self.above(1)?;
                    self.append(start)?;
                }
                op::APPENDS => {
                    let start = self.pop_mark()?;
                    self.append(start)?;
                }
                op::SETITEM => {
                    let start = self.above(2)?;
                    self.set_items(start)?;
                }
                op::SETITEMS => {
                    let start = self.pop_mark()?;
                    self.set_items(start)?;
                }
                op::ADDITEMS => {
                    let start = self.pop_mark()?;
                    self.add_items(start)?;
                }

                op::MEMOIZE => self.put(self.memoized)?,
                op::BINPUT => {
                    let index = usize::from(self.byte()?);
                    self.put(index)?;
                }
                op::LONG_BINPUT => {
                    let index = self.length_u32()?;
                    self.put(index)?;
                }
                op::PUT => {
                    let index = self.index_line()?;
                    self.put(index)?;
                }
                op::BINGET => {
                    let index = usize::from(self.byte()?);
                    self.get(index)?;
                }
                op::LONG_BINGET => {
                    let index = self.length_u32()?;
                    self.get(index)?;
                }
                op::GET => {
                    let index = self.index_line()?;
                    self.get(index)?;
                }

                op::GLOBAL => self.global_lines()?,
                op::STACK_GLOBAL => self.stack_global()?,
                op::REDUCE => {
                    let args = self.pop()?;
                    let callable = self.pop()?;
                    self.call(callable, args, None, false)?;
                }
                op::NEWOBJ => {
                    let args = self.pop()?;
                    let callable = self.pop()?;
                    self.call(callable, args, None, true)?;
                }
                op::NEWOBJ_EX => {
                    let kwargs = self.pop()?;
                    let args = self.pop()?;
                    let callable = self.pop()?;
                    self.call(callable, args, Some(kwargs), true)?;
                }
                op::BUILD => self.build()?,

                op::PERSID | op::BINPERSID => return Err("it uses persistent ids"),
                op::EXT1 | op::EXT2 | op::EXT4 => return Err("it uses the extension registry"),
                op::INST | op::OBJ => return Err("it holds an old-style instance"),
                op::NEXT_BUFFER | op::READONLY_BUFFER => {
                    return Err("it uses out-of-band buffers");
                }
                _ => return Err("this is no opcode"),
            }
        }
    }

    // The bytes.

    fn byte(&mut self) -> Step<u8> {
        let (&byte, rest) = self.rest.split_first().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk::<N>().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(*array)
    }

    fn take(&mut self, length: usize) -> Step<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn length_u32(&mut self) -> Step<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| TRUNCATED)
    }

    fn length_i32(&mut self) -> Step<usize> {
        usize::try_from(i32::from_le_bytes(self.array()?)).map_err(|_| "a length is negative")
    }

    fn length_u64(&mut self) -> Step<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| TRUNCATED)
    }

    fn line(&mut self) -> Step<&'a [u8]> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or(TRUNCATED)?;
        self.take(end + 1).map(|line| &line[..end])
    }

    fn protocol(&mut self) -> Step {
        self.protocol = self.byte()?;
        if self.protocol > HIGHEST_PROTOCOL {
            return Err("its protocol is newer than 5");
        }
        Ok(())
    }

    fn frame(&mut self) -> Step {
        if self.length_u64()? > self.rest.len() { Err(TRUNCATED) } else { Ok(()) }
    }

    // The stack.

    fn push(&mut self, slot: Slot<'a>) {
        let id = self.tree.push(slot);
        self.stack.push(id);
    }

    /// Pushes a number that ends where the machine has come to.
    fn number(&mut self, opcode: u8, slot: Slot<'a>) {
        let end = self.pickle.len() - self.rest.len();
        self.push(slot);
        self.tree.note_number(opcode, end);
    }

    fn pop(&mut self) -> Step<NodeId> {
        if self.stack.len() > self.fence {
            self.stack.pop().ok_or(UNDERFLOW)
        } else {
            Err(UNDERFLOW)
        }
    }

    fn top(&self) -> Step<NodeId> {
        self.above(1).map(|start| self.stack[start])
    }

    /// Where the topmost `count` values start.
    fn above(&self, count: usize) -> Step<usize> {
        if self.stack.len() >= self.fence + count {
            Ok(self.stack.len() - count)
        } else {
            Err(UNDERFLOW)
        }
    }

    /// Removes the last mark; returns where the values above it start.
    fn pop_mark(&mut self) -> Step<usize> {
        let start = self.marks.pop().ok_or(NO_MARK)?;
        self.fence = self.marks.last().copied().unwrap_or(0);
        Ok(start)
    }

    fn collect_marked(&mut self, kind: fn(Items) -> Slot<'a>) -> Step {
        let start = self.pop_mark()?;
        self.collect(start, kind)
    }

    fn collect_top(&mut self, count: usize, kind: fn(Items) -> Slot<'a>) -> Step {
        let start = self.above(count)?;
        self.collect(start, kind)
    }

    fn collect(&mut self, start: usize, kind: fn(Items) -> Slot<'a>) -> Step {
        let items = self.tree.extend(Items::default(), &self.stack[start..])?;
        self.stack.truncate(start);
        self.push(kind(items));
        Ok(())
    }

    // The work.

    /// Counts the work of hashing every `step`th value from `start` on.
    fn hash(&mut self, start: usize, step: usize) -> Step {
        let keys = self.stack[start..].chunks_exact(step);
        let work = keys.map(|key| u64::from(self.tree.size(key[0]))).sum();
        self.spend(work)
    }

    /// Counts the work of copying what a value holds.
    fn copy(&mut self, id: NodeId) -> Step<u32> {
        let weight = self.tree.weight(id);
        self.spend(COPYING * u64::from(weight))?;
        Ok(weight)
    }

    fn spend(&mut self, work: u64) -> Step {
        self.work += work;
        let length = self.pickle.len() as u64;
        if self.work > WORK_PER_BYTE * (length + BYTES_BESIDES) { Err(REPEATED) } else { Ok(()) }
    }

    // The memo.

    fn put(&mut self, index: usize) -> Step {
        let top = self.top()?;
        if index >= self.memo.len() {
            // Every index but the first costs bytes, so an honest one is below the length.
            if index > self.pickle.len() {
                return Err("a memo index is out of range");
            }
            self.memo.resize(index + 1, ABSENT);
        }
        if self.memo[index] == ABSENT {
            self.memoized += 1;
        }
        self.memo[index] = top;
        Ok(())
    }

    fn get(&mut self, index: usize) -> Step {
        let id = self.memo.get(index).copied().filter(|&id| id != ABSENT);
        self.push_shared(id.ok_or("it refers to a value that it does not hold")?);
        Ok(())
    }

    /// Pushes a value once more. A container that has been referenced may not change afterwards:
    /// so no container can come to hold itself, and heights stay true.
    fn push_shared(&mut self, id: NodeId) {
        match &mut self.tree.slots[id.index()] {
            Slot::List(items) | Slot::Dict(items) | Slot::Set(items) => items.shared = true,
            Slot::Call(index) => self.tree.calls[*index as usize].shared = true,
            _ => {}
        }
        self.tree.note_sharing(id);
        self.stack.push(id);
    }
}

const TRUNCATED: &str = "it is truncated";
const UNDERFLOW: &str = "a value is missing";
const NO_MARK: &str = "a mark is missing";
const NO_UTF8: &str = "a text is no UTF-8";
const NO_ASCII: &str = "a Python 2 string is no ASCII";
const REPETITIVE: &str = "its parts occur so often that it spells out to more than 64 MiB";
const RECURSIVE: &str = "a container changes after it was referenced, so it may hold itself";
const REPEATED: &str = "it uses large values over and over";

fn even(count: usize) -> Step {
    if count.is_multiple_of(2) { Ok(()) } else { Err("a dictionary's key lacks its value") }
}
