"""Tiered compaction of one sequence: old records are resampled to coarser intervals.

One tier is one transaction: the deletion of the old rows, the new rows and the cutoff are saved
together. A tier leaves alone what a coarser one has taken, writes a bucket only where there were
records, and keeps every key.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .datetimes import to_datetime, to_duration
from .errors import ArgumentTypeError, EosdbError, InvalidArgumentError
from .timestamps import DatabaseTimestamp

if TYPE_CHECKING:
    from .mixin import DatabaseRecordProtocolMixin

__all__ = ["checked_tiers", "compact_tier", "cutoff_of", "newest_plausible", "with_cutoff"]

logger = logging.getLogger("eosdb")

_CUTOFF = "last_compact_cutoff_"

FUTURE_TOLERANCE = timedelta(days=1)
"""A record further in the future of the clock than this does not count as the newest."""


def checked_tiers(tiers: Any) -> list[tuple[timedelta, timedelta]]:
    """Return compaction tiers as durations.

    Args:
        tiers: (age, interval) pairs, of durations or what `to_duration` takes.

    Raises:
        ArgumentTypeError: If they are no pairs of durations.
        InvalidArgumentError: If an age is negative or an interval not whole seconds.
    """
    try:
        pairs = [(to_duration(age), to_duration(interval)) for age, interval in tiers]
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"compaction tiers are (age, interval) pairs of durations, not {tiers!r}: {error}"
        ) from error
    for (age, interval), given in zip(pairs, tiers, strict=True):
        seconds = interval.total_seconds()
        if age.total_seconds() < 0 or seconds < 1 or seconds % 1:
            raise InvalidArgumentError(
                f"a compaction tier needs an age that is non-negative and an interval of whole "
                f"seconds, not ({given[0]}, {given[1]})"
            )
    return list(pairs)


def _timestamp(seconds: int) -> DatabaseTimestamp:
    return DatabaseTimestamp.from_datetime(to_datetime(seconds, in_timezone="UTC"))


def _seconds(timestamp: DatabaseTimestamp) -> int:
    return int(timestamp.to_datetime().timestamp())


def newest_plausible(sequence: DatabaseRecordProtocolMixin[Any]) -> DatabaseTimestamp | None:
    """Return the newest record's timestamp that a wrong clock cannot have made.

    Args:
        sequence: The sequence.

    Returns:
        The last timestamp up to a day after now; where all are later, the first one.
    """
    limit = DatabaseTimestamp.from_datetime(to_datetime() + FUTURE_TOLERANCE)
    newest = sequence.db_previous_timestamp(limit)
    return newest if newest is not None else sequence.db_timestamp_range()[0]


def cutoff_of(
    sequence: DatabaseRecordProtocolMixin[Any], interval: timedelta
) -> DatabaseTimestamp | None:
    """Return up to where the sequence is compacted to `interval`.

    Args:
        sequence: The sequence.
        interval: The interval that names the tier.

    Returns:
        The end of what is compacted, or `None`.
    """
    cutoff = (sequence._db_metadata or {}).get(f"{_CUTOFF}{int(interval.total_seconds())}")
    return DatabaseTimestamp(cutoff) if cutoff else None


def with_cutoff(
    sequence: DatabaseRecordProtocolMixin[Any], interval: timedelta, cutoff: DatabaseTimestamp
) -> dict[str, Any]:
    """Return the sequence's metadata with another cutoff.

    Args:
        sequence: The sequence.
        interval: The interval that names the tier.
        cutoff: Up to where records are compacted.

    Returns:
        A new dictionary.
    """
    key = f"{_CUTOFF}{int(interval.total_seconds())}"
    return {**(sequence._db_metadata or {}), key: str(cutoff)}


def _coarser_cutoffs(sequence: DatabaseRecordProtocolMixin[Any], interval: int) -> Iterable[int]:
    for key, cutoff in (sequence._db_metadata or {}).items():
        seconds = key.removeprefix(_CUTOFF)
        if key != seconds and seconds.isdigit() and int(seconds) > interval:
            yield _seconds(DatabaseTimestamp(cutoff))


def compact_tier(
    sequence: DatabaseRecordProtocolMixin[Any], age: timedelta, interval: timedelta
) -> int:
    """Resample the records older than `age` to `interval`, from where the last run ended.

    Args:
        sequence: The sequence.
        age: Records older than this, counted from the newest plausible one, are resampled.
        interval: The distance of the buckets, which start at multiples of it since 1970.

    Returns:
        How many rows were replaced; 0 where nothing had to be done.
    """
    sequence._db_ensure_initialized()
    step = int(interval.total_seconds())
    newest = newest_plausible(sequence)
    first, _ = sequence.db_timestamp_range()
    if step <= 0 or newest is None or first is None:
        return 0
    end = math.floor((_seconds(newest) - age.total_seconds()) / step) * step
    done = cutoff_of(sequence, interval)
    start = (_seconds(first) if done is None else _seconds(done)) // step * step
    start = max([start, *_coarser_cutoffs(sequence, step)])
    if start >= end or (done is not None and _seconds(done) >= end):
        return 0
    cutoff = _timestamp(end)
    records = list(sequence.db_iterate_records(_timestamp(start), cutoff))
    buckets: dict[int, list[Any]] = {}
    for record in records:
        buckets.setdefault(int(record.date_time.timestamp()) // step * step, []).append(record)
    sparse = len(records) <= -(-(end - start) // step)
    aligned = all(int(record.date_time.timestamp()) % step == 0 for record in records)
    metadata = with_cutoff(sequence, interval, cutoff)
    if not records or (sparse and aligned):
        sequence._db_commit(metadata)
        return 0
    values = _first_values if sparse else _resampled_values
    # Everything that can fail comes before anything is marked.
    replacements = [
        _record(sequence, bucket, row)
        for bucket, row in values(sequence, buckets, start, end, step).items()
    ]
    # Apart from what was unsaved before, so that a failure can be undone by forgetting.
    sequence.db_save_records()
    try:
        deleted = sequence.db_delete_records(_timestamp(start), cutoff)
        for replacement in replacements:
            sequence.db_insert_record(replacement)
        sequence._db_commit(metadata)
    except BaseException:
        sequence._db_enter().discard_changes()
        raise
    return deleted


Rows = dict[int, dict[str, Any]]


def _record(sequence: DatabaseRecordProtocolMixin[Any], bucket: int, row: dict[str, Any]) -> Any:
    """Make the record of a bucket, with the values of keys that are configured no longer too."""
    writable = set(sequence.record_keys_writable)
    fields = {key: value for key, value in row.items() if key in writable}
    former = {key: value for key, value in row.items() if key not in writable}
    if former:
        fields["configured_data"] = former
    return sequence.record_class()(date_time=to_datetime(bucket, in_timezone="UTC"), **fields)


def _keys(
    sequence: DatabaseRecordProtocolMixin[Any], buckets: dict[int, list[Any]]
) -> Iterable[str]:
    """Return the keys that the records can have, and those that they have."""
    keys = dict.fromkeys(sequence.record_keys_writable)
    for records in buckets.values():
        for record in records:
            keys.update(dict.fromkeys(getattr(record, "configured_data", ())))
    keys.pop("date_time", None)
    return keys


def _value(record: Any, key: str) -> Any:
    try:
        return record[key]
    except KeyError:
        return None


def _first_values(
    sequence: DatabaseRecordProtocolMixin[Any],
    buckets: dict[int, list[Any]],
    _start: int,
    _end: int,
    _step: int,
) -> Rows:
    """Snap records that are sparse already to their buckets; the first value of a key wins."""
    rows: Rows = {}
    keys = _keys(sequence, buckets)
    for bucket, records in buckets.items():
        row = rows.setdefault(bucket, {})
        for key in keys:
            values = (_value(record, key) for record in records)
            first = next((value for value in values if value is not None), None)
            if first is not None:
                row[key] = first
    return rows


def _resampled_values(
    sequence: DatabaseRecordProtocolMixin[Any],
    buckets: dict[int, list[Any]],
    start: int,
    end: int,
    step: int,
) -> Rows:
    """Take one value per key and bucket: the sequence's own resampling, else the mean or last."""
    rows: Rows = {bucket: {} for bucket in buckets}
    for key in _keys(sequence, buckets):
        array = _own_resampling(sequence, key, start, end, step)
        for bucket, records in buckets.items():
            values = [value for r in records if (value := _value(r, key)) is not None]
            if not values:
                continue
            if array is not None and array[(bucket - start) // step] is not None:
                rows[bucket][key] = array[(bucket - start) // step]
            else:
                rows[bucket][key] = _consolidated(values)
    return rows


def _own_resampling(
    sequence: DatabaseRecordProtocolMixin[Any], key: str, start: int, end: int, step: int
) -> Any:
    """Return what the sequence's `key_to_array` makes of the window, `None` if it has none."""
    if not sequence._resamples_itself:
        return None
    try:
        array = sequence.key_to_array(
            key,
            start_datetime=to_datetime(start, in_timezone="UTC"),
            end_datetime=to_datetime(end, in_timezone="UTC"),
            interval=timedelta(seconds=step),
            fill_method="time",
            boundary="context",
            align_to_interval=True,
        )
    except (EosdbError, KeyError, TypeError, ValueError) as error:
        logger.debug("key '%s' is not resampled but consolidated: %s", key, error)
        return None
    return array if len(array) == (end - start) // step else None


def _consolidated(values: list[Any]) -> Any:
    """Return the mean of numbers, and the last of anything else."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        finite = [value for value in values if not math.isnan(value)]
        return math.fsum(finite) / len(finite) if finite else values[-1]
    return values[-1]
