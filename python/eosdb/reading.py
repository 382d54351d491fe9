"""The mixin's part that reads values of keys: arrays, energy, lists and single values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from pendulum.tz.local_timezone import get_local_timezone

from . import _core, clock
from .datetimes import DateTime, to_datetime, to_duration
from .errors import ArgumentTypeError, IntervalError, InvalidArgumentError, UnknownKeyError
from .timestamps import DatabaseTimestamp, _DatabaseTimestampUnbound

if TYPE_CHECKING:
    from .mixin import DatabaseRecordProtocolMixin

__all__ = ["Reading"]

_HOUR = timedelta(hours=1)

Boundary = Literal["strict", "context"]
Array = np.ndarray[Any, np.dtype[Any]]


class Reading:
    """The part of the mixin that reads values of keys.

    Every method answers from the logical content. Values of stored records are decoded natively,
    only those of the keys asked for, and kept; no record objects are made of them.
    """

    @property
    def _sequence(self) -> DatabaseRecordProtocolMixin[Any]:
        return cast("DatabaseRecordProtocolMixin[Any]", self)

    def _instant(self, value: Any) -> datetime | None:
        """Return a bound as a datetime; see :func:`instant`."""
        return instant(value)

    def _check_keys(self, keys: Iterable[str]) -> None:
        known = getattr(self, "record_keys", None) or getattr(self, "record_keys_writable", None)
        for key in keys:
            if known is not None and key not in known:
                raise UnknownKeyError(f"Key '{key}' is not in record keys: {known}")

    @property
    def _resamples_itself(self) -> bool:
        """Whether a subclass, or the object itself, has a `key_to_array` of its own."""
        return getattr(self.key_to_array, "__func__", None) is not Reading.key_to_array

    # ---- arrays ----------------------------------------------------------------------------

    def key_to_array(  # noqa: PLR0917  # upstream's signature
        self,
        key: str,
        start_datetime: datetime | str | None = None,
        end_datetime: datetime | str | None = None,
        interval: timedelta | str | float | None = None,
        fill_method: str | None = None,
        dropna: bool | None = True,
        boundary: Boundary = "context",
        align_to_interval: bool = False,
        *,
        aggregation: str | None = None,
    ) -> Array:
        """Return the values of a key in even intervals of `[start_datetime, end_datetime)`.

        Values of one interval are consolidated, by default numbers to their mean and anything else
        to the first. Of a cumulative meter that is no energy: see :meth:`key_to_energy`.

        Args:
            key: The key.
            start_datetime: The first instant inside; `None` begins with the first record.
            end_datetime: The first instant outside; `None` ends with the last record.
            interval: The width of an interval, in whole seconds; one hour by default. A day has
                24 hours, across changes of summer time too.
            fill_method: What an interval without values gets: `"time"` or `"linear"` interpolate
                numbers, `"ffill"` repeats the last value, `"bfill"` the next one, `"none"` leaves
                a gap. By default numbers are interpolated and anything else is repeated; with an
                `aggregation` gaps stay gaps.
            dropna: Whether values that are `None` are no values. If false, they count as not a
                number, and as a value at the window's edge.
            boundary: `"context"` includes the nearest record on either side of the window, and has
                the intervals begin at the one before it; `"strict"` includes neither, and has them
                begin at `start_datetime`.
            align_to_interval: Whether the intervals begin at multiples of their width since 1970.
                Without it and without a start they begin at midnight UTC.
            aggregation: How the values of one interval become one: `"mean"`,
                `"time_weighted_mean"` (a value holds until the next one, twice the interval at
                most), `"min"`, `"max"`, `"sum"`, `"first"`, `"last"`, `"circular_mean"` (of
                degrees), or `"mode"`.

        Returns:
            An array of shape (intervals,): `float64`; where a number is missing, objects with
            `None` for it. For anything but numbers, objects, with `nan` for what is missing among
            texts and `None` among others. It has the intervals whose beginning lies in the window.
            This is what Akkudoktor-EOS returns, which computes it with `pandas.Series.resample`.

        Raises:
            UnknownKeyError: If there is no such key.
            IntervalError: If the interval is shorter than a second or not finite.
            InvalidArgumentError: If a name is none of the above.
            NaiveDatetimeError: If a bound has no time zone.
            ArgumentTypeError: If all values are numbers, but some are written as text.
        """
        self._check_keys([key])
        return self._resampled(
            [key],
            start_datetime,
            end_datetime,
            interval,
            fill_method,
            dropna,
            boundary,
            align_to_interval,
            aggregation,
        )[0]

    def keys_to_arrays(  # noqa: PLR0917  # the signature of key_to_array
        self,
        keys: Iterable[str],
        start_datetime: datetime | str | None = None,
        end_datetime: datetime | str | None = None,
        interval: timedelta | str | float | None = None,
        fill_method: str | None = None,
        dropna: bool | None = True,
        boundary: Boundary = "context",
        align_to_interval: bool = False,
        *,
        aggregation: str | None = None,
    ) -> dict[str, Array]:
        """Return what :meth:`key_to_array` returns for each of several keys, reading once.

        Args:
            keys: The keys.
            start_datetime: As for :meth:`key_to_array`, as are the others.
            end_datetime: The first instant outside.
            interval: The width of an interval.
            fill_method: What an interval without values gets.
            dropna: Whether values that are `None` are no values.
            boundary: Whether the nearest records outside of the window are included.
            align_to_interval: Whether the intervals begin at multiples of their width.
            aggregation: How the values of one interval become one.

        Returns:
            The arrays by key, in the order of the keys.

        Raises:
            UnknownKeyError: If there is no such key.
            ArgumentTypeError: If `keys` is one text, and as for :meth:`key_to_array`.
            IntervalError: As for :meth:`key_to_array`, as are the others.
            InvalidArgumentError: If a name is none of those that are known.
            NaiveDatetimeError: If a bound has no time zone.
        """
        if isinstance(keys, str):
            raise ArgumentTypeError(f"expected several keys, not the text {keys!r}: try [{keys!r}]")
        keys = list(dict.fromkeys(keys))
        self._check_keys(keys)
        options = (interval, fill_method, dropna, boundary, align_to_interval)
        if self._resamples_itself:
            more = {} if aggregation is None else {"aggregation": aggregation}
            return {
                key: self.key_to_array(key, start_datetime, end_datetime, *options, **more)  # type: ignore[arg-type]
                for key in keys
            }
        arrays = self._resampled(keys, start_datetime, end_datetime, *options, aggregation)
        return dict(zip(keys, arrays, strict=True))

    def _resampled(  # noqa: PLR0917  # the signature of key_to_array
        self,
        keys: list[str],
        start_datetime: datetime | str | None,
        end_datetime: datetime | str | None,
        interval: timedelta | str | float | None,
        fill_method: str | None,
        dropna: bool | None,
        boundary: str,
        align_to_interval: bool,
        aggregation: str | None,
    ) -> list[Array]:
        start, end = self._instant(start_datetime), self._instant(end_datetime)
        state = self._loaded(start, end)
        return _core.resample(
            state,
            keys,
            start,
            end,
            _micros(_HOUR if interval is None else interval),
            fill_method,
            dropna is None or bool(dropna),
            boundary,
            align_to_interval,
            aggregation,
            clock.now(),
        )

    def _loaded(self, start: datetime | None, end: datetime | None) -> _core.SequenceState:
        """Return the state, with the window loaded as the phases of loading have it."""
        sequence = self._sequence
        sequence._db_ensure_loaded(
            None if start is None else DatabaseTimestamp.from_datetime(start),
            None if end is None else DatabaseTimestamp.from_datetime(end),
        )
        return sequence._db_enter()

    def key_to_energy(
        self,
        key: str,
        start_datetime: datetime | str | None = None,
        end_datetime: datetime | str | None = None,
        interval: timedelta | str | float | None = None,
        *,
        max_gap: timedelta | str | float | None = None,
        reset_below: float = 0.1,
        jitter: float = 0.01,
    ) -> Array:
        """Return the increase of a cumulative meter in even intervals, by interpolated readings.

        The reading at the boundary of two intervals lies on the line between the readings around
        it, so that the sum over all intervals is the last reading minus the first, plus what resets
        took away.

        Args:
            key: The key of the meter's readings.
            start_datetime: The first instant inside, where the first interval begins. `None`
                begins with the first reading's interval, by multiples of its width since 1970.
            end_datetime: The first instant outside, where the last interval ends. `None` ends with
                the last reading's interval.
            interval: The width of an interval; one hour by default. A day has 24 hours; days that
                are not given a start begin at midnight UTC.
            max_gap: The longest time between two readings over which is interpolated; twice the
                interval by default, so state it for sums over different intervals. What was
                consumed in a longer gap is known to no interval.
            reset_below: A drop to this fraction of the reading before, or below it, is a reset: the
                meter has begun at zero again.
            jitter: A drop by at most this fraction is none: the readings count as they are, so that
                an interval may even be a little below zero. Any other drop is as a gap. If the
                meter returns at one stroke to where it was before a drop, within `max_gap`, the
                readings in between are wrong and left out.

        Returns:
            A `float64` array of shape (intervals,), in the unit of the readings (kWh as a rule);
            `nan` where nothing is known. At the edges of the data and of gaps, an interval has what
            is known of it.

        Raises:
            UnknownKeyError: If there is no such key.
            IntervalError: If the interval or the gap is shorter than a second or not finite.
            InvalidArgumentError: If a fraction is not between 0 and 1.
            NaiveDatetimeError: If a bound has no time zone.
            ArgumentTypeError: If the key has values, but no numbers.
        """
        self._check_keys([key])
        width = _micros(_HOUR if interval is None else interval)
        gap = 2 * width if max_gap is None else _micros(max_gap)
        for name, fraction in (("reset_below", reset_below), ("jitter", jitter)):
            if not 0 <= fraction <= 1:
                raise InvalidArgumentError(f"{name} must be between 0 and 1, not {fraction}")
        start, end = self._instant(start_datetime), self._instant(end_datetime)
        return _core.meter_energy(
            self._loaded(start, end),
            key,
            start,
            end,
            width,
            gap // 1_000_000,
            reset_below,
            jitter,
        )

    # ---- values as they are ----------------------------------------------------------------

    def key_to_lists(
        self,
        key: str,
        start_datetime: datetime | None = None,
        end_datetime: datetime | None = None,
        dropna: bool | None = None,
    ) -> tuple[list[DateTime], list[Any]]:
        """Return the instants and values of a key in `[start_datetime, end_datetime)`.

        Args:
            key: The key.
            start_datetime: The first instant inside; `None` is no bound.
            end_datetime: The first instant outside; `None` is no bound.
            dropna: Whether records whose value is `None` are left out, as they are by default.
                A value that is not a number stays.

        Returns:
            The `date_time` of each record and its value.

        Raises:
            UnknownKeyError: If there is no such key.
            NaiveDatetimeError: If a bound has no time zone.
        """
        self._check_keys([key])
        start, end = self._instant(start_datetime), self._instant(end_datetime)
        keep = dropna is None or bool(dropna)
        dates, values = _core.values(self._loaded(start, end), key, start, end, keep)
        return dates, values

    def key_to_dict(
        self,
        key: str,
        start_datetime: datetime | None = None,
        end_datetime: datetime | None = None,
        dropna: bool | None = None,
    ) -> dict[str, Any]:
        """Return the values of a key by instant, as ISO 8601 text in the local zone.

        Args:
            key: The key.
            start_datetime: The first instant inside; `None` is no bound.
            end_datetime: The first instant outside; `None` is no bound.
            dropna: Whether records whose value is `None` are left out, as they are by default.

        Returns:
            The values by instant.

        Raises:
            UnknownKeyError: If there is no such key.
            NaiveDatetimeError: If a bound has no time zone.
        """
        dates, values = self.key_to_lists(key, start_datetime, end_datetime, dropna)
        local = get_local_timezone()
        return {
            to_datetime(date, in_timezone=local).to_iso8601_string(): value
            for date, value in zip(dates, values, strict=True)
        }

    def key_to_value(
        self,
        key: str,
        target_datetime: datetime | str,
        time_window: timedelta | None = None,
    ) -> Any:
        """Return the value of a key at an instant.

        Args:
            key: The key.
            target_datetime: The instant.
            time_window: If given, and there is no record at the instant, that of the nearest
                record within half of this to either side is returned.

        Returns:
            The value, or `None`.

        Raises:
            UnknownKeyError: If there is no such key.
            InvalidArgumentError: If the window is negative.
        """
        self._check_keys([key])
        target = DatabaseTimestamp.from_datetime(to_datetime(self._instant(target_datetime)))
        record = self._sequence.db_get_record(target, time_window=time_window)
        configured = getattr(record, "configured_data", None)
        if isinstance(configured, dict) and key in configured:
            return configured[key]
        return getattr(record, key, None)


def instant(value: Any) -> datetime | None:
    """Return a bound as a datetime.

    Args:
        value: A datetime, which must have a time zone, or what `to_datetime` takes; `None` or a
            sentinel for no bound.
    """
    if value is None or isinstance(value, _DatabaseTimestampUnbound):
        return None
    return value if isinstance(value, datetime) else to_datetime(value)


def _micros(interval: timedelta | str | float) -> int:
    """Return the microseconds of an interval of at least a second."""
    if isinstance(interval, float) and not math.isfinite(interval):
        raise IntervalError(f"an interval must be finite, not {interval}")
    micros = round(to_duration(interval).total_seconds() * 1_000_000)
    if micros < 1_000_000:
        raise IntervalError(f"an interval must be at least one second, not {interval}")
    return micros
