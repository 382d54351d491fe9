//! What a stored value may name. Everything else is refused before anything is imported.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};

use super::tree::{Call, Node, NodeId, Tree};
use crate::error::{Error, Result};

type Names = BTreeMap<String, BTreeSet<String>>;

static ALLOWED: RwLock<Names> = RwLock::new(BTreeMap::new());

/// Lets stored values name one more class or function, in this process.
///
/// Whoever can write to the database can then have it called with arguments of their choice.
pub fn allow(module: &str, name: &str) {
    let mut allowed = ALLOWED.write().unwrap_or_else(PoisonError::into_inner);
    allowed.entry(module.to_owned()).or_default().insert(name.to_owned());
}

fn is_allowed(module: &str, name: &str) -> bool {
    let allowed = ALLOWED.read().unwrap_or_else(PoisonError::into_inner);
    allowed.get(module).is_some_and(|names| names.contains(name))
}

/// Whether a stored value may name this class or function: plain data, and what the application
/// allowed. How it may be called is for [`check`] to say.
#[must_use]
pub fn is_safe(module: &str, name: &str) -> bool {
    kind(module, name) != Kind::Refused
}

/// The most digits that a decimal may have before or behind its point: half of those that Python
/// shows of an integer.
const LONGEST_DECIMAL: usize = 2000;

/// How a name may be used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Refused,
    /// A class that may be called, and whose fresh instance may take a state.
    Stateful,
    /// A class or function that may be called. Some give out shared objects, which no state may
    /// change.
    Stateless,
    /// A number in text, which must not be huge.
    Decimal,
    /// A dictionary that may be filled.
    Mapping,
    /// Only as the reader knows it, never to be called in another form.
    Recognised,
    /// Whatever the application answers for.
    Allowed,
}

fn kind(module: &str, name: &str) -> Kind {
    match (module, name) {
        ("pendulum.datetime", "DateTime")
        | ("pendulum.date", "Date")
        | ("pendulum.time", "Time")
        | ("pendulum.tz.timezone", "Timezone")
        | ("pydantic_extra_types.pendulum_dt", "DateTime" | "Date" | "Time")
        | ("pydantic_core._pydantic_core", "TzInfo")
        | ("datetime", "datetime" | "date" | "time" | "timedelta" | "timezone")
        | ("zoneinfo", "ZoneInfo")
        | ("builtins", "complex" | "range" | "slice")
        | ("uuid", "SafeUUID") => Kind::Stateless,
        ("decimal", "Decimal") => Kind::Decimal,
        ("pendulum.tz.timezone", "FixedTimezone")
        | ("pendulum.duration" | "pydantic_extra_types.pendulum_dt", "Duration")
        | ("pendulum.interval", "Interval")
        | ("uuid", "UUID") => Kind::Stateful,
        ("collections", "OrderedDict") => Kind::Mapping,
        ("builtins", "set" | "frozenset" | "bytes" | "bytearray")
        | ("_codecs", "encode")
        | ("numpy", "dtype")
        | ("numpy._core.multiarray" | "numpy.core.multiarray", "scalar") => Kind::Recognised,
        _ if is_allowed(module, name) => Kind::Allowed,
        _ => Kind::Refused,
    }
}

/// Verifies that a value names and calls only what is safe, before anything of it is built.
///
/// `builtins.getattr` passes only as `getattr(<zone class>, "_unpickle")`.
///
/// # Errors
/// [`Error::Decode`] that tells the refused name.
pub fn check(tree: &Tree) -> Result<()> {
    // Names that the value does not use in the end are refused too: no honest pickle has any.
    for index in 0..tree.slots.len() {
        #[expect(clippy::cast_possible_truncation, reason = "ids have 32 bits")]
        let id = NodeId(index as u32);
        match tree.node(id) {
            Node::Global { module, name } if !is_getattr(tree, id) && !is_safe(module, name) => {
                return Err(refuse(module, name));
            }
            Node::Call(call) => check_call(tree, id, &call)?,
            _ => {}
        }
    }
    // As a value, and not as what is called, getattr could reach a callee that is registered.
    let values = tree.children.iter().chain(tree.calls.iter().filter_map(|c| c.state.as_ref()));
    match values.copied().chain([tree.root()]).find(|&id| is_getattr(tree, id)) {
        Some(_) => Err(refuse("builtins", "getattr")),
        None => Ok(()),
    }
}

fn check_call(tree: &Tree, id: NodeId, call: &Call) -> Result<()> {
    let Node::Global { module, name } = tree.node(call.callable) else {
        // What a call returns may be called only if it is a zone's constructor.
        return match tree.zone_constructor(call.callable) {
            Some(_) if tree.plain_call(id).is_some() && call.state.is_none() => Ok(()),
            _ => Err(Error::Decode(
                "the value calls what another call returns, which is refused: nothing of it was \
                 executed"
                    .to_owned(),
            )),
        };
    };
    let accepted = if is_getattr(tree, call.callable) {
        tree.zone_constructor(id).is_some()
    } else {
        match kind(module, name) {
            Kind::Allowed => true,
            Kind::Refused => false,
            Kind::Decimal => tree
                .plain_call(id)
                .is_some_and(|call| call.state.is_none() && is_number(tree, call.args)),
            Kind::Recognised => tree.numpy_scalar(id).is_some() || tree.numpy_dtype(id).is_some(),
            kind => {
                call.elements.is_empty()
                    && (call.items.is_empty() || kind == Kind::Mapping)
                    && (call.state.is_none() || kind == Kind::Stateful)
            }
        }
    };
    if accepted { Ok(()) } else { Err(refuse(module, name)) }
}

/// Whether these are the arguments of a decimal that is as long as it looks: of `1E+999999999` an
/// integer would take all memory.
fn is_number(tree: &Tree, args: NodeId) -> bool {
    let Node::Tuple(args) = tree.node(args) else { return false };
    args.iter().all(|arg| match tree.node(*arg) {
        Node::Str(text) if text.len() > LONGEST_DECIMAL => false,
        Node::Str(text) => text.rsplit_once(['e', 'E']).is_none_or(|(_, exponent)| {
            exponent
                .trim()
                .parse::<i32>()
                .is_ok_and(|exponent| exponent.unsigned_abs() as usize <= LONGEST_DECIMAL)
        }),
        Node::Int(_) | Node::BigInt(_) | Node::Float(_) => true,
        _ => false,
    })
}

fn is_getattr(tree: &Tree, id: NodeId) -> bool {
    matches!(tree.node(id), Node::Global { module: "builtins", name: "getattr" })
}

fn refuse(module: &str, name: &str) -> Error {
    Error::Decode(format!(
        "the value uses {module}.{name} in a way that is refused: nothing of it was executed; if \
         the type is your own and you trust whoever writes to the database, register it with \
         allow({module:?}, {name:?})"
    ))
}
