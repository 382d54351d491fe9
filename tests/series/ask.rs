//! Records in memory, asked for the values of their one key.

use std::sync::Arc;

use eosdb::series::{
    Aggregation, Boundary, Cell, Fill, Resampled, Resampling, Values, Window, resample,
};
use eosdb::{Error, Result};

/// 2024-01-01T00:00Z, the zero of all times in these tests.
pub const EPOCH: i64 = 1_704_067_200;
pub const SECOND: i64 = 1_000_000;
pub const HOUR: i64 = 3600 * SECOND;

/// Records by the minute, and a question.
#[derive(Clone)]
pub struct Ask {
    pub records: Vec<(i64, Cell)>,
    pub window: Window,
    pub how: Resampling,
    pub dropna: bool,
    pub now: i64,
}

/// Records with these values at these minutes; hourly, without bounds.
pub fn ask<V: Into<Value>>(records: impl IntoIterator<Item = (i64, V)>) -> Ask {
    let second = |(minute, value): (i64, V)| (EPOCH + 60 * minute, value.into().0);
    Ask {
        records: records.into_iter().map(second).collect(),
        window: Window { start: None, end: None, boundary: Boundary::Context },
        how: Resampling { interval: HOUR, fill: None, align: false, aggregation: None },
        dropna: true,
        now: EPOCH * SECOND,
    }
}

/// Records without any.
pub fn ask_nothing() -> Ask {
    ask::<Value>([])
}

impl Ask {
    /// Within these minutes.
    pub fn within(mut self, start: i64, end: i64) -> Self {
        self.window.start = Some((EPOCH + 60 * start) * SECOND);
        self.window.end = Some((EPOCH + 60 * end) * SECOND);
        self
    }

    pub fn from(mut self, start: i64) -> Self {
        self.window.start = Some((EPOCH + 60 * start) * SECOND);
        self
    }

    /// Both bounds later by this many microseconds.
    pub fn later(mut self, microseconds: i64) -> Self {
        self.window.start = self.window.start.map(|start| start + microseconds);
        self.window.end = self.window.end.map(|end| end + microseconds);
        self
    }

    pub fn every(mut self, interval: i64) -> Self {
        self.how.interval = interval;
        self
    }

    pub fn strict(mut self) -> Self {
        self.window.boundary = Boundary::Strict;
        self
    }

    pub fn aligned(mut self) -> Self {
        self.how.align = true;
        self
    }

    pub fn fill(mut self, fill: Fill) -> Self {
        self.how.fill = Some(fill);
        self
    }

    pub fn by(mut self, aggregation: Aggregation) -> Self {
        self.how.aggregation = Some(aggregation);
        self
    }

    pub fn keeping_none(mut self) -> Self {
        self.dropna = false;
        self
    }

    /// What is read, as a caller of the core reads it: times and cells.
    pub fn answer(&self) -> Result<(Vec<Cell>, Resampled)> {
        let query = self.window.query(|second, backwards| {
            let mut times = self.records.iter().map(|(time, _)| *time);
            Ok::<_, Error>(if backwards {
                times.rfind(|time| *time < second)
            } else {
                times.find(|time| *time > second)
            })
        })?;
        let span = query.span();
        let wanted = |(time, cell): &(i64, Cell)| {
            span.contains(*time) && !(self.dropna && *cell == Cell::None)
        };
        let (times, cells): (Vec<_>, Vec<_>) =
            self.records.iter().filter(|record| wanted(record)).cloned().unzip();
        let answer = resample(&times, &cells, &self.window, &query, &self.how, self.now)?;
        Ok((cells, answer))
    }

    /// The values, which must be numbers; `None` for nothing.
    pub fn numbers(&self) -> Vec<Option<f64>> {
        match self.answer().expect("an answer").1.values {
            Values::Numbers(values) => {
                values.into_iter().map(|value| (!value.is_nan()).then_some(value)).collect()
            }
            Values::Picked(_) => panic!("expected numbers"),
        }
    }

    /// The values, which must be picked readings; `None` for nothing.
    pub fn picked(&self) -> Vec<Option<Cell>> {
        let (cells, answer) = self.answer().expect("an answer");
        match answer.values {
            Values::Picked(values) => {
                values.into_iter().map(|index| index.map(|index| cells[index].clone())).collect()
            }
            Values::Numbers(_) => panic!("expected readings"),
        }
    }

    /// The time of the first value, in microseconds after the tests' zero.
    pub fn first(&self) -> i64 {
        self.answer().expect("an answer").1.first - EPOCH * SECOND
    }

    pub fn error(&self) -> Error {
        self.answer().expect_err("an error")
    }
}

/// A cell, from what it holds.
pub struct Value(pub Cell);

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self(Cell::Float(value))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self(Cell::Int(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self(Cell::Bool(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self(Cell::Text(Arc::new(value.to_owned())))
    }
}

impl From<Cell> for Value {
    fn from(value: Cell) -> Self {
        Self(value)
    }
}

/// A text as a cell.
pub fn text(text: &str) -> Cell {
    Value::from(text).0
}

/// Numbers of which none is nothing.
pub fn all(values: impl IntoIterator<Item = f64>) -> Vec<Option<f64>> {
    values.into_iter().map(Some).collect()
}

/// The same texts as readings.
pub fn texts(values: &[Option<&str>]) -> Vec<Option<Cell>> {
    values.iter().map(|value| value.map(text)).collect()
}
