//! What old records are replaced by, so that less is kept of them.
//!
//! A [`Tier`] tells which buckets of time are due, a key's [`Consolidation`] what its readings in
//! them become, and [`plan`] puts the keys together: the rows to write and those to delete. Rows
//! outside the open buckets are only looked at. Nothing here knows storage or Python.
//!
//! The plan of what a plan made is empty. In how many runs rows are compacted makes no difference
//! where finer tiers come before coarser ones, each tier's age is at least its longest gap, and no
//! row comes late. There are three exceptions: time-weighted means look at the reading before a
//! bucket, which a former run may have replaced; tiers that have each a longest gap of their own may
//! take different readings of a meter for wrong; and where a run ends among wrong readings that fell
//! to different values, a meter may keep another reading than one run would, of the same energy.

mod consolidate;
mod meter;
mod open;
mod tiers;

use std::collections::BTreeMap;

pub use consolidate::{Consolidation, Value};
pub use meter::{Changed, conserved};
pub use tiers::{Due, Tier, newest_plausible};

use crate::error::{Error, Result};
use crate::interval::Span;
use crate::series::{Cell, MeterRules};
use open::Open;

/// What the rows hold of one key, and what is to become of it.
#[derive(Debug, Clone, Copy)]
pub struct Column<'c> {
    /// One cell for each row.
    pub cells: &'c [Cell],
    /// How its readings in a bucket are replaced.
    pub consolidation: Consolidation,
}

/// What is to be done with the rows in the open buckets; all others stay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compaction {
    /// The rows to write, in place of one at the same time: the time in UTC seconds since 1970, and
    /// the values of those keys that have one, by the index of their column.
    pub rows: Vec<(i64, Vec<(usize, Value)>)>,
    /// The times of the rows to delete, ascending; none of them is written.
    pub delete: Vec<i64>,
}

/// What replaces the rows in the open buckets.
///
/// `times` are the UTC seconds since 1970 of the rows, ascending without repetition, and `columns`
/// holds all their keys. They have to reach beyond the open buckets as far as keys look: with a
/// meter twice its longest gap before the first and once behind the last bucket, and to one more
/// row there; with a time-weighted mean one gap before it.
///
/// `open` are spans of whole buckets; a bucket begins at a multiple of `interval` seconds since
/// 1970. `rules` hold for the meters, and their longest gap for all keys: `None` is twice the
/// interval.
///
/// A row whose content would stay exactly as it is, is neither written nor deleted. Rows without
/// any reading go. Without columns nothing is known of the rows, and nothing is planned.
///
/// # Errors
/// [`Error::Invalid`] if a column has not one cell for each time, `times` do not ascend, `interval`
/// is not positive, a span does not begin and end with a bucket, a rule is outside its range, the
/// longest gap is shorter than the interval, or a meter would need more than 10 million readings.
/// [`Error::TimeRange`] if a time is more microseconds from 1970 than an `i64` holds.
///
/// ```
/// use eosdb::Span;
/// use eosdb::retention::{Column, Compaction, Consolidation, Value, plan};
/// use eosdb::series::{Cell, MeterRules};
///
/// let power = [Cell::Float(300.0), Cell::Float(500.0), Cell::Float(900.0)];
/// let columns = [Column { cells: &power, consolidation: Consolidation::MeanOrLast }];
/// let times = [0, 300, 900];
/// let planned = plan(&times, &columns, &[Span::new(0, 900)], 900, &MeterRules::default())?;
/// assert_eq!(planned.rows, [(0, vec![(0, Value::Number(400.0))])]);
/// assert_eq!(planned.delete, [300]);
/// # Ok::<(), eosdb::Error>(())
/// ```
pub fn plan(
    times: &[i64],
    columns: &[Column<'_>],
    open: &[Span],
    interval: i64,
    rules: &MeterRules,
) -> Result<Compaction> {
    if !times.is_sorted_by(|before, after| before < after) {
        return Err(Error::Invalid("the times of rows must ascend".to_owned()));
    }
    for column in columns {
        if column.cells.len() != times.len() {
            return Err(Error::Invalid(format!(
                "each row needs its cell, but there are {} cells and {} rows",
                column.cells.len(),
                times.len()
            )));
        }
    }
    let open = Open::new(open, interval)?;
    let rules = meter::rules_of(rules, interval)?;
    let mut rows: BTreeMap<i64, Vec<(usize, Value)>> = BTreeMap::new();
    for (key, column) in columns.iter().enumerate() {
        let points = match column.consolidation {
            Consolidation::Meter => meter::points(times, column.cells, &open, &rules)?,
            Consolidation::MeanOrLast => {
                consolidate::points(times, column.cells, None, &open, &rules)
            }
            Consolidation::By(aggregation) => {
                consolidate::points(times, column.cells, Some(aggregation), &open, &rules)
            }
        };
        for (time, value) in points {
            rows.entry(time).or_default().push((key, value));
        }
    }
    let mut delete = Vec::new();
    for (row, time) in times.iter().enumerate() {
        if columns.is_empty() || !open.contains(*time) {
            continue;
        }
        match rows.get(time) {
            None => delete.push(*time),
            Some(values) if is_unchanged(row, values, columns) => {
                rows.remove(time);
            }
            Some(_) => {}
        }
    }
    Ok(Compaction { rows: rows.into_iter().collect(), delete })
}

/// Whether the row keeps all readings it has, and gets no other.
fn is_unchanged(row: usize, values: &[(usize, Value)], columns: &[Column<'_>]) -> bool {
    let had = columns.iter().filter(|column| consolidate::is_reading(&column.cells[row])).count();
    had == values.len() && values.iter().all(|(_, value)| *value == Value::Reading(row))
}
