//! The dates with time that a pickle can hold, recognised without calling anything.

use super::tree::{Call, Node, NodeId, Tree};

/// The class of pendulum's datetimes. Its pickled form is seven integers and a zone, without the
/// `fold`.
pub const PENDULUM_DATE_TIME: (&str, &str) = ("pendulum.datetime", "DateTime");

/// The class of pendulum's datetimes that pydantic validates, pickled in the same form.
pub const PYDANTIC_DATE_TIME: (&str, &str) = ("pydantic_extra_types.pendulum_dt", "DateTime");

pub(super) const PENDULUM_CLASSES: [(&str, &str); 2] = [PENDULUM_DATE_TIME, PYDANTIC_DATE_TIME];

const SECONDS_PER_DAY: i64 = 86_400;

/// The zone of a date with time, one variant for each Python class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zone<'t> {
    /// `pendulum.tz.timezone.Timezone(name)`.
    Timezone(&'t str),
    /// `pendulum.tz.timezone.FixedTimezone(seconds, name)`.
    FixedTimezone {
        /// Seconds east of UTC.
        seconds: i32,
        /// The name, `+01:00` for instance.
        name: &'t str,
    },
    /// `zoneinfo.ZoneInfo(name)`.
    ZoneInfo(&'t str),
    /// `datetime.timezone.utc`.
    Utc,
    /// `datetime.timezone(timedelta(seconds=seconds), name)`.
    Offset {
        /// Seconds east of UTC.
        seconds: i32,
        /// The name, if one was given.
        name: Option<&'t str>,
    },
}

/// A date with time as a pickle writes it: the wall clock's reading and the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateTimeParts<'t> {
    /// The module of its class: `pendulum.datetime`, `pydantic_extra_types.pendulum_dt` or
    /// `datetime`.
    pub module: &'t str,
    /// The name of its class: `DateTime` or `datetime`.
    pub name: &'t str,
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to the month's length.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999,999.
    pub microsecond: u32,
    /// 1 for the second pass of an hour that the clock repeats. A pickled pendulum value always
    /// says 0, for pendulum does not store it.
    pub fold: u8,
    /// The zone; `None` for a naive value.
    pub zone: Option<Zone<'t>>,
}

