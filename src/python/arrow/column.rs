//! From cells to Arrow arrays: the type of a column, its values, and the instants of the rows.

use std::sync::Arc;

use arrow_array::builder::LargeStringBuilder;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, LargeStringArray, NullArray,
    RecordBatch, TimestampMicrosecondArray,
};
use arrow_schema::{Field, Schema};

use crate::error::{Error, Result};
use crate::series::{Cell, ZoneName};

/// The key of the instants.
pub const DATE_TIME: &str = "date_time";
const MICROSECONDS: i64 = 1_000_000;

/// The type that a key's values are declared to have, apart from being `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `float`, or `float` and `int`
    Float,
    /// `str`
    Text,
}

/// The values of one key over the rows.
#[derive(Debug)]
pub struct Column {
    /// The key.
    pub name: String,
    /// The type that its values are declared to have, if they are declared to have one. It is the
    /// type of the column as far as no value contradicts it.
    pub declared: Option<ValueType>,
    /// A value for every row.
    pub cells: Vec<Cell>,
}

/// The table of `columns` over the rows at `times`, whole UTC seconds.
///
/// The key `date_time` comes first, whether or not it is among the columns, which tell the zone and
/// the microseconds. [`Cell::Other`] must have been replaced by its text, and so must
/// [`Cell::DateTime`] in any other column.
///
/// # Errors
/// [`Error::Invalid`] if a name contains NUL, if a column is longer or shorter than `times`, or if a
/// value has no text.
pub fn batch(times: &[i64], columns: &[Column]) -> Result<RecordBatch> {
    if let Some(column) = columns.iter().find(|column| column.cells.len() != times.len()) {
        let (name, values, rows) = (&column.name, column.cells.len(), times.len());
        return Err(Error::Invalid(format!("{values} values of {name:?} for {rows} rows")));
    }
    if let Some(column) = columns.iter().find(|column| column.name.contains('\0')) {
        let name = &column.name;
        return Err(Error::Invalid(format!("key {name:?} contains NUL: Arrow cannot name it")));
    }
    let own = columns.iter().find(|column| column.name == DATE_TIME);
    let mut fields = vec![DATE_TIME];
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(instants(times, own.map(|own| &*own.cells)))];
    for column in columns.iter().filter(|column| column.name != DATE_TIME) {
        fields.push(&column.name);
        arrays.push(column.array()?);
    }
    let fields = fields
        .into_iter()
        .zip(&arrays)
        .map(|(name, array)| Field::new(name, array.data_type().clone(), true))
        .collect::<Vec<_>>();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(super::refused)
}

/// The instants of the rows; `cells` are the values of the key `date_time`, if there are any.
fn instants(times: &[i64], cells: Option<&[Cell]>) -> TimestampMicrosecondArray {
    let cells = cells.unwrap_or_default();
    let fractions = cells.iter().map(|cell| match cell {
        Cell::DateTime { microsecond, .. } => i64::from(*microsecond),
        _ => 0,
    });
    let instants = times
        .iter()
        .zip(fractions.chain(std::iter::repeat(0)))
        .map(|(second, fraction)| second * MICROSECONDS + fraction);
    TimestampMicrosecondArray::from_iter_values(instants).with_timezone(common_zone(cells))
}

/// The name that Arrow has for the zone of all `cells`, or UTC.
fn common_zone(cells: &[Cell]) -> String {
    let mut zones = cells.iter().map(|cell| match cell {
        Cell::DateTime { zone, .. } => Some(zone),
        _ => None,
    });
    let common = match zones.next().flatten() {
        Some(first) if zones.all(|zone| zone == Some(first)) => arrow_name(first),
        _ => None,
    };
    common.unwrap_or_else(|| "UTC".to_owned())
}

/// The name that Arrow has for a zone, if those that read it are known to understand it.
fn arrow_name(zone: &ZoneName) -> Option<String> {
    match zone.fixed {
        None => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-/".contains(&byte);
            let known = !zone.name.is_empty() && zone.name.bytes().all(plain);
            known.then(|| zone.name.clone())
        }
        Some(0) => None,
        // Polars takes an offset as one of the zones from Etc/GMT+12 to Etc/GMT-14, and refuses a
        // table with any other.
        Some(offset) => (offset % 3600 == 0 && (-12..=14).contains(&(offset / 3600)))
            .then(|| format!("{:+03}:00", offset / 3600)),
    }
}

