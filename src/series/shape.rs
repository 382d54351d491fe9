//! Which values of a stored record are its fields' values as they are.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cell::{Cell, ZoneName};
use super::layout::Layouts;
use crate::codec::{Node, NodeId, NumpyScalar, PYDANTIC_DATE_TIME, Reader, Tree, Zone, zones};
use crate::error::Result;

/// The kinds of value that a field stores as they are, to be added up. `eosdb.record_class` has
/// the same numbers.
pub mod kind {
    /// `None`.
    pub const NONE: u32 = 1;
    /// `bool`.
    pub const BOOL: u32 = 2;
    /// `int` of up to 64 bits.
    pub const INT: u32 = 4;
    /// `float`.
    pub const FLOAT: u32 = 8;
    /// `str`.
    pub const STR: u32 = 16;
    /// The record's own time, in a zone of pendulum's.
    pub const DATE_TIME: u32 = 32;
    /// A `dict` of scalars by name.
    pub const DICT: u32 = 64;
    /// Whatever a configured value may be.
    pub const SCALARS: u32 = NONE | BOOL | INT | FLOAT | STR;
}

/// The field that holds a record's own time.
const DATE_TIME: &str = "date_time";

/// The field that holds the values of the keys that are configured at run time.
const CONFIGURED: &str = "configured_data";

/// The fields of a record class all of whose fields are plain, in the order of its dumps; or that
/// they may be any.
///
/// A stored record that fits needs no validation: it would return what is stored.
#[derive(Debug, Clone)]
pub struct Shape {
    fields: Vec<(String, u32)>,
    /// Whether records may have any fields, and values are found by their names.
    is_any: bool,
    configured: Option<usize>,
    /// The zone that the class shows every time in; `None` for the zone that is stored.
    zone: Option<Arc<ZoneName>>,
}

/// Where in a record the value of a key lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the field at this position.
    Field(usize),
    /// Under this name in the configured data.
    Configured(String),
    /// In the field of this name, or else under it in the configured data.
    Named(String),
}

impl Shape {
    /// The shape with these fields: names and sums of [`kind`]s; `zone` names the zone that the class
    /// shows every time in, if it does not leave the stored one.
    #[must_use]
    pub fn new(fields: Vec<(String, u32)>, zone: Option<String>) -> Self {
        let configured =
            fields.iter().position(|(name, kinds)| name == CONFIGURED && *kinds == kind::DICT);
        let zone = zone.map(|name| Arc::new(ZoneName { name, fixed: None }));
        Self { fields, is_any: false, configured, zone }
    }

    /// The shape of records with any fields, of which only the `date_time` has to be there; `zone`
    /// as for [`Shape::new`].
    #[must_use]
    pub fn any(zone: Option<String>) -> Self {
        Self { is_any: true, ..Self::new(Vec::new(), zone) }
    }

    /// Whether records may have any fields.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.is_any
    }

    /// The fields with their kinds.
    pub(super) fn fields(&self) -> &[(String, u32)] {
        &self.fields
    }

    /// Whether the field at this position holds the configured data.
    pub(super) fn is_configured(&self, field: usize) -> bool {
        self.configured == Some(field)
    }

    /// The names that a record which fits and has these `values` brings along: those under which it
    /// holds configured data, and those of its fields if they may be any.
    fn names_in<'t>(&self, tree: &'t Tree<'_>, values: &[NodeId]) -> impl Iterator<Item = &'t str> {
        let configured = self.configured.and_then(|at| values.get(at));
        let configured = configured.map(|id| names_in_dict(tree, *id));
        let all = self.is_any.then(|| names_in_record(tree));
        configured.into_iter().flatten().chain(all.into_iter().flatten())
    }

    /// The zone that the class shows every time in; `None` for the zone that is stored.
    #[must_use]
    pub fn zone(&self) -> Option<&Arc<ZoneName>> {
        self.zone.as_ref()
    }

    /// The names of the fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// Where the value of `key` lies, `None` if such a record has no such key.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<Place> {
        if self.is_any {
            return Some(Place::Named(key.to_owned()));
        }
        let field = self.fields.iter().position(|(name, _)| name == key).map(Place::Field);
        field.or_else(|| self.configured.map(|_| Place::Configured(key.to_owned())))
    }

    /// Puts the fields' values into `values`, in the order of the fields; tells whether the record
    /// fits.
    ///
    /// # Errors
    /// [`Error::Decode`](crate::Error::Decode) if the tree is no dictionary by name.
    pub fn values(&self, tree: &Tree<'_>, values: &mut Vec<NodeId>) -> Result<bool> {
        values.clear();
        let stored = tree.fields()?;
        if self.is_any {
            let mut is_timed = false;
            for (name, id) in stored {
                is_timed |= name == DATE_TIME;
                let fits = match name {
                    DATE_TIME => fits(tree, id, kind::DATE_TIME),
                    CONFIGURED => fits(tree, id, kind::DICT),
                    _ => fits(tree, id, kind::SCALARS | kind::DICT),
                };
                if !fits {
                    return Ok(false);
                }
                values.push(id);
            }
            return Ok(is_timed);
        }
        if stored.len() != self.fields.len() {
            return Ok(false);
        }
        for ((name, kinds), (stored, id)) in self.fields.iter().zip(stored) {
            if name != stored || !fits(tree, id, *kinds) {
                return Ok(false);
            }
            values.push(id);
        }
        Ok(true)
    }

    /// The node of the value at `place` in a record that fits and has these `values`; `None` if it
    /// has none there.
    fn node(&self, tree: &Tree<'_>, values: &[NodeId], place: &Place) -> Option<NodeId> {
        match place {
            Place::Field(field) => values.get(*field).copied(),
            Place::Configured(name) => {
                self.configured.and_then(|at| named(tree, *values.get(at)?, name))
            }
            Place::Named(name) => named(tree, tree.root(), name)
                .or_else(|| named(tree, named(tree, tree.root(), CONFIGURED)?, name)),
        }
    }
}

