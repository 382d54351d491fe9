//! The steps of the core on the way of a row, each by itself: stored bytes → pickle → cell →
//! bucket, and back into storage.
//!
//! ```text
//! cargo bench --manifest-path benches/core/Cargo.toml
//! ```

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use eosdb::codec::{encode_all, gzip, zones};
use eosdb::sequence::{Rows, Sequence, Storage, read_rows};
use eosdb::series::{
    Boundary, Cell, MeterRules, Resampling, Selection, Shape, Window, energy, kind, resample,
};
use eosdb::store::{Batch, LmdbOptions, LmdbStore, MetadataChange, Store};
use eosdb::{Span, Timestamp};
use tempfile::TempDir;

const NAMESPACE: &str = "house";
const KEY: &str = "pv_power";
/// 2024-01-01T00:00Z.
const START: i64 = 1_704_067_200;
const ROWS: usize = 10_000;
const MICROSECONDS: i64 = 1_000_000;

/// A record of four floats as Akkudoktor-EOS pickles it, and the floats in it.
const RECORD: &[u8] = include_bytes!("../../tests/golden/pickle/record_floats.pickle");
const FLOATS: [f64; 4] = [123.456, 7.7, 12055.812, 310.5];

/// The bench works on data it has made itself, so that nothing here can fail.
const SOUND: &str = "the bench's own data is sound";

fn times() -> Vec<i64> {
    (START..).step_by(60).take(ROWS).collect()
}

/// The pickle of the record with other floats, as no two records are alike.
fn pickle(number: usize) -> Vec<u8> {
    let mut bytes = RECORD.to_vec();
    for (at, float) in FLOATS.iter().enumerate() {
        let old = float.to_be_bytes();
        let place = bytes.windows(8).position(|window| window == old).expect(SOUND);
        let tenths = u32::try_from(number * (at + 3) * 7919 % 90_000).expect(SOUND);
        bytes[place..place + 8].copy_from_slice(&(f64::from(tenths) / 10.0).to_be_bytes());
    }
    bytes
}

fn pickles() -> Vec<(i64, Vec<u8>)> {
    times().into_iter().enumerate().map(|(number, time)| (time, pickle(number))).collect()
}

fn puts(rows: Vec<(i64, Vec<u8>)>) -> Batch {
    let key = |time| Timestamp::from_seconds(time).expect(SOUND).to_key().to_vec();
    Batch {
        puts: rows.into_iter().map(|(time, value)| (key(time), value)).collect(),
        metadata: MetadataChange::Keep,
        ..Batch::default()
    }
}

/// An LMDB store that has the rows.
fn filled() -> (TempDir, Arc<LmdbStore>) {
    let directory = TempDir::new().expect(SOUND);
    let store = LmdbStore::open(directory.path(), LmdbOptions::default()).expect(SOUND);
    store.commit(Some(NAMESPACE), &puts(encode_all(&pickles(), 9))).expect(SOUND);
    (directory, store)
}

/// What takes one float out of each record.
fn selection() -> Selection {
    zones::know("Europe/Berlin");
    let mut fields =
        vec![("date_time".to_owned(), kind::DATE_TIME), ("configured_data".to_owned(), kind::DICT)];
    for name in ["load0_emr", "load1_emr", "grid_emr", KEY] {
        fields.push((name.to_owned(), kind::FLOAT | kind::NONE));
    }
    let shape = Arc::new(Shape::new(fields, None));
    let place = shape.place(KEY).expect(SOUND);
    Selection::new(Some(&shape), Some(vec![place]))
}

