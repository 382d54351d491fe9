//! Stores that fail on demand, that another thread gets ahead of, and that are slow to read.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use eosdb::store::{
    Batch, Committed, KeyRange, Namespace, Order, Store, StoreStats, Visit, VisitKey,
};
use eosdb::{Error, Result};

/// When the next commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Before anything is written.
    Before,
    /// After everything was written, as when the answer is lost.
    After,
    /// With the puts written and the deletions not, as a backend without transactions may.
    Between,
}

/// When a hook runs, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// In a commit, before it is applied.
    BeforeCommit,
    /// In a commit, when it is applied and before the caller learns of it.
    AfterCommit,
    /// In a scan, when everything was shown and before the caller goes on.
    AfterScan,
}

type Hook = Box<dyn FnOnce() + Send>;

/// A store around another one.
pub struct Wrapped {
    inner: Arc<dyn Store>,
    /// Whether it is like a backend in Python: slow to read, and silent about changes.
    foreign: bool,
    fault: Mutex<Option<Fault>>,
    hooks: Mutex<Vec<(Moment, Hook)>>,
    unreadable: AtomicBool,
}

impl Wrapped {
    /// A store that does as `inner` does until told otherwise.
    pub fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Self::wrap(inner, false)
    }

    /// A store like a backend in Python.
    pub fn foreign(inner: Arc<dyn Store>) -> Arc<Self> {
        Self::wrap(inner, true)
    }

    fn wrap(inner: Arc<dyn Store>, foreign: bool) -> Arc<Self> {
        let (fault, hooks) = (Mutex::default(), Mutex::default());
        Arc::new(Self { inner, foreign, fault, hooks, unreadable: AtomicBool::new(false) })
    }

    /// Lets the next commit fail.
    pub fn fail(&self, fault: Fault) {
        *self.fault.lock().expect("no panic") = Some(fault);
    }

    /// Lets everything that reads records fail, or work again.
    pub fn set_unreadable(&self, unreadable: bool) {
        self.unreadable.store(unreadable, Ordering::SeqCst);
    }

    fn readable(&self) -> Result<&dyn Store> {
        if self.unreadable.load(Ordering::SeqCst) {
            return Err(Error::Invalid("unreadable on demand".to_owned()));
        }
        Ok(&*self.inner)
    }

    /// Runs `hook` at the next such moment.
    pub fn at(&self, moment: Moment, hook: impl FnOnce() + Send + 'static) {
        self.hooks.lock().expect("no panic").push((moment, Box::new(hook)));
    }

    fn reach(&self, moment: Moment) {
        let hook = {
            let mut hooks = self.hooks.lock().expect("no panic");
            let place = hooks.iter().position(|(wanted, _)| *wanted == moment);
            place.map(|place| hooks.remove(place).1)
        };
        if let Some(hook) = hook {
            hook();
        }
    }
}

impl Store for Wrapped {
    fn commit(&self, namespace: Namespace<'_>, batch: &Batch) -> Result<Committed> {
        let failure = || Error::Invalid("failed on demand".to_owned());
        self.reach(Moment::BeforeCommit);
        let fault = self.fault.lock().expect("no panic").take();
        let puts = Batch { puts: batch.puts.clone(), ..Batch::default() };
        let applied = match fault {
            Some(Fault::Before) => Err(failure()),
            Some(Fault::Between) => self.inner.commit(namespace, &puts).and(Err(failure())),
            Some(Fault::After) => self.inner.commit(namespace, batch).and(Err(failure())),
            None => self.inner.commit(namespace, batch),
        };
        self.reach(Moment::AfterCommit);
        let committed = applied?;
        Ok(if self.foreign { Committed { generation: 0, ..committed } } else { committed })
    }

    fn generation(&self, namespace: Namespace<'_>) -> Result<u64> {
        if self.foreign { Ok(0) } else { self.inner.generation(namespace) }
    }

    fn reads_single_values_fast(&self) -> bool {
        !self.foreign
    }

    fn scan(
        &self,
        namespace: Namespace<'_>,
        range: KeyRange<'_>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<()> {
        let outcome = self.readable()?.scan(namespace, range, order, visit);
        self.reach(Moment::AfterScan);
        outcome
    }

    fn get(&self, namespace: Namespace<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.readable()?.get(namespace, key)
    }

    fn get_many(
        &self,
        namespace: Namespace<'_>,
        keys: &mut dyn Iterator<Item = [u8; 16]>,
        visit: VisitKey<'_>,
    ) -> Result<()> {
        self.readable()?.get_many(namespace, keys, visit)
    }

    fn contains(&self, namespace: Namespace<'_>, key: &[u8]) -> Result<bool> {
        self.readable()?.contains(namespace, key)
    }

    fn count(&self, namespace: Namespace<'_>, range: KeyRange<'_>) -> Result<u64> {
        self.readable()?.count(namespace, range)
    }

    fn metadata(&self, namespace: Namespace<'_>) -> Result<Option<Vec<u8>>> {
        self.inner.metadata(namespace)
    }

    fn namespaces(&self) -> Result<Vec<String>> {
        self.inner.namespaces()
    }

    fn stats(&self, namespace: Namespace<'_>) -> Result<StoreStats> {
        self.inner.stats(namespace)
    }

    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }

    fn copy_to(&self, target: &Path, compact: bool) -> Result<()> {
        self.inner.copy_to(target, compact)
    }

    fn close(&self) {
        self.inner.close();
    }

    fn is_open(&self) -> bool {
        self.inner.is_open()
    }
}
