"""Tiered compaction of one sequence: old records are brought to coarser intervals.

The core decides and commits (`src/retention`, `src/python/compact.rs`); here stand what a sequence
is asked for, and what a database without transactions needs beside.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from ._core import Compaction, plan_compaction, write_metadata
from .datetimes import to_datetime, to_duration
from .errors import ArgumentTypeError, ConflictError, EosdbError, InvalidArgumentError
from .reports import CompactionReport, TierReport
from .timestamps import DatabaseTimestamp

if TYPE_CHECKING:
    from .mixin import DatabaseRecordProtocolMixin
    from .sequence_base import SequenceBase

__all__ = [
    "checked_tiers",
    "compact",
    "cutoff_of",
    "finish",
    "is_unfinished",
    "newest_plausible",
    "with_cutoff",
]

logger = logging.getLogger("eosdb")

_CUTOFF = "last_compact_cutoff_"

_JOURNAL = "eosdb_compaction"
"""Metadata key of a compaction that a database without transactions has not finished."""

_ATTEMPTS = 5
"""How often a compaction is planned anew because somebody else changes the records meanwhile."""

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


# ---- cutoffs ---------------------------------------------------------------------------------


def cutoff_of(sequence: SequenceBase[Any], interval: timedelta) -> DatabaseTimestamp | None:
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


def _cutoffs(metadata: Mapping[str, Any]) -> dict[int, int]:
    """Return the cutoffs by their intervals, both in seconds."""
    cutoffs = {}
    for key, cutoff in metadata.items():
        seconds = key.removeprefix(_CUTOFF)
        if key != seconds and seconds.isdigit() and cutoff:
            cutoffs[int(seconds)] = int(DatabaseTimestamp(cutoff).to_datetime().timestamp())
    return cutoffs


# ---- what is asked for ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Request:
    """What the core is asked for; times in UTC seconds since 1970, durations in seconds."""

    tiers: list[tuple[int, int]]
    keys: list[str]
    aggregations: dict[str, str]
    former: str | None
    whole: set[str]
    nullable: set[str]
    cutoffs: dict[int, int]
    max_gap: int | None
    first_wins: bool
    resampled: Callable[[str, int, int, int], list[Any] | None] | None
    progress: Callable[[int, int], object] | None
    now: int = field(default_factory=lambda: int(to_datetime().timestamp()))


def _request(
    sequence: DatabaseRecordProtocolMixin[Any],
    tiers: list[tuple[timedelta, timedelta]],
    progress: Callable[[int, int], object] | None,
) -> _Request:
    record_class = sequence.record_class()
    fields = getattr(record_class, "model_fields", {})
    # A sequence may let fewer keys be written than its records have.
    keys = [
        key
        for key in dict.fromkeys([*sequence.record_keys_writable, *fields])
        if key not in {"date_time", "configured_data"}
    ]
    aggregations = dict(sequence.db_compact_aggregations())
    # Values of keys that are configured no longer are kept as ever, so any key may be named.
    for key, name in aggregations.items():
        if not all(isinstance(text, str) for text in (key, name)):
            raise ArgumentTypeError(
                f"db_compact_aggregations() maps keys to the names of aggregations, not {key!r} to "
                f"{name!r}"
            )
    gap = sequence.db_compact_max_gap()
    return _Request(
        tiers=[(int(age.total_seconds()), int(step.total_seconds())) for age, step in tiers],
        keys=keys,
        aggregations=aggregations,
        former=sequence._db_compact_former,
        nullable={key for key in keys if key in fields and _takes_none(fields[key].annotation)},
        whole={key for key in keys if not _takes_fractions(record_class, key)},
        cutoffs=_cutoffs(sequence._db_metadata or {}),
        max_gap=None if gap is None else int(to_duration(gap).total_seconds()),
        first_wins=sequence.db_compact_sparse_first,
        resampled=_own_resampling(sequence) if sequence._resamples_itself else None,
        progress=progress,
    )


def _takes_fractions(record_class: type[Any], key: str) -> bool:
    """Whether a field takes a number that is no integer; what is no field takes anything."""
    known = getattr(record_class, "model_fields", {}).get(key)
    return known is None or _is_fractional(known.annotation)


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the types that a value of an annotated field may have."""
    if hasattr(annotation, "__value__"):
        yield from _alternatives(annotation.__value__)
    elif get_origin(annotation) is Annotated:
        yield from _alternatives(annotation.__origin__)
    elif get_origin(annotation) in {Union, UnionType}:
        for part in get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation


