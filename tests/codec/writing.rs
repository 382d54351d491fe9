//! What is written is, byte for byte, what Python writes.

use eosdb::codec::{
    DateTimeParts, Node, NodeId, NumpyScalar, Tree, Writer, Zone, gzip, pickle_write, read,
};
use eosdb::{Error, Result};
use proptest::prelude::*;

use super::{golden, show};

/// Identities as an allocator would give them.
fn address(number: usize) -> usize {
    0x7f00_0000_0000 + 16 * number
}

/// Writes a tree again, with the sharing that the tree has: the walk that a caller does over
/// Python objects.
fn copy(tree: &Tree, id: NodeId, writer: &mut Writer) -> Result<()> {
    let identity = address(id.index());
    let zone = |id: NodeId| match tree.node(id) {
        Node::Call(call) => match tree.node(call.args) {
            Node::Tuple(args) => args.last().map_or(0, |zone| address(zone.index())),
            _ => 0,
        },
        _ => 0,
    };
    if let Some(parts) = tree.date_time(id) {
        return writer.date_time(&parts, identity, zone(id));
    }
    if let Some(scalar) = tree.numpy_scalar(id) {
        writer.numpy_scalar(scalar, identity);
        return Ok(());
    }
    match tree.node(id) {
        Node::None => writer.none(),
        Node::Bool(value) => writer.bool(value),
        Node::Int(value) => writer.int(value),
        Node::BigInt(bytes) => writer.big_int(bytes)?,
        Node::Float(value) => writer.float(value),
        Node::Str(text) => writer.text(text, identity),
        Node::Bytes(bytes) => writer.bytes(bytes, identity),
        Node::List(items) => {
            if writer.begin_list(items.len(), identity)? {
                items.iter().try_for_each(|&item| copy(tree, item, writer))?;
                writer.end();
            }
        }
        Node::Tuple(items) => {
            if writer.begin_tuple(items.len(), identity)? {
                items.iter().try_for_each(|&item| copy(tree, item, writer))?;
                writer.end();
            }
        }
        Node::Dict(pairs) => {
            if writer.begin_dict(pairs.len(), identity)? {
                pairs.as_flattened().iter().try_for_each(|&id| copy(tree, id, writer))?;
                writer.end();
            }
        }
        other => panic!("{other:?} cannot be written"),
    }
    Ok(())
}

#[test]
fn golden_pickles_are_reproduced() {
    let mut names: Vec<String> = [
        "record_floats",
        "record_none",
        "record_configured",
        "dst_fold0",
        "pendulum_naive",
        "pendulum_utc",
        "pendulum_fixed",
        "pendulum_fixed_west",
        "pendulum_stdlib_utc",
        "pendulum_zoneinfo",
        "stdlib_naive",
        "stdlib_utc",
        "stdlib_fixed",
        "stdlib_stdlib_utc",
        "stdlib_zoneinfo",
        "stdlib_offset",
        "stdlib_named",
        "stdlib_berlin",
        "stdlib_three",
        "two_date_times",
        "two_classes_and_zones",
        "two_fixed_zones",
        "numpy_float64",
        "numpy_shared",
        "numpy_kinds",
        "shared",
        "plain",
        "big_ints",
        "texts",
        "one",
        "none",
        "long_memo",
    ]
    .map(str::to_owned)
    .into();
    for size in [999, 1000, 1001, 2000] {
        names.extend([format!("list_{size}"), format!("dict_{size}")]);
    }
    let mut writer = Writer::new();
    for name in names {
        let pickle = golden(&name);
        let tree = read(&pickle).unwrap();
        writer.clear();
        copy(&tree, tree.root(), &mut writer).unwrap();
        let written = writer.finish().unwrap();
        assert_eq!(written.escape_ascii().to_string(), pickle.escape_ascii().to_string(), "{name}");
    }
}

#[test]
fn frames_end_where_python_ends_them() {
    let compressed = std::fs::read(super::folder().join("frames.pickle.gz")).unwrap();
    let mut scratch = Vec::new();
    let pickle = gzip::decode_stored(&compressed, &mut scratch).unwrap();
    let tree = read(pickle).unwrap();
    let mut writer = Writer::new();
    copy(&tree, tree.root(), &mut writer).unwrap();
    assert!(writer.finish().unwrap() == pickle);
}

#[test]
fn a_record_written_call_by_call() {
    let parts = DateTimeParts {
        module: "pydantic_extra_types.pendulum_dt",
        name: "DateTime",
        year: 2024,
        month: 10,
        day: 27,
        hour: 12,
        minute: 45,
        second: 0,
        microsecond: 0,
        fold: 0,
        zone: Some(Zone::Timezone("Europe/Berlin")),
    };
    let mut writer = Writer::new();
    assert!(writer.begin_dict(6, address(1)).unwrap());
    writer.text("date_time", address(2));
    writer.date_time(&parts, address(3), address(4)).unwrap();
    writer.text("configured_data", address(5));
    assert!(!writer.begin_dict(0, address(6)).unwrap());
    for (number, (key, value)) in
        [("load0_emr", 123.456), ("load1_emr", 7.7), ("grid_emr", 12055.812), ("pv_power", 310.5)]
            .into_iter()
            .enumerate()
    {
        writer.text(key, address(10 + number));
        writer.float(value);
    }
    writer.end();
    assert_eq!(writer.finish().unwrap(), golden("record_floats"));
}

