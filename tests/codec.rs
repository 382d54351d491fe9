//! Stored values: what Python wrote is read, what is written is what Python writes, and hostile
//! bytes do no harm.

#[path = "codec/gzip.rs"]
mod gzip;
#[path = "codec/hostile.rs"]
mod hostile;
#[path = "codec/metadata.rs"]
mod metadata;
#[path = "codec/reading.rs"]
mod reading;
#[path = "codec/writing.rs"]
mod writing;

use std::path::PathBuf;

use eosdb::codec::{Node, NodeId, Tree};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pickle")
}

/// A pickle that Python wrote.
fn golden(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.pickle"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn all_golden() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder())
        .expect("the golden folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pickle"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a file"))
        })
        .collect();
    files.sort();
    assert!(files.len() > 80, "only {} golden files", files.len());
    files
}

/// A value in the way that Python shows it, with `@` before what is recognised.
fn show(tree: &Tree, id: NodeId) -> String {
    if let Some(parts) = tree.date_time(id) {
        let zone = parts.zone.map_or("naive".to_owned(), |zone| format!("{zone:?}"));
        return format!(
            "@{}.{}({}-{:02}-{:02} {:02}:{:02}:{:02}.{:06} fold={} {zone})",
            parts.module,
            parts.name,
            parts.year,
            parts.month,
            parts.day,
            parts.hour,
            parts.minute,
            parts.second,
            parts.microsecond,
            parts.fold
        );
    }
    if let Some(scalar) = tree.numpy_scalar(id) {
        return format!("@{scalar:?}");
    }
    let list = |ids: &[NodeId]| ids.iter().map(|&id| show(tree, id)).collect::<Vec<_>>().join(", ");
    let dict = |pairs: &[[NodeId; 2]]| {
        let show =
            |&[key, value]: &[NodeId; 2]| format!("{}: {}", show(tree, key), show(tree, value));
        pairs.iter().map(show).collect::<Vec<_>>().join(", ")
    };
    match tree.node(id) {
        Node::None => "None".to_owned(),
        Node::Bool(value) => if value { "True" } else { "False" }.to_owned(),
        Node::Int(value) => value.to_string(),
        Node::BigInt(bytes) => format!("int{bytes:02x?}"),
        Node::Float(value) => format!("{value:?}"),
        Node::Str(text) => format!("{text:?}"),
        Node::Bytes(bytes) => format!("b\"{}\"", bytes.escape_ascii()),
        Node::ByteArray(bytes) => format!("bytearray(b\"{}\")", bytes.escape_ascii()),
        Node::List(items) => format!("[{}]", list(items)),
        Node::Tuple(items) => format!("({})", list(items)),
        Node::Dict(pairs) => format!("{{{}}}", dict(pairs)),
        Node::Set(items) => format!("set({})", list(items)),
        Node::FrozenSet(items) => format!("frozenset({})", list(items)),
        Node::Global { module, name } => format!("{module}.{name}"),
        Node::Call(call) => {
            let mut text = format!("{}{}", show(tree, call.callable), show(tree, call.args));
            if call.new {
                text = format!("new {text}");
            }
            if let Some(state) = call.state {
                text = format!("{text} state {}", show(tree, state));
            }
            if !call.items.is_empty() {
                text = format!("{text} items {{{}}}", dict(call.items));
            }
            if !call.elements.is_empty() {
                text = format!("{text} elements [{}]", list(call.elements));
            }
            text
        }
    }
}