/// The value under `name` in a dictionary.
fn named(tree: &Tree<'_>, dict: NodeId, name: &str) -> Option<NodeId> {
    let Node::Dict(pairs) = tree.node(dict) else { return None };
    pairs.iter().rfind(|[key, _]| tree.node(*key) == Node::Str(name)).map(|[_, value]| *value)
}

/// The names in a dictionary; none if it is none.
fn names_in_dict<'t>(tree: &'t Tree<'_>, dict: NodeId) -> impl Iterator<Item = &'t str> {
    let pairs = if let Node::Dict(pairs) = tree.node(dict) { pairs } else { &[] };
    pairs.iter().filter_map(|[name, _]| match tree.node(*name) {
        Node::Str(name) => Some(name),
        _ => None,
    })
}

/// The names of all values of a record, those of its configured data too, in no particular order.
pub fn names_in_record<'t>(tree: &'t Tree<'_>) -> impl Iterator<Item = &'t str> {
    let configured = named(tree, tree.root(), CONFIGURED);
    let configured = configured.filter(|id| matches!(tree.node(*id), Node::Dict(_)));
    let own = names_in_dict(tree, tree.root());
    let own = own.filter(move |name| *name != CONFIGURED || configured.is_none());
    own.chain(configured.into_iter().flat_map(|id| names_in_dict(tree, id)))
}

fn fits(tree: &Tree<'_>, id: NodeId, kinds: u32) -> bool {
    let of = |kind: u32| kinds & kind != 0;
    match tree.node(id) {
        Node::Float(_) => of(kind::FLOAT),
        // A record without an instant of its own gets that of its key, the general way.
        Node::None => of(kind::NONE) && !of(kind::DATE_TIME),
        Node::Int(_) => of(kind::INT),
        Node::Str(_) => of(kind::STR),
        Node::Bool(_) => of(kind::BOOL),
        Node::Dict(pairs) => {
            of(kind::DICT)
                && pairs.iter().all(|[key, value]| {
                    matches!(tree.node(*key), Node::Str(_))
                        && (fits(tree, *value, kind::SCALARS)
                            || tree.numpy_scalar(*value).is_some())
                })
        }
        Node::Call(_) => {
            of(kind::DATE_TIME)
                && tree.date_time(id).is_some_and(|parts| {
                    (parts.module, parts.name) == PYDANTIC_DATE_TIME
                        && match parts.zone {
                            Some(Zone::Timezone(name)) => zones::is_known(name),
                            Some(Zone::FixedTimezone { .. }) => true,
                            _ => false,
                        }
                })
        }
        _ => false,
    }
}

/// The value of a node. Text and zone are shared with `former`, the cell of another row, where they
/// are equal.
fn cell(tree: &Tree<'_>, id: NodeId, former: &Cell) -> Cell {
    match tree.node(id) {
        Node::Float(value) => Cell::Float(value),
        Node::None => Cell::None,
        Node::Int(value) => Cell::Int(value),
        Node::Bool(value) => Cell::Bool(value),
        Node::Str(text) => match former {
            Cell::Text(former) if former.as_str() == text => Cell::Text(Arc::clone(former)),
            _ => Cell::Text(Arc::new(text.to_owned())),
        },
        Node::Dict([]) => Cell::EmptyDict,
        Node::Call(_) => call(tree, id, former),
        _ => Cell::Other,
    }
}

