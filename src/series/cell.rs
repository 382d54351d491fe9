//! One value of one key, small enough to be kept for every row.

use std::sync::Arc;

/// The zone in which a record's time is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ZoneName {
    /// The name: `Europe/Berlin`, or `+01:00` of a fixed offset.
    pub name: String,
    /// Seconds east of UTC of a fixed offset; `None` for a zone by name.
    pub fixed: Option<i32>,
}

/// A value of a record, as far as it is one of those that a series is made of.
#[derive(Debug, PartialEq)]
pub enum Cell {
    /// `None`, or a configured key that the record has no value for.
    None,
    /// A `bool`.
    Bool(bool),
    /// An `int` of up to 64 bits.
    Int(i64),
    /// A `float`; not a number is a value too.
    Float(f64),
    /// A `str`; equal neighbours share it.
    Text(Arc<String>),
    /// The record's own time: what its second leaves open.
    DateTime {
        /// 0 to 999,999.
        microsecond: u32,
        /// The zone it is shown in.
        zone: Arc<ZoneName>,
    },
    /// An empty `dict`.
    EmptyDict,
    /// Anything else; the record has to be asked.
    Other,
}

impl Clone for Cell {
    /// Columns are copied for every reading, and nearly all of them are of floats.
    #[inline]
    fn clone(&self) -> Self {
        if let Self::Float(value) = self { Self::Float(*value) } else { self.clone_other() }
    }
}

impl Cell {
    #[cold]
    fn clone_other(&self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Bool(value) => Self::Bool(*value),
            Self::Int(value) => Self::Int(*value),
            Self::Float(value) => Self::Float(*value),
            Self::Text(text) => Self::Text(Arc::clone(text)),
            Self::DateTime { microsecond, zone } => {
                Self::DateTime { microsecond: *microsecond, zone: Arc::clone(zone) }
            }
            Self::EmptyDict => Self::EmptyDict,
            Self::Other => Self::Other,
        }
    }
}
