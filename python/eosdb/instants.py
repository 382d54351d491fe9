"""Arithmetic with instants that ends at the calendar's ends, and what is refused on the way."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from .datetimes import to_duration
from .errors import ArgumentTypeError, InvalidArgumentError, TimestampRangeError
from .timestamps import UNBOUND_END, UNBOUND_START, DatabaseTimestamp, DatabaseTimestampType

__all__ = ["half_of", "later", "non_negative", "shifted"]


def shifted(time: datetime, seconds: float) -> DatabaseTimestampType:
    """Return the timestamp so many seconds after `time`; beyond the calendar, the sentinel."""
    try:
        return DatabaseTimestamp.from_datetime(time + timedelta(seconds=seconds))
    except (OverflowError, TimestampRangeError):
        return UNBOUND_START if seconds < 0 else UNBOUND_END


def later(time: datetime, by: timedelta) -> DatabaseTimestamp:
    """Return the timestamp a while after `time`.

    Args:
        time: An aware datetime.
        by: The distance.

    Raises:
        TimestampRangeError: If it lies beyond the year 9999.
    """
    try:
        return DatabaseTimestamp.from_datetime(time + by)
    except OverflowError as error:
        raise TimestampRangeError(
            f"{by} after {time} is beyond the year 9999, the last that a key can hold"
        ) from error


def non_negative(value: Any, name: str) -> float:
    """Return a number that is not negative.

    Args:
        value: What was given.
        name: What it is called in the message.

    Raises:
        ArgumentTypeError: If it is no number.
        InvalidArgumentError: If it is negative or NaN.
    """
    if not isinstance(value, int | float):
        raise ArgumentTypeError(f"{name} must be a number, not {value!r}")
    if not value >= 0:  # NaN is not either
        raise InvalidArgumentError(f"{name} must be non-negative, not {value}")
    return value


def half_of(time_window: Any) -> timedelta:
    """Return half of a window's width.

    Args:
        time_window: The width: a duration or what `to_duration` takes.

    Raises:
        InvalidArgumentError: If it is negative.
    """
    if not isinstance(time_window, timedelta):
        time_window = to_duration(time_window)
    seconds = time_window.total_seconds()
    if seconds < 0:
        raise InvalidArgumentError(f"time_window must be non-negative, not {time_window}")
    return timedelta(seconds=seconds / 2)
