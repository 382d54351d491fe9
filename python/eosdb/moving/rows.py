"""A stored record as a row of a table, and back, without its class."""

from __future__ import annotations

import functools
import marshal
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from hashlib import blake2b
from typing import Any, Final

import pendulum
from pendulum.tz.timezone import FixedTimezone, Timezone

from .._core import RecordClass, gzip_decode, unpickle
from ..datetimes import DateTime, to_datetime
from ..errors import InvalidArgumentError, TimestampRangeError
from ..timestamps import DatabaseTimestamp
from . import tagged_json

__all__ = [
    "CONFIGURED",
    "ZONE",
    "Digest",
    "Row",
    "checked_zone",
    "local_time",
    "read_row",
    "row_key",
    "row_pickle",
    "zone_of_name",
]

ZONE: Final = "date_time_zone"
"""The name that the zone of a row has beside its fields."""

CONFIGURED: Final = "configured_data"
"""The field that holds the values of configured keys."""

_OTHER: Final = "$date_time"
_MISSING: Final = '{"$missing":true}'
_FIXED: Final = re.compile(r"([+-])(\d\d):(\d\d)")


@dataclass(slots=True)
class Row:
    """A record without its class.

    Attributes:
        instant: When it holds, in UTC, to the microsecond. Its second is the record's key.
        zone: The name of the zone that its `date_time` is stored in. Where what is stored is no
            such time at this instant, it is that as JSON, which begins with a brace.
        fields: All else that is stored, in its order.
    """

    instant: datetime
    zone: str
    fields: dict[str, Any]


def read_row(key: bytes, stored: bytes) -> Row:
    """Return the row that a key and its stored value describe.

    Args:
        key: The key, a timestamp.
        stored: The value, compressed or not.

    Raises:
        DamagedRecordError: If the value cannot be read.
    """
    fields = unpickle(gzip_decode(stored))
    second = datetime.fromisoformat(key.decode("ascii"))
    if "date_time" not in fields:
        return Row(second, _MISSING, fields)
    date_time = fields.pop("date_time")
    zone = _name(date_time.tzinfo) if type(date_time) is DateTime else None
    if zone is None or not _lies_in(date_time, second):
        return Row(second, f'{{"{_OTHER}":{tagged_json.dumps(date_time)}}}', fields)
    return Row(second.replace(microsecond=date_time.microsecond), zone, fields)


def row_key(row: Row) -> bytes:
    """Return the key of a row.

    Args:
        row: The row.

    Raises:
        TimestampRangeError: If its instant is out of the range of keys.
    """
    return DatabaseTimestamp.from_datetime(row.instant).encode("ascii")


def local_time(row: Row) -> DateTime:
    """Return the instant of a row in its zone.

    Args:
        row: The row, whose zone is one by name.

    Raises:
        InvalidArgumentError: If there is no such zone.
        TimestampRangeError: If it lies outside the years 1 to 9999 there.
    """
    zone = zone_of_name(row.zone)
    try:
        local = row.instant.astimezone(zone)
    except OverflowError as error:
        raise TimestampRangeError(
            f"{row.instant} is outside the years 1 to 9999 in '{row.zone}'"
        ) from error
    # The constructor takes a third of the time that to_datetime() takes.
    return DateTime(
        local.year,
        local.month,
        local.day,
        local.hour,
        local.minute,
        local.second,
        local.microsecond,
        tzinfo=zone,
        fold=local.fold,
    )


class _Fields:
    """What stands in for a record of any class when it is pickled."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.__dict__ = fields

    def model_dump(self) -> dict[str, Any]:
        return self.__dict__

    def __repr__(self) -> str:
        return f"the record {self.__dict__!r}"


_WRITER: Final = RecordClass(_Fields, [], initializes=False, zone=None)


def row_pickle(row: Row) -> bytes:
    """Return the pickle of a row's record, byte for byte that of its `model_dump()`.

    Args:
        row: The row.

    Raises:
        InvalidArgumentError: If it could not be read again, or the zone is unknown.
    """
    if row.zone == _MISSING:
        fields = row.fields
    elif row.zone.startswith("{"):
        fields = {"date_time": tagged_json.loads(row.zone)[_OTHER], **row.fields}
    else:
        fields = {"date_time": local_time(row), **row.fields}
    return _WRITER.write(_Fields(fields))


def _lies_in(date_time: datetime, second: datetime) -> bool:
    """Whether a time, of which the fold is not stored, lies in a second."""
    wanted = second.timestamp()
    # Pendulum's own method takes several times as long.
    if math.floor(datetime.timestamp(date_time)) == wanted:
        return True
    other = date_time.replace(fold=1 - date_time.fold)
    return math.floor(datetime.timestamp(other)) == wanted


@functools.lru_cache(maxsize=1024)
def zone_of_name(name: str) -> tzinfo:
    """Return the time zone of a name.

    Args:
        name: A name, of the IANA's or such as `+01:00`.

    Raises:
        InvalidArgumentError: If there is none.
    """
    if fixed := _FIXED.fullmatch(name):
        seconds = int(fixed[2]) * 3600 + int(fixed[3]) * 60
        if seconds < 24 * 3600:
            return pendulum.FixedTimezone(-seconds if fixed[1] == "-" else seconds)
    return to_datetime(0, in_timezone=name).tzinfo or UTC


@functools.lru_cache(maxsize=1024)
def _name(zone: tzinfo | None) -> str | None:
    """Return the name of a zone, `None` if it is not one that its name describes."""
    if type(zone) is Timezone:
        return str(zone.name)
    if type(zone) is FixedTimezone and _FIXED.fullmatch(zone.name):
        known = zone_of_name(zone.name)
        if isinstance(known, FixedTimezone) and known.offset == zone.offset:
            return zone.name
    return None


class Digest:
    """What two series of rows are compared by: equal rows in the same order give equal digests."""

    def __init__(self) -> None:
        """Begin with no rows."""
        self._hash = blake2b(digest_size=16)
        self.rows = 0

    def add(self, row: Row) -> None:
        """Take in the next row."""
        self.rows += 1
        instant = row.instant.isoformat()
        try:
            items = sorted(
                (name, sorted(value.items()) if name == CONFIGURED else value)
                for name, value in row.fields.items()
            )
            # Version 2 has no references: equal values give equal bytes.
            data = marshal.dumps((instant, row.zone, items), 2)
        except (AttributeError, TypeError, ValueError):
            data = tagged_json.dumps([instant, row.zone, row.fields], sort_keys=True).encode()
        self._hash.update(len(data).to_bytes(8, "big") + data)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Digest):
            return NotImplemented
        return self._hash.digest() == other._hash.digest() and self.rows == other.rows

    __hash__ = None  # type: ignore[assignment]  # it changes


@functools.lru_cache(maxsize=1024)
def checked_zone(name: str) -> str:
    """Return the zone of a row that is one.

    Args:
        name: A name, of the IANA's or such as `+01:00`, or what stands in its place.

    Raises:
        InvalidArgumentError: If there is no such zone.
    """
    try:
        if name.startswith("{"):
            is_known = name == _MISSING or _OTHER in tagged_json.loads(name)
        else:
            is_known = _name(zone_of_name(name)) is not None
    except ValueError as error:
        raise InvalidArgumentError(str(error)) from error
    if not is_known:
        raise InvalidArgumentError(f"{name!r} is no usable time zone")
    return name
