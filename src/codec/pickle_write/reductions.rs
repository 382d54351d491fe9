//! The objects that Python writes as calls: dates with time, zones, `NumPy` scalars.

use super::Writer;
use crate::codec::date_time::{DateTimeParts, PENDULUM_CLASSES, Zone};
use crate::codec::numpy::NumpyScalar;
use crate::codec::opcode as op;
use crate::error::{Error, Result};

const SECONDS_PER_DAY: i32 = 86_400;

/// A global: the interned text of its module, and its name, which Python shares among classes of
/// that name unless the class is built in.
#[derive(Clone, Copy)]
struct Global {
    identity: usize,
    module: Text,
    name: Text,
}

/// A text that Python holds once. Small identities cannot be addresses.
#[derive(Clone, Copy)]
struct Text {
    identity: usize,
    text: &'static str,
}

const fn text(identity: usize, text: &'static str) -> Text {
    Text { identity, text }
}

const fn global(identity: usize, module: Text, name: Text) -> Global {
    Global { identity, module, name }
}

const DATETIME: Text = text(1, "datetime");
const BUILTINS: Text = text(2, "builtins");
const PENDULUM_TIMEZONE: Text = text(3, "pendulum.tz.timezone");
const ZONEINFO: Text = text(4, "zoneinfo");
const MULTIARRAY: Text = text(5, "numpy._core.multiarray");
const NUMPY: Text = text(6, "numpy");
const NAME: Text = text(7, "_name");
const OFFSET: Text = text(8, "_offset");
const UTCOFFSET: Text = text(9, "_utcoffset");
const LITTLE_ENDIAN: Text = text(10, "<");
const NO_ENDIAN: Text = text(11, "|");
const PENDULUM_DATETIME: Text = text(12, PENDULUM_CLASSES[0].0);
const PYDANTIC_PENDULUM: Text = text(13, PENDULUM_CLASSES[1].0);
const CLASS_DATETIME: Text = text(14, "DateTime");

const PENDULUM_CLASS: Global = global(32, PENDULUM_DATETIME, CLASS_DATETIME);
const PYDANTIC_CLASS: Global = global(33, PYDANTIC_PENDULUM, CLASS_DATETIME);
const DATETIME_CLASS: Global = global(34, DATETIME, text(0, "datetime"));
const TIMEDELTA: Global = global(35, DATETIME, text(0, "timedelta"));
const FIXED_OFFSET: Global = global(36, DATETIME, text(0, "timezone"));
const GETATTR: Global = global(37, BUILTINS, text(0, "getattr"));
const TIMEZONE: Global = global(38, PENDULUM_TIMEZONE, text(0, "Timezone"));
const FIXED_TIMEZONE: Global = global(39, PENDULUM_TIMEZONE, text(0, "FixedTimezone"));
const ZONE_INFO: Global = global(40, ZONEINFO, text(0, "ZoneInfo"));
const SCALAR: Global = global(41, MULTIARRAY, text(0, "scalar"));
const DTYPE: Global = global(42, NUMPY, text(0, "dtype"));

/// Where the identities of `NumPy`'s dtypes start, by their first letter and width.
const DTYPES: usize = 64;
/// Where those of one-byte `bytes` start, of which Python holds each once.
const SINGLE_BYTES: usize = 4096;

impl Writer {
    /// Writes a date with time of one of the classes that [`DateTimeParts::module`] names.
    ///
    /// `zone_identity` is that of the zone object. The values are written as given: `fold` is left
    /// out for pendulum's classes, as pendulum does.
    ///
    /// # Errors
    /// [`Error::Encode`] if the class is unknown or a part is out of its range.
    pub fn date_time(
        &mut self,
        value: &DateTimeParts,
        identity: usize,
        zone_identity: usize,
    ) -> Result<()> {
        if !value.is_valid() {
            return Err(Error::Encode(format!("{value:?} is no valid date with time")));
        }
        let class = match (value.module, value.name) {
            ("datetime", "datetime") => DATETIME_CLASS,
            class if class == PENDULUM_CLASSES[0] => PENDULUM_CLASS,
            class if class == PENDULUM_CLASSES[1] => PYDANTIC_CLASS,
            (module, name) => {
                return Err(Error::Encode(format!("{module}.{name} cannot be written")));
            }
        };
        if self.seen(identity) {
            self.completed();
            return Ok(());
        }
        self.raw_global(class);
        if class.identity == DATETIME_CLASS.identity {
            let [y1, y0] = value.year.to_be_bytes();
            let [_, m2, m1, m0] = value.microsecond.to_be_bytes();
            let month = value.month | value.fold << 7;
            let packed =
                [y1, y0, month, value.day, value.hour, value.minute, value.second, m2, m1, m0];
            self.raw_bytes(&packed, 0);
            if value.zone.is_some() {
                self.zone(value.zone, zone_identity);
                self.memoize(op::TUPLE2, 0);
            } else {
                self.memoize(op::TUPLE1, 0);
            }
        } else {
            self.out.push(op::MARK);
            for part in [
                i64::from(value.year),
                value.month.into(),
                value.day.into(),
                value.hour.into(),
                value.minute.into(),
                value.second.into(),
                value.microsecond.into(),
            ] {
                self.raw_int(part);
            }
            self.zone(value.zone, zone_identity);
            self.memoize(op::TUPLE, 0);
        }
        self.memoize(op::REDUCE, identity);
        self.completed();
        Ok(())
    }

