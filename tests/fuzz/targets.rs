//! What reads bytes of strangers, as plain functions of these bytes.
//!
//! `tests/fuzz.rs` calls them with inputs of its own making, and `fuzz/fuzz_targets` hands them to
//! libFuzzer. None of them may panic, whatever the bytes are.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use eosdb::codec::metadata::{Metadata, MetadataValue};
use eosdb::codec::{MAX_DEPTH, Node, NodeId, Reader, Tree, Writer, read, safe_globals, zones};
use eosdb::codec::{gzip as stored_gzip, metadata as stored_metadata};
use eosdb::series::{Cell, Picker, Place, Selection, Shape, kind, numbers};
use eosdb::store::{MAX_KEY_LEN, METADATA_KEY, check_namespace, is_record_key};
use eosdb::{Error, Timestamp};

/// One kind of bytes that are read.
#[derive(Clone, Copy)]
pub struct Target {
    /// What it is called in messages and in the environment.
    pub name: &'static str,
    /// Reads the bytes as the database does, and nothing else: what it costs is what is measured.
    pub read: fn(&[u8]),
    /// Reads the bytes in every way there is, and compares what must agree.
    pub check: fn(&[u8]),
}

/// A pickle, up to the point where Python objects would be made.
pub const PICKLE: Target = Target { name: "pickle", read: read_pickle, check: check_pickle };

/// A stored value: compressed or not, and the values by key in it.
pub const STORED: Target = Target { name: "stored", read: read_stored, check: check_stored };

/// The keys of records and the names of namespaces.
pub const KEYS: Target = Target { name: "keys", read: read_keys, check: check_keys };

/// What describes a namespace.
pub const METADATA: Target =
    Target { name: "metadata", read: read_metadata, check: check_metadata };

/// Compressed bytes.
pub const GZIP: Target = Target { name: "gzip", read: read_gzip, check: check_gzip };

// ---- pickles ------------------------------------------------------------------------------------

fn read_pickle(bytes: &[u8]) {
    if let Ok(tree) = read(bytes) {
        let _ = safe_globals::check(&tree);
    }
}

fn check_pickle(bytes: &[u8]) {
    // What a reader has read before must not shine through.
    let mut used = Reader::new();
    let before = used.read(b"\x80\x04]\x94(K\x01\x8c\x01aG@s`\0\0\0\0\0h\0e.").err();
    assert!(before.is_some(), "it holds itself");
    let before = used.read(b"\x80\x04](K\x01\x8c\x01a\x94h\0V\\u0041\ne.").expect("a pickle");
    used.reuse(before);
    match (read(bytes), used.read(bytes)) {
        (Ok(tree), Ok(same)) => {
            assert_same(&tree, &same);
            check_tree(&tree, bytes);
            used.reuse(same);
            // Whatever follows the end of a pickle is no part of it.
            let longer = [bytes, b"."].concat();
            assert_same(&tree, &used.read(&longer).expect("the same pickle"));
        }
        (Err(Error::Decode(cause)), Err(Error::Decode(same))) => assert_eq!(cause, same),
        (one, other) => panic!("{one:?} or {other:?}"),
    }
}

/// The children of a node, if it has any.
fn children(tree: &Tree<'_>, id: NodeId) -> Vec<NodeId> {
    match tree.node(id) {
        Node::List(ids) | Node::Tuple(ids) | Node::Set(ids) | Node::FrozenSet(ids) => ids.to_vec(),
        Node::Dict(pairs) => pairs.as_flattened().to_vec(),
        Node::Call(call) => {
            let fixed = [Some(call.callable), Some(call.args), call.kwargs, call.state];
            let mut ids: Vec<_> = fixed.into_iter().flatten().collect();
            ids.extend_from_slice(call.items.as_flattened());
            ids.extend_from_slice(call.elements);
            ids
        }
        _ => Vec::new(),
    }
}

/// Calls `visit` once for each node that the root leads to.
fn walk(tree: &Tree<'_>, mut visit: impl FnMut(NodeId)) {
    let mut seen = vec![false; tree.len()];
    let mut open = vec![tree.root()];
    while let Some(id) = open.pop() {
        if !std::mem::replace(&mut seen[id.index()], true) {
            visit(id);
            open.extend(children(tree, id).into_iter().filter(|child| !seen[child.index()]));
        }
    }
}

