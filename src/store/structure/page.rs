//! One page of an LMDB file: its header, its nodes, and whether they lie where LMDB may follow them.

use std::cmp::Ordering;

/// A number as wide as a pointer, as LMDB writes page numbers, sizes and transactions.
pub(super) const WORD: usize = size_of::<usize>();

/// A page's number, two bytes of padding, its flags and two bounds, of 16 bits each.
pub(super) const HEADER: usize = WORD + 8;

/// A node's size or page in three parts, and the size of its key, of 16 bits each.
const NODE_HEADER: usize = 8;

/// The longest key that LMDB accepts.
pub(super) const MAX_KEY: usize = 511;

/// Flags of pages.
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;

/// Flags of nodes.
const BIG_DATA: u16 = 0x01;
const SUB_DATABASE: u16 = 0x02;

/// What is wrong with a page or what refers to it.
pub(super) type Flaw = String;

/// What a page is expected to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Branch,
    Leaf,
}

/// The order of keys in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyOrder {
    Bytes,
    /// Keys are numbers as wide as a pointer: the list of free pages.
    Numbers,
}

impl KeyOrder {
    pub(super) fn compare(self, left: &[u8], right: &[u8]) -> Ordering {
        match self {
            Self::Bytes => left.cmp(right),
            Self::Numbers => word(left, 0).cmp(&word(right, 0)),
        }
    }

    fn accepts(self, key: &[u8]) -> bool {
        match self {
            Self::Bytes => (1..=MAX_KEY).contains(&key.len()),
            Self::Numbers => key.len() == WORD,
        }
    }
}

/// What a node of a leaf holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data<'page> {
    /// A value.
    Here(&'page [u8]),
    /// A value of this size on pages of its own, from this one on.
    Elsewhere { page: usize, size: usize },
    /// The description of a named database.
    SubDatabase(&'page [u8]),
}

/// A page whose nodes all lie inside it, apart from one another.
pub(super) struct Page<'page> {
    bytes: &'page [u8],
    kind: Kind,
}

impl<'page> Page<'page> {
    /// The page of this number, if it is one of that kind and sound.
    pub(super) fn new(
        bytes: &'page [u8],
        number: usize,
        kind: Kind,
        order: KeyOrder,
    ) -> Result<Self, Flaw> {
        let flags = match kind {
            Kind::Branch => BRANCH,
            Kind::Leaf => LEAF,
        };
        check_header(bytes, number, flags)?;
        let page = Self { bytes, kind };
        let (lower, upper) = (page.lower(), page.upper());
        if lower < HEADER || !lower.is_multiple_of(2) || lower > upper || upper > bytes.len() {
            return Err(format!("its free space is said to be [{lower}, {upper})"));
        }
        // A tree needs two ways to go; only in the list of free pages there may be one for a while.
        if page.len() < usize::from(kind == Kind::Branch && order == KeyOrder::Bytes) + 1 {
            return Err(format!("it has {} nodes", page.len()));
        }
        page.check_nodes(order)?;
        Ok(page)
    }

    fn lower(&self) -> usize {
        usize::from(short(self.bytes, WORD + 4))
    }

    fn upper(&self) -> usize {
        usize::from(short(self.bytes, WORD + 6))
    }

    /// How many nodes it has.
    pub(super) fn len(&self) -> usize {
        (self.lower() - HEADER) / 2
    }

    /// Where the node of this index begins.
    fn place(&self, index: usize) -> usize {
        usize::from(short(self.bytes, HEADER + 2 * index))
    }

