"""Conversion of what users write to instants and durations."""

from __future__ import annotations

import datetime
import math
import re
from typing import SupportsIndex, TypeAlias
from zoneinfo import ZoneInfo

import pendulum
from pendulum.tz.exceptions import InvalidTimezone
from pendulum.tz.local_timezone import get_local_timezone
from pendulum.tz.timezone import FixedTimezone, Timezone
from pydantic_extra_types.pendulum_dt import DateTime, Duration

from . import clock
from .errors import ArgumentTypeError, InvalidArgumentError, TimestampRangeError

__all__ = ["DateTime", "Duration", "to_datetime", "to_duration"]

_PendulumZone: TypeAlias = Timezone | FixedTimezone

_UNIT_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}

# "1 day 3 hours", "15 min", "1.5h"
_WORDS = re.compile(
    r"\s*(?P<number>\d+(?:\.\d+)?)\s*"
    r"(?:(?P<w>weeks?|w)|(?P<d>days?|d)|(?P<h>hours?|hrs?|h)|(?P<m>minutes?|mins?|m)"
    r"|(?P<s>seconds?|secs?|s))(?![a-z])\s*(?:,|and\b)?",
    re.IGNORECASE,
)
# ISO 8601, less years and months, which have no fixed length
_ISO = re.compile(
    r"P(?=.)(?:(?P<w>\d+)W)?(?:(?P<d>\d+)D)?"
    r"(?:T(?=.)(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?"
)
_MAX_DURATION_TEXT = 350


def to_datetime(
    value: object = None, *, in_timezone: str | datetime.tzinfo | None = None
) -> DateTime:
    """Convert to an aware datetime.

    A value without time zone is wall time in `in_timezone`, else in the local zone. Where the clock
    is set back and a wall time happens twice, the first one is meant unless the value is a datetime
    with `fold=1`; where the clock is set forward, a wall time that is skipped moves on by the jump.

    Args:
        value: What to convert: `None` for now; text in ISO 8601 such as
            `"2026-01-01T00:00:00+01:00"`, `"2026-01-01 00:00"` or `"2026-01-01"`; a datetime of the
            standard library, pendulum or pandas; a date, for its first instant; a number of seconds
            since 1970 in UTC.
        in_timezone: Zone of the result by its IANA name or as an object. By default an aware
            datetime keeps its zone, and anything else is shown in the local zone.

    Returns:
        The instant, in that zone.

    Raises:
        InvalidArgumentError: If the text is not ISO 8601, the number is not finite, or the zone is
            unknown.
        ArgumentTypeError: If the value has another type.
        TimestampRangeError: If the instant lies outside the years 1 to 9999.
    """
    if in_timezone is None and isinstance(value, datetime.datetime):
        in_timezone = value.tzinfo
    zone = to_zone(in_timezone)
    if type(value) is DateTime and value.tzinfo is zone:
        return value
    if value is None:
        value = clock.now()
    try:
        # By way of UTC, for astimezone() leaves a wall time that is skipped in `zone` as it is.
        moved = _to_plain(value, zone).astimezone(datetime.UTC).astimezone(zone)
    except OverflowError as error:
        raise TimestampRangeError(
            f"{value!r} is outside the years 1 to 9999 in UTC or in '{zone.name}'"
        ) from error
    return DateTime(
        moved.year,
        moved.month,
        moved.day,
        moved.hour,
        moved.minute,
        moved.second,
        moved.microsecond,
        tzinfo=zone,
        fold=moved.fold,
    )


def _to_plain(value: object, zone: _PendulumZone) -> datetime.datetime:
    """Return `value` as an aware datetime of the standard library, whose arithmetic is quick."""
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise InvalidArgumentError(
                f"{value!r} is no date and time: expected ISO 8601 such as "
                "'2026-01-01T00:00:00+01:00'"
            ) from error
    if isinstance(value, datetime.datetime):
        if value != value:  # noqa: PLR0124  pandas.NaT is a datetime that differs from itself
            raise InvalidArgumentError(f"{value!r} is no date and time")
        tzinfo = value.tzinfo
        if tzinfo is None or value.utcoffset() is None:
            tzinfo = zone
        return datetime.datetime(
            value.year,
            value.month,
            value.day,
            value.hour,
            value.minute,
            value.second,
            value.microsecond,
            tzinfo=tzinfo,
            fold=value.fold,
        )
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day, tzinfo=zone)
    if isinstance(value, float | SupportsIndex) and not isinstance(value, bool):
        return _from_epoch(value)
    raise ArgumentTypeError(
        f"{value!r} is no date and time: expected text, a datetime, a date or a number of seconds, "
        f"not {type(value).__name__}"
    )


