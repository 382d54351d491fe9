"""How the Python reference compacts and vacuums: read by key, delete row by row, insert anew.

As in Akkudoktor-EOS, the tier of the oldest records comes first, and each tier covers all that is
older than its age: one array for each key, then all records of the window are deleted and one is
inserted for each bucket. So the finer tier, which comes last, fills the hours of the coarser one
with interpolated quarters. That is kept, as it is part of what it costs; what Akkudoktor-EOS does
besides where a window has few records is not, as the benchmark has none.
"""

from __future__ import annotations

import pickle
from typing import Any

import pendulum
from reference import METADATA_KEY, Stamp
from reference_reading import ReferenceReader

Tier = tuple[pendulum.Duration, pendulum.Duration]

DEFAULT_TIERS: tuple[Tier, ...] = (
    (pendulum.duration(hours=2), pendulum.duration(minutes=15)),
    (pendulum.duration(days=14), pendulum.duration(hours=1)),
)


def floored(moment: Any, seconds: int) -> Any:
    """Return the last multiple of some seconds since 1970 up to a moment, in UTC."""
    return pendulum.from_timestamp(int(moment.timestamp()) // seconds * seconds)


class ReferenceCompactor(ReferenceReader):
    """A sequence that can thin out and drop what is old."""

    def db_vacuum(self, *, keep_timestamp: Stamp) -> int:
        """Delete what is older than a stamp and save; return how many records that were."""
        deleted = self.delete_by_datetime(None, keep_timestamp.to_datetime())
        self.db_save_records()
        return deleted

    def db_compact(self, tiers: tuple[Tier, ...] = DEFAULT_TIERS) -> int:
        """Bring old records to coarser intervals, and save.

        Args:
            tiers: From which age on which interval is enough, the shortest age first.

        Returns:
            How many records were replaced, those that were replaced twice counted twice.
        """
        return sum(self._compact_tier(age, interval) for age, interval in reversed(tiers))

    def _compact_tier(self, age: pendulum.Duration, interval: pendulum.Duration) -> int:
        seconds = int(interval.total_seconds())
        ends = self._ends()
        if ends is None:
            return 0
        oldest, newest = ends
        name = f"last_compact_cutoff_{seconds}"
        cutoff = floored(newest.to_datetime() - age, seconds)
        done = self._metadata().get(name)
        first = oldest if done is None else Stamp(done)
        if first >= Stamp.from_datetime(cutoff):
            return 0

        start = floored(first.to_datetime(), seconds)
        arrays = {
            key: self.key_to_array(
                key,
                start,
                cutoff,
                interval=interval,
                fill_method="time",
                boundary="context",
                align_to_interval=True,
            )
            for key in self._value_keys()
        }
        deleted = self.delete_by_datetime(start, cutoff)
        record_class = self.record_class()
        for number, row in enumerate(zip(*arrays.values(), strict=True)):
            values: dict[str, Any] = {
                key: value for key, value in zip(arrays, row, strict=True) if value is not None
            }
            if values:
                moment = start.add(seconds=number * seconds)
                self.db_insert_record(record_class(date_time=moment, **values))
        self.db_save_records()
        metadata = {**self._metadata(), name: str(Stamp.from_datetime(cutoff))}
        self._store.put(self._name, [(METADATA_KEY, pickle.dumps(metadata))])
        return deleted

    def _value_keys(self) -> list[str]:
        record_class = self.record_class()
        names = [*record_class.model_fields, *(record_class.configured_data_keys() or ())]
        return [name for name in names if name not in {"date_time", "configured_data"}]

    def _metadata(self) -> dict[str, Any]:
        handle = self._store.environment.open_db(self._name.encode())
        with self._store.environment.begin(db=handle) as transaction:
            value = transaction.get(METADATA_KEY)
        return {} if value is None else dict(pickle.loads(value))

    def _ends(self) -> tuple[Stamp, Stamp] | None:
        """Return the first and the last stamp, in memory or in storage; None if there is none."""
        stamps = [self._stamps[0], self._stamps[-1]] if self._stamps else []
        handle = self._store.environment.open_db(self._name.encode())
        with self._store.environment.begin(db=handle) as transaction:
            cursor = transaction.cursor()
            for there, onwards in ((cursor.first, cursor.next), (cursor.last, cursor.prev)):
                if there() and (cursor.key() != METADATA_KEY or onwards()):
                    stamps.append(Stamp(cursor.key().decode()))
        return (min(stamps), max(stamps)) if stamps else None