/// Two trees of the same bytes have the same nodes at the same places.
fn assert_same(tree: &Tree<'_>, other: &Tree<'_>) {
    assert_eq!((tree.len(), tree.root()), (other.len(), other.root()));
    walk(tree, |id| {
        match (tree.node(id), other.node(id)) {
            // Not a number differs from itself.
            (Node::Float(one), Node::Float(other)) => assert_eq!(one.to_bits(), other.to_bits()),
            (one, other) => assert_eq!(one, other),
        }
        assert_eq!(tree.number_place(id), other.number_place(id));
    });
}

fn check_tree(tree: &Tree<'_>, bytes: &[u8]) {
    assert!(tree.len() <= 3 * bytes.len() + 4, "{} nodes", tree.len());
    assert!(depth(tree, tree.root(), &mut vec![None; tree.len()]) <= usize::from(MAX_DEPTH));
    let safe = safe_globals::check(tree).is_ok();
    walk(tree, |id| {
        if let Some(parts) = tree.date_time(id) {
            assert!(parts.is_valid(), "{parts:?}");
        }
        if let Some(numbers) = tree.date_time_numbers(id) {
            assert!(numbers.iter().all(|id| id.index() < tree.len()));
        }
        let _ = tree.numpy_scalar(id).map(eosdb::codec::NumpyScalar::as_f64);
        match (tree.node(id), tree.number_place(id)) {
            (Node::Int(value), Some(place)) => assert_eq!(place.int(bytes), Some(value)),
            (Node::Float(value), Some(place)) => {
                assert_eq!(place.float(bytes).map(f64::to_bits), Some(value.to_bits()));
            }
            (node, Some(place)) => panic!("{node:?} at {place:?}"),
            (Node::Global { module, name }, None) if safe => {
                let getattr = (module, name) == ("builtins", "getattr");
                assert!(getattr || safe_globals::is_safe(module, name), "{module}.{name}");
            }
            (Node::Call(call), None) if safe => match tree.node(call.callable) {
                Node::Global { .. } => {}
                Node::Call(lookup) => assert!(matches!(
                    tree.node(lookup.callable),
                    Node::Global { module: "builtins", name: "getattr" }
                )),
                other => panic!("a call of {other:?}"),
            },
            _ => {}
        }
    });
    if let Ok(fields) = tree.fields() {
        let count = fields.len();
        assert_eq!(tree.fields().map(Iterator::count).ok(), Some(count));
    }
}

/// The longest way from a node down to a leaf.
fn depth(tree: &Tree<'_>, id: NodeId, known: &mut [Option<usize>]) -> usize {
    if let Some(depth) = known[id.index()] {
        return depth;
    }
    let depth = match tree.node(id) {
        Node::List(_)
        | Node::Tuple(_)
        | Node::Dict(_)
        | Node::Set(_)
        | Node::FrozenSet(_)
        | Node::Call(_) => {
            let below = children(tree, id).into_iter().map(|child| depth(tree, child, known));
            1 + below.max().unwrap_or(0)
        }
        _ => 0,
    };
    known[id.index()] = Some(depth);
    depth
}

// ---- stored values ------------------------------------------------------------------------------

/// Whatever a configured value or a field may be.
const ANYTHING: u32 = kind::SCALARS;

/// More fields than that are no record.
const MOST_FIELDS: usize = 64;

const FIRST_OF_2026: i64 = 1_767_225_600;

/// The values of all fields of a record like those that `golden/make_pickles.py` writes.
static RECORDS: LazyLock<Selection> = LazyLock::new(|| {
    let fields = ["load0_emr", "load1_emr", "grid_emr", "pv_power"];
    let fields = fields.map(|name| (name.to_owned(), ANYTHING));
    let own = [("date_time", kind::DATE_TIME), ("configured_data", kind::DICT)];
    let own = own.map(|(name, kind)| (name.to_owned(), kind));
    selection(&Arc::new(Shape::new(own.into_iter().chain(fields).collect(), None)))
});

fn keys(shape: &Shape) -> BTreeSet<&str> {
    shape.names().chain(["x", "y", "absent"]).collect()
}

fn places(shape: &Shape) -> Vec<Place> {
    keys(shape).into_iter().filter_map(|name| shape.place(name)).collect()
}

fn selection(shape: &Arc<Shape>) -> Selection {
    zones::know("UTC");
    zones::know("Europe/Berlin");
    Selection::new(Some(shape), Some(places(shape)))
}

