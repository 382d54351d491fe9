"""Retention: what a sequence keeps, for how long, and how finely."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from . import compaction
from .datetimes import DateTime, Duration, to_datetime
from .errors import InvalidArgumentError, ReadOnlyError
from .instants import non_negative, shifted
from .reports import CompactionReport, VacuumReport
from .timestamps import UNBOUND_END, DatabaseTimestamp, DatabaseTimestampType

if TYPE_CHECKING:
    from .mixin import DatabaseRecordProtocolMixin

__all__ = ["Retention"]


class Retention:
    """The part of the mixin that deletes and resamples old records."""

    @property
    def _sequence(self) -> DatabaseRecordProtocolMixin[Any]:
        return cast("DatabaseRecordProtocolMixin[Any]", self)

    def db_vacuum(
        self,
        keep_hours: int | None = None,
        keep_timestamp: DatabaseTimestampType | None = None,
        *,
        dry_run: bool = False,
    ) -> VacuumReport:
        """Delete old records and save.

        Args:
            keep_hours: Keep the records newer than this many hours less one before the newest, as
                upstream counts; 0 deletes all. A record more than a day in the future of the
                clock does not count as the newest.
            keep_timestamp: Keep the records from here on.
            dry_run: Whether to tell only what would be deleted.

        With neither bound, :meth:`db_keep_datetime` and :meth:`db_keep_duration` decide; of two
        bounds the later one counts.

        Returns:
            How many records were deleted, or would be, and how large they were.

        Raises:
            InvalidArgumentError: If the duration is negative or no number.
            ReadOnlyError: If the database was opened to be read.
        """
        keep_from = self._keep_from(keep_hours, keep_timestamp)
        if keep_from is None:
            return VacuumReport(0, 0, None, dry_run)
        rows, size = self._sequence._db_enter().extent(None, keep_from)
        if not dry_run:
            if rows and getattr(self._sequence.database, "read_only", False):
                raise ReadOnlyError(
                    f"{rows} records cannot be deleted: the database was opened read-only"
                )
            rows = self._sequence.db_delete_records(end_timestamp=keep_from)
            self._sequence.db_save_records()
        report = VacuumReport(rows, size, str(keep_from), dry_run)
        if rows and not dry_run:
            compaction.logger.info("namespace '%s': %s", self._sequence.db_namespace(), report)
        return report

    def _keep_from(
        self, keep_hours: int | None, keep_timestamp: DatabaseTimestampType | None
    ) -> DatabaseTimestampType | None:
        """Return the first instant to keep; `None` if nothing is to be deleted."""
        if keep_hours is not None:
            return self._keep_from_duration(non_negative(keep_hours, "keep_hours") * 3600)
        if keep_timestamp is not None:
            return keep_timestamp
        bounds = []
        instant = self._sequence.db_keep_datetime()
        if instant is not None:
            bounds.append(self._keep_from_instant(to_datetime(instant)))
        duration = self._sequence.db_keep_duration()
        if duration is not None:
            seconds = duration.total_seconds()
            if seconds < 0:
                raise InvalidArgumentError(
                    f"db_keep_duration() must be non-negative, not {duration}"
                )
            bounds.append(self._keep_from_duration(seconds))
        return max((bound for bound in bounds if bound is not None), default=None)

    def _keep_from_duration(self, seconds: float) -> DatabaseTimestampType | None:
        newest = compaction.newest_plausible(self._sequence)
        if newest is None:
            return None
        return shifted(newest.to_datetime(), 3600 - seconds) if seconds > 0 else UNBOUND_END

    def _keep_from_instant(self, instant: DateTime) -> DatabaseTimestampType | None:
        newest = compaction.newest_plausible(self._sequence)
        if newest is None:
            return None
        kept = max(0.0, (to_datetime() - instant).total_seconds())
        return min(DatabaseTimestamp.from_datetime(instant), shifted(newest.to_datetime(), -kept))

    def _db_set_compact_state(self, tier_interval: timedelta, cutoff_ts: DatabaseTimestamp) -> None:
        """Note up to where records are compacted to this interval."""
        metadata = compaction.with_cutoff(self._sequence, tier_interval, cutoff_ts)
        self._sequence._db_metadata = metadata
        self._sequence._db_save_metadata(metadata)

    def _db_compact_tier(self, age_threshold: timedelta, target_interval: timedelta) -> int:
        """Compact by one tier; return how many rows were deleted or replaced."""
        return compaction.compact(self._sequence, [(age_threshold, target_interval)])

    def db_compact(
        self,
        compact_tiers: list[tuple[Duration, Duration]] | None = None,
        *,
        dry_run: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> CompactionReport:
        """Bring old records to coarser intervals, in one transaction.

        What is pending is saved first; records that were inserted without being marked take part,
        and are stored in what they become. Buckets start at multiples of the interval since 1970,
        in UTC. A record is written only where there were records. A finer tier leaves alone what a
        coarser one took, and a record that came late re-opens its bucket. Ages count from the
        newest record that is at most a day in the future of the clock. How the values of each key
        become one is told by :meth:`db_compact_aggregations`.

        Args:
            compact_tiers: (age, interval) pairs; by default :meth:`db_compact_tiers`.
            dry_run: Whether to tell only what would be done.
            progress: Is told, now and then, how many of how many records were looked at. What it
                raises ends the compaction, as Ctrl-C does, with nothing done.

        Returns:
            How many records were deleted or replaced, with the details.

        Raises:
            InvalidArgumentError: If an age is negative or an interval not whole seconds, or an
                aggregation does not fit its key.
            ConservationError: If a meter would not count as before; nothing is changed.
            ConflictError: If somebody else kept changing the records; nothing is changed.
        """
        tiers = compaction.checked_tiers(
            self._sequence.db_compact_tiers() if compact_tiers is None else compact_tiers
        )
        return compaction.compact(self._sequence, tiers, dry_run=dry_run, progress=progress)
