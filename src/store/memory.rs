//! A store without files, for tests and for data that need not last.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{
    Batch, Committed, KeyRange, MetadataChange, Namespace, Order, Store, StoreStats, Visit,
    VisitKey, check_namespace, conflict, ordered_puts,
};
use crate::error::{Error, Result};

/// What the errors of a store without a path call it.
const PATH: &str = ":memory:";

/// A [`Store`] in memory: it answers as [`LmdbStore`](super::LmdbStore) does and forgets
/// everything when it is closed.
///
/// A `visit` callback must not call the store: it runs while the content is locked.
#[derive(Debug)]
pub struct MemoryStore {
    /// By namespace, the unnamed one under `""`, which is no valid name; `None` once closed.
    content: RwLock<Option<BTreeMap<String, Group>>>,
    /// How often each namespace was changed, `None` once closed. Changed while the content is locked,
    /// and asked for without waiting for who writes.
    generations: Mutex<Option<BTreeMap<String, u64>>>,
}

/// One namespace.
#[derive(Debug, Default)]
struct Group {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    metadata: Option<Vec<u8>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            content: RwLock::new(Some(BTreeMap::new())),
            generations: Mutex::new(Some(BTreeMap::new())),
        }
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn content(&self) -> RwLockReadGuard<'_, Option<BTreeMap<String, Group>>> {
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn content_mut(&self) -> RwLockWriteGuard<'_, Option<BTreeMap<String, Group>>> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn generations(&self) -> MutexGuard<'_, Option<BTreeMap<String, u64>>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the namespace, or `None` if it does not exist, to `look`.
    fn look<R>(
        &self,
        namespace: Namespace<'_>,
        look: impl FnOnce(Option<&Group>) -> R,
    ) -> Result<R> {
        let content = self.content();
        let groups = content.as_ref().ok_or_else(closed)?;
        check_namespace(namespace)?;
        Ok(look(groups.get(namespace.unwrap_or_default())))
    }
}

fn closed() -> Error {
    Error::Closed { path: PATH.to_owned() }
}

impl Store for MemoryStore {
    fn scan(
        &self,
        namespace: Namespace<'_>,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<()> {
        self.look(namespace, |group| {
            let (Some(group), Some(bounds)) = (group, range.bounds()) else { return };
            let mut records = group.records.range::<[u8], _>(bounds);
            let mut visit = |(key, value): (&Vec<u8>, &Vec<u8>)| visit(key, value);
            // Breaking off is the visitor's right, and no error.
            let _ = match order {
                Order::Ascending => records.try_for_each(&mut visit),
                Order::Descending => records.rev().try_for_each(&mut visit),
            };
        })
    }

    fn get(&self, namespace: Namespace<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.look(namespace, |group| group.and_then(|group| group.records.get(key).cloned()))
    }

    fn get_many(
        &self,
        namespace: Namespace<'_>,
        keys: &mut dyn Iterator<Item = [u8; 16]>,
        visit: VisitKey<'_>,
    ) -> Result<()> {
        self.look(namespace, |group| {
            for key in keys {
                let value = group.and_then(|group| group.records.get(key.as_slice()));
                if visit(&key, value.map(Vec::as_slice)).is_break() {
                    break;
                }
            }
        })
    }

    fn contains(&self, namespace: Namespace<'_>, key: &[u8]) -> Result<bool> {
        self.look(namespace, |group| group.is_some_and(|group| group.records.contains_key(key)))
    }

    fn count(&self, namespace: Namespace<'_>, range: KeyRange<'_>) -> Result<u64> {
        self.look(namespace, |group| {
            let (Some(group), Some(bounds)) = (group, range.bounds()) else { return 0 };
            if range == KeyRange::default() {
                group.records.len() as u64
            } else {
                group.records.range::<[u8], _>(bounds).count() as u64
            }
        })
    }

    fn commit(&self, namespace: Namespace<'_>, batch: &Batch) -> Result<Committed> {
        let mut content = self.content_mut();
        let groups = content.as_mut().ok_or_else(closed)?;
        check_namespace(namespace)?;
        let puts = ordered_puts(batch)?;
        let name = namespace.unwrap_or_default();
        if batch.has_content() {
            groups.entry(name.to_owned()).or_default();
        }
        let Some(group) = groups.get_mut(name) else { return Ok(Committed::default()) };
        if let Some(basis) = batch.based_on
            && self.generation(namespace)? != basis
        {
            return Err(conflict(namespace));
        }

        let written = puts.len();
        for (key, value) in puts {
            group.records.insert(key.clone(), value.clone());
        }
        let deleted =
            batch.deletes.iter().filter(|key| group.records.remove(*key).is_some()).count();
        let metadata_changed = match &batch.metadata {
            MetadataChange::Keep => false,
            MetadataChange::Put(value) => {
                group.metadata = Some(value.clone());
                true
            }
            MetadataChange::Delete => group.metadata.take().is_some(),
        };
        let mut generations = self.generations();
        let generation = generations.get_or_insert_default().entry(name.to_owned()).or_default();
        if written > 0 || deleted > 0 || metadata_changed {
            *generation += 1;
        }
        Ok(Committed { written, deleted, generation: *generation })
    }

    fn metadata(&self, namespace: Namespace<'_>) -> Result<Option<Vec<u8>>> {
        self.look(namespace, |group| group.and_then(|group| group.metadata.clone()))
    }

    fn namespaces(&self) -> Result<Vec<String>> {
        let content = self.content();
        let groups = content.as_ref().ok_or_else(closed)?;
        Ok(groups.keys().filter(|name| !name.is_empty()).cloned().collect())
    }

    fn generation(&self, namespace: Namespace<'_>) -> Result<u64> {
        let generations = self.generations();
        let known = generations.as_ref().ok_or_else(closed)?;
        Ok(known.get(namespace.unwrap_or_default()).copied().unwrap_or_default())
    }

    fn stats(&self, namespace: Namespace<'_>) -> Result<StoreStats> {
        let entries = self.count(namespace, KeyRange::default())?;
        Ok(StoreStats { entries, ..StoreStats::default() })
    }

    fn sync(&self) -> Result<()> {
        self.content().as_ref().map(|_| ()).ok_or_else(closed)
    }

    fn copy_to(&self, _target: &Path, _compact: bool) -> Result<()> {
        self.sync()?;
        Err(Error::Invalid("a store in memory has no file to copy: save it to another".to_owned()))
    }

    fn close(&self) {
        let mut content = self.content_mut();
        *content = None;
        *self.generations() = None;
    }

    fn is_open(&self) -> bool {
        self.content().is_some()
    }
}