fn read_stored(bytes: &[u8]) {
    let mut scratch = Vec::new();
    if let Ok(pickle) = stored_gzip::decode_stored(bytes, &mut scratch) {
        let mut picker = RECORDS.picker();
        picker.pick(pickle);
        picker.pick(pickle);
    }
}

/// The same values of records with any fields.
fn of_any_fields(shape: &Shape) -> Selection {
    let any = Shape::any(None);
    let known = keys(shape).into_iter().filter(|name| shape.place(name).is_some());
    let places = known.map(|name| any.place(name)).collect();
    Selection::new(Some(&Arc::new(any)), places)
}

fn check_stored(bytes: &[u8]) {
    let mut scratch = Vec::new();
    let Ok(pickle) = stored_gzip::decode_stored(bytes, &mut scratch) else { return };
    check_picking(&RECORDS, pickle);
    if let Some(shape) = read(pickle).ok().and_then(|tree| shape_of(&tree)) {
        let shape = Arc::new(shape);
        check_picking(&selection(&shape), pickle);
        let any = of_any_fields(&shape);
        check_picking(&any, pickle);
        let by_shape = selection(&shape).picker().pick(pickle);
        if let (Some(cells), Some(by_shape)) = (any.picker().pick(pickle), by_shape) {
            assert_eq!(shown(Some(&cells)), shown(Some(&by_shape)));
        }
        check_writing(&shape, pickle);
    }
}

/// The shape of a class whose records look like this one.
fn shape_of(tree: &Tree<'_>) -> Option<Shape> {
    let fields = tree.fields().ok()?;
    let mut names = BTreeSet::new();
    let fields: Vec<_> = fields
        .take(MOST_FIELDS + 1)
        .map(|(name, id)| match tree.node(id) {
            Node::Dict(_) => (name.to_owned(), kind::DICT),
            Node::Call(_) => (name.to_owned(), kind::DATE_TIME),
            _ => (name.to_owned(), ANYTHING),
        })
        .collect();
    let plain = (1..=MOST_FIELDS).contains(&fields.len())
        && fields.iter().all(|(name, _)| names.insert(name));
    plain.then(|| Shape::new(fields, None))
}

/// The values as text that shows every bit.
fn shown(cells: Option<&[Cell]>) -> Option<Vec<String>> {
    let show = |cell: &Cell| match cell {
        Cell::Float(value) => format!("{:x}", value.to_bits()),
        cell => format!("{cell:?}"),
    };
    cells.map(|cells| cells.iter().map(show).collect())
}

