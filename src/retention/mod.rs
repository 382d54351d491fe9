//! What old records are replaced by, so that less is kept of them.
//!
//! A [`Tier`] tells which buckets of time are due, a key's [`Consolidation`] what its readings in
//! them become, and [`plan`] puts the keys together: the rows to write and those to delete. Rows
//! outside the open buckets are only looked at. A [`Run`] leads rows through all tiers, the finer
//! ones first, piece by piece. Nothing here knows storage or Python.
//!
//! The plan of what a plan made is empty. In how many runs rows are compacted makes no difference
//! where finer tiers come before coarser ones, each tier's age is at least its longest gap, and no
//! row comes late. There are two exceptions: tiers that have each a longest gap of their own may take
//! different readings of a meter for wrong; and where a run ends among wrong readings that fell to
//! different values, a meter may keep another reading than one run would, of the same energy.

mod consolidate;
mod meter;
mod open;
mod run;
mod stage;
mod tiers;

use std::collections::BTreeMap;

pub use consolidate::{Consolidation, Value};
pub use meter::{Changed, conserved};
pub use run::{Replacement, Run, Tally};
pub use stage::Rows;
pub use tiers::{Due, Tier, implausible_from, newest_plausible};

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
    let open = Open::new(open, interval)?;
    let rules = meter::rules_of(rules, interval)?;
    let mut former = vec![None; columns.len()];
    Ok(plan_part(times, columns, &open, &rules, Span::ALL, &mut former)?.compaction)
}

/// What a part of a plan is made of.
struct Part {
    compaction: Compaction,
    /// The columns of meters, with the points that their readings in *all* open buckets become.
    meters: Vec<(usize, Vec<(i64, Value)>)>,
}

/// The plan for the open buckets within `part`, given all rows that keys look at. `former` is what
/// the last bucket of each key before it became, and afterwards what the last one within it became.
fn plan_part(
    times: &[i64],
    columns: &[Column<'_>],
    open: &Open,
    rules: &MeterRules,
    part: Span,
    former: &mut [consolidate::Former],
) -> Result<Part> {
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
    let mut rows: BTreeMap<i64, Vec<(usize, Value)>> = BTreeMap::new();
    let mut meters = Vec::new();
    for ((key, column), former) in columns.iter().enumerate().zip(former) {
        let by = |aggregation, former| {
            consolidate::points(times, column.cells, aggregation, open, part, rules, former)
        };
        let points = match column.consolidation {
            Consolidation::Meter => meter::points(times, column.cells, open, rules)?,
            Consolidation::MeanOrLast => by(None, former),
            Consolidation::By(aggregation) => by(Some(aggregation), former),
        };
        for (time, value) in points.iter().filter(|(time, _)| part.contains(*time)) {
            rows.entry(*time).or_default().push((key, *value));
        }
        if column.consolidation == Consolidation::Meter {
            meters.push((key, points));
        }
    }
    let mut delete = Vec::new();
    for (row, time) in times.iter().enumerate() {
        if columns.is_empty() || !open.contains(*time) || !part.contains(*time) {
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
    Ok(Part { compaction: Compaction { rows: rows.into_iter().collect(), delete }, meters })
}

/// Whether the row keeps all readings it has, and gets no other.
fn is_unchanged(row: usize, values: &[(usize, Value)], columns: &[Column<'_>]) -> bool {
    let had = columns.iter().filter(|column| consolidate::is_reading(&column.cells[row])).count();
    had == values.len() && values.iter().all(|(_, value)| *value == Value::Reading(row))
}
