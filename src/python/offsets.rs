//! Offsets of time zones from UTC, remembered by day.
//!
//! Asking a zone takes longer than all else that is done to find the second of a datetime. On most
//! days its offset is the same from midnight to midnight; it is asked for both, once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{Datelike, NaiveDate};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDateTime, PyDelta, PyDeltaAccess, PyTzInfo};

use super::datetime::whole_seconds;
use super::decode::{fixed_timezone_class, pendulum_date_time, pydantic_date_time, timezone_class};

/// The day 1970-01-01, where 0001-01-01 is 1.
const FIRST_DAY: i64 = 719_163;

/// How many days, and how many zones, are remembered at most: beyond, it is begun anew.
const DAYS: usize = 1 << 16;
const ZONES: usize = 64;

#[derive(Default)]
struct Offsets {
    /// Kept, so that no other zone gets the address of one of them.
    zones: Vec<Py<PyAny>>,
    /// By address of the zone and day: the seconds that the zone is ahead of UTC all day, `None` if
    /// that changes in the course of it.
    days: HashMap<(usize, i32), Option<i64>>,
}

static OFFSETS: Mutex<Option<Offsets>> = Mutex::new(None);

/// The UTC second of a datetime of the usual classes, in a zone of the usual classes, on a day on
/// which the offset of the zone does not change. `None` where it must be found otherwise.
pub fn quick_second(value: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    let py = value.py();
    let class = value.get_type();
    if !class.is(pydantic_date_time(py)?)
        && !class.is(pendulum_date_time(py)?)
        && !class.is(py.get_type::<PyDateTime>())
    {
        return Ok(None);
    }
    let number = |name| -> PyResult<i64> { value.getattr(name)?.extract() };
    let zone = value.getattr(intern!(py, "tzinfo"))?;
    let day = value.call_method0(intern!(py, "toordinal"))?.extract()?;
    let Some(offset) = offset_on(&zone, day)? else { return Ok(None) };
    let hour = number(intern!(py, "hour"))?;
    let minute = number(intern!(py, "minute"))?;
    let second = number(intern!(py, "second"))?;
    Ok(Some(seconds_to(day) + hour * 3600 + minute * 60 + second - offset))
}

/// The seconds from 1970-01-01 to a day, which is counted from 0001-01-01 as 1.
pub fn seconds_to(day: i32) -> i64 {
    (i64::from(day) - FIRST_DAY) * 86_400
}

/// The seconds that `zone` is ahead of UTC throughout a day, which is counted from 0001-01-01 as 1.
/// `None` if that changes in the course of it, or the zone is none of a known class.
pub fn offset_on(zone: &Bound<'_, PyAny>, day: i32) -> PyResult<Option<i64>> {
    let key = (zone.as_ptr() as usize, day);
    // Whoever holds the lock does not wait: it calls nothing.
    if let Ok(known) = OFFSETS.try_lock()
        && let Some(offset) = known.as_ref().and_then(|known| known.days.get(&key))
    {
        return Ok(*offset);
    }
    let py = zone.py();
    if !is_usual(zone)? {
        return Ok(None);
    }
    let midnight = |day: i32, fold: bool| -> PyResult<Option<i64>> {
        let Some(date) = NaiveDate::from_num_days_from_ce_opt(day) else { return Ok(None) };
        let Ok(year) = u16::try_from(date.year()) else { return Ok(None) };
        if !(1..=9999).contains(&year) {
            return Ok(None);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a month and a day are small")]
        let (month, day) = (date.month() as u8, date.day() as u8);
        let zone = zone.cast::<PyTzInfo>()?;
        let year = year.into();
        let time = PyDateTime::new_with_fold(py, year, month, day, 0, 0, 0, 0, Some(zone), fold)?;
        let offset = time.call_method0(intern!(py, "utcoffset"))?;
        if offset.is_none() {
            return Ok(None);
        }
        let offset = offset.cast::<PyDelta>()?;
        // Fractions of a second, which an offset may have, are not counted here.
        Ok((offset.get_microseconds() == 0).then(|| whole_seconds(offset)))
    };
    // The later of two midnights: a clock that is put back past it repeats the end of the day.
    let (first, last) = (midnight(day, false)?, midnight(day + 1, true)?);
    let offset = first.filter(|_| first == last);
    let mut dropped = None;
    {
        let mut known = OFFSETS.lock().unwrap_or_else(PoisonError::into_inner);
        let offsets = known.get_or_insert_default();
        if offsets.days.len() >= DAYS || offsets.zones.len() >= ZONES {
            dropped = Some(std::mem::take(offsets));
        }
        if !offsets.zones.iter().any(|kept| kept.is(zone)) {
            offsets.zones.push(zone.clone().unbind());
        }
        offsets.days.insert(key, offset);
    }
    drop(dropped); // after the lock: it may run finalisers
    Ok(offset)
}

/// Tells whether the offset of a zone depends on nothing but the wall time.
fn is_usual(zone: &Bound<'_, PyAny>) -> PyResult<bool> {
    static CLASSES: PyOnceLock<[Py<PyAny>; 2]> = PyOnceLock::new();
    let py = zone.py();
    let [zone_info, timezone] = CLASSES.get_or_try_init(py, || {
        let zone_info = py.import("zoneinfo")?.getattr("ZoneInfo")?.unbind();
        PyResult::Ok([zone_info, py.import("datetime")?.getattr("timezone")?.unbind()])
    })?;
    let class = zone.get_type();
    Ok(class.is(timezone_class(py)?)
        || class.is(fixed_timezone_class(py)?)
        || class.is(zone_info)
        || class.is(timezone))
}
