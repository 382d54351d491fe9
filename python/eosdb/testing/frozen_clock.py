"""A clock that stands still until it is moved."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self
from unittest import mock

from .. import clock
from ..datetimes import DateTime, to_datetime, to_duration
from ..errors import TimestampRangeError

__all__ = ["FrozenClock"]

START: Final = "2026-01-01T00:00:00+00:00"


class FrozenClock:
    """The time, for all of eosdb, as long as the block of `with` lasts: it stands still.

    It is what `to_datetime()` returns, what records get that come without a time, what retention
    and compaction hold the ages of records against, where the windows around "now" lie, and when a
    namespace was "created".

    Not affected are: other libraries and your own code, which ask the system's clock (let your code
    ask :func:`eosdb.to_datetime`); how long eosdb waits for anything; the times of log entries and
    of files; other processes.

    Example:
        >>> import eosdb
        >>> with FrozenClock("2026-03-01T12:00:00Z") as clock:
        ...     clock.tick("90 minutes")
        ...     str(eosdb.to_datetime(in_timezone="UTC"))
        '2026-03-01 13:30:00+00:00'
    """

    def __init__(self, start: object = START) -> None:
        """Describe the clock; a `with` block has eosdb use it.

        Args:
            start: What it shows first, as :func:`eosdb.to_datetime` takes it.

        Raises:
            InvalidArgumentError: If that is no instant.
        """
        self._now = to_datetime(to_datetime(start), in_timezone="UTC")
        self._replaced = ExitStack()

    @property
    def now(self) -> DateTime:
        """What the clock shows, in UTC."""
        return self._now

    def move_to(self, instant: object) -> None:
        """Set the clock, forward or back.

        Args:
            instant: What it shows from now on, as :func:`eosdb.to_datetime` takes it.

        Raises:
            InvalidArgumentError: If that is no instant.
        """
        self._now = to_datetime(to_datetime(instant), in_timezone="UTC")

    def tick(self, duration: object = 1) -> None:
        """Let time pass.

        Args:
            duration: How much, as :func:`eosdb.to_duration` takes it: text, a timedelta, or a
                number of seconds. A second if not given.

        Raises:
            InvalidArgumentError: If that is no duration.
            TimestampRangeError: If the clock would leave the years 1 to 9999.
        """
        passed = to_duration(duration)
        try:
            self._now = to_datetime(self._now + passed)
        except OverflowError as error:
            raise TimestampRangeError(
                f"{passed} after {self._now} is outside the years 1 to 9999"
            ) from error

    def _read(self) -> DateTime:
        return self._now

    def __enter__(self) -> Self:
        self._replaced.enter_context(mock.patch.object(clock, "now", self._read))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        self._replaced.close()