def _is_fractional(annotation: Any) -> bool:
    return any(
        kind is Any or kind is object or (isinstance(kind, type) and issubclass(kind, float))
        for kind in _alternatives(annotation)
    )


def _takes_none(annotation: Any) -> bool:
    return any(kind is Any or kind is NoneType for kind in _alternatives(annotation))


def _own_resampling(
    sequence: DatabaseRecordProtocolMixin[Any],
) -> Callable[[str, int, int, int], list[Any] | None]:
    """Return what asks a `key_to_array` that a subclass has of its own."""

    def resampled(key: str, start: int, end: int, step: int) -> list[Any] | None:
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
        return list(array) if len(array) == (end - start) // step else None

    return resampled


# ---- carrying out -----------------------------------------------------------------------------


def compact(
    sequence: DatabaseRecordProtocolMixin[Any],
    tiers: list[tuple[timedelta, timedelta]],
    *,
    dry_run: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> CompactionReport:
    """Compact by these tiers, all of it in one transaction.

    Args:
        sequence: The sequence.
        tiers: (age, interval) pairs.
        dry_run: Whether to tell only what would be done.
        progress: Is told how many of how many rows were looked at; what it raises ends the
            compaction with nothing done.

    Returns:
        What was done, or would be.

    Raises:
        ConflictError: If somebody else kept changing the records.
        ConservationError: If a meter would not count as before.
        InvalidArgumentError: If an aggregation does not fit its key.
    """
    sequence._db_ensure_initialized()
    if sequence._resamples_itself:
        # It reads what is stored, so that each tier needs the former one's result.
        reports = [_compact(sequence, [tier], dry_run, progress) for tier in _finer_first(tiers)]
        return CompactionReport(
            [tier for report in reports for tier in report.tiers],
            dry_run,
            sum(report.rows_finished for report in reports),
        )
    return _compact(sequence, _finer_first(tiers), dry_run, progress)


def _finer_first(
    tiers: list[tuple[timedelta, timedelta]],
) -> list[tuple[timedelta, timedelta]]:
    return sorted(tiers, key=lambda tier: tier[1])


def _compact(
    sequence: DatabaseRecordProtocolMixin[Any],
    tiers: list[tuple[timedelta, timedelta]],
    dry_run: bool,
    progress: Callable[[int, int], object] | None,
) -> CompactionReport:
    state = sequence._db_enter()
    finished = 0
    if state.is_native and not sequence.db_enabled:
        # Inside Akkudoktor-EOS, after its database was switched off: nothing can be saved first.
        return CompactionReport([], dry_run, finished)
    if not dry_run and sequence.db_enabled and not state.is_native:
        finished = finish(sequence, sequence._db_load_metadata())
    for attempt in range(_ATTEMPTS):
        if not dry_run:
            # What is not saved yet counts too: then storage has all there is.
            sequence.db_save_records()
        request = _request(sequence, tiers, progress)
        planned = plan_compaction(state, request) if request.tiers else None
        if planned is None:
            return CompactionReport([], dry_run, finished)
        tiers_done = [TierReport.of(tier) for tier in planned.tiers]
        report = CompactionReport(tiers_done, dry_run, finished)
        if dry_run:
            return report
        try:
            _commit(sequence, planned)
        except ConflictError:
            if attempt + 1 == _ATTEMPTS:
                raise
            time.sleep(0.05 * attempt)
            continue
        logger.info("namespace '%s': %s", sequence.db_namespace(), report)
        return report
    raise AssertionError


def _commit(sequence: DatabaseRecordProtocolMixin[Any], planned: Compaction) -> None:
    with sequence._db_saving():
        former = dict(sequence._db_metadata or {})
        cutoffs = {
            f"{_CUTOFF}{interval}": str(_timestamp(cutoff))
            for interval, cutoff in planned.cutoffs.items()
        }
        metadata = {**former, **cutoffs}
        state = sequence._db_enter()
        in_steps = sequence.db_enabled and not state.is_native
        puts, deletes = planned.rows() if in_steps else ([], [])
        if not (puts or deletes):
            # One call, or one transaction.
            planned.commit(state, write_metadata(metadata))
        else:
            _commit_in_steps(sequence, planned, puts, deletes, former=former, metadata=metadata)
        sequence._db_metadata = metadata


# ---- databases without transactions -----------------------------------------------------------


def _commit_in_steps(
    sequence: DatabaseRecordProtocolMixin[Any],
    planned: Compaction,
    puts: list[tuple[bytes, bytes]],
    deletes: list[bytes],
    *,
    former: dict[str, Any],
    metadata: dict[str, Any],
) -> None:
    """Note what is to be done, do it, and take the note back together with the new cutoffs.

    The note is one value, written in one call. From then on the compaction is carried through,
    whatever happens in between: a second one would take means of means.
    """
    existed = sequence._db_backend.get_metadata(namespace=sequence.db_namespace()) is not None
    journal = {
        "puts": [(key.decode("ascii"), b64encode(value).decode("ascii")) for key, value in puts],
        "deletes": [key.decode("ascii") for key in deletes],
        "metadata": metadata,
        "replaced": planned.replaced,
    }
    try:
        sequence._db_save_metadata({**former, _JOURNAL: json.dumps(journal)})
        planned.commit(sequence._db_enter(), write_metadata(metadata))
    except BaseException:
        with contextlib.suppress(Exception):
            if _is_untouched(sequence, puts, deletes):
                written = write_metadata(former) if existed else None
                sequence._db_backend.set_metadata(written, namespace=sequence.db_namespace())
        # Whatever is done next begins with reading the note, and carrying it out.
        sequence._db_storage_initialized = False
        raise


def _is_untouched(
    sequence: DatabaseRecordProtocolMixin[Any],
    puts: list[tuple[bytes, bytes]],
    deletes: list[bytes],
) -> bool:
    """Whether a database that failed to do all of this has done nothing of it."""
    keys = [*deletes, *(key for key, _ in puts)]
    rows = dict(
        sequence._db_backend.iterate_records(
            start_key=min(keys), end_key=max(keys) + b"\0", namespace=sequence.db_namespace()
        )
    )
    return all(key in rows for key in deletes) and not any(
        rows.get(key) == value for key, value in puts
    )


def is_unfinished(metadata: Mapping[str, Any] | None) -> bool:
    """Return whether metadata hold the note of a compaction that was interrupted."""
    return bool(metadata and metadata.get(_JOURNAL))


def finish(sequence: DatabaseRecordProtocolMixin[Any], metadata: Mapping[str, Any] | None) -> int:
    """Carry through a compaction that a database without transactions was interrupted in.

    Args:
        sequence: The sequence.
        metadata: The metadata of its namespace as they are stored.

    Returns:
        How many records that deletes or replaces; 0 if there was nothing to do.
    """
    if metadata is None or not is_unfinished(metadata):
        return 0
    journal = json.loads(metadata[_JOURNAL])
    namespace = sequence.db_namespace()
    puts = [(key.encode("ascii"), b64decode(value)) for key, value in journal["puts"]]
    sequence._db_backend.save_records(puts, namespace=namespace)
    deletes = [key.encode("ascii") for key in journal["deletes"]]
    sequence._db_backend.delete_records(deletes, namespace=namespace)
    sequence._db_save_metadata(journal["metadata"])
    sequence._db_metadata = journal["metadata"]
    sequence._db_loaded_range = None
    logger.warning("namespace '%s': finished a compaction that was interrupted", namespace)
    return int(journal["replaced"])
