//! Where a pickle holds a number of fixed width.

use std::ops::Range;

use super::opcode as op;

/// Where a pickle holds a number, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberPlace {
    opcode: u8,
    end: u32,
}

impl NumberPlace {
    /// The number that ends before `end`, written by one of the opcodes of numbers.
    #[expect(clippy::cast_possible_truncation, reason = "pickles are at most MAX_DECODED long")]
    pub(super) fn new(opcode: u8, end: usize) -> Self {
        Self { opcode, end: end as u32 }
    }

    /// The bytes of the number itself, without its opcode.
    #[must_use]
    pub fn bytes(self) -> Range<usize> {
        let width = match self.opcode {
            op::BININT1 => 1,
            op::BININT2 => 2,
            op::BININT => 4,
            _ => 8,
        };
        let end = self.end as usize;
        end - width..end
    }

    /// The `int` that `pickle` holds here; `None` if the number is a `float`.
    #[must_use]
    pub fn int(self, pickle: &[u8]) -> Option<i64> {
        match (self.opcode, pickle.get(self.bytes())?) {
            (op::BININT1, &[byte]) => Some(byte.into()),
            (op::BININT2, &[b0, b1]) => Some(u16::from_le_bytes([b0, b1]).into()),
            (op::BININT, &[b0, b1, b2, b3]) => Some(i32::from_le_bytes([b0, b1, b2, b3]).into()),
            _ => None,
        }
    }

    /// The `float` that `pickle` holds here; `None` if the number is an `int`.
    #[must_use]
    pub fn float(self, pickle: &[u8]) -> Option<f64> {
        let bytes = pickle.get(self.bytes())?.try_into().ok()?;
        Some(f64::from_be_bytes(bytes))
    }
}
