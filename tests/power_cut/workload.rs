//! Batches of all kinds, made of a seed, and what they leave: a map.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use eosdb::store::{Batch, KeyRange, METADATA_KEY, MetadataChange, Namespace, Order, Store};
use eosdb::{Result, Timestamp};

use super::disk::Random;

/// What a namespace holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Space {
    pub rows: BTreeMap<Vec<u8>, Vec<u8>>,
    pub metadata: Option<Vec<u8>>,
}

/// What a store holds, by namespace; the unnamed one is `""`, and there only if it holds anything.
pub type Content = BTreeMap<String, Space>;

/// The namespaces that are written to.
const NAMES: [&str; 4] = ["house", "garage", "a namespace with a longer name", ""];

/// Rows lie a minute apart, at most as many minutes after the first.
const MINUTES: usize = 4000;

pub fn namespace(name: &str) -> Namespace<'_> {
    (!name.is_empty()).then_some(name)
}

pub fn key(minute: usize) -> Vec<u8> {
    key_at(1_700_000_000 + 60 * i64::try_from(minute).expect("a small number"))
}

pub fn key_at(second: i64) -> Vec<u8> {
    Timestamp::from_seconds(second).expect("a year").to_key().to_vec()
}

/// Everything that `store` holds.
pub fn content(store: &dyn Store) -> Result<Content> {
    let mut content = Content::new();
    for name in store.namespaces()?.into_iter().chain([String::new()]) {
        let mut space = Space { metadata: store.metadata(namespace(&name))?, ..Space::default() };
        let visit = &mut |key: &[u8], value: &[u8]| {
            space.rows.insert(key.to_vec(), value.to_vec());
            ControlFlow::Continue(())
        };
        let everything = KeyRange::default();
        store.scan(namespace(&name), everything, Order::Ascending, visit)?;
        if !name.is_empty() || space != Space::default() {
            content.insert(name, space);
        }
    }
    Ok(content)
}

/// Does to `content` what committing `batch` does to a store; `keeps_empty` tells whether that keeps
/// namespaces that have nothing any more.
pub fn apply(content: &mut Content, name: &str, batch: &Batch, keeps_empty: bool) {
    let writes = !batch.puts.is_empty() || matches!(batch.metadata, MetadataChange::Put(_));
    if !writes && !content.contains_key(name) {
        return;
    }
    let space = content.entry(name.to_owned()).or_default();
    space.rows.extend(batch.puts.iter().cloned());
    for key in batch.deletes.iter().filter(|key| *key != METADATA_KEY) {
        space.rows.remove(key);
    }
    match &batch.metadata {
        MetadataChange::Keep => {}
        MetadataChange::Put(value) => space.metadata = Some(value.clone()),
        MetadataChange::Delete => space.metadata = None,
    }
    if (name.is_empty() || !keeps_empty) && *space == Space::default() {
        content.remove(name);
    }
}

/// The next batch, and the namespace that it is for.
pub fn next(random: &mut Random, content: &Content, bulk: usize) -> (&'static str, Batch) {
    let name = NAMES[[0, 0, 0, 0, 1, 1, 2, 3][random.below(8)]];
    let empty = Space::default();
    let space = content.get(name).unwrap_or(&empty);
    let keys: Vec<&Vec<u8>> = space.rows.keys().collect();
    let mut batch = Batch::default();
    match random.below(10) {
        0 | 1 => append(random, &mut batch, space, 1 + 40 * bulk),
        2 => append(random, &mut batch, space, 1000 * bulk),
        3 => {
            for _ in 0..random.range(1, 20) {
                put(random, &mut batch, key, 300);
            }
        }
        4 => {
            for _ in 0..random.range(1, 10).min(keys.len()) {
                let at = random.below(keys.len());
                put(random, &mut batch, |_| keys[at].clone(), 400);
            }
        }
        5 => {
            // Values that do not fit into a page.
            for _ in 0..random.range(1, 3) {
                put(random, &mut batch, key, 12_000 * bulk);
            }
        }
        6 => {
            let step = random.range(2, 9);
            batch.deletes = keys.iter().skip(random.below(4)).step_by(step).collect();
        }
        7 => {
            // Most of them: the store writes the namespace anew.
            let kept = random.range(5, 30);
            let most = keys.iter().enumerate().filter(|(at, _)| at % kept != 0);
            batch.deletes = most.map(|(_, key)| key).collect();
            if random.below(2) == 0 {
                put(random, &mut batch, key, 300);
            }
        }
        8 => {
            append(random, &mut batch, space, 10);
            batch.deletes = keys.iter().take(10).collect();
        }
        _ => {}
    }
    batch.metadata = match random.below(8) {
        0 => {
            let size = [5, 200, 3000, 9000][random.below(4)];
            MetadataChange::Put(random.bytes(size))
        }
        1 => MetadataChange::Delete,
        _ => MetadataChange::Keep,
    };
    (name, batch)
}

fn put(random: &mut Random, batch: &mut Batch, key: impl Fn(usize) -> Vec<u8>, size: usize) {
    let (minute, size) = (random.below(MINUTES), random.range(1, size));
    batch.puts.push((key(minute), random.bytes(size)));
}

/// Adds fewer than `rows` rows behind the last.
fn append(random: &mut Random, batch: &mut Batch, space: &Space, rows: usize) {
    let last = space.rows.keys().next_back().and_then(|key| Timestamp::from_key(key));
    let second = last.map_or(1_700_000_000, |last| last.seconds() + 60);
    let rows = i64::try_from(random.range(1, rows.max(2))).expect("a small number");
    for row in 0..rows {
        let size = random.range(1, 200);
        batch.puts.push((key_at(second + 60 * row), random.bytes(size)));
    }
}
