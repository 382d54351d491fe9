//! The dictionary that describes a namespace.

use eosdb::Error;
use eosdb::codec::metadata::{Metadata, MetadataValue, read, write};
use serde_pickle::{DeOptions, Value};

use super::golden;

fn values() -> Metadata {
    [
        ("version", MetadataValue::Int(1)),
        ("created", MetadataValue::Str("2024-10-27T12:00:00+01:00".to_owned())),
        ("provider_id", MetadataValue::Str("unknown".to_owned())),
        ("compression", MetadataValue::Bool(true)),
        ("backend", MetadataValue::Str("Database".to_owned())),
        ("last_compact_cutoff_900", MetadataValue::Float(20_241_027.5)),
        ("last_compact_cutoff_3600", MetadataValue::None),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

#[test]
fn as_python_wrote_it() {
    assert_eq!(read(&golden("metadata")).unwrap(), values());
    assert_eq!(read(b"\x80\x04}\x94.").unwrap(), Metadata::new());
}

#[test]
fn what_is_written_is_read_again() {
    let pickle = write(&values()).unwrap();
    assert_eq!(read(&pickle).unwrap(), values());
    let other_reader: Value = serde_pickle::value_from_slice(&pickle, DeOptions::new()).unwrap();
    let python: Value =
        serde_pickle::value_from_slice(&golden("metadata"), DeOptions::new()).unwrap();
    assert_eq!(other_reader, python);
}

#[test]
fn anything_but_plain_values_is_refused() {
    for (name, cause) in [
        ("metadata_nested", "\"version\""),
        ("metadata_command", "\"version\""),
        ("os_system", "\"date_time\""),
        ("one", "no dictionary"),
        ("list_999", "no dictionary"),
        ("recursive_dict", "hold itself"),
    ] {
        match read(&golden(name)) {
            Err(Error::Decode(text)) => assert!(text.contains(cause), "{name}: {text}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}
