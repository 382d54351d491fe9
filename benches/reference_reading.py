"""How the Python reference reads values: lists of times and values, then pandas.

As in Akkudoktor-EOS, each record is visited as an object, its time is formatted twice on the way,
and all the rest is left to pandas: a series that is resampled, filled and cut. Costs and the
results at the edges of a window both come from that, so the order of work is kept.
"""

from __future__ import annotations

import bisect
from typing import Any, Literal

import numpy as np
import pandas as pd
import pendulum
from reference import FIRST, LAST, ReferenceSequence, Stamp, to_local

FILL_METHODS = ("ffill", "bfill", "linear", "time", "none")


class ReferenceReader(ReferenceSequence):
    """A sequence whose values can be had as lists, arrays and data frames."""

    def key_to_lists(
        self, key: str, start: Any = None, end: Any = None, dropna: bool = True
    ) -> tuple[list[Any], list[Any]]:
        """Return the times and values of a key, record by record.

        Args:
            key: A field or configured key.
            start: The first moment that counts; None leaves the side open.
            end: The first moment that does not.
            dropna: Whether to leave out records without a value.

        Returns:
            Times and values, equally many.

        Raises:
            KeyError: If the records have no such key.
        """
        self._check_key(key)
        first = FIRST if start is None else Stamp.from_datetime(start)
        last = LAST if end is None else Stamp.from_datetime(end)
        dates: list[Any] = []
        values: list[Any] = []
        for record in self.db_iterate_records(first, last):
            value = record[key]
            if dropna and value is None:
                continue
            # EOS does not rely on the iterator, and formats the time once more to compare it.
            if first <= Stamp.from_datetime(record.date_time) < last:
                dates.append(record.date_time)
                values.append(value)
        return dates, values

    def key_to_array(
        self,
        key: str,
        start_datetime: Any = None,
        end_datetime: Any = None,
        *,
        interval: pendulum.Duration | None = None,
        fill_method: str | None = None,
        dropna: bool = True,
        boundary: Literal["strict", "context"] = "context",
        align_to_interval: bool = False,
    ) -> np.ndarray[Any, Any]:
        """Return the values of a key at a fixed interval.

        Args:
            key: A field or configured key.
            start_datetime: The first moment that counts; None leaves the side open.
            end_datetime: The first moment that does not.
            interval: The width of a bucket, an hour where it is None.
            fill_method: What becomes of empty buckets; None interpolates numbers and repeats
                other values.
            dropna: Whether to leave out records without a value.
            boundary: Whether to look at one record beyond each end of the window.
            align_to_interval: Whether buckets start at multiples of the interval since 1970 and
                not at the first record looked at.

        Returns:
            The mean of each bucket, or the first of its values where not all are numbers. Where a
            mean is missing the array holds objects, None among them.

        Raises:
            KeyError: If the records have no such key.
            ValueError: If `fill_method` or `boundary` is none of the known ones.
        """
        self._check_key(key)
        if fill_method not in {None, *FILL_METHODS}:
            raise ValueError(f"no fill method: {fill_method}")
        if boundary not in {"strict", "context"}:
            raise ValueError(f"no boundary: {boundary}")
        width = pendulum.duration(hours=1) if interval is None else interval
        seconds = int(width.total_seconds())
        start = None if start_datetime is None else to_local(start_datetime)
        end = None if end_datetime is None else to_local(end_datetime)
        first, last = (start, end) if boundary == "strict" else self._with_context(start, end)

        dates, values = self.key_to_lists(key, first, last, dropna)
        add_edges(dates, values, first, last, width)
        series = pd.Series(values, index=pd.to_datetime(dates, utc=True), name=key)
        origin: Any = "start_day" if first is None else first
        if align_to_interval and first is not None:
            aligned = int(first.timestamp()) // seconds * seconds
            origin = pd.Timestamp(aligned, unit="s", tz="UTC")
        resampled = resample(series, f"{seconds}s", origin, fill_method)
        if start is not None:
            resampled = resampled.truncate(before=start)
        if end is not None:
            resampled = resampled.truncate(after=end.subtract(seconds=1))
        return with_none(resampled.to_numpy())

    def to_dataframe(self) -> pd.DataFrame:
        """Return all records as a frame by local time, a column for each field."""
        frame = pd.DataFrame([record.model_dump() for record in self.db_iterate_records()])
        if not frame.empty:
            frame.index = pd.DatetimeIndex(frame["date_time"])
        return frame

    def _check_key(self, key: str) -> None:
        record_class = self.record_class()
        if key not in {*record_class.model_fields, *(record_class.configured_data_keys() or ())}:
            raise KeyError(key)

    def _with_context(self, start: Any, end: Any) -> tuple[Any, Any]:
        """Widen a window to the record before it, and to the one after its end."""
        if start is not None:
            before = self._previous(Stamp.from_datetime(start))
            start = start if before is None else before.to_datetime()
        if end is not None:
            after = self._next(Stamp.from_datetime(end))
            end = (end if after is None else after.to_datetime()).add(seconds=1)
        return start, end

    def _previous(self, stamp: Stamp) -> Stamp | None:
        index = bisect.bisect_left(self._stamps, stamp)
        if index:
            return self._stamps[index - 1]
        rows = self._store.scan(self._name, b"", stamp.encode(), backwards=True)
        return Stamp(rows[0][0].decode()) if rows else None

    def _next(self, stamp: Stamp) -> Stamp | None:
        index = bisect.bisect_right(self._stamps, stamp)
        if index < len(self._stamps):
            return self._stamps[index]
        rows = self._store.scan(self._name, stamp.following().encode(), LAST.encode())
        return Stamp(rows[0][0].decode()) if rows else None


def add_edges(
    dates: list[Any], values: list[Any], first: Any, last: Any, width: pendulum.Duration
) -> None:
    """Repeat the first and the last value beyond the window, so that buckets reach its ends.

    Args:
        dates: The times of the values; extended.
        values: The values; extended. None stands in where there are none.
        first: The start of the window, None where it is open.
        last: The end of the window, None where it is open.
        width: How far before the window the first value is repeated.
    """
    if not values:
        dates.append(pendulum.now() if first is None else first - width)
        values.append(None)
    elif first is not None and dates[0] >= first:
        dates.insert(0, first - width)
        values.insert(0, values[0])
    if last is not None and dates[-1] < last:
        dates.append(last)
        values.append(values[-1])


def resample(
    series: pd.Series[Any], frequency: str, origin: Any, fill_method: str | None
) -> pd.Series[Any]:
    """Return a value for each bucket of a series, the mean where all values are numbers."""
    numeric = bool(pd.to_numeric(series.dropna(), errors="coerce").notna().all())
    buckets = series.resample(frequency, origin=origin)
    result = pd.to_numeric(buckets.mean(), errors="coerce") if numeric else buckets.first()
    method = fill_method or ("time" if numeric else "ffill")
    if method == "ffill":
        return result.ffill()
    if method == "bfill":
        return result.bfill()
    if numeric and method != "none":
        return result.interpolate("time")
    return result


def with_none(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an array of objects with None for NaN where a float array has any."""
    if not np.issubdtype(array.dtype, np.floating) or not np.isnan(array).any():
        return array
    objects = array.astype(object)
    objects[np.isnan(array)] = None
    return objects
