"""The mixin that makes a sequence of records lazily loaded and persistent.

The decisions are taken by the native core; this class gives them upstream's names and the hooks
that a sequence may override.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Self, cast

from pydantic import FieldSerializationInfo, SerializerFunctionWrapHandler, field_serializer

from . import compaction
from ._core import SequenceState, enter, read_metadata, timestamp_of, write_metadata
from .datetimes import Duration, to_datetime, to_duration
from .errors import (
    ArgumentTypeError,
    EosdbError,
    InvalidArgumentError,
    LoadPhaseError,
)
from .frames import Frames
from .instants import half_of, later, shifted
from .protocols import T_Record
from .record_list import RecordsAttribute
from .retention import Retention
from .settings import DatabaseSettings
from .state_views import StateViews
from .timestamps import (
    UNBOUND_END,
    UNBOUND_START,
    UNBOUND_WINDOW,
    DatabaseRecordProtocolLoadPhase,
    DatabaseTimestamp,
    DatabaseTimestampType,
    DatabaseTimeWindowType,
    _DatabaseTimestampUnbound,
    _DatabaseTimeWindowUnbound,
)

__all__ = ["DatabaseRecordMixin", "DatabaseRecordProtocolMixin"]

_SAVING = threading.RLock()
"""Saves follow one another, so that an older content never overwrites a newer one."""


class DatabaseRecordProtocolMixin(StateViews, Retention, Frames, Generic[T_Record]):
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

    if TYPE_CHECKING:
        records: list[T_Record]

        @classmethod
        def record_class(cls) -> type[T_Record]:
            """Return the class of the records."""

        @property
        def record_keys_writable(self) -> list[str]:
            """Return the keys of a record that can be written."""

    else:
        records = RecordsAttribute()

    # ---- what a sequence works with --------------------------------------------------------

    @property
    def database(self) -> Any:
        """The database, or `None`. Another one can be assigned at any time."""
        state = self.__dict__.get("_db_state")
        return None if state is None else state.database

    @database.setter
    def database(self, database: Any) -> None:
        if database is not None and not hasattr(database, "is_open"):
            raise ArgumentTypeError(
                f"{database!r} is no database: assign one with the methods of DatabaseABC, or None"
            )
        enter(self).database = database

    def _db_settings(self) -> Any:
        config = getattr(self, "config", None)
        if config is not None:
            return config.database
        return getattr(self.database, "settings", None) or DatabaseSettings()

    @property
    def db_enabled(self) -> bool:
        """Whether there is an open database."""
        database = self.database
        return database is not None and bool(database.is_open)

    def db_namespace(self) -> str:
        """Return the namespace of the records in the database; a sequence must define it."""
        raise NotImplementedError(
            f"{type(self).__name__} must define db_namespace() to be kept in a database"
        )

    def db_initial_time_window(self) -> Duration | None:
        """Return the width of the window loaded first; `None` leaves it to the settings."""
        return None

    # ---- state and metadata ----------------------------------------------------------------

    def __init_subclass__(cls, **options: Any) -> None:
        """Have copies of every subclass's instances separated from the original at once."""
        super().__init_subclass__(**options)
        copy = cls.__copy__
        if not hasattr(copy, "_db_separates"):
            cls.__copy__ = _separating(copy)  # type: ignore[method-assign]

    def __copy__(self) -> Self:
        """Return a shallow copy: the same record objects, with changes of its own."""
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy

    def _db_enter(self) -> SequenceState:
        return enter(self)

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

    def model_post_init(self, context: Any, /) -> None:
        """Make the state as soon as pydantic has built the model."""
        super().model_post_init(context)  # type: ignore[misc]
        enter(self)

    def _db_initialize_storage(self) -> None:
        """Read the metadata of the namespace; what a new one gets is written by its first save."""
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
        self._db_metadata = metadata or {
            "version": self._db_version,
            "created": to_datetime().isoformat(),
            "provider_id": getattr(self, "provider_id", lambda: "unknown")(),
            "compression": self.database.compression,
            "backend": type(self.database).__name__,
        }

    def _db_load_metadata(self) -> dict[str, Any] | None:
        """Return the namespace's metadata; `None` if there is none, or none that can be read."""
        if not self.db_enabled:
            return None
        value = self.database.get_metadata(namespace=self.db_namespace())
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
            self.database.set_metadata(write_metadata(metadata), namespace=self.db_namespace())

    def _db_reset_state(self) -> None:
        """Forget everything in memory, saved or not."""
        del self._db_initialized

    def _db_clone_empty(self) -> Self:
        """Return a copy that shares the database and knows no records."""
        clone = cast("Self", self.model_copy(deep=True))  # type: ignore[attr-defined]
        clone._db_reset_state()
        return clone

    # ---- timestamps ------------------------------------------------------------------------

    def _db_key_from_timestamp(self, dt: DatabaseTimestamp) -> bytes:
        return dt.encode("ascii")

    def _db_key_to_timestamp(self, dbkey: bytes) -> DatabaseTimestamp:
        timestamp = DatabaseTimestamp(dbkey.decode("ascii", errors="backslashreplace"))
        timestamp.to_datetime()  # tells of a key that is no timestamp
        return timestamp

    def _db_timestamp_after(self, timestamp: DatabaseTimestamp) -> DatabaseTimestamp:
        return later(timestamp.to_datetime(), timedelta(seconds=1))

    def db_generate_timestamps(
        self,
        start_timestamp: DatabaseTimestamp,
        values_count: int,
        interval: timedelta | None = None,
    ) -> Iterator[DatabaseTimestamp]:
        """Generate evenly spaced timestamps; the spacing is the same across DST changes.

        Args:
            start_timestamp: The first one.
            values_count: How many.
            interval: The distance between two, in whole seconds; one hour by default.

        Yields:
            The timestamps, in UTC.

        Raises:
            InvalidArgumentError: If `values_count` is negative.
            TimestampRangeError: If a timestamp lies beyond the year 9999.
        """
        if values_count < 0:
            raise InvalidArgumentError(f"values_count must be non-negative, not {values_count}")
        step = 3600 if interval is None else int(interval.total_seconds())
        start = start_timestamp.to_datetime()
        for count in range(values_count):
            yield later(start, timedelta(seconds=count * step))

    def _search_window(
        self,
        center_timestamp: DatabaseTimestampType | datetime | None,
        time_window: timedelta | DatabaseTimeWindowType,
    ) -> tuple[DatabaseTimestampType, DatabaseTimestampType]:
        """Return the bounds of the window around a centre (now by default)."""
        if time_window is None or isinstance(time_window, _DatabaseTimeWindowUnbound):
            return UNBOUND_START, UNBOUND_END
        if isinstance(center_timestamp, _DatabaseTimestampUnbound):
            raise ArgumentTypeError("center_timestamp cannot be of unbounded timestamp type.")
        half = half_of(time_window).total_seconds()
        center: datetime | None = None
        if isinstance(center_timestamp, DatabaseTimestamp):
            center = center_timestamp.to_datetime()
        elif center_timestamp is None or isinstance(center_timestamp, datetime):
            center = to_datetime(center_timestamp)
        else:
            raise ArgumentTypeError(
                f"center_timestamp must be a DatabaseTimestamp or a datetime, not "
                f"{center_timestamp!r}"
            )
        return shifted(center, -half), shifted(center, half)

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

    def _db_range_covered(
        self, start_timestamp: DatabaseTimestampType, end_timestamp: DatabaseTimestampType
    ) -> bool:
        """Return whether all of `[start_timestamp, end_timestamp)` was read from storage."""
        for name, bound in (("start", start_timestamp), ("end", end_timestamp)):
            if not isinstance(bound, str):
                raise ArgumentTypeError(
                    f"{name}_timestamp must be a DatabaseTimestamp or a sentinel, not {bound!r}"
                )
        return enter(self).covers(start_timestamp, end_timestamp)

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
            return state.save(None if new is None else write_metadata(new), even_alone=False)

    def _db_saving(self) -> Any:
        """Return a lock under which saves, and what writes metadata, follow one another."""
        return _SAVING

    def db_autosave(self) -> int:
        """Save everything pending; see :meth:`db_save_records`."""
        return self.db_save_records()

    # ---- statistics ------------------------------------------------------------------------

    def db_get_stats(self) -> dict[str, Any]:
        """Return figures about the records and their storage."""
        if not self.db_enabled:
            return {"enabled": False}
        database = self.database
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
            "total_records": database.count_records(namespace=namespace),
            **database.get_backend_stats(namespace=namespace),
            "timestamp_range": {"min": str(first), "max": str(last)},
        }

    def db_damaged_records(self) -> list[tuple[str, str]]:
        """Return what was found unreadable so far: keys with their causes.

        A damaged value, under its `DatabaseTimestamp`, is counted, and skipped by everything but
        an exact lookup, which raises. Deleting it, by a range that holds it, removes it from
        storage at the next save. A key that is no timestamp, given as text, is counted and left
        alone; the database's `delete_records` removes it.
        """
        return enter(self).damaged()


def _separating(copy: Any) -> Any:
    @functools.wraps(copy)
    def separated(self: Any) -> Any:
        copied = copy(self)
        enter(copied)
        return copied

    separated._db_separates = True  # type: ignore[attr-defined]
    return separated


def _serialize_records(
    self: Any,
    records: Any,
    handler: SerializerFunctionWrapHandler,
    info: FieldSerializationInfo,
) -> Any:
    # The list in `__dict__` makes its items when asked for; pydantic wants a list that has them.
    del records, info
    return handler(list(self.records))


# Without a return annotation pydantic keeps the field's own JSON schema.
del _serialize_records.__annotations__["return"]
DatabaseRecordProtocolMixin._db_serialize_records = field_serializer(  # type: ignore[attr-defined]
    "records", mode="wrap", check_fields=False
)(_serialize_records)

DatabaseRecordMixin = DatabaseRecordProtocolMixin
