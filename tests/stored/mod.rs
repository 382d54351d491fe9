//! Rows to be stored, and tests that run as processes of their own, for the stores with files.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use eosdb::store::{Batch, KeyRange, Namespace, Order, Store};
use eosdb::{Error, Timestamp};

/// Names the directory to work on to a test that is run as another process.
const CHILD_DIRECTORY: &str = "EOSDB_TEST_DIRECTORY";

pub fn key(minute: usize) -> Vec<u8> {
    let minute = i64::try_from(minute).unwrap();
    Timestamp::from_seconds(1_700_000_000 + 60 * minute).unwrap().to_key().to_vec()
}

/// Rows that differ, each with a value of `size` bytes.
pub fn puts(minutes: impl IntoIterator<Item = usize>, size: usize) -> Batch {
    let value = |minute: usize| minute.to_le_bytes().repeat(size.div_ceil(8))[..size].to_vec();
    let puts = minutes.into_iter().map(|minute| (key(minute), value(minute)));
    Batch { puts: puts.collect(), ..Batch::default() }
}

pub fn rows(store: &Arc<impl Store>, namespace: Namespace<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    store.scan(namespace, KeyRange::default(), Order::Ascending, visit).unwrap();
    rows
}

/// Runs the ignored test `name` of this file as another process, under what `limits` sets in a
/// shell, and asserts that it passes.
pub fn run_as_child(name: &str, directory: &Path, limits: &str) {
    let script = format!("{limits}\nexec \"$0\" --ignored --exact {name}");
    let child = Command::new("bash")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD_DIRECTORY, directory)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{child:?}");
}

pub fn child_directory() -> PathBuf {
    std::env::var_os(CHILD_DIRECTORY).expect("run by another test").into()
}

/// Saves more than there is space for into a store of the first hundred rows, which keeps them and
/// goes on.
pub fn save_too_much(store: &Arc<impl Store>, namespace: Namespace<'_>) {
    let generation = store.generation(namespace).unwrap();
    let error = store.commit(namespace, &puts(0..8000, 1000)).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    assert_eq!(rows(store, namespace), puts(0..100, 1000).puts);
    assert_eq!(store.generation(namespace).unwrap(), generation);
    store.commit(namespace, &puts(100..110, 1000)).unwrap();
}
