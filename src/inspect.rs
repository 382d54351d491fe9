//! Looks at what a namespace holds value by value, and puts aside what cannot be read.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::codec::{DateTimeParts, Node, NodeId, Reader, Tree, Zone, metadata, zones};
use crate::codec::{gzip, in_shares, safe_globals};
use crate::error::Result;
use crate::random_number;
use crate::series::{Selection, Shape, names_in_record};
use crate::store::{Batch, KeyRange, MetadataChange, Namespace, Order, Store, is_record_key};
use crate::timestamp::Timestamp;

/// The namespace that keeps what could not be read of all others.
///
/// Each value there is a line that tells where it was, and behind it the value as it was stored. The
/// line has the name of its namespace and its key, both in hexadecimal digits, with a space between
/// them: `-` for the unnamed namespace, `metadata` for its metadata.
pub const QUARANTINE: &str = "eosdb_quarantine";

/// How many rows, and how many bytes, are looked at in one piece: few enough for Ctrl-C.
const PIECE: usize = 8_192;
const PIECE_BYTES: usize = 16 << 20;

/// What was found in some rows that follow one another.
#[derive(Debug, Default)]
pub struct Inspection {
    /// How many rows were looked at.
    pub rows: usize,
    /// The namespace's generation before it.
    pub generation: u64,
    /// Where to go on; `None` if these were the last.
    pub next: Option<Vec<u8>>,
    /// The keys of what cannot be read, and why.
    pub damaged: Vec<(Vec<u8>, String)>,
    /// The keys and pickles of what can be taken apart, but only Python can tell whether it can be
    /// put together. Where values have a form of their own, all of them, as they are stored.
    pub undecided: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A key and a stored value.
type Row = (Vec<u8>, Vec<u8>);

/// What becomes of a value.
enum Verdict {
    Readable,
    Damaged(String),
    Undecided(Vec<u8>),
}

/// Looks at the rows from the key `from` on, or from the first, as many as make a piece. `own_form`
/// tells that values may be stored otherwise than eosdb does.
///
/// # Errors
/// Those of [`Store::scan`].
pub fn inspect(
    store: &dyn Store,
    namespace: Namespace<'_>,
    from: Option<&[u8]>,
    own_form: bool,
) -> Result<Inspection> {
    let generation = store.generation(namespace)?;
    let (rows, next) = piece(store, namespace, KeyRange { start: from, end: None })?;
    let verdicts = in_shares(&rows, |share| {
        let mut reader = Reader::new();
        let mut scratch = Vec::new();
        let mut judge = |(key, stored): &Row| {
            if let Some(cause) = flaw_of_key(key) {
                Verdict::Damaged(cause)
            } else if own_form {
                Verdict::Undecided(stored.clone())
            } else {
                judge(stored, &mut reader, &mut scratch)
            }
        };
        share.iter().map(&mut judge).collect()
    });
    let mut found = Inspection { rows: rows.len(), generation, next, ..Inspection::default() };
    for ((key, _), verdict) in rows.into_iter().zip(verdicts) {
        match verdict {
            Verdict::Readable => {}
            Verdict::Damaged(cause) => found.damaged.push((key, cause)),
            Verdict::Undecided(pickle) => found.undecided.push((key, pickle)),
        }
    }
    Ok(found)
}

/// The first rows of a range, as many as make a piece, and the key of the one behind them.
fn piece(
    store: &dyn Store,
    namespace: Namespace<'_>,
    range: KeyRange<'_>,
) -> Result<(Vec<Row>, Option<Vec<u8>>)> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    let mut next = None;
    store.scan(namespace, range, Order::Ascending, &mut |key, value| {
        if rows.len() == PIECE || bytes >= PIECE_BYTES {
            next = Some(key.to_vec());
            return ControlFlow::Break(());
        }
        bytes += value.len();
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok((rows, next))
}

/// The names of the values in the first records of a range, as many as make a piece, sorted, and the
/// key of the record behind them. What cannot be read has no names.
///
/// # Errors
/// Those of [`Store::scan`].
pub fn names(
    store: &dyn Store,
    namespace: Namespace<'_>,
    range: KeyRange<'_>,
) -> Result<(BTreeSet<String>, Option<Vec<u8>>)> {
    let (rows, next) = piece(store, namespace, range)?;
    let selection = Selection::new(Some(&Arc::new(Shape::any(None))), Some(Vec::new()));
    let found = in_shares(&rows, |share| {
        let mut picker = selection.picker();
        let mut reader = Reader::new();
        let mut scratch = Vec::new();
        let mut names = BTreeSet::new();
        for (key, stored) in share {
            let Ok(pickle) = gzip::decode_stored(stored, &mut scratch) else { continue };
            if Timestamp::from_key(key).is_none() || picker.pick(pickle).is_some() {
                continue;
            }
            let Ok(tree) = reader.read(pickle) else { continue };
            if safe_globals::check(&tree).is_ok() && tree.fields().is_ok() {
                names.extend(names_in_record(&tree).map(str::to_owned));
            }
            reader.reuse(tree);
        }
        names.append(&mut picker.names());
        vec![names]
    });
    Ok((found.into_iter().flatten().collect(), next))
}

/// Why the namespace's metadata cannot be read; `None` if they can, or there are none.
///
/// # Errors
/// Those of [`Store::metadata`].
pub fn inspect_metadata(store: &dyn Store, namespace: Namespace<'_>) -> Result<Option<String>> {
    let stored = store.metadata(namespace)?;
    Ok(stored.and_then(|stored| metadata::read(&stored).err()).map(|error| error.to_string()))
}

fn flaw_of_key(key: &[u8]) -> Option<String> {
    if Timestamp::from_key(key).is_some() {
        return None;
    }
    let form = if is_record_key(key) { "of another form" } else { "no timestamp" };
    Some(format!("the key is {form}: expected UTC text such as 20241027T113456Z"))
}

fn judge(stored: &[u8], reader: &mut Reader, scratch: &mut Vec<u8>) -> Verdict {
    let judged = gzip::decode_stored(stored, scratch).and_then(|pickle| {
        let tree = reader.read(pickle)?;
        let plain = safe_globals::check(&tree).and_then(|()| is_plain(&tree));
        reader.reuse(tree);
        Ok(if plain? { Verdict::Readable } else { Verdict::Undecided(pickle.to_vec()) })
    });
    judged.unwrap_or_else(|error| Verdict::Damaged(error.to_string()))
}

/// Tells whether the fields are such that Python can make all of them: texts, numbers, dates, and
/// containers of texts and numbers.
fn is_plain(tree: &Tree<'_>) -> Result<bool> {
    let scalar = |id: NodeId| {
        matches!(
            tree.node(id),
            Node::None | Node::Bool(_) | Node::Int(_) | Node::Float(_) | Node::Str(_)
        )
    };
    let simple = |id: NodeId| match tree.node(id) {
        Node::List(items) => items.iter().all(|&item| scalar(item)),
        Node::Dict(pairs) => pairs.iter().flatten().all(|&item| scalar(item)),
        _ => scalar(id) || tree.date_time(id).is_some_and(|parts| is_certain(&parts)),
    };
    Ok(tree.fields()?.all(|(_, value)| simple(value)))
}

fn is_certain(parts: &DateTimeParts<'_>) -> bool {
    match parts.zone {
        Some(Zone::Timezone(name) | Zone::ZoneInfo(name)) => zones::is_known(name),
        Some(Zone::Utc) => true,
        _ => false,
    }
}

/// Moves the values at `keys`, and the metadata if they are to go too, into the quarantine, unchanged:
/// first they are written there, then they are deleted, unless the namespace has another generation
/// than that of the inspection which found them. Nothing is ever deleted there: others may rely on
/// what they found in it.
///
/// Returns how many were moved.
///
/// # Errors
/// [`Error::Conflict`](crate::Error::Conflict), and those of [`Store::commit`].
pub fn quarantine(
    store: &dyn Store,
    namespace: Namespace<'_>,
    keys: &[Vec<u8>],
    with_metadata: bool,
    generation: u64,
) -> Result<usize> {
    let mut wanted = Vec::new();
    for key in keys {
        let value = store.get(namespace, key)?;
        wanted.extend(value.map(|value| kept_form(namespace, Some(key), &value)));
    }
    let mut removal = Batch { deletes: keys.to_vec().into(), ..Batch::default() };
    if with_metadata && let Some(metadata) = store.metadata(namespace)? {
        wanted.push(kept_form(namespace, None, &metadata));
        removal.metadata = MetadataChange::Delete;
    }
    removal.based_on = Some(generation);
    let moved = wanted.len();
    // What is there already, from a repair that was cut short or goes on beside this one, stays.
    let mut kept = HashSet::new();
    store.scan(Some(QUARANTINE), KeyRange::default(), Order::Ascending, &mut |_, value| {
        kept.insert(value.to_vec());
        ControlFlow::Continue(())
    })?;
    // Under keys that nobody else makes meanwhile, behind those that are there.
    let (random, rank) = (random_number(), kept.len());
    let puts = wanted.into_iter().filter(|value| !kept.contains(value)).enumerate();
    let key = |number| format!("{:016x}-{random:016x}", rank + number).into_bytes();
    let puts = puts.map(|(number, value)| (key(number), value)).collect();
    store.commit(Some(QUARANTINE), &Batch { puts, any_keys: true, ..Batch::default() })?;
    store.commit(namespace, &removal)?;
    Ok(moved)
}

/// A value as the quarantine keeps it; without a key it is the metadata.
fn kept_form(namespace: Namespace<'_>, key: Option<&[u8]>, value: &[u8]) -> Vec<u8> {
    let hex =
        |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let namespace = namespace.map_or_else(|| "-".to_owned(), |name| hex(name.as_bytes()));
    let key = key.map_or_else(|| "metadata".to_owned(), hex);
    let mut kept = format!("{namespace} {key}\n").into_bytes();
    kept.extend_from_slice(value);
    kept
}
