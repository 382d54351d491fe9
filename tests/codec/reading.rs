//! What Python wrote is read as what it was.

use eosdb::codec::{Node, NumpyScalar, Reader, Zone, read, safe_globals};

use super::{all_golden, golden, show};

#[track_caller]
fn assert_reads(name: &str, expected: &str) {
    let pickle = golden(name);
    let tree = read(&pickle).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(show(&tree, tree.root()), expected, "{name}");
    safe_globals::check(&tree).unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[test]
fn records() {
    let berlin = r#"Timezone("Europe/Berlin")"#;
    let noon = format!("2024-10-27 12:45:00.000000 fold=0 {berlin}");
    assert_reads(
        "record_floats",
        &format!(
            r#"{{"date_time": @pydantic_extra_types.pendulum_dt.DateTime({noon}), "configured_data": {{}}, "load0_emr": 123.456, "load1_emr": 7.7, "grid_emr": 12055.812, "pv_power": 310.5}}"#
        ),
    );
    assert_reads(
        "record_none",
        &format!(
            r#"{{"date_time": @pydantic_extra_types.pendulum_dt.DateTime({noon}), "configured_data": {{}}, "load0_emr": None, "mode": None}}"#
        ),
    );
    assert_reads(
        "record_configured",
        &format!(
            r#"{{"date_time": @pendulum.datetime.DateTime({noon}), "configured_data": {{"load0_emr": @F64(1.5), "load1_emr": @F64(-2.5), "grid": 3.5}}}}"#
        ),
    );
    for protocol in 0..5 {
        assert_reads(
            &format!("record_p{protocol}"),
            &format!(
                r#"{{"date_time": @pendulum.datetime.DateTime({noon}), "configured_data": {{}}}}"#
            ),
        );
    }
}

#[test]
fn dates_of_every_class_and_zone() {
    let wall = "2024-10-27 02:30:15.123456";
    let zones = [
        ("naive", "naive"),
        ("utc", r#"Timezone("UTC")"#),
        ("fixed", r#"FixedTimezone { seconds: 19800, name: "+05:30" }"#),
        ("fixed_west", r#"FixedTimezone { seconds: -12600, name: "west" }"#),
        ("stdlib_utc", "Utc"),
        ("zoneinfo", r#"ZoneInfo("Europe/Berlin")"#),
    ];
    for (name, zone) in zones {
        assert_reads(
            &format!("pendulum_{name}"),
            &format!("@pendulum.datetime.DateTime({wall} fold=0 {zone})"),
        );
    }
    let more = [
        ("offset", "Offset { seconds: 3600, name: None }"),
        ("named", r#"Offset { seconds: -7200, name: Some("boat") }"#),
        ("berlin", r#"Timezone("Europe/Berlin")"#),
    ];
    for (name, zone) in zones.into_iter().chain(more) {
        assert_reads(
            &format!("stdlib_{name}"),
            &format!("@datetime.datetime({wall} fold=1 {zone})"),
        );
    }
    for protocol in 0..4 {
        assert_reads(
            &format!("stdlib_zoneinfo_p{protocol}"),
            &format!(r#"@datetime.datetime({wall} fold=0 ZoneInfo("Europe/Berlin"))"#),
        );
    }
}

#[test]
fn pendulum_drops_the_fold_so_both_passes_read_alike() {
    assert_eq!(golden("dst_fold0"), golden("dst_fold1"));
    let pickle = golden("dst_fold1");
    let tree = read(&pickle).unwrap();
    let (key, date_time) = tree.fields().unwrap().next().unwrap();
    assert_eq!(key, "date_time");
    let parts = tree.date_time(date_time).unwrap();
    assert_eq!((parts.hour, parts.minute, parts.fold), (2, 30, 0));
    assert_eq!(parts.zone, Some(Zone::Timezone("Europe/Berlin")));
}

#[test]
fn shared_classes_and_zones() {
    let wall = "2024-10-27 02:30:15.123456 fold=0";
    let pydantic = "@pydantic_extra_types.pendulum_dt.DateTime";
    let pendulum = "@pendulum.datetime.DateTime";
    let berlin = r#"Timezone("Europe/Berlin")"#;
    let oslo = r#"Timezone("Europe/Oslo")"#;
    let one = format!("{pydantic}({wall} {berlin})");
    assert_reads("two_date_times", &format!("[{one}, {one}, {one}]"));
    assert_reads(
        "two_classes_and_zones",
        &format!("[{one}, {pendulum}({wall} {berlin}), {pendulum}({wall} {oslo})]"),
    );
    assert_reads(
        "two_fixed_zones",
        &format!(
            r#"[{pendulum}({wall} FixedTimezone {{ seconds: 3600, name: "+01:00" }}), {pendulum}({wall} FixedTimezone {{ seconds: 7200, name: "+02:00" }})]"#
        ),
    );
}

#[test]
fn numpy_scalars() {
    assert_reads("numpy_float64", "@F64(1.5)");
    assert_reads("numpy_1", "@F64(1.5)");
    for protocol in 0..5 {
        assert_reads(&format!("numpy_float64_p{protocol}"), "@F64(1.5)");
    }
    assert_reads("numpy_shared", "[@F64(1.5), @F64(2.5), @F32(1.0), @Bool(true), @Bool(true)]");
    assert_reads(
        "numpy_kinds",
        "[@Bool(true), @I8(1), @I16(1), @I32(1), @I64(1), @U8(1), @U16(1), @U32(1), @U64(1), \
         @F16(15360), @F32(1.0), @F64(1.0)]",
    );
    let pickle = golden("numpy_kinds");
    let tree = read(&pickle).unwrap();
    let Node::List(items) = tree.node(tree.root()) else { panic!("no list") };
    for &item in items {
        let value = tree.numpy_scalar(item).unwrap().as_f64();
        assert!((value - 1.0).abs() < f64::EPSILON);
    }
}

#[test]
fn numpy_scalars_keep_their_byte_order_and_value() {
    let mut pickle = golden("numpy_float64_p2");
    let order = pickle.iter().position(|&byte| byte == b'<').unwrap();
    pickle[order] = b'>';
    let tree = read(&pickle).unwrap();
    let Some(NumpyScalar::F64(value)) = tree.numpy_scalar(tree.root()) else { panic!("no f8") };
    assert_eq!(value.to_be_bytes(), 1.5f64.to_le_bytes());

    for (bits, value) in [(0x0001, 2f64.powi(-24)), (0xc000, -2.0), (0x7bff, 65504.0)] {
        assert_eq!(NumpyScalar::F16(bits).as_f64().to_bits(), f64::to_bits(value));
    }
    assert!(NumpyScalar::F16(0x7c01).as_f64().is_nan());
    assert_eq!(NumpyScalar::F16(0xfc00).as_f64().to_bits(), f64::NEG_INFINITY.to_bits());
}

const PLAIN: &str = r#"None, True, False, 0, 255, 256, 65535, 65536, -1, 2147483647, -2147483648, 2147483648, -2147483649, 9223372036854775807, -9223372036854775808, 0.1, -0.0, inf, -inf, NaN, "", "text", "zwölf €\n\\ 𝛑", b"", b"\x00\xff\n", [], (), {}, [1], (1), (1, 2), (1, 2, 3), (1, 2, 3, 4), {"a": 1}, {"a": 1, "b": [{"c": (None, [])}]}"#;

#[test]
fn plain_values_of_every_protocol() {
    for protocol in 0..=5 {
        let sets =
            if protocol < 2 { "" } else { r#", set("one"), frozenset("two"), set(), frozenset()"# };
        assert_reads(&format!("plain_p{protocol}"), &format!("[{PLAIN}{sets}]"));
    }
    assert_reads("bytearray", r#"bytearray(b"abc")"#);
}

#[test]
fn integers_beyond_64_bits() {
    let pickle = golden("big_ints");
    let tree = read(&pickle).unwrap();
    let Node::List(items) = tree.node(tree.root()) else { panic!("no list") };
    let bytes: Vec<_> = items
        .iter()
        .map(|&id| match tree.node(id) {
            Node::BigInt(bytes) => bytes,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(bytes[0], [0, 0, 0, 0, 0, 0, 0, 0x80, 0]);
    assert_eq!(bytes[1], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff]);
    assert_eq!(bytes[2], [0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(bytes.iter().map(|b| b.len()).collect::<Vec<_>>(), [9, 9, 9, 256, 256, 257]);
}

#[test]
fn integers_with_needless_bytes() {
    let tree = read(b"\x80\x02\x8a\x0a\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff.").unwrap();
    assert_eq!(tree.node(tree.root()), Node::Int(-2));
    let tree = read(b"\x80\x02\x8a\x00.").unwrap();
    assert_eq!(tree.node(tree.root()), Node::Int(0));
}

#[test]
fn values_that_need_a_call() {
    assert_reads("ordered_dict", r#"collections.OrderedDict() items {"a": 1, "b": 2}"#);
    assert_reads("decimal", r#"decimal.Decimal("12.50")"#);
    assert_reads("uuid", r#"new uuid.UUID() state {"int": 1}"#);
    assert_reads("uuid_p2", r#"new uuid.UUID() state {"int": 1}"#);
    assert_reads("complex", "builtins.complex(1.0, 2.0)");
    let pickle = golden("pendulum_others");
    safe_globals::check(&read(&pickle).unwrap()).unwrap();
}

#[test]
fn what_python_shared_is_one_node() {
    let pickle = golden("shared");
    let tree = read(&pickle).unwrap();
    let fields: Vec<_> = tree.fields().unwrap().collect();
    assert_eq!(fields.len(), 5);
    assert_eq!(fields[0].1, fields[1].1);
    assert_eq!(fields[2].1, fields[3].1);
    assert_eq!(tree.node(fields[4].1), Node::Tuple(&[fields[0].1, fields[2].1]));
}

#[test]
fn long_lists_and_dictionaries() {
    for size in [999, 1000, 1001, 2000] {
        let pickle = golden(&format!("list_{size}"));
        let tree = read(&pickle).unwrap();
        let Node::List(items) = tree.node(tree.root()) else { panic!("no list") };
        assert_eq!(items.len(), size);
        for (expected, &id) in (0..).zip(items) {
            assert_eq!(tree.node(id), Node::Int(expected));
        }
        let pickle = golden(&format!("dict_{size}"));
        let tree = read(&pickle).unwrap();
        let keys: Vec<_> = tree.fields().unwrap().map(|(key, _)| key.to_owned()).collect();
        assert_eq!(keys, (0..size).map(|key| key.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn a_list_that_moves_in_the_arena_keeps_its_elements() {
    // Each element is a list of its own, written between the appends.
    let mut pickle = b"\x80\x02]".to_vec();
    for number in 0..100 {
        pickle.extend_from_slice(&[b']', b'K', number, b'a', b'a']);
    }
    pickle.push(b'.');
    let tree = read(&pickle).unwrap();
    let expected: Vec<_> = (0..100).map(|number| format!("[{number}]")).collect();
    assert_eq!(show(&tree, tree.root()), format!("[{}]", expected.join(", ")));
}

#[test]
fn text_of_python_2() {
    let tree = read(b"(S'it\\'s'\nS\"a\\\\b\\n\\x41\"\nI7\nL8L\nF1e3\nl.").unwrap();
    assert_eq!(show(&tree, tree.root()), r#"["it's", "a\\b\nA", 7, 8, 1000.0]"#);
    for bad in [&b"S'a\n."[..], b"Sa'\n.", b"S'\\xff'\n.", b"S'\\q'\n.", b"S\n.", b"U\x01\xff."] {
        assert!(read(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn fields_need_a_dictionary_with_text_keys() {
    for pickle in [&b"\x80\x02]."[..], b"\x80\x02}K\x01Ns."] {
        let tree = read(pickle).unwrap();
        assert!(tree.fields().is_err());
    }
}

#[test]
fn a_reader_forgets_the_pickle_before() {
    let mut reader = Reader::new();
    for _ in 0..2 {
        for (name, pickle) in all_golden() {
            let alone = read(&pickle).map(|tree| show(&tree, tree.root())).ok();
            let reused = reader.read(&pickle).map(|tree| {
                let text = show(&tree, tree.root());
                reader.reuse(tree);
                text
            });
            assert_eq!(reused.ok(), alone, "{name}");
        }
    }
    // A memo of the pickle before would make this one valid.
    assert!(reader.read(b"\x80\x02h\x00.").is_err());
}
