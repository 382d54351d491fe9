//! Rows in memory, to which plans are applied.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use eosdb::Span;
use eosdb::retention::{Column, Compaction, Consolidation, Value, plan};
use eosdb::series::{Cell, MeterRules, energy};

pub const SECOND: i64 = 1_000_000;
pub const QUARTER: i64 = 900;
pub const HOUR: i64 = 3_600;
/// Midnight UTC, 2023-11-14, in seconds.
pub const MIDNIGHT: i64 = 1_699_920_000;

pub fn text(text: &str) -> Cell {
    Cell::Text(Arc::new(text.to_owned()))
}

/// `None` and NaN are no readings.
pub fn is_reading(cell: &Cell) -> bool {
    !matches!(cell, Cell::None) && !matches!(cell, Cell::Float(value) if value.is_nan())
}

#[derive(Clone, PartialEq)]
pub struct Table {
    pub keys: Vec<Consolidation>,
    pub rows: BTreeMap<i64, Vec<Cell>>,
}

impl fmt::Debug for Table {
    /// In seconds after midnight.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows.iter().map(|(time, row)| (time - MIDNIGHT, row));
        write!(formatter, "{:?} {:?}", self.keys, rows.collect::<Vec<_>>())
    }
}

impl Table {
    pub fn new(keys: Vec<Consolidation>, rows: impl IntoIterator<Item = (i64, Vec<Cell>)>) -> Self {
        Self { keys, rows: rows.into_iter().collect() }
    }

    pub fn times(&self) -> Vec<i64> {
        self.rows.keys().copied().collect()
    }

    pub fn column(&self, key: usize) -> Vec<Cell> {
        self.rows.values().map(|row| row[key].clone()).collect()
    }

    pub fn plan(&self, open: &[Span], interval: i64, rules: &MeterRules) -> Compaction {
        let cells: Vec<_> = (0..self.keys.len()).map(|key| self.column(key)).collect();
        let columns: Vec<_> = cells
            .iter()
            .zip(&self.keys)
            .map(|(cells, consolidation)| Column { cells, consolidation: *consolidation })
            .collect();
        plan(&self.times(), &columns, open, interval, rules).expect("valid arguments")
    }

    /// Does as planned.
    pub fn apply(&mut self, planned: &Compaction) {
        let times = self.times();
        let former = self.rows.clone();
        for (time, values) in &planned.rows {
            let mut row: Vec<_> = self.keys.iter().map(|_| Cell::None).collect();
            for (key, value) in values {
                row[*key] = match value {
                    Value::Number(number) => Cell::Float(*number),
                    Value::Reading(index) => former[&times[*index]][*key].clone(),
                };
            }
            self.rows.insert(*time, row);
        }
        for time in &planned.delete {
            assert!(planned.rows.iter().all(|(written, _)| written != time), "both at {time}");
            assert!(self.rows.remove(time).is_some(), "no row at {time} to delete");
        }
    }

    /// Plans and applies, and checks what holds for every plan.
    #[track_caller]
    pub fn compact(&mut self, open: &[Span], interval: i64, rules: &MeterRules) {
        let planned = self.plan(open, interval, rules);
        let touched = planned.rows.iter().map(|(time, _)| time).chain(&planned.delete);
        for time in touched {
            assert!(open.iter().any(|span| span.contains(*time)), "{time} is not open");
        }
        let before = self.clone();
        self.apply(&planned);
        let again = self.plan(open, interval, rules);
        assert_eq!(again, Compaction::default(), "a plan of {self:?}, which was {before:?}");
    }

    /// The energy of a meter in `[start, end)`, not a number if unknown.
    pub fn energy(&self, key: usize, start: i64, end: i64, rules: &MeterRules) -> f64 {
        let (times, readings) = self.readings(key);
        let (start, end) = (start * SECOND, end * SECOND);
        let found = energy(&times, &readings, Some(start), Some(end), end - start, rules);
        found.expect("valid arguments").values[0]
    }

    /// The times and values of a meter.
    pub fn readings(&self, key: usize) -> (Vec<i64>, Vec<f64>) {
        let number = |(time, row): (&i64, &Vec<Cell>)| match row[key] {
            Cell::Float(value) => Some((*time, value)),
            _ => None,
        };
        self.rows.iter().filter_map(number).unzip()
    }
}

/// A table of one key, at minutes after midnight.
pub fn single(consolidation: Consolidation, rows: impl IntoIterator<Item = (i64, Cell)>) -> Table {
    let rows = rows.into_iter().map(|(minute, cell)| (MIDNIGHT + 60 * minute, vec![cell]));
    Table::new(vec![consolidation], rows)
}

/// A span in minutes after midnight.
pub fn minutes(start: i64, end: i64) -> Span {
    Span::new(MIDNIGHT + 60 * start, MIDNIGHT + 60 * end)
}
