//! Values taken out of one record after another are those of each record read alone.

use std::path::PathBuf;
use std::sync::Arc;

use eosdb::codec::{read, zones};
use eosdb::series::{Cell, Picker, Selection, Shape, kind};
use proptest::prelude::*;

const NUMBER: u32 = kind::NONE | kind::INT | kind::FLOAT | kind::STR;

/// Takes all fields, two configured values, and one that no record has.
fn selection(fields: &[(&str, u32)]) -> Selection {
    zones::know("Europe/Berlin");
    zones::know("UTC");
    let shape =
        Shape::new(fields.iter().map(|(name, kinds)| ((*name).into(), *kinds)).collect(), None);
    let keys = fields.iter().map(|(name, _)| *name).chain(["x", "y", "absent"]);
    let places = keys.map(|key| shape.place(key)).collect();
    Selection::new(Some(&Arc::new(shape)), places)
}

fn records() -> Selection {
    selection(&[
        ("date_time", kind::DATE_TIME),
        ("configured_data", kind::DICT),
        ("a", NUMBER),
        ("b", NUMBER),
    ])
}

/// Takes the same as `records()`, out of records with any fields.
fn any_fields() -> Selection {
    let shape = Shape::any(None);
    let keys = ["date_time", "configured_data", "a", "b", "x", "y", "absent"];
    let places = keys.map(|key| shape.place(key)).into_iter().collect();
    Selection::new(Some(&Arc::new(shape)), places)
}

/// The values as text that shows every bit.
fn shown(cells: Option<Box<[Cell]>>) -> Option<Vec<String>> {
    let show = |cell: &Cell| match cell {
        Cell::Float(value) => format!("{:x}", value.to_bits()),
        cell => format!("{cell:?}"),
    };
    cells.map(|cells| cells.iter().map(show).collect())
}

/// Takes the values of `pickle` after whatever `picker` took before; tells whether there are any.
#[track_caller]
fn check(selection: &Selection, picker: &mut Picker<'_>, pickle: &[u8]) -> bool {
    let alone = shown(selection.picker().pick(pickle));
    assert_eq!(shown(picker.pick(pickle)), alone, "{}", pickle.escape_ascii());
    alone.is_some()
}

// Opcodes of values.

fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("a short text");
    [&[0x8c, length], text.as_bytes()].concat()
}

fn float(value: f64) -> Vec<u8> {
    [&b"G"[..], &value.to_be_bytes()].concat()
}

fn int(value: i32) -> Vec<u8> {
    if let Ok(byte) = u8::try_from(value) {
        vec![b'K', byte]
    } else if let Ok(word) = u16::try_from(value) {
        [&b"M"[..], &word.to_le_bytes()].concat()
    } else {
        [&b"J"[..], &value.to_le_bytes()].concat()
    }
}

fn numpy(value: f64) -> Vec<u8> {
    let dtype = b"cnumpy\ndtype\n\x8c\x02f8\x89\x88\x87R(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb";
    let scalar = b"cnumpy._core.multiarray\nscalar\n";
    [&scalar[..], dtype, b"C\x08", &value.to_le_bytes(), b"\x86R"].concat()
}

fn named_zone(name: &str) -> Vec<u8> {
    [b"cpendulum.tz.timezone\nTimezone\n", &text(name)[..], b"\x85R"].concat()
}

/// `seconds` are opcodes that push the offset.
fn fixed_zone(seconds: &[u8]) -> Vec<u8> {
    [b"cpendulum.tz.timezone\nFixedTimezone\n", seconds, &text("z"), b"\x86R"].concat()
}

fn time(numbers: [i32; 7], zone: &[u8]) -> Vec<u8> {
    let numbers = numbers.map(int).concat();
    [b"cpydantic_extra_types.pendulum_dt\nDateTime\n(", &numbers[..], zone, b"tR"].concat()
}

fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs = pairs.iter().flat_map(|(name, value)| [text(name), value.clone()]);
    [b"}(", &pairs.collect::<Vec<_>>().concat()[..], b"u"].concat()
}

fn record(time: Vec<u8>, configured: Vec<u8>, a: Vec<u8>, b: Vec<u8>) -> Vec<u8> {
    let fields = [("date_time", time), ("configured_data", configured), ("a", a), ("b", b)];
    [b"\x80\x04", &dict(&fields)[..], b"."].concat()
}

const NOON: [i32; 7] = [2024, 2, 29, 12, 30, 15, 123_456];

fn noon() -> Vec<u8> {
    time(NOON, &named_zone("Europe/Berlin"))
}

fn samples() -> Vec<Vec<u8>> {
    let configured = || dict(&[("x", float(1.5)), ("y", int(-7)), ("x", float(2.5))]);
    vec![
        record(noon(), dict(&[]), float(0.1), float(-0.0)),
        record(noon(), configured(), int(3), text("on")),
        record(noon(), dict(&[("x", numpy(1.5)), ("y", int(300))]), float(0.1), b"N".to_vec()),
        record(time(NOON, &fixed_zone(&int(3600))), configured(), int(70_000), float(1.0)),
    ]
}