fn call(tree: &Tree<'_>, id: NodeId, former: &Cell) -> Cell {
    if let Some(scalar) = tree.numpy_scalar(id) {
        return number(scalar);
    }
    let Some(parts) = tree.date_time(id) else { return Cell::Other };
    let (name, fixed) = match parts.zone {
        Some(Zone::Timezone(name)) => (name, None),
        Some(Zone::FixedTimezone { seconds, name }) => (name, Some(seconds)),
        _ => return Cell::Other,
    };
    let zone = match former {
        Cell::DateTime { zone, .. } if zone.name == name && zone.fixed == fixed => Arc::clone(zone),
        _ => Arc::new(ZoneName { name: name.to_owned(), fixed }),
    };
    Cell::DateTime { microsecond: parts.microsecond, zone }
}

/// A `NumPy` scalar as Python's own number of the same value.
fn number(scalar: NumpyScalar) -> Cell {
    match scalar {
        NumpyScalar::Bool(value) => Cell::Bool(value),
        NumpyScalar::I8(value) => Cell::Int(value.into()),
        NumpyScalar::I16(value) => Cell::Int(value.into()),
        NumpyScalar::I32(value) => Cell::Int(value.into()),
        NumpyScalar::I64(value) => Cell::Int(value),
        NumpyScalar::U8(value) => Cell::Int(value.into()),
        NumpyScalar::U16(value) => Cell::Int(value.into()),
        NumpyScalar::U32(value) => Cell::Int(value.into()),
        NumpyScalar::U64(value) => i64::try_from(value).map_or(Cell::Other, Cell::Int),
        NumpyScalar::F16(_) | NumpyScalar::F32(_) | NumpyScalar::F64(_) => {
            Cell::Float(scalar.as_f64())
        }
    }
}

/// The keys whose values are wanted of stored records of one class.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The class's shape and the places of the keys; `None` if its records have to be made.
    places: Option<(Arc<Shape>, Vec<Place>)>,
}

impl Selection {
    /// The values at `places` in records of a class of this `shape`. Without all of that, records
    /// have to be made.
    #[must_use]
    pub fn new(shape: Option<&Arc<Shape>>, places: Option<Vec<Place>>) -> Self {
        Self { places: shape.map(Arc::clone).zip(places) }
    }

    /// No values at all: every record is handed out as it is.
    #[must_use]
    pub fn nothing() -> Self {
        Self { places: None }
    }

    /// Something that takes the values out of one record after another.
    #[must_use]
    pub fn picker(&self) -> Picker<'_> {
        let keys = self.places.as_ref().map_or(0, |(_, places)| places.len());
        Picker {
            selection: self,
            reader: Reader::new(),
            values: Vec::new(),
            former: vec![Cell::None; keys],
            nodes: vec![None; keys],
            layouts: Layouts::new(),
            names: BTreeSet::new(),
        }
    }
}

/// Takes the values of a [`Selection`] out of one record after another.
#[derive(Debug)]
pub struct Picker<'s> {
    selection: &'s Selection,
    reader: Reader,
    values: Vec<NodeId>,
    former: Vec<Cell>,
    nodes: Vec<Option<NodeId>>,
    layouts: Layouts,
    names: BTreeSet<String>,
}

impl Picker<'_> {
    /// The names under which the records so far hold configured data; of records with any fields,
    /// the names of all values.
    #[must_use]
    pub fn names(self) -> BTreeSet<String> {
        self.names
    }

    /// The values in `pickle`, in the order of the keys; `None` if the record has to be made to
    /// know them, or to know what is wrong with it.
    pub fn pick(&mut self, pickle: &[u8]) -> Option<Box<[Cell]>> {
        let (shape, places) = self.selection.places.as_ref()?;
        if let Some(cells) = self.layouts.pick(pickle) {
            return Some(cells);
        }
        let tree = self.reader.read(pickle).ok()?;
        let fits = shape.values(&tree, &mut self.values).unwrap_or(false);
        let cells = fits.then(|| {
            // A record that is laid out as one before holds the same names.
            for name in shape.names_in(&tree, &self.values) {
                if !self.names.contains(name) {
                    self.names.insert(name.to_owned());
                }
            }
            for ((place, node), former) in places.iter().zip(&mut self.nodes).zip(&mut self.former)
            {
                *node = shape.node(&tree, &self.values, place);
                *former = node.map_or(Cell::None, |node| cell(&tree, node, former));
                if let (Cell::DateTime { zone, .. }, Some(shown)) = (former, &shape.zone) {
                    *zone = Arc::clone(shown);
                }
            }
            let picked = self.nodes.iter().copied().zip(&self.former);
            self.layouts.learn(pickle, &tree, &self.values, picked);
            self.former.clone().into_boxed_slice()
        });
        self.reader.reuse(tree);
        cells
    }
}
