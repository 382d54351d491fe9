//! From the rows of a key to numbers on a grid.
//!
//! A reader follows a value through the files: [`Cell`] is one value of one key, [`Window`] what
//! was asked for and what has to be read for it, [`resample`] puts readings into buckets with an
//! [`Aggregation`] and fills the gaps, and [`energy`] takes the increase of a meter per bucket.
//! Nothing here knows storage or Python.

mod aggregate;
mod cell;
mod energy;
mod fill;
mod layout;
mod numbers;
mod resample;
mod row;
mod shape;
mod window;

pub use aggregate::Aggregation;
pub use cell::{Cell, ZoneName};
pub use energy::{Energy, MeterRules, energy};
pub(crate) use energy::{Pair, Reading};
pub use fill::Fill;
pub(crate) use numbers::number;
pub use numbers::numbers;
pub use resample::{Resampled, Resampling, Values, resample, seconds_from};
pub use shape::{Picker, Place, Selection, Shape, kind, names_in_record};
pub use window::{Boundary, Query, Window};