#[test]
fn a_list_within_itself() {
    let mut writer = Writer::new();
    assert!(writer.begin_list(2, address(1)).unwrap());
    writer.int(1);
    assert!(!writer.begin_list(2, address(1)).unwrap());
    writer.end();
    assert_eq!(writer.finish().unwrap(), golden("recursive_list"));

    writer.clear();
    assert!(writer.begin_tuple(2, address(1)).unwrap());
    assert!(writer.begin_list(1, address(2)).unwrap());
    assert!(writer.begin_tuple(2, address(1)).unwrap());
    assert!(!writer.begin_list(1, address(2)).unwrap());
    writer.int(1);
    writer.end();
    writer.end();
    writer.int(1);
    writer.end();
    assert_eq!(writer.finish().unwrap(), golden("recursive_tuple"));
}

#[test]
fn objects_without_identity_are_never_shared() {
    let mut writer = Writer::new();
    assert!(writer.begin_list(2, 0).unwrap());
    writer.text("x", 0);
    writer.text("x", 0);
    writer.end();
    let pickle = writer.finish().unwrap();
    assert_eq!(pickle, b"\x80\x05\x95\x0d\0\0\0\0\0\0\0]\x94(\x8c\x01x\x94\x8c\x01x\x94e.");
}

#[test]
fn incomplete_values_are_refused() {
    let mut writer = Writer::new();
    assert!(matches!(writer.finish(), Err(Error::Encode(_))), "nothing");
    writer.int(1);
    writer.int(2);
    assert!(writer.finish().is_err(), "two values");
    writer.clear();
    assert!(writer.begin_list(2, 0).unwrap());
    writer.int(1);
    assert!(writer.finish().is_err(), "a list that is not ended");
    writer.end();
    assert!(writer.finish().is_err(), "a list that lacks an element");
    writer.clear();
    writer.end();
    writer.int(1);
    assert!(writer.finish().is_err(), "an end too many");
    writer.clear();
    writer.int(1);
    assert!(writer.finish().is_ok());
}

#[test]
fn what_python_cannot_hold_is_refused() {
    let pickle = golden("record_floats");
    let tree = read(&pickle).unwrap();
    let good = tree.date_time(tree.fields().unwrap().next().unwrap().1).unwrap();
    let mut writer = Writer::new();
    for bad in [
        DateTimeParts { month: 13, ..good },
        DateTimeParts { month: 2, day: 30, ..good },
        DateTimeParts { year: 1900, month: 2, day: 29, ..good },
        DateTimeParts { year: 0, ..good },
        DateTimeParts { hour: 24, ..good },
        DateTimeParts { microsecond: 1_000_000, ..good },
        DateTimeParts { module: "os", name: "system", ..good },
    ] {
        assert!(matches!(writer.date_time(&bad, 0, 0), Err(Error::Encode(_))), "{bad:?}");
    }
    let leap = DateTimeParts { year: 2000, month: 2, day: 29, ..good };
    assert!(writer.date_time(&leap, 0, 0).is_ok());

    writer.clear();
    for _ in 0..pickle_write::MAX_DEPTH_WRITTEN {
        assert!(writer.begin_list(1, 0).unwrap());
    }
    assert!(matches!(writer.begin_list(1, 0), Err(Error::Encode(_))));
    writer.date_time(&good, 0, 0).unwrap();
    for _ in 0..pickle_write::MAX_DEPTH_WRITTEN {
        writer.end();
    }
    assert!(read(writer.finish().unwrap()).is_ok(), "the deepest value is read again");
}

/// A value to write, as Python objects would be.
#[derive(Clone, Debug)]
enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Scalar(f64),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Dict(Vec<(String, Value)>),
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<i64>().prop_map(|value| Value::Int(value >> (value & 63))),
        any::<f64>().prop_map(Value::Float),
        ".{0,300}".prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        any::<f64>().prop_map(Value::Scalar),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Tuple),
            prop::collection::vec((".{0,8}", inner), 0..8).prop_map(Value::Dict),
        ]
    })
}

fn write(value: &Value, writer: &mut Writer) -> Result<()> {
    match value {
        Value::None => writer.none(),
        Value::Bool(value) => writer.bool(*value),
        Value::Int(value) => writer.int(*value),
        Value::Float(value) => writer.float(*value),
        Value::Text(text) => writer.text(text, 0),
        Value::Bytes(bytes) => writer.bytes(bytes, 0),
        Value::Scalar(value) => writer.numpy_scalar(NumpyScalar::F64(*value), 0),
        Value::List(items) => {
            if writer.begin_list(items.len(), 0)? {
                items.iter().try_for_each(|item| write(item, writer))?;
                writer.end();
            }
        }
        Value::Tuple(items) => {
            if writer.begin_tuple(items.len(), 0)? {
                items.iter().try_for_each(|item| write(item, writer))?;
                writer.end();
            }
        }
        Value::Dict(pairs) => {
            if writer.begin_dict(pairs.len(), 0)? {
                for (key, value) in pairs {
                    writer.text(key, 0);
                    write(value, writer)?;
                }
                writer.end();
            }
        }
    }
    Ok(())
}

fn expected(value: &Value) -> String {
    let list = |items: &[Value]| items.iter().map(expected).collect::<Vec<_>>().join(", ");
    match value {
        Value::None => "None".to_owned(),
        Value::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::Bytes(bytes) => format!("b\"{}\"", bytes.escape_ascii()),
        Value::Scalar(value) => format!("@F64({value:?})"),
        Value::List(items) => format!("[{}]", list(items)),
        Value::Tuple(items) => format!("({})", list(items)),
        Value::Dict(pairs) => {
            let show = |(key, value): &(String, Value)| format!("{key:?}: {}", expected(value));
            format!("{{{}}}", pairs.iter().map(show).collect::<Vec<_>>().join(", "))
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(value in values()) {
        let mut writer = Writer::new();
        write(&value, &mut writer).unwrap();
        let pickle = writer.finish().unwrap();
        let tree = read(pickle).unwrap();
        prop_assert_eq!(show(&tree, tree.root()), expected(&value));
    }
}
