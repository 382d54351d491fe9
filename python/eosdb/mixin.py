"""The mixin that makes a sequence of records lazily loaded and persistent.

The decisions are taken by the native core; this class gives them upstream's names and the hooks
that a sequence may override.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, cast

from . import compaction
from ._core import enter, read_metadata, timestamp_of, write_metadata
from .datetimes import to_datetime, to_duration
from .errors import EosdbError, InvalidArgumentError, LoadPhaseError
from .frames import Frames
from .instants import half_of
from .protocols import T_Record
from .retention import Retention
from .sequence_base import SequenceBase
from .timestamps import (
    UNBOUND_END,
    UNBOUND_START,
    UNBOUND_WINDOW,
    DatabaseRecordProtocolLoadPhase,
    DatabaseTimestamp,
    DatabaseTimestampType,
    DatabaseTimeWindowType,
    _DatabaseTimeWindowUnbound,
)

__all__ = ["DatabaseRecordMixin", "DatabaseRecordProtocolMixin"]


class DatabaseRecordProtocolMixin(Retention, Frames, SequenceBase[T_Record]):
    """Records of one namespace: in memory as far as they were asked for, in a database otherwise.

    A class that mixes this in names its records' class with :meth:`record_class` and its namespace
    with :meth:`db_namespace`, and may override every hook (`db_keep_duration`,
    `db_initial_time_window`, `db_compact_tiers`, `key_to_array`, `record_keys_writable`). Plain
    classes and pydantic models qualify.

    Every read answers from the *logical content*: what the database holds, overlaid by what this
    sequence inserted, changed and deleted and has not saved. Loading is a cache, never a filter.
    Bounds are half-open, `[start, end)`, in UTC seconds; `None` and the sentinels are no bound.

    Attributes:
        records: The loaded records, sorted by time; built as objects when they are asked for.
        database: The database, or `None`: then the records live in memory only.
    """

    # ---- state and metadata ----------------------------------------------------------------

    def _db_ensure_initialized(self) -> None:
        """Make the state, and have metadata in the database once it is open and can be written."""
        state = enter(self)
        if (
            self.db_enabled
            and not state.metadata_saved
            and self._db_metadata is not None
            and not getattr(self.database, "read_only", False)
        ):
            self._db_save_metadata(self._db_metadata)
            state.metadata_saved = True

    def _db_begin(self) -> None:
        """Read the metadata before anything else is done with the storage, whoever comes first."""
        state = self.__dict__["_db_state"]
        with state.guard:
            # The thread that reads them comes by here again.
            if state.storage_initialized or state.is_beginning:
                return
            state.is_beginning = True
            try:
                self._db_initialize_storage()
                state.storage_initialized = True
            finally:
                state.is_beginning = False

    def _db_initialize_storage(self) -> None:
        """Read the metadata of the namespace; what a new one gets is written by its first save."""
        if not self.db_enabled:
            return  # a store that stands for none
        metadata = self._db_load_metadata()
        self.__dict__["_db_state"].metadata_saved = metadata is not None
        if compaction.is_unfinished(metadata):
            try:
                compaction.finish(self, metadata)
            except Exception as error:  # noqa: BLE001  what can be read is read all the same
                compaction.logger.warning(
                    "an interrupted compaction of namespace '%s' waits for a database that can be "
                    "written: %s",
                    self.db_namespace(),
                    error,
                )
            else:
                return
        self._db_metadata = metadata or self._db_new_metadata()

    def _db_new_metadata(self) -> dict[str, Any]:
        return {
            "version": self._db_version,
            "created": to_datetime().isoformat(),
            "provider_id": getattr(self, "provider_id", lambda: "unknown")(),
            "compression": self.database.compression,
            "backend": type(self.database).__name__,
        }

    def _db_init_metadata(self) -> None:
        """Give the namespace new metadata."""
        self._db_metadata = self._db_new_metadata()
        self._db_save_metadata(self._db_metadata)

    def _db_load_metadata(self) -> dict[str, Any] | None:
        """Return the namespace's metadata; `None` if there is none, or none that can be read."""
        if not self.db_enabled:
            return None
        value = self._db_backend.get_metadata(namespace=self.db_namespace())
        if value is None:
            return None
        try:
            return read_metadata(value)
        except EosdbError as error:
            compaction.logger.warning(
                "metadata of namespace '%s' is not readable and will be replaced: %s",
                self.db_namespace(),
                error,
            )
            return None

    def _db_save_metadata(self, metadata: dict[str, Any]) -> None:
        """Write the namespace's metadata."""
        if self.db_enabled:
            self._db_backend.set_metadata(write_metadata(metadata), namespace=self.db_namespace())

    # ---- lookups ---------------------------------------------------------------------------

    def db_get_record(
        self,
        target_timestamp: DatabaseTimestamp | datetime,
        *,
        time_window: timedelta | DatabaseTimeWindowType = None,
    ) -> T_Record | None:
        """Return the record at an instant, or the nearest one.

        Args:
            target_timestamp: The instant; a `DatabaseTimestamp` or an aware datetime.
            time_window: `None` for an exact match only, `UNBOUND_WINDOW` for the nearest of all
                records, a duration for the nearest within half of it on either side (inclusive).
                Of two equally near records the later one.

        Returns:
            The record, or `None`.

        Raises:
            InvalidArgumentError: If the window is negative.
            DamagedRecordError: If the value at exactly this instant cannot be decoded.
        """
        state = enter(self)
        record: T_Record | None
        if time_window is None:
            record = state.get(target_timestamp)
            return record
        if isinstance(time_window, _DatabaseTimeWindowUnbound):
            if not state.phase:
                self._db_ensure_loaded(center_timestamp=target_timestamp)
            record = state.nearest(target_timestamp, None)
            return record
        reach = int(half_of(time_window).total_seconds() * 1_000_000)
        record = state.nearest(target_timestamp, reach)
        return record

    def db_previous_timestamp(self, timestamp: DatabaseTimestampType) -> DatabaseTimestamp | None:
        """Return the largest timestamp before the given one, or `None`."""
        return enter(self).neighbor(timestamp, True)

    def db_next_timestamp(self, timestamp: DatabaseTimestampType) -> DatabaseTimestamp | None:
        """Return the smallest timestamp after the given one, or `None`."""
        return enter(self).neighbor(timestamp, False)

    def db_timestamp_range(
        self,
    ) -> tuple[DatabaseTimestamp | None, DatabaseTimestamp | None]:
        """Return the timestamps of the first and the last record, `None` if there is none."""
        return enter(self).range()

    def db_count_records(self) -> int:
        """Return how many records there are, loaded or not, readable or not."""
        return enter(self).count()

    def db_iterate_records(
        self,
        start_timestamp: DatabaseTimestampType | None = None,
        end_timestamp: DatabaseTimestampType | None = None,
    ) -> Iterator[T_Record]:
        """Iterate over the records of `[start_timestamp, end_timestamp)`, sorted by time.

        Damaged values are reported to the log and skipped. Records inserted meanwhile behind the
        current one are met, deleted ones are not.
        """
        self._db_ensure_loaded(start_timestamp, end_timestamp)
        return cast("Iterator[T_Record]", enter(self).iterate(start_timestamp, end_timestamp))

    # ---- changes ---------------------------------------------------------------------------

    def db_insert_record(self, record: T_Record, *, mark_dirty: bool = True) -> None:
        """Insert a record at the second of its `date_time`.

        Args:
            record: The record. From now on the object itself is the row.
            mark_dirty: Whether the next save writes it.

        Raises:
            DuplicateRecordError: If there is a record at this second, loaded or not.
            NaiveDatetimeError: If its `date_time` has no time zone.
        """
        enter(self).insert(record, mark_dirty)

    def db_delete_records(
        self,
        start_timestamp: DatabaseTimestampType | None = None,
        end_timestamp: DatabaseTimestampType | None = None,
    ) -> int:
        """Delete the records of `[start_timestamp, end_timestamp)`; return how many there were."""
        return enter(self).delete(start_timestamp, end_timestamp)

    def db_mark_dirty_record(self, record: T_Record) -> None:
        """Have the next save write the record at the second of `record.date_time`.

        Raises:
            InvalidArgumentError: If the sequence has handed out or taken in no record there. Its
                second is a record's place: to move a record, delete it and insert it again.
        """
        timestamp = timestamp_of(record)
        if not enter(self).mark_dirty(timestamp):
            raise InvalidArgumentError(
                f"there is no record of this sequence at {timestamp} to be saved: insert it, or "
                "set its date_time back if it was changed"
            )

    # ---- loading ---------------------------------------------------------------------------

    def db_load_records(
        self,
        start_timestamp: DatabaseTimestampType | None = None,
        end_timestamp: DatabaseTimestampType | None = None,
    ) -> int:
        """Load the records of `[start_timestamp, end_timestamp)` as rows; no objects are built.

        Where records are loaded already and the range reaches beyond them, the neighbours outside
        of the range are loaded too, so that the nearest record is at hand.

        Returns:
            How many rows were newly loaded.
        """
        if not self.db_enabled:
            return 0
        state = enter(self)
        known = self._db_sorted_timestamps
        before = after = None
        if known and isinstance(start_timestamp, DatabaseTimestamp) and start_timestamp < known[0]:
            before = state.neighbor(start_timestamp, True)
        if known and isinstance(end_timestamp, DatabaseTimestamp) and end_timestamp > known[-1]:
            last = DatabaseTimestamp.from_datetime(end_timestamp.to_datetime().subtract(seconds=1))
            after = state.neighbor(last, False)
        loaded = state.load(before or start_timestamp, end_timestamp)
        if after is not None:
            loaded += state.load(end_timestamp, self._db_timestamp_after(after))
        return loaded

    def _db_ensure_loaded(
        self,
        start_timestamp: DatabaseTimestampType | None = None,
        end_timestamp: DatabaseTimestampType | None = None,
        *,
        center_timestamp: DatabaseTimestampType | datetime | None = None,
    ) -> None:
        """Load what a request needs and follow the phases NONE, INITIAL, FULL.

        With a centre and nothing loaded, an unbounded request needs the initial window only: it is
        a hint of what will be asked next. Otherwise the whole range is needed.
        """
        state = enter(self)
        if not self.db_enabled:
            return
        state.refresh()
        unbounded = start_timestamp in (None, UNBOUND_START) and end_timestamp in (
            None,
            UNBOUND_END,
        )
        if unbounded and center_timestamp is not None:
            if self._db_load_phase is DatabaseRecordProtocolLoadPhase.NONE:
                self._db_load_initial_window(center_timestamp)
        elif unbounded:
            if not state.covers(None, None):
                state.load(None, None)
            self._db_load_phase = DatabaseRecordProtocolLoadPhase.FULL
        else:
            if not state.covers(start_timestamp, end_timestamp):
                self.db_load_records(start_timestamp, end_timestamp)
            if self._db_load_phase is DatabaseRecordProtocolLoadPhase.NONE:
                self._db_load_phase = DatabaseRecordProtocolLoadPhase.INITIAL

    def _db_load_initial_window(
        self, center_timestamp: DatabaseTimestampType | datetime | None = None
    ) -> None:
        """Load the window around a centre (now by default) that is needed first."""
        if not self.db_enabled:
            return
        if self._db_load_phase is not DatabaseRecordProtocolLoadPhase.NONE:
            raise LoadPhaseError(
                "_db_load_initial_window() may only be called when load phase is NONE."
            )
        window: DatabaseTimeWindowType = self.db_initial_time_window()
        hours = self._db_settings().initial_load_window_h
        if window is None:
            window = UNBOUND_WINDOW if hours is None else to_duration(hours * 3600)
        self.db_load_records(*self._search_window(center_timestamp, window))
        self._db_load_phase = DatabaseRecordProtocolLoadPhase.INITIAL

    def _db_load_full(self) -> int:
        """Load everything; return how many rows were newly loaded."""
        if not self.db_enabled:
            return 0
        if self._db_load_phase is DatabaseRecordProtocolLoadPhase.FULL:
            raise LoadPhaseError(
                "_db_load_full() may only be called when load phase is NONE or INITIAL."
            )
        loaded = self.db_load_records()
        self._db_load_phase = DatabaseRecordProtocolLoadPhase.FULL
        return loaded

    # ---- saving ----------------------------------------------------------------------------

    def db_save_records(self) -> int:
        """Save everything pending in one transaction: all of it or, on any error, nothing.

        Returns:
            How many records were written and deleted.

        Raises:
            DiskFullError: If there is no space; everything stays pending.
        """
        if not self.db_enabled:
            return 0
        state = enter(self)
        with self._db_saving():
            if compaction.is_unfinished(self._db_metadata):
                # What is saved now must come after it.
                compaction.finish(self, self._db_metadata)
            new = None if state.metadata_saved else self._db_metadata
            return state.save(None if new is None else write_metadata(new))

    def _db_saving(self) -> Any:
        """Return a lock under which saves, and what writes metadata, follow one another.

        Otherwise an older content might overwrite a newer one.
        """
        return enter(self).guard

    def db_autosave(self) -> int:
        """Save everything pending; see :meth:`db_save_records`."""
        return self.db_save_records()

    # ---- statistics ------------------------------------------------------------------------

    def db_get_stats(self) -> dict[str, Any]:
        """Return figures about the records and their storage."""
        if not self.db_enabled:
            return {"enabled": False}
        database, backend = self.database, self._db_backend
        namespace = self.db_namespace()
        settings = self._db_settings()
        first, last = self.db_timestamp_range()
        return {
            "enabled": True,
            "backend": type(database).__name__,
            "path": str(database.storage_path),
            "memory_records": len(self.records),
            "compression_enabled": database.compression,
            "keep_duration_h": settings.keep_duration_h,
            "autosave_interval_sec": settings.autosave_interval_sec,
            "total_records": backend.count_records(namespace=namespace),
            **backend.get_backend_stats(namespace=namespace),
            "timestamp_range": {"min": str(first), "max": str(last)},
        }


DatabaseRecordMixin = DatabaseRecordProtocolMixin