#[test]
fn any_byte_of_a_record_may_change() {
    let selection = records();
    for sample in samples() {
        assert!(check(&selection, &mut selection.picker(), &sample));
        every_byte(&selection, &sample);
    }
}

#[test]
fn any_byte_of_a_record_with_any_fields_may_change() {
    let selection = any_fields();
    for sample in samples() {
        let by_class = shown(records().picker().pick(&sample));
        assert!(by_class.is_some());
        assert_eq!(shown(selection.picker().pick(&sample)), by_class);
        every_byte(&selection, &sample);
    }
}

#[test]
fn records_with_any_fields_tell_their_names() {
    let selection = any_fields();
    let of = |fields: &[(&str, Vec<u8>)]| [b"\x80\x04", &dict(fields)[..], b"."].concat();
    let pick = |records: &[Vec<u8>]| {
        let mut picker = selection.picker();
        let found: Vec<bool> =
            records.iter().map(|record| check(&selection, &mut picker, record)).collect();
        (found, picker.names().into_iter().collect::<Vec<_>>().join(" "))
    };
    let configured = dict(&[("x", float(1.0)), ("z", int(1))]);
    let records = [
        of(&[("date_time", noon()), ("b", int(1))]),
        of(&[("date_time", noon()), ("b", int(2))]),
        of(&[("a", numpy(1.5)), ("configured_data", configured), ("date_time", noon())]),
        of(&[("date_time", noon()), ("d", dict(&[("x", int(1))])), ("a", text("on"))]),
    ];
    assert_eq!(pick(&records), (vec![true, true, false, true], "a b d date_time".to_owned()));
    let without_time = of(&[("b", float(1.0))]);
    let other_time = of(&[("date_time", int(7)), ("b", float(1.0))]);
    let a_list = of(&[("date_time", noon()), ("b", b"]".to_vec())]);
    let no_dict = of(&[("date_time", noon()), ("configured_data", int(1))]);
    let odd = [without_time, other_time, a_list, no_dict];
    assert_eq!(pick(&odd), (vec![false; 4], String::new()));
    // A field goes before a configured value of the same name.
    let configured = dict(&[("a", float(1.0)), ("x", float(3.0))]);
    let both = of(&[("date_time", noon()), ("a", float(2.0)), ("configured_data", configured)]);
    let cells = selection.picker().pick(&both).expect("a record");
    assert_eq!(format!("{:?} {:?}", cells[2], cells[4]), "Float(2.0) Float(3.0)");
}

#[test]
fn any_byte_of_a_record_of_python_may_change() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pickle");
    for name in ["record_floats", "record_none"] {
        let pickle = std::fs::read(folder.join(name).with_extension("pickle")).expect("a file");
        let tree = read(&pickle).expect("a tree");
        let fields = tree.fields().expect("fields").map(|(name, _)| match name {
            "date_time" => (name, kind::DATE_TIME),
            "configured_data" => (name, kind::DICT),
            name => (name, NUMBER),
        });
        let selection = selection(&fields.collect::<Vec<_>>());
        assert!(check(&selection, &mut selection.picker(), &pickle));
        every_byte(&selection, &pickle);
    }
}

/// After the record as it is, each byte in turn is another one, and the end.
fn every_byte(selection: &Selection, pickle: &[u8]) {
    for position in 0..pickle.len() {
        let mut picker = selection.picker();
        picker.pick(pickle);
        let mut changed = pickle.to_vec();
        for flip in (0..8).map(|bit| 1 << bit).chain([u8::MAX]) {
            changed[position] = pickle[position] ^ flip;
            check(selection, &mut picker, &changed);
        }
        check(selection, &mut picker, &pickle[..position]);
    }
    let longer = [pickle, &b"."[..]].concat();
    let mut picker = selection.picker();
    picker.pick(pickle);
    assert!(check(selection, &mut picker, &longer));
}

#[test]
fn every_pickle_of_python_after_a_record() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pickle");
    let files = std::fs::read_dir(folder).expect("the golden folder");
    let pickles = files.map(|file| std::fs::read(file.expect("an entry").path()).expect("a file"));
    let pickles: Vec<_> = pickles.chain(samples()).collect();
    let selection = records();
    for sample in samples() {
        let mut found = 0;
        for pickle in &pickles {
            let mut picker = selection.picker();
            picker.pick(&sample);
            found += usize::from(check(&selection, &mut picker, pickle));
        }
        assert_eq!(found, samples().len());
    }
}

