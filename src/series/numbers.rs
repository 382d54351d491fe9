//! Which readings are numbers, by pandas' rules.

use super::cell::Cell;
use crate::error::{Error, Result};

/// What the readings of a key are, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Numbers or nothing.
    Numbers {
        /// Truth values with others among them: pandas adds such readings up one by one, without
        /// carrying the rounding errors along.
        plain_sum: bool,
    },
    /// To be taken as they are.
    Values,
}

/// What the readings are, taken together.
///
/// # Errors
/// [`Error::Type`] if all are numbers, but some only as text.
pub(super) fn kind(cells: &[Cell]) -> Result<Kind> {
    const OTHERS: u8 = 1;
    const TRUTHS: u8 = 2;
    const TEXTS: u8 = 4;
    const VALUES: u8 = 8;
    // Without a branch for each reading: this is done for every key that is read.
    let kinds = cells.iter().fold(0, |kinds, cell| {
        kinds
            | match cell {
                Cell::None | Cell::Int(_) | Cell::Float(_) => OTHERS,
                Cell::Bool(_) => TRUTHS,
                Cell::Text(_) => TEXTS,
                Cell::DateTime { .. } | Cell::EmptyDict | Cell::Other => VALUES,
            }
    });
    let is_value = |cell: &Cell| matches!(cell, Cell::Text(text) if !is_number(text));
    if kinds & VALUES != 0 || kinds & TEXTS != 0 && cells.iter().any(is_value) {
        return Ok(Kind::Values);
    }
    if kinds & TEXTS != 0 {
        return Err(Error::Type(
            "numbers that are text cannot be averaged: store them as numbers".to_owned(),
        ));
    }
    Ok(Kind::Numbers { plain_sum: kinds == TRUTHS | OTHERS })
}

/// The reading as a number: 0 or 1 for a truth value, NaN for whatever is no number.
#[expect(clippy::cast_precision_loss, reason = "pandas rounds large integers to floats too")]
pub(crate) fn number(cell: &Cell) -> f64 {
    match cell {
        Cell::Float(value) => *value,
        Cell::Int(value) => *value as f64,
        Cell::Bool(value) => f64::from(u8::from(*value)),
        _ => f64::NAN,
    }
}

/// The readings as numbers, if pandas would take every one of them for a number or for nothing:
/// 0 and 1 for truth values, NaN for nothing. `None` if they are to be taken as they are.
///
/// # Errors
/// [`Error::Type`] if all are numbers, but some only as text such as `'1'`.
pub fn numbers(cells: &[Cell]) -> Result<Option<Vec<f64>>> {
    Ok(match kind(cells)? {
        Kind::Numbers { .. } => Some(cells.iter().map(number).collect()),
        Kind::Values => None,
    })
}

/// Tells whether the reading is nothing: `None` or NaN.
pub(super) fn is_nothing(cell: &Cell) -> bool {
    match cell {
        Cell::None => true,
        Cell::Float(value) => value.is_nan(),
        _ => false,
    }
}

/// Tells whether `pandas.to_numeric` reads the text as a number other than NaN.
fn is_number(text: &str) -> bool {
    let word = unsigned(text);
    if word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("infinity") {
        return true;
    }
    let text = text.trim_matches(is_space);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        None => (text, None),
        // Space may follow the letter, but not precede it.
        Some((mantissa, exponent)) => (mantissa, Some(exponent.trim_start_matches(is_space))),
    };
    let (whole, fraction) = match unsigned(mantissa).split_once('.') {
        None => (unsigned(mantissa), ""),
        Some(parts) => parts,
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && whole.len() + fraction.len() > 0
        && exponent.map(unsigned).is_none_or(|power| !power.is_empty() && digits(power))
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t'..='\r')
}
