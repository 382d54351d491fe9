//! What a pickle describes, as an arena of nodes. Nothing in it has been executed.
//!
//! The arena is a directed acyclic graph: values that Python shared are one node with several
//! parents. The reader refuses cycles and nesting deeper than [`MAX_DEPTH`], so recursion over
//! children ends. A small pickle can describe exponentially many paths, though: a consumer that
//! builds objects keeps one per [`NodeId`], which also keeps Python's sharing. What shows or copies
//! the objects later does not: so the reader also bounds [`Tree::spelled_out`].

use super::number_place::NumberPlace;
use crate::error::{Error, Result};

/// The deepest nesting of containers and calls that is read.
pub const MAX_DEPTH: u8 = 128;

/// Texts from this length on, in bytes, are large enough to be counted where they repeat.
const LARGE: usize = 256;

/// A node of one [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub(super) u32);

impl NodeId {
    /// The node's place in its tree, below [`Tree::len`]: an index for side tables.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One value, as the pickle describes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node<'t> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An `int` of up to 64 bits.
    Int(i64),
    /// A larger `int`: little-endian two's complement without needless bytes.
    BigInt(&'t [u8]),
    /// A `float`.
    Float(f64),
    /// A `str`.
    Str(&'t str),
    /// A `bytes`.
    Bytes(&'t [u8]),
    /// A `bytearray`.
    ByteArray(&'t [u8]),
    /// A `list`.
    List(&'t [NodeId]),
    /// A `tuple`.
    Tuple(&'t [NodeId]),
    /// A `dict`, in the order of the pickle. Of equal keys the last one counts.
    Dict(&'t [[NodeId; 2]]),
    /// A `set`. Its elements may repeat.
    Set(&'t [NodeId]),
    /// A `frozenset`. Its elements may repeat.
    FrozenSet(&'t [NodeId]),
    /// A class or function by name. It was not imported.
    Global {
        /// The module, where Python 2's `__builtin__` reads as `builtins`.
        module: &'t str,
        /// The qualified name within it.
        name: &'t str,
    },
    /// A call that would make an object. It was not made.
    Call(Call<'t>),
}

/// A call that a pickle asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call<'t> {
    /// What would be called.
    pub callable: NodeId,
    /// Its positional arguments, a [`Node::Tuple`].
    pub args: NodeId,
    /// Its keyword arguments, a [`Node::Dict`].
    pub kwargs: Option<NodeId>,
    /// Whether the callable is a class whose `__new__` alone would be called.
    pub new: bool,
    /// The state that `__setstate__` or the instance's `__dict__` would get.
    pub state: Option<NodeId>,
    /// The pairs that the object would be assigned, as in `object[key] = value`.
    pub items: &'t [[NodeId; 2]],
    /// The elements that the object would be extended by.
    pub elements: &'t [NodeId],
}

/// A run of children in the arena.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Items {
    start: u32,
    len: u32,
    capacity: u32,
    /// How many values there are below, each as often as it is referenced; at most `u32::MAX`.
    size: u32,
    /// The longest way down to a leaf.
    pub(super) height: u8,
    /// Whether the container has been referenced other than by its creation.
    pub(super) shared: bool,
}

impl Items {
    /// No children.
    pub(super) fn empty() -> Self {
        Self { height: 1, ..Self::default() }
    }

    /// The same children for a node of its own, which moves before it grows.
    pub(super) fn frozen(self) -> Self {
        Self { capacity: self.len, shared: false, ..self }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Slot<'a> {
    None,
    Bool(bool),
    Int(i64),
    BigInt(&'a [u8]),
    Float(f64),
    Str(&'a str),
    OwnedStr(u32),
    Bytes(&'a [u8]),
    OwnedBytes(u32),
    ByteArray(&'a [u8]),
    OwnedByteArray(u32),
    List(Items),
    Tuple(Items),
    Dict(Items),
    Set(Items),
    FrozenSet(Items),
    Global { module: NodeId, name: NodeId },
    Call(u32),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct CallSlot {
    pub(super) callable: NodeId,
    pub(super) args: NodeId,
    pub(super) kwargs: Option<NodeId>,
    pub(super) new: bool,
    pub(super) state: Option<NodeId>,
    pub(super) items: Items,
    pub(super) elements: Items,
    /// As that of [`Items`].
    pub(super) size: u32,
    pub(super) height: u8,
    pub(super) shared: bool,
}

/// The values of one pickle that was read by [`Reader::read`](super::pickle_read::Reader::read).
#[derive(Debug, Default)]
pub struct Tree<'a> {
    pub(super) slots: Vec<Slot<'a>>,
    pub(super) children: Vec<NodeId>,
    pub(super) calls: Vec<CallSlot>,
    texts: Vec<String>,
    blobs: Vec<Vec<u8>>,
    pub(super) root: Option<NodeId>,
    /// The numbers of fixed width, in the order of their nodes.
    numbers: Vec<(NodeId, NumberPlace)>,
    /// Whether a value that is a number, or may hold one, was referenced twice.
    shares_numbers: bool,
    /// Whether a value that may be large was referenced twice.
    shares_large: bool,
}

/// The values that need no node of their own.
pub(super) const NONE: NodeId = NodeId(0);
pub(super) const FALSE: NodeId = NodeId(1);
pub(super) const TRUE: NodeId = NodeId(2);
pub(super) const EMPTY_TUPLE: NodeId = NodeId(3);

impl<'a> Tree<'a> {
    /// The value that was pickled.
    #[must_use]
    pub fn root(&self) -> NodeId {
        self.root.unwrap_or(NONE)
    }

    /// The number of nodes; every [`NodeId::index`] is below it.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a tree always has a root")]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The value of a node of this tree.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Node<'_> {
        match self.slots[id.index()] {
            Slot::None => Node::None,
            Slot::Bool(value) => Node::Bool(value),
            Slot::Int(value) => Node::Int(value),
            Slot::BigInt(value) => Node::BigInt(value),
            Slot::Float(value) => Node::Float(value),
            Slot::Str(text) => Node::Str(text),
            Slot::OwnedStr(index) => Node::Str(&self.texts[index as usize]),
            Slot::Bytes(bytes) => Node::Bytes(bytes),
            Slot::OwnedBytes(index) => Node::Bytes(&self.blobs[index as usize]),
            Slot::ByteArray(bytes) => Node::ByteArray(bytes),
            Slot::OwnedByteArray(index) => Node::ByteArray(&self.blobs[index as usize]),
            Slot::List(items) => Node::List(self.items(items)),
            Slot::Tuple(items) => Node::Tuple(self.items(items)),
            Slot::Dict(items) => Node::Dict(self.pairs(items)),
            Slot::Set(items) => Node::Set(self.items(items)),
            Slot::FrozenSet(items) => Node::FrozenSet(self.items(items)),
            Slot::Global { module, name } => {
                Node::Global { module: self.text(module), name: self.text(name) }
            }
            Slot::Call(index) => Node::Call(self.call(index)),
        }
    }

    /// The pairs of the root dictionary whose keys are text, in the order of the pickle. Of equal
    /// keys the last one counts.
    ///
    /// # Errors
    /// [`Error::Decode`] if the root is no dictionary or a key is no text.
    pub fn fields(&self) -> Result<impl ExactSizeIterator<Item = (&str, NodeId)>> {
        let Node::Dict(pairs) = self.node(self.root()) else {
            return Err(Error::Decode("the value is no dictionary".to_owned()));
        };
        if !pairs.iter().all(|&[key, _]| matches!(self.node(key), Node::Str(_))) {
            return Err(Error::Decode("the dictionary has a key that is no text".to_owned()));
        }
        Ok(pairs.iter().map(|&[key, value]| (self.text(key), value)))
    }

    /// Where the pickle holds a number. `None` if the node is none, is written in digits, or if
    /// any number of the pickle may be more than one value of the tree.
    #[must_use]
    pub fn number_place(&self, id: NodeId) -> Option<NumberPlace> {
        let at = self.numbers.binary_search_by_key(&id.0, |(id, _)| id.0).ok()?;
        (!self.shares_numbers).then(|| self.numbers[at].1)
    }

    pub(super) fn items(&self, items: Items) -> &[NodeId] {
        &self.children[items.start as usize..][..items.len as usize]
    }

    fn pairs(&self, items: Items) -> &[[NodeId; 2]] {
        self.items(items).as_chunks().0
    }

    pub(super) fn call(&self, index: u32) -> Call<'_> {
        let call = &self.calls[index as usize];
        Call {
            callable: call.callable,
            args: call.args,
            kwargs: call.kwargs,
            new: call.new,
            state: call.state,
            items: self.pairs(call.items),
            elements: self.items(call.elements),
        }
    }

    fn text(&self, id: NodeId) -> &str {
        match self.slots[id.index()] {
            Slot::Str(text) => text,
            Slot::OwnedStr(index) => &self.texts[index as usize],
            _ => "",
        }
    }

    /// An empty tree that keeps the capacity of this one, for a pickle of another lifetime.
    pub(super) fn recycle<'b>(self) -> Tree<'b> {
        let Self { mut slots, mut children, mut calls, mut numbers, .. } = self;
        slots.clear();
        children.clear();
        calls.clear();
        numbers.clear();
        // Collecting a mapped vector of the same layout keeps its allocation.
        let mut slots: Vec<Slot<'b>> = slots.into_iter().map_while(|_| None).collect();
        slots.extend([
            Slot::None,
            Slot::Bool(false),
            Slot::Bool(true),
            Slot::Tuple(Items::empty()),
        ]);
        Tree { slots, children, calls, numbers, ..Tree::default() }
    }

    /// Adds a node. There are fewer nodes than bytes in the pickle, whose number fits 32 bits.
    #[expect(clippy::cast_possible_truncation, reason = "pickles are at most MAX_DECODED long")]
    pub(super) fn push(&mut self, slot: Slot<'a>) -> NodeId {
        let id = NodeId(self.slots.len() as u32);
        self.slots.push(slot);
        id
    }

    #[expect(clippy::cast_possible_truncation, reason = "pickles are at most MAX_DECODED long")]
    pub(super) fn push_text(&mut self, text: String) -> NodeId {
        self.texts.push(text);
        self.push(Slot::OwnedStr(self.texts.len() as u32 - 1))
    }

    /// Keeps bytes that the pickle does not hold literally, for a slot that names them.
    #[expect(clippy::cast_possible_truncation, reason = "pickles are at most MAX_DECODED long")]
    pub(super) fn keep_bytes(&mut self, bytes: Vec<u8>) -> u32 {
        self.blobs.push(bytes);
        self.blobs.len() as u32 - 1
    }

    #[expect(clippy::cast_possible_truncation, reason = "pickles are at most MAX_DECODED long")]
    pub(super) fn push_call(&mut self, call: CallSlot) -> NodeId {
        self.calls.push(call);
        self.push(Slot::Call(self.calls.len() as u32 - 1))
    }

    /// Notes that the last node is a number, which `opcode` wrote up to `end`.
    #[expect(clippy::cast_possible_truncation, reason = "pickles are at most MAX_DECODED long")]
    pub(super) fn note_number(&mut self, opcode: u8, end: usize) {
        let id = NodeId(self.slots.len() as u32 - 1);
        self.numbers.push((id, NumberPlace::new(opcode, end)));
    }

    /// Notes that a node was referenced once more.
    pub(super) fn note_sharing(&mut self, id: NodeId) {
        self.shares_numbers |= !matches!(
            self.slots[id.index()],
            Slot::None | Slot::Bool(_) | Slot::Str(_) | Slot::OwnedStr(_) | Slot::Global { .. }
        );
        self.shares_large |= match self.slots[id.index()] {
            Slot::Str(text) => text.len() >= LARGE,
            Slot::None | Slot::Bool(_) | Slot::Int(_) | Slot::Float(_) | Slot::Global { .. } => {
                false
            }
            _ => true,
        };
    }

    /// How large the value is where every part counts as often as it occurs, in nodes and bytes.
    /// `None` if no part of any size occurs twice: then it is no larger than the pickle.
    pub(super) fn spelled_out(&self, root: NodeId) -> Option<u64> {
        self.shares_large.then(|| self.size_below(root, &mut vec![0; self.slots.len()]))
    }

    /// The size of a node, which is at least 1; `known` has those that were found before.
    fn size_below(&self, id: NodeId, known: &mut [u64]) -> u64 {
        if known[id.index()] > 0 {
            return known[id.index()];
        }
        let mut sum = |ids: &[NodeId]| {
            ids.iter().fold(0, |sum: u64, id| sum.saturating_add(self.size_below(*id, known)))
        };
        let below = match self.node(id) {
            Node::Str(text) => text.len() as u64,
            Node::Bytes(bytes) | Node::ByteArray(bytes) | Node::BigInt(bytes) => bytes.len() as u64,
            Node::List(ids) | Node::Tuple(ids) | Node::Set(ids) | Node::FrozenSet(ids) => sum(ids),
            Node::Dict(pairs) => sum(pairs.as_flattened()),
            Node::Call(call) => [call.callable, call.args]
                .iter()
                .chain(&call.kwargs)
                .chain(&call.state)
                .chain(call.items.as_flattened())
                .chain(call.elements)
                .fold(0, |size: u64, id| size.saturating_add(sum(&[*id]))),
            Node::None | Node::Bool(_) | Node::Int(_) | Node::Float(_) | Node::Global { .. } => 0,
        };
        known[id.index()] = below.saturating_add(1);
        known[id.index()]
    }

    /// The longest way from a node down to a leaf.
    pub(super) fn height(&self, id: NodeId) -> u8 {
        self.height_and_inside(id).0
    }

    /// How many values a node is if every reference is written out.
    pub(super) fn size(&self, id: NodeId) -> u32 {
        self.height_and_inside(id).1.saturating_add(1)
    }

    fn height_and_inside(&self, id: NodeId) -> (u8, u32) {
        match self.slots[id.index()] {
            Slot::List(items)
            | Slot::Tuple(items)
            | Slot::Dict(items)
            | Slot::Set(items)
            | Slot::FrozenSet(items) => (items.height, items.size),
            Slot::Call(index) => {
                let call = &self.calls[index as usize];
                (call.height, call.size)
            }
            _ => (0, 0),
        }
    }

    /// How much a call with these arguments, or a state, may copy: their values, and the bytes of
    /// those that are text or bytes themselves.
    pub(super) fn weight(&self, id: NodeId) -> u32 {
        let (Slot::Tuple(items) | Slot::Dict(items)) = self.slots[id.index()] else {
            return self.size(id);
        };
        let bytes = |id: &NodeId| match self.slots[id.index()] {
            Slot::Str(text) => text.len(),
            Slot::OwnedStr(index) => self.texts[index as usize].len(),
            Slot::Bytes(bytes) | Slot::ByteArray(bytes) | Slot::BigInt(bytes) => bytes.len(),
            Slot::OwnedBytes(index) | Slot::OwnedByteArray(index) => {
                self.blobs[index as usize].len()
            }
            _ => 0,
        };
        let all: usize = self.items(items).iter().map(bytes).sum();
        items.size.saturating_add(u32::try_from(all).unwrap_or(u32::MAX))
    }

    /// The height of a parent of these nodes, or the reason why there can be none.
    pub(super) fn height_above(&self, children: &[NodeId]) -> Result<u8, &'static str> {
        let below = children.iter().map(|&id| self.height(id)).max().unwrap_or(0);
        above(below)
    }

    /// `items` with `new` behind them. The run moves to the end of the arena when something else
    /// follows it; it then doubles its room, so that all moves together cost linear time.
    #[expect(clippy::cast_possible_truncation, reason = "pickles are at most MAX_DECODED long")]
    pub(super) fn extend(
        &mut self,
        mut items: Items,
        new: &[NodeId],
    ) -> Result<Items, &'static str> {
        let (mut below, mut more) = (0, 0_u32);
        for id in new {
            // Most values hold no others.
            let (height, inside) = self.height_and_inside(*id);
            below = below.max(height);
            more = more.saturating_add(inside);
        }
        items.height = items.height.max(above(below)?);
        items.size = items.size.saturating_add(new.len() as u32).saturating_add(more);
        let end = (items.start + items.len) as usize;
        if items.len + new.len() as u32 <= items.capacity {
            self.children[end..end + new.len()].copy_from_slice(new);
        } else if end == self.children.len() || items.len == 0 {
            if items.len == 0 {
                items.start = self.children.len() as u32;
            }
            self.children.extend_from_slice(new);
            items.capacity = items.len + new.len() as u32;
        } else {
            let old = items.start as usize..end;
            items.start = self.children.len() as u32;
            items.capacity = 2 * items.len + new.len() as u32;
            self.children.extend_from_within(old);
            self.children.extend_from_slice(new);
            self.children.resize((items.start + items.capacity) as usize, NONE);
        }
        items.len += new.len() as u32;
        Ok(items)
    }
}

/// The height of a parent of nodes of at most the height `below`.
fn above(below: u8) -> Result<u8, &'static str> {
    if below >= MAX_DEPTH { Err("it is nested too deeply") } else { Ok(below + 1) }
}
