"""The policy of retention: what a sequence keeps, for how long, and how finely."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from . import compaction
from .datetimes import DateTime, Duration, to_duration
from .timestamps import DatabaseTimestamp

if TYPE_CHECKING:
    from .sequence_base import SequenceBase

__all__ = ["RetentionPolicy"]


class RetentionPolicy:
    """The hooks by which a class says what becomes of its old records.

    Attributes:
        db_compact_sparse_first: Whether to compact sparse records as Akkudoktor-EOS does: where a
            window has no more records than buckets, the first value in a bucket is kept. By default
            its values are consolidated like any others, so that it makes no difference whether
            records are compacted at once or as they arrive. In a pydantic model it is written
            `db_compact_sparse_first: ClassVar[bool] = True`.
    """

    db_compact_sparse_first: ClassVar[bool] = False

    _db_compact_former: ClassVar[str | None] = None
    """How values of keys that are configured no longer, and not named, become one; else as ever."""

    def db_keep_duration(self) -> Duration | None:
        """Return how long records are kept, `None` for ever; by default as the settings say."""
        hours = cast("SequenceBase[Any]", self)._db_settings().keep_duration_h
        return None if hours is None else to_duration(hours * 3600)

    def db_keep_datetime(self) -> DateTime | None:
        """Return from which instant on records are kept; `None`, the default, is no bound.

        It is the clock that tells it as a rule, and a clock may be wrong. So it counts as a
        duration before now, and no record is deleted that is not that much older than the newest.
        """
        return None

    def db_compact_tiers(self) -> list[tuple[Duration, Duration]]:
        """Return the compaction policy: (age, interval) pairs, shortest age first.

        Records older than the age are resampled to the interval. An empty list disables
        compaction. By default: 15 minutes after 2 hours, 1 hour after 14 days.
        """
        return [
            (to_duration("2 hours"), to_duration("15 minutes")),
            (to_duration("14 days"), to_duration("1 hour")),
        ]

    def db_compact_aggregations(self) -> Mapping[str, str]:
        """Return how the values of a key in a bucket become one: names of aggregations by key.

        - `"mean"`: the mean of the numbers.
        - `"time_weighted_mean"`: each value counts for as long as it held, at most the longest gap.
        - `"min"`, `"max"`, `"sum"`, `"first"`, `"last"`.
        - `"circular_mean"`: the mean direction of angles in degrees.
        - `"mode"`: the most frequent value.
        - `"meter"`: a cumulative meter. Its readings at the bounds of the buckets are interpolated
          and kept, and those around resets and gaps stay at their own times, so that the energy
          between any two bounds is as before.

        A key that is not named keeps the mean, if its values are numbers and its field takes
        fractions, else the last value. None are named by default.
        """
        return {}

    def db_compact_max_gap(self) -> Duration | None:
        """Return the longest time between two values that counts as no gap.

        Over a longer one no meter reading is interpolated, and no value holds. It must not be
        shorter than an interval of the tiers. `None`, the default, is twice the interval of each
        tier.
        """
        return None

    def _db_get_compact_state(self, tier_interval: timedelta) -> DatabaseTimestamp | None:
        """Return up to where records are compacted to this interval."""
        sequence = cast("SequenceBase[Any]", self)
        sequence._db_enter()
        return compaction.cutoff_of(sequence, tier_interval)