/// What was read before must make no difference: each record is as it is when it is read alone.
fn check_picking(selection: &Selection, pickle: &[u8]) {
    let mut picker = selection.picker();
    let mut check = |pickle: &[u8]| {
        let alone = selection.picker().pick(pickle);
        let after_others = picker.pick(pickle);
        assert_eq!(shown(after_others.as_deref()), shown(alone.as_deref()));
        if let Some(cells) = after_others {
            let _ = numbers(&cells);
        }
    };
    check(pickle);
    check(pickle);
    let mut other = pickle.to_vec();
    if let Ok(tree) = read(pickle) {
        // Other numbers at the same places, all at once and one after the other.
        let mut numbers = Vec::new();
        walk(&tree, |id| numbers.extend(tree.number_place(id)));
        for place in numbers.iter().take(16) {
            other[place.bytes()].iter_mut().for_each(|byte| *byte ^= 0x15);
            check(&other);
        }
        check(pickle);
    }
    // Another byte somewhere. Where depends on nothing but the bytes themselves.
    let mut position = pickle
        .iter()
        .fold(pickle.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    other.copy_from_slice(pickle);
    for _ in 0..8 {
        position = position.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = (position >> 33) % pickle.len().max(1);
        if let Some(byte) = other.get_mut(at) {
            let before = std::mem::replace(byte, *byte ^ (1 << (position >> 29 & 7)));
            check(&other);
            other[at] = before;
        }
    }
}

/// What was picked is written, as compaction does, and picked again.
fn check_writing(shape: &Arc<Shape>, pickle: &[u8]) {
    let selection = selection(shape);
    let places = places(shape);
    let mut picker: Picker<'_> = selection.picker();
    let Some(cells) = picker.pick(pickle) else { return };
    let mut writer = Writer::new();
    let values: Vec<_> = places.iter().zip(&cells).collect();
    if shape.write(&mut writer, FIRST_OF_2026, &values).expect("an instant in reach") {
        let written = writer.finish().expect("a complete pickle").to_vec();
        let again = selection.picker().pick(&written).expect("what fitted before");
        for (cell, again) in cells.iter().zip(&again) {
            // The time is another one; configured data are told by their names.
            if !matches!(cell, Cell::DateTime { .. } | Cell::EmptyDict | Cell::Other) {
                let [cell, again] = [cell, again].map(std::slice::from_ref);
                assert_eq!(shown(Some(cell)), shown(Some(again)));
            }
        }
    }
}

// ---- keys ---------------------------------------------------------------------------------------

fn read_keys(bytes: &[u8]) {
    let _ = (Timestamp::from_key(bytes), is_record_key(bytes));
    if let Ok(name) = str::from_utf8(bytes) {
        let _ = check_namespace(Some(name));
    }
}

fn check_keys(bytes: &[u8]) {
    let known = Timestamp::from_key(bytes);
    if let Some(timestamp) = known {
        assert_eq!(timestamp.to_key(), bytes);
        assert_eq!(timestamp.to_string().as_bytes(), bytes);
        assert_eq!(Timestamp::from_seconds(timestamp.seconds()).expect("in range"), timestamp);
        assert!(is_record_key(bytes));
    }
    if let Ok(name) = str::from_utf8(bytes) {
        let allowed = (1..=MAX_KEY_LEN).contains(&name.len())
            && !bytes.contains(&0)
            && bytes != METADATA_KEY
            && !is_record_key(bytes);
        assert_eq!(check_namespace(Some(name)).is_ok(), allowed);
    }
    // Keys sort as their instants do.
    if let Some((first, rest)) = bytes.split_first_chunk::<16>()
        && let (Some(one), Some(other)) = (Timestamp::from_key(first), Timestamp::from_key(rest))
    {
        assert_eq!(first[..].cmp(rest), one.cmp(&other));
    }
}

// ---- metadata -----------------------------------------------------------------------------------

fn read_metadata(bytes: &[u8]) {
    let _ = stored_metadata::read(bytes);
}

fn check_metadata(bytes: &[u8]) {
    let Ok(metadata) = stored_metadata::read(bytes) else { return };
    let written = stored_metadata::write(&metadata).expect("what was read can be written");
    let again = stored_metadata::read(&written).expect("what was written can be read");
    assert_eq!(exact(&again), exact(&metadata));
    assert_eq!(stored_metadata::write(&again).expect("as before"), written);
    // A record would have to be plain data as well.
    assert!(safe_globals::check(&read(&written).expect("a pickle")).is_ok());
}

/// The metadata with every bit of their numbers.
fn exact(metadata: &Metadata) -> Vec<String> {
    let show = |(key, value): (&String, &MetadataValue)| match value {
        MetadataValue::Float(value) => format!("{key:?}: {:x}", value.to_bits()),
        value => format!("{key:?}: {value:?}"),
    };
    metadata.iter().map(show).collect()
}

// ---- gzip ---------------------------------------------------------------------------------------

fn read_gzip(bytes: &[u8]) {
    let _ = stored_gzip::decode_stored(bytes, &mut Vec::new());
}

fn check_gzip(bytes: &[u8]) {
    let mut scratch = vec![7; 100];
    let decoded = match stored_gzip::decode_stored(bytes, &mut scratch) {
        Ok(decoded) => decoded,
        Err(Error::Decode(_)) => {
            // The cause may be another one: it depends on the room there was.
            assert!(matches!(stored_gzip::decode_to_vec(bytes), Err(Error::Decode(_))));
            return;
        }
        Err(other) => panic!("{other:?}"),
    };
    assert!(decoded.len() <= stored_gzip::MAX_DECODED);
    assert_eq!(stored_gzip::decode_to_vec(bytes).expect("as before"), decoded);
    if !stored_gzip::is_gzip(bytes) {
        assert_eq!(decoded, bytes);
    }
    let level = u32::try_from(bytes.len() % 10).unwrap_or_default();
    let mut stored = Vec::new();
    stored_gzip::encode_stored(decoded, level, &mut stored);
    // Stored bare, it would be taken for compressed.
    if level > 0 || !stored_gzip::is_gzip(decoded) {
        assert_eq!(stored_gzip::decode_to_vec(&stored).expect("what was encoded"), decoded);
    }
}
