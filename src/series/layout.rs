//! Takes values out of records that repeat the bytes of a former one, except those of numbers.
//!
//! A class writes most of its records in the same bytes, but for its numbers. Where these lie is
//! learned from a record that was read in full; of the next one only the bytes are compared. What
//! comes out is the same as of reading it in full:
//!
//! - The opcodes are the same at the same places, so the tree is the same but for the numbers.
//! - Only numbers may differ that are taken as they are, whatever they are: fields and configured
//!   values; and the numbers of a time, whose range is checked as in every record. Any other, such
//!   as the offset of a zone, decides about what it is part of, so its bytes have to be the same.
//! - No number is two values at once ([`Tree::number_place`]): what may differ at one place of the
//!   tree differs nowhere else.
//! - A time zone that is known stays known.

use std::sync::Arc;

use super::cell::{Cell, ZoneName};
use crate::codec::{DateTimeParts, Node, NodeId, NumberPlace, PYDANTIC_DATE_TIME, Tree};

/// How many layouts are learned. A class has one for each combination of `None`s, of texts and of
/// widths of its integers.
const MOST_LAYOUTS: usize = 32;

/// The longest record that is learned, in bytes: bounds the memory.
const LONGEST: usize = 4 << 10;

/// How many more records may match no layout than match one, before comparing is given up: where
/// a text differs in each record, it would only cost time.
const PATIENCE: usize = 64;

/// How records were laid out that were read in full.
#[derive(Debug)]
pub(super) struct Layouts {
    known: Vec<Layout>,
    /// The position of the one that matched last.
    last: usize,
    /// What is left of [`PATIENCE`].
    patience: usize,
}

impl Layouts {
    /// Nothing learned yet.
    pub(super) fn new() -> Self {
        Self { known: Vec::new(), last: 0, patience: PATIENCE }
    }

    /// The values in `pickle`, if it is laid out as a record before.
    pub(super) fn pick(&mut self, pickle: &[u8]) -> Option<Box<[Cell]>> {
        if self.patience == 0 {
            return None;
        }
        let cells = self.matching(pickle).and_then(|layout| layout.cells(pickle));
        let patience = self.patience;
        self.patience = if cells.is_some() { patience.saturating_add(1) } else { patience - 1 };
        cells
    }

    fn matching(&mut self, pickle: &[u8]) -> Option<&Layout> {
        if !self.known.get(self.last)?.matches(pickle) {
            self.last = self.known.iter().position(|layout| layout.matches(pickle))?;
        }
        Some(&self.known[self.last])
    }

    /// Learns from a record whose fields have these `values`, and from which `picked` was taken,
    /// each with the node that it was.
    pub(super) fn learn<'c>(
        &mut self,
        pickle: &[u8],
        tree: &Tree<'_>,
        values: &[NodeId],
        picked: impl Iterator<Item = (Option<NodeId>, &'c Cell)>,
    ) {
        if self.patience > 0
            && self.known.len() < MOST_LAYOUTS
            && pickle.len() <= LONGEST
            && let Some(layout) = Layout::new(pickle, tree, values, picked)
        {
            self.last = self.known.len();
            self.known.push(layout);
        }
    }
}

#[derive(Debug)]
struct Layout {
    /// For each byte, the bits that have to be the same: all or none.
    mask: Box<[u8]>,
    /// What they have to be.
    fixed: Box<[u8]>,
    /// The numbers of each time, from year to microsecond.
    times: Vec<[NumberPlace; 7]>,
    sources: Box<[Source]>,
}

/// Where a value comes from.
#[derive(Debug)]
enum Source {
    Number(NumberPlace),
    Time {
        microsecond: NumberPlace,
        zone: Arc<ZoneName>,
    },
    /// It lies in bytes that are the same.
    Fixed(Cell),
}

impl Layout {
    fn new<'c>(
        pickle: &[u8],
        tree: &Tree<'_>,
        values: &[NodeId],
        picked: impl Iterator<Item = (Option<NodeId>, &'c Cell)>,
    ) -> Option<Self> {
        let mut mask = vec![u8::MAX; pickle.len()].into_boxed_slice();
        let mut free = |place: NumberPlace| mask[place.bytes()].fill(0);
        let mut times = Vec::new();
        for id in values {
            match tree.node(*id) {
                Node::Dict(pairs) => {
                    pairs.iter().filter_map(|[_, id]| tree.number_place(*id)).for_each(&mut free);
                }
                Node::Call(_) => {
                    let numbers = time_places(tree, *id)?;
                    numbers.into_iter().for_each(&mut free);
                    times.push(numbers);
                }
                _ => tree.number_place(*id).into_iter().for_each(&mut free),
            }
        }
        let source = |(id, cell): (Option<NodeId>, &Cell)| {
            let number = || tree.number_place(id?);
            Some(match cell {
                Cell::DateTime { zone, .. } => {
                    let [.., microsecond] = time_places(tree, id?)?;
                    Source::Time { microsecond, zone: Arc::clone(zone) }
                }
                cell => number().map_or_else(|| Source::Fixed(cell.clone()), Source::Number),
            })
        };
        let sources = picked.map(source).collect::<Option<_>>()?;
        let fixed = pickle.iter().zip(&mask).map(|(byte, mask)| byte & mask).collect();
        Some(Self { mask, fixed, times, sources })
    }

    /// Tells whether `pickle` differs in nothing but numbers that may differ.
    fn matches(&self, pickle: &[u8]) -> bool {
        // Without an early end the compiler compares many bytes at once.
        let bytes = pickle.iter().zip(&self.mask).zip(&self.fixed);
        pickle.len() == self.fixed.len()
            && bytes.fold(0, |differing, ((byte, mask), fixed)| differing | (byte & mask) ^ fixed)
                == 0
    }

    /// The values in a `pickle` that matches, if its times are valid.
    fn cells(&self, pickle: &[u8]) -> Option<Box<[Cell]>> {
        for numbers in &self.times {
            let mut values = [0; 7];
            for (value, number) in values.iter_mut().zip(numbers) {
                *value = number.int(pickle)?;
            }
            let (module, name) = PYDANTIC_DATE_TIME;
            DateTimeParts::naive(module, name, values).filter(DateTimeParts::is_valid)?;
        }
        let mut cells = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            cells.push(match source {
                Source::Number(place) => match place.int(pickle) {
                    Some(value) => Cell::Int(value),
                    None => Cell::Float(place.float(pickle)?),
                },
                Source::Time { microsecond, zone } => Cell::DateTime {
                    microsecond: microsecond.int(pickle)?.try_into().ok()?,
                    zone: Arc::clone(zone),
                },
                Source::Fixed(cell) => cell.clone(),
            });
        }
        Some(cells.into_boxed_slice())
    }
}

/// The places of the numbers of a time.
fn time_places(tree: &Tree<'_>, id: NodeId) -> Option<[NumberPlace; 7]> {
    let numbers = tree.date_time_numbers(id)?;
    let places: Vec<_> = numbers.iter().map_while(|id| tree.number_place(*id)).collect();
    places.try_into().ok()
}