def _from_epoch(seconds: float | SupportsIndex) -> datetime.datetime:
    """Return the instant `seconds` after 1970 began in UTC."""
    number = _number(seconds)
    if isinstance(number, float) and not math.isfinite(number):
        raise InvalidArgumentError(f"{seconds!r} is no date and time: expected a finite number")
    try:
        return datetime.datetime.fromtimestamp(number, datetime.UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise TimestampRangeError(
            f"{seconds!r} s since 1970 is outside the years 1 to 9999: is it in seconds?"
        ) from error


def _number(value: float | SupportsIndex) -> int | float:
    """Return a number of any library as a number of Python, integers exactly."""
    return float(value) if isinstance(value, float) else value.__index__()


def to_zone(zone: str | datetime.tzinfo | None) -> _PendulumZone:
    """Return the zone as pendulum's kind, the only one that its datetimes fully work with."""
    if zone is None:
        return get_local_timezone()
    if isinstance(zone, _PendulumZone):
        return zone
    if isinstance(zone, datetime.timezone):
        offset = zone.utcoffset(None)
        return pendulum.FixedTimezone(int(offset.total_seconds())) if offset else pendulum.UTC
    name = zone.key if isinstance(zone, ZoneInfo) else zone
    if not isinstance(name, str):
        raise ArgumentTypeError(
            f"{zone!r} is no usable time zone: expected an IANA name such as 'Europe/Berlin'"
        )
    try:
        return Timezone(name)
    except (InvalidTimezone, ValueError, OSError) as error:
        raise InvalidArgumentError(
            f"{name!r} is no known time zone: expected an IANA name such as 'Europe/Berlin'"
        ) from error


def to_duration(value: object) -> Duration:
    """Convert to a duration.

    Args:
        value: What to convert: text such as `"1 hour"`, `"15 minutes"`, `"1 day 3 hours"`,
            `"2 weeks"`, `"15min"` or ISO 8601 (`"PT15M"`); a timedelta of the standard library,
            pendulum or pandas; a number of seconds; or `(days, hours, minutes, seconds)`.

    Returns:
        The duration, to the microsecond.

    Raises:
        InvalidArgumentError: If any part of the text is not understood, a number is not finite or
            too large, or the tuple has another length than four.
        ArgumentTypeError: If the value has another type.
    """
    if type(value) is Duration:
        return value
    try:
        seconds = float(_to_seconds(value))
        if not math.isfinite(seconds):
            raise InvalidArgumentError(f"{value!r} is no duration: expected a finite number")
        return Duration(seconds=seconds)
    except OverflowError as error:
        raise InvalidArgumentError(f"{value!r} is too long for a duration") from error


def _to_seconds(value: object) -> float:
    """Return the length of `value` in seconds."""
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        return _parse_duration(value)
    if isinstance(value, tuple | list):
        if len(value) != 4:
            raise InvalidArgumentError(
                f"{value!r} is no duration: expected (days, hours, minutes, seconds)"
            )
        return sum(
            _to_seconds(part) * _UNIT_SECONDS[unit]
            for part, unit in zip(value, "dhms", strict=True)
        )
    if isinstance(value, float | SupportsIndex) and not isinstance(value, bool):
        return _number(value)
    raise ArgumentTypeError(
        f"{value!r} is no duration: expected text, a timedelta, a number of seconds or "
        f"(days, hours, minutes, seconds), not {type(value).__name__}"
    )


def _parse_duration(text: str) -> float:
    """Return the seconds that `text` stands for, all of it understood."""
    stripped = text.strip()
    if stripped and len(stripped) <= _MAX_DURATION_TEXT:
        if iso := _ISO.fullmatch(stripped):
            return sum(
                float(number) * _UNIT_SECONDS[unit]
                for unit, number in iso.groupdict().items()
                if number is not None
            )
        seconds, position = 0.0, 0
        while part := _WORDS.match(stripped, position):
            unit = part.lastgroup or ""
            seconds += float(part["number"]) * _UNIT_SECONDS[unit]
            position = part.end()
        if position == len(stripped):
            return seconds
    raise InvalidArgumentError(
        f"{text[:_MAX_DURATION_TEXT]!r} is no duration: expected text such as '15 minutes', "
        "'1 day 3 hours' or 'PT15M' (months and years have no fixed length)"
    )