    /// Writes a `NumPy` scalar, as `NumPy` 2 does.
    pub fn numpy_scalar(&mut self, value: NumpyScalar, identity: usize) {
        if !self.seen(identity) {
            self.raw_global(SCALAR);
            match value {
                NumpyScalar::Bool(value) => self.scalar_parts("b1", &[u8::from(value)]),
                NumpyScalar::I8(value) => self.scalar_parts("i1", &value.to_le_bytes()),
                NumpyScalar::I16(value) => self.scalar_parts("i2", &value.to_le_bytes()),
                NumpyScalar::I32(value) => self.scalar_parts("i4", &value.to_le_bytes()),
                NumpyScalar::I64(value) => self.scalar_parts("i8", &value.to_le_bytes()),
                NumpyScalar::U8(value) => self.scalar_parts("u1", &value.to_le_bytes()),
                NumpyScalar::U16(value) => self.scalar_parts("u2", &value.to_le_bytes()),
                NumpyScalar::U32(value) => self.scalar_parts("u4", &value.to_le_bytes()),
                NumpyScalar::U64(value) => self.scalar_parts("u8", &value.to_le_bytes()),
                NumpyScalar::F16(bits) => self.scalar_parts("f2", &bits.to_le_bytes()),
                NumpyScalar::F32(value) => self.scalar_parts("f4", &value.to_le_bytes()),
                NumpyScalar::F64(value) => self.scalar_parts("f8", &value.to_le_bytes()),
            }
            self.memoize(op::TUPLE2, 0);
            self.memoize(op::REDUCE, identity);
        }
        self.completed();
    }

    fn zone(&mut self, zone: Option<Zone>, identity: usize) {
        let Some(zone) = zone else {
            self.boundary();
            self.out.push(op::NONE);
            return;
        };
        if self.seen(identity) {
            return;
        }
        match zone {
            Zone::Timezone(name) => self.named_zone(TIMEZONE, name),
            Zone::ZoneInfo(name) => self.named_zone(ZONE_INFO, name),
            Zone::FixedTimezone { seconds, name } => {
                self.fixed_timezone(seconds, name, identity);
                return;
            }
            Zone::Utc => self.offset(0, None),
            Zone::Offset { seconds, name } => self.offset(seconds, name),
        }
        self.memoize(op::REDUCE, identity);
    }

    fn named_zone(&mut self, class: Global, name: &str) {
        self.raw_global(GETATTR);
        self.raw_global(class);
        self.raw_text("_unpickle", 0);
        self.memoize(op::TUPLE2, 0);
        self.memoize(op::REDUCE, 0);
        self.raw_text(name, 0);
        self.raw_int(1);
        self.memoize(op::TUPLE2, 0);
    }

    fn fixed_timezone(&mut self, seconds: i32, name: &str, identity: usize) {
        self.raw_global(FIXED_TIMEZONE);
        self.raw_int(seconds.into());
        let name_index = self.memo.len();
        self.raw_text(name, 0);
        self.memoize(op::TUPLE2, 0);
        self.memoize(op::REDUCE, identity);
        self.memoize(op::EMPTY_DICT, 0);
        self.out.push(op::MARK);
        self.shared_text(NAME);
        self.get(name_index);
        self.shared_text(OFFSET);
        self.raw_int(seconds.into());
        self.shared_text(UTCOFFSET);
        self.timedelta(seconds);
        self.out.extend_from_slice(&[op::SETITEMS, op::BUILD]);
    }

    fn offset(&mut self, seconds: i32, name: Option<&str>) {
        self.raw_global(FIXED_OFFSET);
        self.timedelta(seconds);
        if let Some(name) = name {
            self.raw_text(name, 0);
            self.memoize(op::TUPLE2, 0);
        } else {
            self.memoize(op::TUPLE1, 0);
        }
    }

    fn timedelta(&mut self, seconds: i32) {
        self.raw_global(TIMEDELTA);
        self.raw_int(seconds.div_euclid(SECONDS_PER_DAY).into());
        self.raw_int(seconds.rem_euclid(SECONDS_PER_DAY).into());
        self.raw_int(0);
        self.memoize(op::TUPLE3, 0);
        self.memoize(op::REDUCE, 0);
    }

    fn scalar_parts(&mut self, code: &'static str, data: &[u8]) {
        let letter = code.as_bytes()[0];
        let identity = DTYPES + 16 * usize::from(letter) + data.len();
        if !self.seen(identity) {
            self.raw_global(DTYPE);
            self.raw_text(code, 0);
            self.out.extend_from_slice(&[op::NEWFALSE, op::NEWTRUE]);
            self.memoize(op::TUPLE3, 0);
            self.memoize(op::REDUCE, identity);
            self.out.push(op::MARK);
            self.raw_int(3);
            self.shared_text(if data.len() == 1 { NO_ENDIAN } else { LITTLE_ENDIAN });
            self.out.extend_from_slice(&[op::NONE; 3]);
            self.raw_int(-1);
            self.raw_int(-1);
            self.raw_int(0);
            self.memoize(op::TUPLE, 0);
            self.out.push(op::BUILD);
        }
        let identity = match data {
            &[byte] => SINGLE_BYTES + usize::from(byte),
            _ => 0,
        };
        self.raw_bytes(data, identity);
    }

    fn raw_global(&mut self, global: Global) {
        if !self.seen(global.identity) {
            self.shared_text(global.module);
            self.shared_text(global.name);
            self.memoize(op::STACK_GLOBAL, global.identity);
        }
    }

    fn shared_text(&mut self, text: Text) {
        self.raw_text(text.text, text.identity);
    }
}
