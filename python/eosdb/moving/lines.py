"""From the lines of a file, whoever wrote it, to rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from ..datetimes import to_datetime
from ..errors import EosdbError, InvalidArgumentError, NaiveDatetimeError, TimestampRangeError
from . import tagged_json
from .layout import EXACT, PREFIX
from .rows import CONFIGURED, ZONE, Row, checked_zone, local_time, zone_of_name

__all__ = ["Line", "row_of", "time_text"]

_TIME: Final = "date_time"

_LEAST_SECONDS: Final = 1e8
"""What is below is rather a date without hyphens, or a year, than seconds since 1970."""


@dataclass(slots=True)
class Line:
    """A line of a file.

    Attributes:
        number: Its number, from 1 on.
        values: Its values by column.
        is_nested: Whether configured values are an object within, and `None` is a value.
    """

    number: int
    values: dict[str, Any]
    is_nested: bool = False


def time_text(row: Row) -> str:
    """Return the instant of a row in ISO 8601, as the clocks of its zone show it.

    Args:
        row: The row.
    """
    try:
        # Pendulum's own isoformat() takes several times as long.
        return datetime.isoformat(local_time(row))
    except EosdbError:
        return row.instant.isoformat()


def row_of(
    line: Line,
    columns: dict[str, str] | None,
    timezone: str | None,
    former: datetime | None = None,
) -> Row:
    """Return the row that a line describes.

    Where the clock is set back, a time without an offset is shown twice: it is the first of the
    two, unless that is not later than the line before it; then it is the second.

    Args:
        line: The line.
        columns: Which columns become which keys; by default each becomes that of its name.
        timezone: The zone of times that do not name theirs, and of records that have none.
        former: The instant of the line before it; `None` for the first one.

    Raises:
        NaiveDatetimeError: If a time has no zone, and none was given.
        TimestampRangeError: If a time lies outside the years 1 to 9999 in UTC.
        InvalidArgumentError: If there is no usable time, the clocks of the zone never showed it, or
            a column is missing.
    """
    values = line.values
    is_nested = line.is_nested
    if columns is not None:
        if missing := [name for name in columns if name not in values and not is_nested]:
            raise InvalidArgumentError(
                f"there is no column {missing[0]!r}: there are {', '.join(values)}"
            )
        taken = {key: values[name] for name, key in columns.items() if name in values}
        if _TIME not in taken and _TIME in values:
            taken[_TIME] = values[_TIME]
            if ZONE in values:
                taken[ZONE] = values[ZONE]
        values, is_nested = taken, False
    time: Any = values.get(_TIME)
    if ZONE not in values and type(time) in {int, float} and abs(time) < _LEAST_SECONDS:
        raise InvalidArgumentError(
            f"{time} as a time may be a date, or seconds since 1970 that end in 1973: expected ISO "
            "8601 such as '2026-01-02', or seconds since 1970 of later years"
        )
    instant = _instant(time, timezone, former)
    if (zone := values.get(ZONE)) is not None:
        if type(zone) is not str:
            raise InvalidArgumentError(f"{zone!r} is no name of a time zone")
        zone = checked_zone(zone)
    else:
        zone = timezone or _zone_of(values[_TIME])
    if (exact := values.get(EXACT)) is not None:
        fields = tagged_json.loads(exact)
        if type(fields) is not dict:
            raise InvalidArgumentError(f"{EXACT} holds no record: {exact!r}")
        return Row(instant, zone, fields)
    others = {name: value for name, value in values.items() if name not in {_TIME, ZONE, EXACT}}
    if not is_nested:
        others = _nested(others)
    # A record of eosdb has configured values, be they none; what eosdb wrote tells that itself.
    if ZONE not in values and CONFIGURED not in others:
        others = {CONFIGURED: {}, **others}
    return Row(instant, zone, others)


def _zone_of(value: Any) -> str:
    zone = getattr(value, "tzinfo", None)
    return zone.key if isinstance(zone, ZoneInfo) else "UTC"


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    """Return fields with their configured values as a dictionary."""
    fields: dict[str, Any] = {}
    for name, value in values.items():
        if name == CONFIGURED:
            fields[name] = {} if value is None else value
        elif name.startswith(PREFIX):
            configured = fields.setdefault(CONFIGURED, {})
            if value is not None and type(configured) is dict:
                configured[name.removeprefix(PREFIX)] = value
        else:
            fields[name] = value
    return fields


def _instant(value: Any, timezone: str | None, former: datetime | None) -> datetime:
    if value is None:
        raise InvalidArgumentError(
            "it has no date_time: say which column holds the time (COLUMN=date_time)"
        )
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise InvalidArgumentError(
                f"{value!r} is no time: expected ISO 8601 such as '2026-01-01T00:00:00+01:00', or "
                "seconds since 1970"
            ) from None
    if isinstance(value, datetime):
        try:
            if value.tzinfo is not None:
                return value.astimezone(UTC)
            return _shown_by_clocks(value, timezone, former)
        except OverflowError as error:
            raise TimestampRangeError(f"{value} is outside the years 1 to 9999 in UTC") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgumentError(f"{value!r} is no time")
    moved = to_datetime(value, in_timezone="UTC")
    return datetime.fromtimestamp(0, UTC) + (moved - to_datetime(0, in_timezone="UTC"))


def _shown_by_clocks(shown: datetime, timezone: str | None, former: datetime | None) -> datetime:
    """Return when the clocks of a zone show a time."""
    if timezone is None:
        raise NaiveDatetimeError(
            f"the time '{shown}' has no time zone: say in which zone it is meant"
        )
    zone = zone_of_name(timezone)
    first, second = (shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if second < first:
        raise InvalidArgumentError(
            f"the time '{shown}' was never shown in '{timezone}', where the clock is set forward "
            "over it: give times with their offset, such as '+01:00', or in UTC if that is what "
            "they are"
        )
    return second if former is not None and first <= former else first