fn values(criterion: &mut Criterion) {
    let pickles = pickles();
    let stored = encode_all(&pickles, 9);
    let mut group = criterion.benchmark_group("a value");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("deflate at level 9", |bencher| {
        let mut out = Vec::new();
        bencher.iter(|| {
            for (_, pickle) in &pickles {
                gzip::encode_stored(black_box(pickle), 9, &mut out);
            }
        });
    });
    group.bench_function("inflate", |bencher| {
        let mut scratch = Vec::new();
        bencher.iter(|| {
            for (_, value) in &stored {
                black_box(gzip::decode_stored(value, &mut scratch).expect(SOUND));
            }
        });
    });
    group.bench_function("parse the pickle", |bencher| {
        let mut reader = eosdb::codec::Reader::new();
        bencher.iter(|| {
            for (_, pickle) in &pickles {
                let tree = reader.read(pickle).expect(SOUND);
                black_box(tree.root());
                reader.reuse(tree);
            }
        });
    });
    group.bench_function("pick a float from the pickle", |bencher| {
        let selection = selection();
        bencher.iter(|| {
            let mut picker = selection.picker();
            for (_, pickle) in &pickles {
                black_box(picker.pick(pickle).expect(SOUND));
            }
        });
    });
    group.finish();
}

fn storage(criterion: &mut Criterion) {
    let (_directory, store) = filled();
    let storage = Storage::new(Arc::clone(&store) as Arc<dyn Store>, Some(NAMESPACE.to_owned()));
    let times = times();
    let mut group = criterion.benchmark_group("storage");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("load the times of all rows", |bencher| {
        bencher.iter(|| {
            let sequence = Sequence::<Arc<()>>::default();
            sequence.load(Some(&storage), Span::ALL).expect(SOUND)
        });
    });
    group.bench_function("read a float of all rows, all cores", |bencher| {
        let selection = selection();
        bencher.iter(|| {
            for piece in times.chunks(eosdb::sequence::PIECE) {
                black_box(read_rows(&storage, &selection, piece, piece.len(), None).expect(SOUND));
            }
        });
    });
    group.bench_function("get one row after another", |bencher| {
        bencher.iter(|| {
            for time in &times {
                black_box(storage.get(*time).expect(SOUND));
            }
        });
    });
    group.bench_function("commit all rows, synced", |bencher| {
        let rows = encode_all(&pickles(), 9);
        bencher.iter_batched(
            || {
                let directory = TempDir::new().expect(SOUND);
                let store = LmdbStore::open(directory.path(), LmdbOptions::default());
                (directory, store.expect(SOUND), puts(rows.clone()))
            },
            |(directory, store, batch)| {
                store.commit(Some(NAMESPACE), &batch).expect(SOUND);
                (directory, store, batch)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn rows(criterion: &mut Criterion) {
    let times = times();
    let mut group = criterion.benchmark_group("rows in memory");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("append", |bencher| {
        bencher.iter(|| {
            let mut rows = Rows::default();
            for time in &times {
                rows.insert(*time, ());
            }
            rows
        });
    });
    let mut full = Rows::default();
    for time in &times {
        full.insert(*time, ());
    }
    group.bench_function("find", |bencher| {
        bencher.iter(|| times.iter().filter(|time| full.get(**time + 1).is_none()).count());
    });
    group.finish();
}

fn series(criterion: &mut Criterion) {
    let times = times();
    let floats: Vec<f64> = (0..ROWS).map(|n| f64::from(u16::try_from(n).expect(SOUND))).collect();
    let cells: Vec<Cell> = floats.iter().copied().map(Cell::Float).collect();
    let window = Window { start: None, end: None, boundary: Boundary::Strict };
    let query = window.query(|_, _| Ok::<_, eosdb::Error>(None)).expect(SOUND);
    let how =
        Resampling { interval: 3_600 * MICROSECONDS, fill: None, align: false, aggregation: None };
    let mut group = criterion.benchmark_group("series");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("hourly means", |bencher| {
        bencher.iter(|| resample(&times, &cells, &window, &query, &how, 0).expect(SOUND));
    });
    group.bench_function("hourly energy of a meter", |bencher| {
        let rules = MeterRules::default();
        bencher.iter(|| energy(&times, &floats, None, None, how.interval, &rules).expect(SOUND));
    });
    group.finish();
}

criterion_group!(benches, values, storage, rows, series);
criterion_main!(benches);