impl Tree<'_> {
    /// The date with time that a node describes, if it is one of a known class, in its usual
    /// form, and valid. Any other form is left to the general path.
    #[must_use]
    pub fn date_time(&self, id: NodeId) -> Option<DateTimeParts<'_>> {
        let call = self.plain_call(id)?;
        let Node::Global { module, name } = self.node(call.callable) else { return None };
        let Node::Tuple(args) = self.node(call.args) else { return None };
        if call.state.is_some() {
            return None;
        }
        let (mut parts, zone) = if PENDULUM_CLASSES.contains(&(module, name)) {
            let (numbers, zone) = pendulum_args(args)?;
            let mut values = [0; 7];
            for (value, number) in values.iter_mut().zip(numbers) {
                *value = self.int(*number)?;
            }
            (DateTimeParts::naive(module, name, values)?, Some(zone))
        } else if (module, name) == ("datetime", "datetime") {
            let (packed, zone) = match *args {
                [packed] => (packed, None),
                [packed, zone] => (packed, Some(zone)),
                _ => return None,
            };
            let Node::Bytes(&[y1, y0, month, day, hour, minute, second, m2, m1, m0]) =
                self.node(packed)
            else {
                return None;
            };
            let parts = DateTimeParts {
                module,
                name,
                year: u16::from_be_bytes([y1, y0]),
                // The top bit of the month is the fold.
                month: month & 0x7f,
                day,
                hour,
                minute,
                second,
                microsecond: u32::from_be_bytes([0, m2, m1, m0]),
                fold: month >> 7,
                zone: None,
            };
            (parts, zone)
        } else {
            return None;
        };
        if let Some(zone) = zone.filter(|&id| !matches!(self.node(id), Node::None)) {
            parts.zone = Some(self.zone(zone)?);
        }
        parts.is_valid().then_some(parts)
    }

    /// The numbers, from year to microsecond, of a value of one of pendulum's classes that
    /// [`date_time`](Self::date_time) recognises.
    #[must_use]
    pub fn date_time_numbers(&self, id: NodeId) -> Option<&[NodeId; 7]> {
        let Node::Tuple(args) = self.node(self.plain_call(id)?.args) else { return None };
        Some(pendulum_args(args)?.0)
    }

    /// The zone that a node describes.
    fn zone(&self, id: NodeId) -> Option<Zone<'_>> {
        let call = self.plain_call(id)?;
        let Node::Tuple(args) = self.node(call.args) else { return None };
        if let Some(class) = self.zone_constructor(call.callable) {
            let &[name, from_cache] = args else { return None };
            let (Node::Str(name), Node::Int(_) | Node::Bool(_), None) =
                (self.node(name), self.node(from_cache), call.state)
            else {
                return None;
            };
            return Some(class(name));
        }
        let Node::Global { module, name } = self.node(call.callable) else { return None };
        match (module, name, args) {
            ("pendulum.tz.timezone", "Timezone", &[name]) if call.state.is_none() => {
                let Node::Str(name) = self.node(name) else { return None };
                Some(Zone::Timezone(name))
            }
            ("pendulum.tz.timezone", "FixedTimezone", &[seconds, name]) => {
                let Node::Str(name) = self.node(name) else { return None };
                let seconds = self.int::<i32>(seconds)?;
                let agrees = call.state.is_none_or(|state| self.is_state_of(state, seconds, name));
                (agrees && is_offset(seconds.into()))
                    .then_some(Zone::FixedTimezone { seconds, name })
            }
            ("datetime", "timezone", &[delta]) if call.state.is_none() => {
                let seconds = self.offset(delta)?;
                let zone = Zone::Offset { seconds, name: None };
                Some(if seconds == 0 { Zone::Utc } else { zone })
            }
            ("datetime", "timezone", &[delta, name]) if call.state.is_none() => {
                let Node::Str(name) = self.node(name) else { return None };
                Some(Zone::Offset { seconds: self.offset(delta)?, name: Some(name) })
            }
            _ => None,
        }
    }

    /// Whether a state is that of `FixedTimezone(seconds, name)`, and no other, which would override
    /// what the zone was called with.
    fn is_state_of(&self, state: NodeId, seconds: i32, name: &str) -> bool {
        let Node::Dict(pairs) = self.node(state) else { return false };
        let mut keys = [false; 3];
        pairs.len() == keys.len()
            && pairs.iter().all(|&[key, value]| {
                let (at, agrees) = match self.node(key) {
                    Node::Str("_name") => (0, self.node(value) == Node::Str(name)),
                    Node::Str("_offset") => (1, self.int(value) == Some(seconds)),
                    Node::Str("_utcoffset") => (2, self.offset(value) == Some(seconds)),
                    _ => return false,
                };
                agrees && !std::mem::replace(&mut keys[at], true)
            })
    }

    /// The zone class of `getattr(<zone class>, "_unpickle")`, the one attribute that a pickle
    /// may look up.
    pub(super) fn zone_constructor<'t>(&self, id: NodeId) -> Option<fn(&'t str) -> Zone<'t>> {
        let call = self.plain_call(id)?;
        let Node::Global { module: "builtins", name: "getattr" } = self.node(call.callable) else {
            return None;
        };
        let Node::Tuple(&[class, attribute]) = self.node(call.args) else { return None };
        let (Node::Global { module, name }, Node::Str("_unpickle"), None) =
            (self.node(class), self.node(attribute), call.state)
        else {
            return None;
        };
        match (module, name) {
            ("pendulum.tz.timezone", "Timezone") => Some(Zone::Timezone),
            ("zoneinfo", "ZoneInfo") => Some(Zone::ZoneInfo),
            _ => None,
        }
    }

    /// The whole seconds of a `timedelta` that can be an offset.
    fn offset(&self, id: NodeId) -> Option<i32> {
        let call = self.plain_call(id)?;
        let Node::Global { module: "datetime", name: "timedelta" } = self.node(call.callable)
        else {
            return None;
        };
        let Node::Tuple(&[days, seconds, microseconds]) = self.node(call.args) else {
            return None;
        };
        let (days, seconds): (i32, i32) = (self.int(days)?, self.int(seconds)?);
        let total = i64::from(days) * SECONDS_PER_DAY + i64::from(seconds);
        if self.int::<i32>(microseconds)? != 0 || call.state.is_some() || !is_offset(total) {
            return None;
        }
        i32::try_from(total).ok()
    }

    /// A call by `REDUCE` that adds nothing but, perhaps, a state.
    pub(super) fn plain_call(&self, id: NodeId) -> Option<Call<'_>> {
        match self.node(id) {
            Node::Call(call)
                if !call.new
                    && call.kwargs.is_none()
                    && call.items.is_empty()
                    && call.elements.is_empty() =>
            {
                Some(call)
            }
            _ => None,
        }
    }

    fn int<T: TryFrom<i64>>(&self, id: NodeId) -> Option<T> {
        match self.node(id) {
            Node::Int(value) => T::try_from(value).ok(),
            _ => None,
        }
    }
}

/// The numbers and the zone that one of pendulum's classes is called with.
fn pendulum_args(args: &[NodeId]) -> Option<(&[NodeId; 7], NodeId)> {
    let (zone, numbers) = args.split_last()?;
    Some((numbers.try_into().ok()?, *zone))
}

fn is_offset(seconds: i64) -> bool {
    seconds.abs() < SECONDS_PER_DAY
}

impl<'t> DateTimeParts<'t> {
    /// The value of the class `module.name` with these numbers, from year to microsecond, without
    /// a zone; `None` if one is out of all proportion. Whether it is a date is for
    /// [`is_valid`](Self::is_valid) to tell.
    #[must_use]
    pub fn naive(module: &'t str, name: &'t str, numbers: [i64; 7]) -> Option<Self> {
        let [year, month, day, hour, minute, second, microsecond] = numbers;
        Some(Self {
            module,
            name,
            year: year.try_into().ok()?,
            month: month.try_into().ok()?,
            day: day.try_into().ok()?,
            hour: hour.try_into().ok()?,
            minute: minute.try_into().ok()?,
            second: second.try_into().ok()?,
            microsecond: microsecond.try_into().ok()?,
            fold: 0,
            zone: None,
        })
    }

    /// Whether every part lies in the range that Python's `datetime` demands.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let leap = self.year.is_multiple_of(4)
            && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let days = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u8::from(leap),
            1..=12 => 31,
            _ => 0,
        };
        (1..=9999).contains(&self.year)
            && (1..=days).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60
            && self.microsecond < 1_000_000
            && self.fold < 2
    }
}
