//! Writes the record of a plain class from the values of its keys.

use chrono::{DateTime, Datelike, Timelike};

use super::cell::Cell;
use super::shape::{Place, Shape, kind};
use crate::codec::pickle_write::Writer;
use crate::codec::{DateTimeParts, PYDANTIC_DATE_TIME, Zone};
use crate::error::{Error, Result};

/// No object is written twice in a record.
const UNSHARED: usize = 0;

impl Shape {
    /// Writes the record at the second `time`, shown in UTC, with these values; fields without one
    /// become `None`. `false` if that is not for us to tell: a field does not take what it would
    /// become, or a value is none that a cell holds. Then what was written is good for nothing.
    ///
    /// # Errors
    /// [`Error::TimeRange`] if the time is out of reach.
    pub fn write(
        &self,
        writer: &mut Writer,
        time: i64,
        values: &[(&Place, &Cell)],
    ) -> Result<bool> {
        writer.begin_dict(self.fields().len(), UNSHARED)?;
        for (field, (name, kinds)) in self.fields().iter().enumerate() {
            writer.text(name, UNSHARED);
            if *kinds == kind::DATE_TIME || *kinds == kind::DATE_TIME | kind::NONE {
                writer.date_time(&utc(time)?, UNSHARED, UNSHARED)?;
                continue;
            }
            if self.is_configured(field) {
                let configured = values.iter().filter_map(|(place, cell)| match place {
                    Place::Configured(name) => Some((name, *cell)),
                    Place::Field(_) | Place::Named(_) => None,
                });
                if writer.begin_dict(configured.clone().count(), UNSHARED)? {
                    for (name, cell) in configured {
                        writer.text(name, UNSHARED);
                        if !write_cell(writer, cell, kind::SCALARS) {
                            return Ok(false);
                        }
                    }
                    writer.end();
                }
                continue;
            }
            let value = values.iter().find(|(place, _)| **place == Place::Field(field));
            let cell = value.map_or(&Cell::None, |(_, cell)| cell);
            if matches!(cell, Cell::EmptyDict) && *kinds & kind::DICT != 0 {
                writer.begin_dict(0, UNSHARED)?;
            } else if !write_cell(writer, cell, *kinds) {
                return Ok(false);
            }
        }
        writer.end();
        Ok(true)
    }
}

/// Writes a value that a field of these `kinds` stores as it is.
fn write_cell(writer: &mut Writer, cell: &Cell, kinds: u32) -> bool {
    let takes = |kind| kinds & kind != 0;
    match cell {
        Cell::None if takes(kind::NONE) => writer.none(),
        Cell::Bool(value) if takes(kind::BOOL) => writer.bool(*value),
        Cell::Int(value) if takes(kind::INT) => writer.int(*value),
        Cell::Float(value) if takes(kind::FLOAT) => writer.float(*value),
        Cell::Text(text) if takes(kind::STR) => writer.text(text, UNSHARED),
        _ => return false,
    }
    true
}

fn utc(time: i64) -> Result<DateTimeParts<'static>> {
    let instant = DateTime::from_timestamp(time, 0).ok_or(Error::TimeRange { seconds: time })?;
    let (module, name) = PYDANTIC_DATE_TIME;
    let numbers = [
        instant.year().into(),
        instant.month().into(),
        instant.day().into(),
        instant.hour().into(),
        instant.minute().into(),
        instant.second().into(),
        0,
    ];
    let naive =
        DateTimeParts::naive(module, name, numbers).ok_or(Error::TimeRange { seconds: time })?;
    Ok(DateTimeParts { zone: Some(Zone::Timezone("UTC")), ..naive })
}
