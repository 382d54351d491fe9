//! Files that were damaged anywhere: they are refused, or they can be used like any other.
//!
//! `EOSDB_FUZZ_CASES` sets how many damaged files are tried (150 if it is not set) and
//! `EOSDB_FUZZ_SEED` the first of them.

use std::env;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use eosdb::Error;
use eosdb::store::{
    Batch, Durability, KeyRange, Keys, LmdbOptions, LmdbStore, MetadataChange, Order, Store,
};
use tempfile::tempdir;

const NAMESPACES: [&str; 3] = ["house", "weather", "prices"];

/// A small generator, so that a case is its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}

fn key(second: usize) -> Vec<u8> {
    let (hour, minute) = (second / 3600 % 24, second / 60 % 60);
    let (day, month) = (second / 86_400 % 28 + 1, second / (28 * 86_400) % 12 + 1);
    format!("2026{month:02}{day:02}T{hour:02}{minute:02}{:02}Z", second % 60).into_bytes()
}

fn value(random: &mut Random) -> Vec<u8> {
    let length = match random.below(40) {
        0 => 2000 + random.below(20_000),
        1 => 0,
        _ => 100 + random.below(300),
    };
    vec![u8::try_from(random.below(256)).unwrap(); length]
}

fn puts(random: &mut Random, count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..count).map(|_| (key(random.below(400_000) * 60), value(random))).collect()
}

/// A database that has been in use: with inner pages, long values, and many pages free.
fn used(directory: &Path, random: &mut Random, rounds: usize) {
    let options = LmdbOptions { durability: Durability::None, ..LmdbOptions::default() };
    let store = LmdbStore::open(directory, options).unwrap();
    for round in 0..rounds {
        for name in NAMESPACES {
            let puts = puts(random, 40);
            let deletes: Keys = puts.iter().take(round % 40).map(|(key, _)| key.clone()).collect();
            let metadata = MetadataChange::Put(vec![7; round]);
            let batch = Batch { puts, deletes, metadata, ..Batch::default() };
            store.commit(Some(name), &batch).unwrap();
        }
    }
}

/// Damages a file as worn-out memory, half a copy, or somebody with a purpose may.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    const PAGE: usize = 4096;
    let pages = bytes.len() / PAGE;
    for _ in 0..=random.below(3) {
        // Most of what matters lies where pages begin and where their nodes do.
        let page = random.below(pages) * PAGE;
        let at = page
            + match random.below(4) {
                0 => random.below(16),
                1 => random.below(160),
                2 => 16 + 8 * random.below(20),
                _ => random.below(PAGE),
            };
        match random.below(9) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            2 => bytes[at] = u8::try_from(random.below(256)).unwrap(),
            3 => bytes[page..page + PAGE].fill(0),
            4 => bytes.copy_within(0..PAGE.min(page), page),
            5 => {
                let other = random.below(pages) * PAGE;
                bytes.copy_within(other..other + PAGE, page);
            }
            6 => {
                // A number of a page, or a size, that points elsewhere.
                let at = at.min(bytes.len() - 8) & !7;
                let number = [0, 1, 2, pages - 1, pages, pages + 1, 1 << 40, usize::MAX - 1]
                    [random.below(8)];
                bytes[at..at + 8].copy_from_slice(&(number as u64).to_ne_bytes());
            }
            7 => {
                let at = at.min(bytes.len() - 2) & !1;
                let number = [0, 1, 2, 8, 15, 4094, 4096, 0xffff][random.below(8)];
                bytes[at..at + 2].copy_from_slice(&u16::to_ne_bytes(number));
            }
            _ => {
                if random.below(20) == 0 {
                    bytes.truncate(at.max(PAGE));
                    return;
                }
                bytes.swap(at, page + random.below(PAGE));
            }
        }
    }
}

/// Uses a database as a program would that trusts it.
fn use_it(store: &LmdbStore, random: &mut Random) {
    for name in NAMESPACES {
        for order in [Order::Ascending, Order::Descending] {
            let mut seen = 0_usize;
            let scanned = store.scan(Some(name), KeyRange::default(), order, &mut |key, value| {
                seen += key.len() + value.iter().map(|byte| usize::from(*byte)).sum::<usize>();
                ControlFlow::Continue(())
            });
            usable(scanned);
        }
        usable(store.count(Some(name), KeyRange::default()));
        usable(store.metadata(Some(name)));
        for _ in 0..5 {
            usable(store.get(Some(name), &key(random.below(400_000) * 60)));
        }
        let puts = puts(random, 30);
        let deletes: Keys = match random.below(3) {
            0 => Keys::default(),
            1 => puts.iter().take(20).map(|(key, _)| key.clone()).collect(),
            _ => (0..4000).map(|number| key(number * 6000)).collect(),
        };
        usable(store.commit(Some(name), &Batch { puts, deletes, ..Batch::default() }));
    }
    usable(store.namespaces());
    usable(store.stats(Some("house")));
}

/// What a call may end in, where a file holds something else than it should.
fn usable<T>(outcome: eosdb::Result<T>) {
    match outcome {
        Ok(_) | Err(Error::Storage { .. } | Error::Full { .. } | Error::Namespace { .. }) => {}
        Err(error) => panic!("{error:?}"),
    }
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn a_damaged_file_is_refused_or_usable() {
    let folder = tempdir().unwrap();
    let originals: Vec<Vec<u8>> = [1, 4, 60]
        .into_iter()
        .map(|rounds| {
            let path = folder.path().join(rounds.to_string());
            used(&path, &mut Random(rounds as u64), rounds);
            fs::read(path.join("data.mdb")).unwrap()
        })
        .collect();
    let (first, cases) = (setting("EOSDB_FUZZ_SEED", 1), setting("EOSDB_FUZZ_CASES", 150));
    let (mut refused, mut used) = (0, 0);
    for seed in first..first + cases {
        // Shown if the test fails, and where LMDB crashed with `--nocapture`.
        println!("seed {seed}");
        let random = &mut Random(seed);
        let mut bytes = originals[random.below(originals.len())].clone();
        damage(&mut bytes, random);
        let path = folder.path().join("case");
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("data.mdb"), &bytes).unwrap();
        let options = LmdbOptions {
            max_map_size: 64 << 20,
            durability: Durability::None,
            ..LmdbOptions::default()
        };
        match LmdbStore::open(&path, options) {
            Ok(store) => {
                used += 1;
                use_it(&store, random);
            }
            Err(Error::Corrupt { .. } | Error::Storage { .. }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(refused > cases / 4);
    assert!(used > cases / 20);
}
