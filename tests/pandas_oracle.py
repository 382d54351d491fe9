"""`key_to_array` said in pandas: slow, plain, and what eosdb must answer.

The arithmetic is pandas' own. What is decided here is which readings it gets, where its buckets
begin, and which of them are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from support import EPOCH, second_of

Rows: TypeAlias = Sequence[tuple[datetime, Any]]
"""The instants of all records, in order, and the value of one key: `None` where it has none."""

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def key_to_array(
    rows: Rows,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    interval: timedelta = HOUR,
    fill_method: str | None = None,
    dropna: bool | None = True,
    boundary: str = "context",
    align_to_interval: bool = False,
    now: datetime | None = None,
) -> np.ndarray[Any, Any]:
    """Return one value per interval.

    Args:
        rows: All records, whether they have a value or not.
        start: The first instant inside.
        end: The first instant outside.
        interval: The length of a bucket; fractions of a second only count at the edges.
        fill_method: What becomes of empty buckets.
        dropna: Whether records without a value are left out.
        boundary: Whether the neighbouring records count (`"context"`) or not (`"strict"`).
        align_to_interval: Whether buckets begin at multiples of the interval since 1970.
        now: The present, which stands in where there is nothing else.

    Returns:
        Numbers as `float64`, or as objects with `None` for each that is missing; anything else as
        objects, with NaN for each text that is missing and `None` for anything else.
    """
    rows = [(_utc(instant), value) for instant, value in rows]
    start = None if start is None else _utc(start)
    end = None if end is None else _utc(end)
    first, last = _read_range([instant for instant, _ in rows], start, end, boundary)
    readings = [
        (instant, value)
        for instant, value in rows
        if (first is None or second_of(instant) >= second_of(first))
        and (last is None or second_of(instant) < second_of(last))
        and not (dropna in {True, None} and value is None)
    ]
    readings = _with_edges(readings, first, last, interval, now or datetime.now(UTC))
    series = pd.Series(
        [value for _, value in readings],
        index=pd.DatetimeIndex([instant for instant, _ in readings], tz=UTC),
    )
    length = int(interval.total_seconds())
    origin = _origin(first, length, align_to_interval)
    buckets = _resample(series, f"{length}s", origin, fill_method)
    inside = np.ones(len(buckets), dtype=bool)
    if start is not None:
        inside &= buckets.index >= start
    if end is not None:
        inside &= buckets.index <= end - SECOND
    return _to_numpy(buckets[inside])


def _read_range(
    instants: Sequence[datetime], start: datetime | None, end: datetime | None, boundary: str
) -> tuple[datetime | None, datetime | None]:
    """Return the instants, half-open by their seconds, between which records are read."""
    if boundary == "strict":
        return start, end
    if start is not None:
        before = [_whole(i) for i in instants if second_of(i) < second_of(start)]
        start = max(before, default=start)
    if end is not None:
        behind = [_whole(i) for i in instants if second_of(i) > second_of(end)]
        end = min(behind, default=end) + SECOND
    return start, end


def _utc(instant: datetime) -> datetime:
    """Return a plain datetime, whose arithmetic is not by the clock on some wall."""
    return _whole(instant) + timedelta(microseconds=instant.microsecond)


def _whole(instant: datetime) -> datetime:
    """Return the second that an instant lies in."""
    return EPOCH + timedelta(seconds=second_of(instant))


def _with_edges(
    readings: list[tuple[datetime, Any]],
    first: datetime | None,
    last: datetime | None,
    interval: timedelta,
    now: datetime,
) -> list[tuple[datetime, Any]]:
    """Return the readings with the outermost ones repeated at either edge of what was read."""
    if first is not None:
        begin, value = readings[0] if readings else (first, None)
        # In the same second but not at the same instant counts as before, so that is known.
        if begin == first or second_of(begin) > second_of(first):
            readings = [(first - interval, value), *readings]
    elif not readings:
        readings = [(now, None)]
    if last is not None and second_of(readings[-1][0]) < second_of(last):
        readings = [*readings, (last, readings[-1][1])]
    return readings


def _origin(first: datetime | None, length: int, align_to_interval: bool) -> Any:
    """Return the instant that buckets are counted from."""
    if first is None:
        return "start_day"
    if align_to_interval:
        return pd.Timestamp(second_of(first) // length * length, unit="s", tz=UTC)
    return pd.Timestamp(first)


def _resample(
    series: pd.Series[Any], frequency: str, origin: Any, fill_method: str | None
) -> pd.Series[Any]:
    """Return one value per bucket: means of numbers, the first of anything else."""
    numeric = bool(pd.to_numeric(series.dropna(), errors="coerce").notna().all())
    buckets: pd.Series[Any]
    if numeric:
        buckets = _floats(series).resample(frequency, origin=origin).mean()
    else:
        buckets = series.resample(frequency, origin=origin).first()
    match fill_method or ("time" if numeric else "ffill"):
        case "ffill":
            return buckets.ffill()
        case "bfill":
            return buckets.bfill()
        case "linear" | "time" if numeric:
            return buckets.interpolate("time")
        case _:
            return buckets


def _floats(series: pd.Series[Any]) -> pd.Series[Any]:
    """Return numbers as floats, and NaN behind them.

    It counts for nothing, and has every pandas add with compensation for what rounding loses: from
    3.1 on it would not where all values are numbers.
    """
    if any(isinstance(value, str) for value in series):
        raise TypeError("text has no mean")
    floats = series.astype("float64")
    return pd.concat([floats, pd.Series([np.nan], index=series.index[-1:])])


def _to_numpy(buckets: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """Return the buckets as eosdb returns them."""
    array = buckets.to_numpy(dtype=None if buckets.dtype == np.float64 else object)
    if array.dtype == np.float64 and np.isnan(array).any():
        missing = np.isnan(array)
        array = array.astype(object)
        array[missing] = None
    return array
