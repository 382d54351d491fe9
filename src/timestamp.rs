//! Instants as the database knows them: whole UTC seconds, and the 16 bytes that stand for them.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, Timelike};

use crate::error::{Error, Result};

/// A UTC second between the years 1 and 9999, the range of Python's `datetime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// `0001-01-01T00:00:00Z`.
    pub const MIN: Self = Self(-62_135_596_800);
    /// `9999-12-31T23:59:59Z`.
    pub const MAX: Self = Self(253_402_300_799);

    /// The instant `seconds` after 1970 began in UTC.
    ///
    /// # Errors
    /// [`Error::TimeRange`] outside the years 1 to 9999.
    pub fn from_seconds(seconds: i64) -> Result<Self> {
        if (Self::MIN.0..=Self::MAX.0).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(Error::TimeRange { seconds })
        }
    }

    /// Seconds since 1970 began in UTC.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// Reads a key such as `20241027T113456Z`; `None` if `key` has another form or names no
    /// instant (a 13th month, a 25th hour).
    #[must_use]
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let key: &[u8; 16] = key.try_into().ok()?;
        if key[8] != b'T' || key[15] != b'Z' {
            return None;
        }
        let number = |from: usize, to: usize| {
            key[from..to].iter().try_fold(0_u32, |sum, byte| {
                byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0'))
            })
        };
        let year = i32::try_from(number(0, 4)?).ok().filter(|year| *year > 0)?;
        let day = NaiveDate::from_ymd_opt(year, number(4, 6)?, number(6, 8)?)?;
        let time = day.and_hms_opt(number(9, 11)?, number(11, 13)?, number(13, 15)?)?;
        Some(Self(time.and_utc().timestamp()))
    }

    /// The key of this instant, `20241027T113456Z`: 16 bytes that sort as the instants do.
    ///
    /// # Panics
    /// Never: the constructors admit only instants that a calendar date exists for.
    #[must_use]
    pub fn to_key(self) -> [u8; 16] {
        let time = DateTime::from_timestamp(self.0, 0).unwrap_or_default();
        let mut key = *b"00000000T000000Z";
        let mut write = |at: usize, digits: usize, mut value: u32| {
            for byte in key[at..at + digits].iter_mut().rev() {
                *byte = b'0' + u8::try_from(value % 10).unwrap_or(0);
                value /= 10;
            }
        };
        write(0, 4, time.year().unsigned_abs());
        write(4, 2, time.month());
        write(6, 2, time.day());
        write(9, 2, time.hour());
        write(11, 2, time.minute());
        write(13, 2, time.second());
        key
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(std::str::from_utf8(&self.to_key()).unwrap_or_default())
    }
}
