"""Retention: what a sequence keeps, for how long, and how finely."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from . import compaction
from .datetimes import Duration, to_duration
from .errors import InvalidArgumentError
from .instants import non_negative, shifted
from .timestamps import UNBOUND_END, DatabaseTimestamp, DatabaseTimestampType

if TYPE_CHECKING:
    from .mixin import DatabaseRecordProtocolMixin

__all__ = ["Retention"]


class Retention:
    """The part of the mixin that deletes and resamples old records."""

    @property
    def _sequence(self) -> DatabaseRecordProtocolMixin[Any]:
        return cast("DatabaseRecordProtocolMixin[Any]", self)

    def db_keep_duration(self) -> Duration | None:
        """Return how long records are kept, `None` for ever; by default as the settings say."""
        hours = self._sequence._db_settings().keep_duration_h
        return None if hours is None else to_duration(hours * 3600)

    def db_compact_tiers(self) -> list[tuple[Duration, Duration]]:
        """Return the compaction policy: (age, interval) pairs, shortest age first.

        Records older than the age are resampled to the interval. An empty list disables
        compaction. By default: 15 minutes after 2 hours, 1 hour after 14 days.
        """
        return [
            (to_duration("2 hours"), to_duration("15 minutes")),
            (to_duration("14 days"), to_duration("1 hour")),
        ]

    def db_vacuum(
        self,
        keep_hours: int | None = None,
        keep_timestamp: DatabaseTimestampType | None = None,
    ) -> int:
        """Delete old records and save.

        Args:
            keep_hours: Keep the records newer than this many hours less one before the newest, as
                upstream counts; 0 deletes all. A record more than a day in the future of the
                clock does not count as the newest.
            keep_timestamp: Keep the records from here on.

        With neither, :meth:`db_keep_duration` decides.

        Returns:
            How many records were deleted.

        Raises:
            InvalidArgumentError: If the duration is negative or no number.
        """
        seconds: float | None = None
        if keep_hours is not None:
            seconds = non_negative(keep_hours, "keep_hours") * 3600
        elif keep_timestamp is None:
            duration = self.db_keep_duration()
            if duration is None:
                return 0
            seconds = duration.total_seconds()
            if seconds < 0:
                raise InvalidArgumentError(
                    f"db_keep_duration() must be non-negative, not {duration}"
                )
        if seconds is not None:
            newest = compaction.newest_plausible(self._sequence)
            if newest is None:
                return 0
            keep_timestamp = UNBOUND_END
            if seconds > 0:
                keep_timestamp = shifted(newest.to_datetime(), 3600 - seconds)
        deleted = self._sequence.db_delete_records(end_timestamp=keep_timestamp)
        self._sequence.db_save_records()
        return deleted

    def _db_get_compact_state(self, tier_interval: timedelta) -> DatabaseTimestamp | None:
        """Return up to where records are compacted to this interval."""
        self._sequence._db_enter()
        return compaction.cutoff_of(self._sequence, tier_interval)

    def _db_set_compact_state(self, tier_interval: timedelta, cutoff_ts: DatabaseTimestamp) -> None:
        """Note up to where records are compacted to this interval."""
        metadata = compaction.with_cutoff(self._sequence, tier_interval, cutoff_ts)
        self._sequence._db_metadata = metadata
        self._sequence._db_save_metadata(metadata)

    def _db_compact_tier(self, age_threshold: timedelta, target_interval: timedelta) -> int:
        """Resample the records older than the age; return how many rows were replaced."""
        return compaction.compact_tier(self._sequence, age_threshold, target_interval)

    def db_compact(self, compact_tiers: list[tuple[Duration, Duration]] | None = None) -> int:
        """Resample old records to coarser intervals.

        Args:
            compact_tiers: (age, interval) pairs, shortest age first; by default
                :meth:`db_compact_tiers`.

        Returns:
            How many rows were replaced.

        Raises:
            InvalidArgumentError: If an age is negative or an interval not whole seconds.
        """
        tiers = compaction.checked_tiers(
            self.db_compact_tiers() if compact_tiers is None else compact_tiers
        )
        # The coarsest tier goes first: a finer one leaves alone what it has taken.
        return sum(self._db_compact_tier(age, interval) for age, interval in reversed(tiers))