#[test]
fn a_time_out_of_range_is_refused_after_a_good_one() {
    let selection = records();
    let mut picker = selection.picker();
    let of = |numbers| {
        let time = time(numbers, &named_zone("UTC"));
        record(time, dict(&[]), float(1.0), float(2.0))
    };
    assert!(check(&selection, &mut picker, &of(NOON)));
    for (part, value) in
        [(0, 2023), (0, 10_000), (1, 0), (1, 13), (2, 0), (2, 30), (3, 24), (4, 60), (5, 60)]
    {
        let mut numbers = NOON;
        numbers[part] = value;
        assert!(!check(&selection, &mut picker, &of(numbers)), "{numbers:?}");
    }
    for microsecond in [1_000_000, -1, 65_536, 999_999] {
        let mut numbers = NOON;
        numbers[6] = microsecond;
        let valid = (0..1_000_000).contains(&microsecond);
        assert_eq!(check(&selection, &mut picker, &of(numbers)), valid, "{microsecond}");
    }
}

#[test]
fn a_number_that_is_two_values_changes_both() {
    let selection = records();
    // By the memo, the value of `a` is the offset of the zone too.
    let shared = |seconds: i32| {
        let time = time(NOON, &fixed_zone(&[&int(seconds)[..], b"q\x07"].concat()));
        record(time, dict(&[]), b"h\x07".to_vec(), float(1.0))
    };
    let mut picker = selection.picker();
    assert!(check(&selection, &mut picker, &shared(70_000)));
    assert!(check(&selection, &mut picker, &shared(80_000)));
    assert!(!check(&selection, &mut picker, &shared(90_000)));
}

#[test]
fn nothing_and_integers_of_every_width_by_turns() {
    let selection = records();
    let mut picker = selection.picker();
    let numbers = [0, 255, 256, 65_535, 65_536, -1, i32::MAX, i32::MIN];
    let mut values: Vec<_> = numbers.into_iter().map(int).collect();
    values.extend([b"N".to_vec(), float(f64::NAN), float(1e300), text("a"), text("b")]);
    for a in &values {
        for b in &values {
            let record = record(noon(), dict(&[]), a.clone(), b.clone());
            assert!(check(&selection, &mut picker, &record));
        }
    }
}

#[test]
fn more_texts_than_are_learned_and_records_of_great_length() {
    let selection = records();
    let mut picker = selection.picker();
    for number in 0..150 {
        let b = text(&"b".repeat(number));
        for a in [float(1.0), float(2.0)] {
            assert!(check(&selection, &mut picker, &record(noon(), dict(&[]), a, b.clone())));
        }
    }
    let long: Vec<_> = (0..3000).map(|_| ("x", float(1.0))).collect();
    for a in [float(1.0), float(2.0)] {
        assert!(check(&selection, &mut picker, &record(noon(), dict(&long), a, text("b"))));
    }
}

/// Opcodes that share, drop, nest and call.
const OPCODES: &[u8] = b"(.012GJKMNRtq}hu\x85\x86\x87\x88\x8c\x93\x94";

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any::<f64>().prop_map(float),
        2 => any::<i32>().prop_map(int),
        1 => any::<u8>().prop_map(|byte| int(byte.into())),
        1 => Just(b"N".to_vec()),
        1 => "[ab]{0,2}".prop_map(|content| text(&content)),
    ]
}

fn any_record() -> impl Strategy<Value = Vec<u8>> {
    let zone = prop_oneof![
        Just(named_zone("UTC")),
        (-90_000..90_000i32).prop_map(|seconds| fixed_zone(&int(seconds))),
    ];
    let numbers = [2020..2028i32, 1..14, 1..33, 0..25, 0..61, 0..61, 0..1_100_000];
    let configured = prop_oneof![
        Just(dict(&[])),
        (value(), any::<f64>()).prop_map(|(x, y)| dict(&[("x", x), ("y", numpy(y))])),
        (value(), value()).prop_map(|(x, y)| dict(&[("x", x), ("y", y)])),
    ];
    let time = (numbers, zone).prop_map(|(numbers, zone)| time(numbers, &zone));
    (time, configured, value(), value()).prop_map(|(time, x, a, b)| record(time, x, a, b))
}

type Change = (prop::sample::Index, prop::sample::Index, u8);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn records_one_after_another(pickles in prop::collection::vec(any_record(), 1..30)) {
        let (selection, any) = (records(), any_fields());
        let (mut picker, mut any_picker) = (selection.picker(), any.picker());
        for pickle in &pickles {
            check(&selection, &mut picker, pickle);
            check(&any, &mut any_picker, pickle);
            let by_class = shown(selection.picker().pick(pickle));
            prop_assert_eq!(shown(any.picker().pick(pickle)), by_class);
        }
    }

    #[test]
    fn hostile_records_one_after_another(
        mut pickle in any_record(),
        inserted in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(OPCODES)), 0..4,
        ),
        changes in prop::collection::vec(any::<Vec<Change>>(), 1..20),
    ) {
        let selection = records();
        let mut picker = selection.picker();
        for (position, opcode) in inserted {
            pickle.insert(position.index(pickle.len()), opcode);
        }
        for changes in changes {
            check(&selection, &mut picker, &pickle);
            for (position, opcode, byte) in changes {
                let position = position.index(pickle.len());
                // Even bytes stand for opcodes, odd ones for themselves.
                pickle[position] = if byte % 2 == 0 { *opcode.get(OPCODES) } else { byte };
            }
        }
    }
}
