"""Instants as the database writes them, the unbounded sentinels and the load phases."""

from __future__ import annotations

import datetime
from enum import Enum, auto
from typing import Final, TypeAlias

from pendulum import UTC

from .datetimes import DateTime, Duration
from .errors import (
    ArgumentTypeError,
    InvalidKeyError,
    NaiveDatetimeError,
    TimestampRangeError,
)

__all__ = [
    "DATABASE_METADATA_KEY",
    "UNBOUND_END",
    "UNBOUND_START",
    "UNBOUND_WINDOW",
    "DatabaseRecordProtocolLoadPhase",
    "DatabaseTimeWindowType",
    "DatabaseTimestamp",
    "DatabaseTimestampType",
]

DATABASE_METADATA_KEY: Final[bytes] = b"__metadata__"
"""Key of the one value in a namespace that is no record."""


class DatabaseTimestamp(str):
    """A UTC second as text, such as `20241027T113456Z`, that sorts as the instants do.

    It orders against :data:`UNBOUND_START` and :data:`UNBOUND_END` as well, on either side of the
    operator.
    """

    __slots__ = ()

    @classmethod
    def from_datetime(cls, dt: datetime.datetime) -> DatabaseTimestamp:
        """Return the timestamp of the second that `dt` lies in.

        Args:
            dt: An aware datetime in any zone. Its `fold` is respected; microseconds are dropped.

        Returns:
            The timestamp.

        Raises:
            NaiveDatetimeError: If `dt` has no time zone.
            TimestampRangeError: If `dt` lies outside the years 1 to 9999 in UTC.
        """
        if not isinstance(dt, datetime.datetime):
            raise ArgumentTypeError(f"expected a datetime, not {dt!r}")
        try:
            offset = dt.utcoffset()
        except ValueError:  # pandas.NaT is a datetime, but no instant
            offset = None
        if offset is None:
            raise NaiveDatetimeError(
                f"Timezone-aware datetime required, got {dt!r}: attach the zone it is meant in"
            )
        # Pendulum's own conversions take ten times as long as this plain subtraction.
        wall = datetime.datetime(  # noqa: DTZ001  the offset is subtracted below
            dt.year, dt.month, dt.day, dt.hour, dt.minute, dt.second, dt.microsecond
        )
        try:
            utc = wall - offset
        except OverflowError as error:
            raise TimestampRangeError(
                f"{dt!r} is outside the years 1 to 9999 in UTC that a key can hold"
            ) from error
        # Not strftime: its %Y does not pad years below 1000 everywhere.
        return cls(
            f"{utc.year:04d}{utc.month:02d}{utc.day:02d}"
            f"T{utc.hour:02d}{utc.minute:02d}{utc.second:02d}Z"
        )

    def to_datetime(self) -> DateTime:
        """Return the instant in UTC.

        Returns:
            The start of the second.

        Raises:
            InvalidKeyError: If the text is no timestamp, such as one with a thirteenth month.
        """
        digits = self[:8] + self[9:15]
        # int() alone would admit blanks, signs, underscores and digits of other scripts.
        if len(self) == 16 and self[8] + self[15] == "TZ" and digits.isascii() and digits.isdigit():
            try:
                return DateTime(
                    int(self[:4]),
                    int(self[4:6]),
                    int(self[6:8]),
                    int(self[9:11]),
                    int(self[11:13]),
                    int(self[13:15]),
                    tzinfo=UTC,
                )
            except ValueError:
                pass
        raise InvalidKeyError(
            f"key {str(self)!r} is no timestamp: expected UTC text such as 20241027T113456Z"
        )

    # Python asks the left operand first, and str would compare the sentinel's text.

    def __lt__(self, other: str) -> bool:
        """Return whether this instant is before `other`."""
        if isinstance(other, _DatabaseTimestampUnbound):
            return other > self
        return str.__lt__(self, other)

    def __le__(self, other: str) -> bool:
        """Return whether this instant is not after `other`."""
        if isinstance(other, _DatabaseTimestampUnbound):
            return other >= self
        return str.__le__(self, other)

    def __gt__(self, other: str) -> bool:
        """Return whether this instant is after `other`."""
        if isinstance(other, _DatabaseTimestampUnbound):
            return other < self
        return str.__gt__(self, other)

    def __ge__(self, other: str) -> bool:
        """Return whether this instant is not before `other`."""
        if isinstance(other, _DatabaseTimestampUnbound):
            return other <= self
        return str.__ge__(self, other)


class _DatabaseTimestampUnbound(str):
    """A bound before or after everything: :data:`UNBOUND_START` and :data:`UNBOUND_END`.

    Equal to its own text and hashed like it, true in a condition, and ordered against everything
    else: timestamps, other text, bytes. Copies and pickles come back as the same object.
    """

    __slots__ = ("_is_start",)

    _is_start: bool

    def __new__(cls, value: str, is_start: bool) -> _DatabaseTimestampUnbound:
        """Create the bound.

        Args:
            value: Its text, which must be the name it is found under in this module.
            is_start: Whether it is before everything; else it is after everything.
        """
        unbound = super().__new__(cls, value)
        unbound._is_start = is_start
        return unbound

    def __lt__(self, other: object) -> bool:
        return self._is_start and self != other

    def __le__(self, other: object) -> bool:
        return self._is_start or self == other

    def __gt__(self, other: object) -> bool:
        return not self._is_start and self != other

    def __ge__(self, other: object) -> bool:
        return not self._is_start or self == other

    def __repr__(self) -> str:
        return str(self)

    def __reduce__(self) -> str:
        # A name in place of a recipe: copy and pickle then hand back the one instance.
        return str(self)


DatabaseTimestampType: TypeAlias = DatabaseTimestamp | _DatabaseTimestampUnbound

UNBOUND_START: Final = _DatabaseTimestampUnbound("UNBOUND_START", is_start=True)
"""The bound before every timestamp."""

UNBOUND_END: Final = _DatabaseTimestampUnbound("UNBOUND_END", is_start=False)
"""The bound after every timestamp."""


class _DatabaseTimeWindowUnbound:
    """A window without end: :data:`UNBOUND_WINDOW`, whereas `None` means that none was given.

    Equal only to itself. Copies and pickles come back as the same object.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNBOUND_WINDOW"

    def __reduce__(self) -> str:
        # A name in place of a recipe: copy and pickle then hand back the one instance.
        return "UNBOUND_WINDOW"


UNBOUND_WINDOW: Final = _DatabaseTimeWindowUnbound()
"""The window that covers all time."""

DatabaseTimeWindowType: TypeAlias = Duration | _DatabaseTimeWindowUnbound | None


class DatabaseRecordProtocolLoadPhase(Enum):
    """How much of a namespace has been asked for so far.

    Attributes:
        NONE: Nothing has been loaded.
        INITIAL: A window around a centre has been loaded.
        FULL: Everything has been loaded.
    """

    NONE = auto()
    INITIAL = auto()
    FULL = auto()