    fn node(&self, index: usize) -> &'page [u8] {
        &self.bytes[self.place(index)..]
    }

    /// The key of the node of this index; the first of a branch has none that counts.
    pub(super) fn key(&self, index: usize) -> &'page [u8] {
        let node = self.node(index);
        &node[NODE_HEADER..NODE_HEADER + usize::from(short(node, 6))]
    }

    /// The first and the last key that counts.
    pub(super) fn ends(&self) -> Option<(&'page [u8], &'page [u8])> {
        let first = usize::from(self.kind == Kind::Branch);
        (first < self.len()).then(|| (self.key(first), self.key(self.len() - 1)))
    }

    /// The page that a node of a branch leads to.
    pub(super) fn child(&self, index: usize) -> usize {
        let node = self.node(index);
        // Where a number has 64 bits, the node's flags are its upper ones.
        data_size(node) | usize::from(short(node, 4)).checked_shl(32).unwrap_or(0)
    }

    /// What a node of a leaf holds.
    pub(super) fn data(&self, index: usize) -> Data<'page> {
        let node = self.node(index);
        let (flags, size) = (short(node, 4), data_size(node));
        let data = &node[NODE_HEADER + usize::from(short(node, 6))..];
        match flags {
            BIG_DATA => Data::Elsewhere { page: word(data, 0), size },
            SUB_DATABASE => Data::SubDatabase(&data[..size]),
            _ => Data::Here(&data[..size]),
        }
    }

    /// Checks that the nodes fill the page from `upper` to its end, each inside it, none twice, and
    /// that their keys ascend. LMDB moves whatever lies between two of them without a look.
    fn check_nodes(&self, order: KeyOrder) -> Result<(), Flaw> {
        let (upper, size) = (self.upper(), self.bytes.len());
        let mut spans = Vec::new();
        let mut end = size; // of a node that lies before all those seen, as in pages filled in order
        for index in 0..self.len() {
            let start = self.place(index);
            let length = self.length(start).ok_or_else(|| {
                format!("node {index} at byte {start} does not lie inside it, or has another form")
            })?;
            if start < upper || !start.is_multiple_of(2) {
                return Err(format!("node {index} at byte {start} lies in free space"));
            }
            if spans.is_empty() && start + length == end {
                end = start;
            } else {
                spans.push((start, start + length));
            }
            if self.kind == Kind::Leaf || index > 0 {
                let key = self.key(index);
                if !order.accepts(key) {
                    return Err(format!("node {index} has a key of {} bytes", key.len()));
                }
                let first = usize::from(self.kind == Kind::Branch);
                if index > first && order.compare(self.key(index - 1), key) != Ordering::Less {
                    return Err(format!(
                        "the keys of nodes {} and {index} do not ascend",
                        index - 1
                    ));
                }
            }
        }
        spans.sort_unstable();
        let mut expected = upper;
        for (start, next) in spans {
            if start != expected {
                return Err(format!("its nodes leave a gap or overlap at byte {expected}"));
            }
            expected = next;
        }
        if expected == end {
            Ok(())
        } else {
            Err(format!("its nodes leave a gap or overlap at byte {expected}"))
        }
    }

    /// How many bytes the node at `start` takes, `None` if it is none that LMDB writes.
    fn length(&self, start: usize) -> Option<usize> {
        let size = self.bytes.len();
        let node = self.bytes.get(start..).filter(|node| node.len() >= NODE_HEADER)?;
        let mut length = NODE_HEADER + usize::from(short(node, 6));
        if self.kind == Kind::Leaf {
            length += match short(node, 4) {
                0 => data_size(node),
                BIG_DATA => WORD,
                SUB_DATABASE if data_size(node) == Database::SIZE => Database::SIZE,
                _ => return None,
            };
        }
        // So that two fit into a page, with the offsets of both.
        let longest = (((size - HEADER) / 2) & !1) - 2;
        let length = length.next_multiple_of(2);
        (length <= longest && length <= node.len()).then_some(length)
    }
}

/// How many pages the value takes that begins on this page, whose number is given.
pub(super) fn overflow_pages(bytes: &[u8], number: usize) -> Result<usize, Flaw> {
    check_header(bytes, number, OVERFLOW)?;
    Ok(four(bytes, WORD + 4))
}

fn check_header(bytes: &[u8], number: usize, flags: u16) -> Result<(), Flaw> {
    let (said, found) = (word(bytes, 0), short(bytes, WORD + 2));
    if said != number {
        Err(format!("it says that it is page {said}"))
    } else if found != flags {
        Err(format!("it is of kind {found:#x} where {flags:#x} belongs"))
    } else {
        Ok(())
    }
}

/// The description of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Database {
    /// In the list of free pages, where it stands for the whole file, the size of a page.
    pub pad: usize,
    pub flags: u16,
    pub depth: usize,
    pub branch_pages: usize,
    pub leaf_pages: usize,
    pub overflow_pages: usize,
    pub entries: usize,
    /// `None` if the tree is empty.
    pub root: Option<usize>,
}

impl Database {
    pub(super) const SIZE: usize = 8 + 5 * WORD;

    pub(super) fn new(bytes: &[u8]) -> Self {
        let count = |index: usize| word(bytes, 8 + index * WORD);
        Self {
            pad: four(bytes, 0),
            flags: short(bytes, 4),
            depth: usize::from(short(bytes, 6)),
            branch_pages: count(0),
            leaf_pages: count(1),
            overflow_pages: count(2),
            entries: count(3),
            root: Some(count(4)).filter(|root| *root != usize::MAX),
        }
    }
}

fn data_size(node: &[u8]) -> usize {
    let (first, second) = (usize::from(short(node, 0)), usize::from(short(node, 2)));
    if cfg!(target_endian = "little") { first | second << 16 } else { first << 16 | second }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

pub(super) fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(array(bytes, at))
}

pub(super) fn four(bytes: &[u8], at: usize) -> usize {
    u32::from_ne_bytes(array(bytes, at)) as usize
}

pub(super) fn word(bytes: &[u8], at: usize) -> usize {
    usize::from_ne_bytes(array(bytes, at))
}
