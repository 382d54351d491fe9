//! Inputs that are right, for others to be made of.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use eosdb::codec::gzip;
use eosdb::store::{KeyRange, LmdbOptions, LmdbStore, Order, Store};

/// Inputs by what they are.
pub struct Corpus {
    /// Pickles.
    pub pickles: Vec<Vec<u8>>,
    /// Stored values.
    pub stored: Vec<Vec<u8>>,
    /// Keys and names.
    pub keys: Vec<Vec<u8>>,
    /// Metadata.
    pub metadata: Vec<Vec<u8>>,
}

/// What Python and Akkudoktor-EOS wrote.
pub static CORPUS: LazyLock<Corpus> = LazyLock::new(read);

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn read() -> Corpus {
    let mut files: Vec<PathBuf> = fs::read_dir(golden().join("pickle"))
        .expect("the golden folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pickle"))
        .collect();
    files.sort();
    let pickles: Vec<_> = files.iter().map(|path| fs::read(path).expect("a file")).collect();
    let named = |start: &str| -> Vec<Vec<u8>> {
        let is_named = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
        };
        let pairs = files.iter().zip(&pickles).filter(|(path, _)| is_named(path));
        pairs.map(|(_, pickle)| pickle.clone()).collect()
    };
    let mut stored: Vec<Vec<u8>> = Vec::new();
    for start in ["record", "dst", "numpy", "plain"] {
        for (pickle, level) in named(start).iter().zip([0, 1, 6, 9].into_iter().cycle()) {
            let mut value = Vec::new();
            gzip::encode_stored(pickle, level, &mut value);
            stored.push(value);
        }
    }
    let mut metadata = named("metadata");
    let mut keys: Vec<Vec<u8>> = [
        "20241027T113456Z",
        "00010101T000000Z",
        "99991231T235959Z20240229T000000Z",
        "2024-10-27T11:34:56+00:00",
        "2024-02-29 23:59:60.5-12:00",
        "__metadata__",
        "house",
        "",
    ]
    .map(|key| key.as_bytes().to_vec())
    .into();
    for database in ["H", "S"] {
        databases(&golden().join("upstream").join(database), &mut stored, &mut keys, &mut metadata);
    }
    assert!(pickles.len() > 80 && stored.len() > 50 && keys.len() > 20 && metadata.len() > 3);
    Corpus { pickles, stored, keys, metadata }
}

/// Adds what a database of Akkudoktor-EOS holds.
fn databases(
    path: &Path,
    stored: &mut Vec<Vec<u8>>,
    keys: &mut Vec<Vec<u8>>,
    metadata: &mut Vec<Vec<u8>>,
) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(path.join("data.mdb"), folder.path().join("data.mdb")).expect("a copy");
    let store = LmdbStore::open(folder.path(), LmdbOptions::default()).expect("a database");
    for namespace in store.namespaces().expect("its namespaces") {
        let name = Some(namespace.as_str());
        let mut left = 12;
        let mut visit = |key: &[u8], value: &[u8]| {
            keys.push(key.to_vec());
            stored.push(value.to_vec());
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        store.scan(name, KeyRange::default(), Order::Ascending, &mut visit).expect("its rows");
        metadata.extend(store.metadata(name).expect("its metadata"));
        keys.push(namespace.into_bytes());
    }
}