impl ValueType {
    /// The type that Python has under this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "bool" => Some(Self::Bool),
            "int" => Some(Self::Int),
            "float" => Some(Self::Float),
            "str" => Some(Self::Text),
            _ => None,
        }
    }

    /// The type of a value, `None` of no value.
    fn of(cell: &Cell) -> Option<Self> {
        match cell {
            Cell::None => None,
            Cell::Bool(_) => Some(Self::Bool),
            Cell::Int(_) => Some(Self::Int),
            Cell::Float(_) => Some(Self::Float),
            Cell::Text(_) | Cell::DateTime { .. } | Cell::EmptyDict | Cell::Other => {
                Some(Self::Text)
            }
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Float)
    }
}

impl Column {
    /// The type that represents every value of the column, and the declared one.
    fn value_type(&self) -> Option<ValueType> {
        // True is a 1 only where a number was declared.
        let bools_count = self.declared.is_some_and(ValueType::is_number);
        let occurring =
            self.declared.into_iter().chain(self.cells.iter().filter_map(ValueType::of));
        occurring.reduce(|one, other| match (one, other) {
            (one, other) if one == other => one,
            (one, other) if one.is_number() && other.is_number() => ValueType::Float,
            (number, ValueType::Bool) if number.is_number() && bools_count => number,
            _ => ValueType::Text,
        })
    }

    fn array(&self) -> Result<ArrayRef> {
        let cells = self.cells.iter();
        Ok(match self.value_type() {
            None => Arc::new(NullArray::new(cells.len())),
            Some(ValueType::Bool) => Arc::new(cells.map(bool).collect::<BooleanArray>()),
            Some(ValueType::Int) => Arc::new(cells.map(int).collect::<Int64Array>()),
            Some(ValueType::Float) => Arc::new(cells.map(float).collect::<Float64Array>()),
            Some(ValueType::Text) => Arc::new(self.texts()?),
        })
    }

    /// The values as Python's `str` writes them.
    fn texts(&self) -> Result<LargeStringArray> {
        // 64-bit offsets: with the ones of 32 bits, two gigabytes of text would be too much.
        let mut texts = LargeStringBuilder::with_capacity(self.cells.len(), 0);
        for cell in &self.cells {
            match cell {
                Cell::None => texts.append_null(),
                Cell::Text(text) => texts.append_value(text.as_str()),
                Cell::Bool(true) => texts.append_value("True"),
                Cell::Bool(false) => texts.append_value("False"),
                Cell::Int(value) => texts.append_value(value.to_string()),
                Cell::Float(value) => texts.append_value(python_text(*value)),
                Cell::EmptyDict => texts.append_value("{}"),
                Cell::DateTime { .. } | Cell::Other => {
                    let name = &self.name;
                    return Err(Error::Invalid(format!("a value of {name:?} has no text")));
                }
            }
        }
        Ok(texts.finish())
    }
}

fn float(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Float(value) => Some(*value),
        #[expect(clippy::cast_precision_loss, reason = "as float() does")]
        Cell::Int(value) => Some(*value as f64),
        Cell::Bool(value) => Some(f64::from(*value)),
        _ => None,
    }
}

fn int(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Int(value) => Some(*value),
        Cell::Bool(value) => Some(i64::from(*value)),
        _ => None,
    }
}

fn bool(cell: &Cell) -> Option<bool> {
    match cell {
        Cell::Bool(value) => Some(*value),
        _ => None,
    }
}

/// What `str()` makes of a float.
fn python_text(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string().to_lowercase();
    }
    // Rust finds the same number of digits as Python, but where two of that many are equally near,
    // only rounding takes the even one.
    let shortest = format!("{value:?}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, ""));
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    if exponent.is_empty() {
        return format!("{value:.decimals$}");
    }
    let rounded = format!("{value:.decimals$e}");
    match rounded.split_once("e-") {
        Some((digits, exponent)) => format!("{digits}e-{exponent:0>2}"),
        None => rounded.replace('e', "e+"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(cells: Vec<Cell>) -> String {
        let column = Column { name: "power_w".to_owned(), declared: None, cells };
        batch(&[0], &[column]).expect_err("must be refused").to_string()
    }

    #[test]
    fn values_without_a_text_are_refused() {
        assert_eq!(refusal(vec![Cell::Other]), "a value of \"power_w\" has no text");
    }

    #[test]
    fn columns_of_another_length_are_refused() {
        assert_eq!(refusal(vec![]), "0 values of \"power_w\" for 1 rows");
        assert_eq!(refusal(vec![Cell::None; 2]), "2 values of \"power_w\" for 1 rows");
    }
}
