"""What sequences have in common, be they synchronous or asynchronous.

This is what needs no access to storage: the hooks that a class may override, the names under which
the state is seen, copies, and arithmetic with timestamps.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Self, cast

from pydantic import FieldSerializationInfo, SerializerFunctionWrapHandler, field_serializer

from ._core import SequenceState, enter
from .datetimes import Duration, to_datetime
from .errors import ArgumentTypeError, InvalidArgumentError
from .instants import half_of, later, shifted
from .protocols import T_Record
from .record_list import RecordsAttribute
from .retention_policy import RetentionPolicy
from .settings import DatabaseSettings
from .state_views import StateViews
from .timestamps import (
    UNBOUND_END,
    UNBOUND_START,
    DatabaseTimestamp,
    DatabaseTimestampType,
    DatabaseTimeWindowType,
    _DatabaseTimestampUnbound,
    _DatabaseTimeWindowUnbound,
)

__all__ = ["SequenceBase"]


class SequenceBase(StateViews, RetentionPolicy, Generic[T_Record]):
    """The hooks of a sequence, and what needs no access to storage.

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

    # ---- state ------------------------------------------------------------------------------

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

    @property
    def _db_backend(self) -> Any:
        """The database with methods that can be called at once and return what they say."""
        return self.database

    def model_post_init(self, context: Any, /) -> None:
        """Make the state as soon as pydantic has built the model."""
        super().model_post_init(context)  # type: ignore[misc]
        enter(self)

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
SequenceBase._db_serialize_records = field_serializer(  # type: ignore[attr-defined]
    "records", mode="wrap", check_fields=False
)(_serialize_records)
