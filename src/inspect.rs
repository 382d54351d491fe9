//! Looks at what a namespace holds value by value, and puts aside what cannot be read.

use std::ops::ControlFlow;

use crate::codec::{DateTimeParts, Node, NodeId, Reader, Tree, Zone, metadata, zones};
use crate::codec::{gzip, in_shares, safe_globals};
use crate::error::{Error, Result};
use crate::store::{Batch, KeyRange, MetadataChange, Namespace, Order, Store, is_record_key};
use crate::timestamp::Timestamp;

/// Before the name of a namespace: the namespace that keeps what could not be read of it.
pub const QUARANTINE: &str = "eosdb_quarantine/";

/// Under which key it keeps metadata that could not be read.
pub const METADATA_IN_QUARANTINE: &[u8] = b"metadata";

/// How many rows, and how many bytes, are looked at in one piece: few enough for Ctrl-C.
const PIECE: usize = 8_192;
const PIECE_BYTES: usize = 16 << 20;

/// The longest key with room for a number behind it.
const LONGEST_NUMBERED: usize = 500;

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
    let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut bytes = 0;
    let mut next = None;
    let range = KeyRange { start: from, end: None };
    store.scan(namespace, range, Order::Ascending, &mut |key, value| {
        if rows.len() == PIECE || bytes >= PIECE_BYTES {
            next = Some(key.to_vec());
            return ControlFlow::Break(());
        }
        bytes += value.len();
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    let verdicts = in_shares(&rows, |share| {
        let mut reader = Reader::new();
        let mut scratch = Vec::new();
        let mut judge = |(key, stored): &(Vec<u8>, Vec<u8>)| {
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

/// Moves the values at `keys`, and the metadata if they are to go too, into the quarantine of the
/// namespace, unchanged: first they are written there, then they are deleted. Nothing is moved if
/// the namespace has another generation than that of the inspection which found them.
///
/// Returns how many were moved.
///
/// # Errors
/// [`Error::Conflict`], and those of [`Store::commit`].
pub fn quarantine(
    store: &dyn Store,
    namespace: Namespace<'_>,
    keys: &[Vec<u8>],
    with_metadata: bool,
    generation: u64,
) -> Result<usize> {
    let name = format!("{QUARANTINE}{}", namespace.unwrap_or_default());
    let mut values = Vec::new();
    for key in keys {
        values.extend(store.get(namespace, key)?.map(|value| (key.clone(), value)));
    }
    let mut removal = Batch { deletes: keys.to_vec().into(), ..Batch::default() };
    if with_metadata && let Some(metadata) = store.metadata(namespace)? {
        values.push((METADATA_IN_QUARANTINE.to_vec(), metadata));
        removal.metadata = MetadataChange::Delete;
    }
    removal.based_on = Some(generation);
    let moved = values.len();
    let mut puts = Vec::new();
    for (key, value) in values {
        if let Some(key) = free_key(store, &name, &key, &value)? {
            puts.push((key, value));
        }
    }
    let added: Vec<Vec<u8>> = puts.iter().map(|(key, _)| key.clone()).collect();
    store.commit(Some(&name), &Batch { puts, any_keys: true, ..Batch::default() })?;
    match store.commit(namespace, &removal) {
        Err(error @ Error::Conflict { .. }) => {
            // What was copied may be sound by now.
            store.commit(Some(&name), &Batch { deletes: added.into(), ..Batch::default() })?;
            Err(error)
        }
        outcome => outcome.map(|_| moved),
    }
}

/// A key in the quarantine `name` under which nothing else is kept: the value's own, or that with a
/// number. `None` if the value is there already.
fn free_key(store: &dyn Store, name: &str, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut free = key.to_vec();
    for number in 2_u64.. {
        match store.get(Some(name), &free)? {
            None => break,
            Some(kept) if kept == value => return Ok(None),
            Some(_) => {
                free = key[..key.len().min(LONGEST_NUMBERED)].to_vec();
                free.extend_from_slice(format!("#{number}").as_bytes());
            }
        }
    }
    Ok(Some(free))
}
