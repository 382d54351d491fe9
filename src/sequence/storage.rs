//! One namespace of a store, in terms of instants.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::index::FoundRow;
use crate::error::Result;
use crate::interval::Span;
use crate::store::{Order, Store};
use crate::timestamp::Timestamp;

/// How many rows a scan passes while one is looked up.
const LOOKUP_COST: usize = 8;

/// One namespace of a store.
#[derive(Clone)]
pub struct Storage {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The namespace in it.
    pub namespace: Option<String>,
}

impl Storage {
    /// The namespace `namespace` of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, namespace: Option<String>) -> Self {
        Self { store, namespace }
    }

    /// The generation of the namespace.
    ///
    /// # Errors
    /// Those of [`Store::generation`].
    pub fn generation(&self) -> Result<u64> {
        self.store.generation(self.name())
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The value at `time`, as it is stored.
    ///
    /// # Errors
    /// Those of [`Store::get`].
    pub fn get(&self, time: i64) -> Result<Option<Vec<u8>>> {
        match Timestamp::from_seconds(time) {
            Ok(instant) => self.store.get(self.name(), &instant.to_key()),
            Err(_) => Ok(None),
        }
    }

    /// The first row at or after `time`, with its value where the store is slow to read it again.
    pub(super) fn first_from(&self, time: i64) -> Result<Option<FoundRow>> {
        let keep = !self.store.reads_single_values_fast();
        let mut first = None;
        self.scan_with(Span::new(time, i64::MAX), Order::Ascending, |found, value| {
            first = Some((found, (keep && found == time).then(|| Arc::new(value.to_vec()))));
            ControlFlow::Break(())
        })?;
        Ok(first)
    }

    pub(super) fn contains(&self, time: i64) -> Result<bool> {
        match Timestamp::from_seconds(time) {
            Ok(instant) => self.store.contains(self.name(), &instant.to_key()),
            Err(_) => Ok(false),
        }
    }

    /// Shows the value of each of `times` to `visit`, with its position, from one snapshot.
    ///
    /// # Errors
    /// Those of [`Store::get_many`].
    pub fn get_many(
        &self,
        times: &[i64],
        mut visit: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        self.look_up(times, |at, value| {
            visit(at, value);
            ControlFlow::Continue(())
        })
    }

    fn look_up(
        &self,
        times: &[i64],
        mut visit: impl FnMut(usize, Option<&[u8]>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut keys = times
            .iter()
            .map(|time| Timestamp::from_seconds(*time).map_or([0; 16], Timestamp::to_key));
        let mut at = 0;
        self.store.get_many(self.name(), &mut keys, &mut |_, value| {
            at += 1;
            visit(at - 1, value)
        })
    }

    /// Shows the value that is stored at each of `times`, ascending, with its position, from one
    /// snapshot, until `visit` breaks. `among` tells how many rows lie between the first and the
    /// last of them: a scan is the faster way to most of them, a lookup each to few.
    ///
    /// # Errors
    /// Those of [`Store::scan`].
    pub fn read_many(
        &self,
        times: &[i64],
        among: usize,
        mut visit: impl FnMut(usize, &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return Ok(()) };
        if among > times.len().saturating_mul(LOOKUP_COST) {
            return self.look_up(times, |at, value| match value {
                Some(value) => visit(at, value),
                None => ControlFlow::Continue(()),
            });
        }
        let mut at = 0;
        let span = Span::new(*first, last.saturating_add(1));
        self.scan_with(span, Order::Ascending, |time, value| {
            while times.get(at).is_some_and(|wanted| *wanted < time) {
                at += 1;
            }
            if times.get(at) == Some(&time) { visit(at, value) } else { ControlFlow::Continue(()) }
        })
    }

    /// How many bytes the values of the rows of `span` take.
    ///
    /// # Errors
    /// Those of [`Store::scan`].
    pub fn size(&self, span: Span) -> Result<usize> {
        let mut size = 0;
        self.scan_with(span, Order::Ascending, |_, value| {
            size += value.len();
            ControlFlow::Continue(())
        })?;
        Ok(size)
    }

    /// The rows of `span`, with their values where the store is slow to read single ones.
    /// After `limit` rows it stops, and tells where.
    pub(super) fn scan(&self, span: Span, limit: usize) -> Result<Found> {
        let keep = !self.store.reads_single_values_fast();
        let mut found = Found::default();
        let keys = span.keys();
        self.store.scan(self.name(), keys.range(), Order::Ascending, &mut |key, value| {
            match Timestamp::from_key(key) {
                Some(instant) => {
                    found.rows.push((instant.seconds(), keep.then(|| Arc::new(value.to_vec()))));
                }
                None => found.foreign.push(key.escape_ascii().to_string()),
            }
            if found.rows.len() < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if let (Some((last, _)), true) = (found.rows.last(), found.rows.len() >= limit) {
            found.end = last.saturating_add(1);
        } else {
            found.end = span.end;
        }
        Ok(found)
    }

    /// Shows the rows of `span` to `visit`. Keys of another form than ours are left alone.
    pub(super) fn scan_with(
        &self,
        span: Span,
        order: Order,
        mut visit: impl FnMut(i64, &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        let keys = span.keys();
        self.store.scan(self.name(), keys.range(), order, &mut |key, value| {
            match Timestamp::from_key(key) {
                Some(instant) => visit(instant.seconds(), value),
                None => ControlFlow::Continue(()),
            }
        })
    }
}

/// What a scan found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) rows: Vec<FoundRow>,
    /// Keys that are no timestamps, as text.
    pub(super) foreign: Vec<String>,
    /// The end of what was scanned.
    pub(super) end: i64,
}
