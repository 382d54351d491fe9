"""What a sequence of records does: lookups by instant, changes, saving."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast, overload

from .data_record import DataRecord
from .datetimes import DateTime, to_datetime
from .errors import (
    ArgumentTypeError,
    DuplicateRecordError,
    InvalidArgumentError,
    UnknownKeyError,
)
from .timestamps import UNBOUND_WINDOW, DatabaseTimestamp

if TYPE_CHECKING:
    from .mixin import DatabaseRecordProtocolMixin

    _Mixin = DatabaseRecordProtocolMixin[Any]
else:
    _Mixin = object

__all__ = ["SequenceOperations", "insert_or_find", "merge"]


class SequenceOperations(_Mixin):
    """The operations of a sequence, on top of those of the mixin."""

    @property
    def min_datetime(self) -> DateTime | None:
        """The time of the first record in UTC, `None` if there is none."""
        first, _ = self.db_timestamp_range()
        return None if first is None else first.to_datetime()

    @property
    def max_datetime(self) -> DateTime | None:
        """The time of the last record in UTC, `None` if there is none."""
        _, last = self.db_timestamp_range()
        return None if last is None else last.to_datetime()

    # Lookups

    def get_by_datetime(
        self, target_datetime: datetime, *, time_window: timedelta | None = None
    ) -> Any:
        """Return the record at an instant.

        Args:
            target_datetime: The instant; fractions of a second are cut off.
            time_window: If given, and there is no record at the instant, the nearest within half
                of this to either side is returned.

        Returns:
            The record, or `None`.

        Raises:
            NaiveDatetimeError: If the datetime has no time zone.
        """
        return self.db_get_record(_checked(target_datetime), time_window=time_window)

    def get_nearest_by_datetime(
        self, target_datetime: datetime, time_window: timedelta | None = None
    ) -> Any:
        """Return the record nearest to an instant.

        Args:
            target_datetime: The instant.
            time_window: How far to look, half of it to either side; `None` is no limit.

        Returns:
            The record, or `None`. Of two equally near ones the later.

        Raises:
            InvalidArgumentError: If the window is negative.
        """
        window = UNBOUND_WINDOW if time_window is None else time_window
        return self.db_get_record(_checked(target_datetime), time_window=window)

    # Changes

    def insert_by_datetime(self, record: DataRecord) -> None:
        """Insert a record, or merge it into the one at the same second.

        Of a record that is merged, the values that are not `None` are taken over, configured ones
        one by one.

        Args:
            record: The record. Without a `date_time` it gets the present time.

        Raises:
            ArgumentTypeError: If it is no record of this sequence's class.
        """
        if not isinstance(record, self.record_class()):
            raise ArgumentTypeError(
                f"Value must be an instance of `{self.record_class().__name__}`, not {record!r}."
            )
        if record.date_time is None:
            record.date_time = to_datetime()
        existing = self.get_by_datetime(record.date_time)
        if existing is None:
            existing = insert_or_find(self, record)
        if existing is None:
            return
        merge(record, existing)
        self.db_mark_dirty_record(existing)

    @overload
    def update_value(self, date: datetime, key: str, value: Any, /) -> None: ...

    @overload
    def update_value(self, date: datetime, values: dict[str, Any], /) -> None: ...

    @overload
    def update_value(self, date: datetime, **values: Any) -> None: ...

    def update_value(self, date: datetime, *args: Any, **values: Any) -> None:
        """Set values of the record at an instant, which is created if there is none.

        Args:
            date: The instant.
            *args: A key and its value, or a dictionary of values by key.
            **values: Values by key.

        Raises:
            UnknownKeyError: If a key cannot be written.
            ValidationError: If a value does not fit its field.
            InvalidArgumentError: If the positional arguments are neither of the two forms, or a
                key is `date_time`.

        Whatever is raised, nothing is changed.
        """
        match args:
            case ():
                pass
            case (str() as key, value):
                values = {key: value, **values}
            case (dict() as given,):
                values = {**given, **values}
            case _:
                raise InvalidArgumentError(
                    f"Expected either 2 arguments (key, value) or 1 dictionary argument, "
                    f"not {args!r}"
                )
        self._check_writable(values)
        if "date_time" in values:
            raise InvalidArgumentError(
                "the date_time of a record is its place: delete it and insert it at its new time"
            )
        record = self.get_by_datetime(date)
        # Validating a whole record first finds what is wrong before anything is changed.
        new = self.record_class()(date_time=date, **values)
        if record is None:
            record = insert_or_find(self, new)
        if record is None:
            return
        for key in values:
            record[key] = new[key]
        self.db_mark_dirty_record(record)

    def key_from_lists(self, key: str, dates: Iterable[datetime], values: Iterable[Any]) -> None:
        """Set one key from dates and values of equal number.

        Args:
            key: The key.
            dates: The instants; records are created where there are none.
            values: The value for each of them.

        Raises:
            UnknownKeyError: If the key cannot be written.
            InvalidArgumentError: If there are more dates than values or the other way round.
            ValidationError: If a value does not fit the field.

        Whatever is raised, nothing is changed.
        """
        dates, values = list(dates), list(values)
        if len(dates) != len(values):
            raise InvalidArgumentError(f"{len(dates)} dates do not go with {len(values)} values")
        # Everything is validated before anything is changed.
        self._check_writable([key])
        make = self.record_class()
        for date, value in zip(dates, values, strict=True):
            DatabaseTimestamp.from_datetime(_checked(date))
            make(date_time=date, **{key: value})
        for date, value in zip(dates, values, strict=True):
            self.update_value(date, key, value)

    def delete_by_datetime(
        self, start_datetime: datetime | None = None, end_datetime: datetime | None = None
    ) -> int:
        """Delete the records of `[start_datetime, end_datetime)`.

        Args:
            start_datetime: The first instant inside; `None` is no bound.
            end_datetime: The first instant outside; `None` is no bound.

        Returns:
            How many there were.
        """
        return self.db_delete_records(
            cast("DatabaseTimestamp | None", start_datetime),
            cast("DatabaseTimestamp | None", end_datetime),
        )

    def key_delete_by_datetime(
        self,
        key: str,
        start_datetime: datetime | None = None,
        end_datetime: datetime | None = None,
    ) -> None:
        """Delete the value of one key from the records of `[start_datetime, end_datetime)`.

        Args:
            key: The key.
            start_datetime: The first instant inside; `None` is no bound.
            end_datetime: The first instant outside; `None` is no bound.

        Raises:
            UnknownKeyError: If the key cannot be written.
        """
        self._check_writable([key])
        for record in self.db_iterate_records(
            cast("DatabaseTimestamp | None", start_datetime),
            cast("DatabaseTimestamp | None", end_datetime),
        ):
            del record[key]
            self.db_mark_dirty_record(record)

    # Storage

    def save(self) -> bool:
        """Save everything unsaved in one transaction; return whether there was anything."""
        return self.db_save_records() > 0

    def load(self) -> bool:
        """Load all records as rows; return whether there were any to load."""
        return self.db_load_records() > 0

    def _check_writable(self, keys: Iterable[str]) -> None:
        writable = self.record_keys_writable
        for key in keys:
            if key not in writable:
                raise UnknownKeyError(f"Key '{key}' is not in writable record keys: {writable}")


def insert_or_find(sequence: Any, record: Any) -> Any:
    """Insert a record that was not there a moment ago.

    Args:
        sequence: The sequence.
        record: The record.

    Returns:
        `None`; where another thread was faster, the record that is there.
    """
    while True:
        try:
            sequence.db_insert_record(record)
        except DuplicateRecordError:
            existing = sequence.db_get_record(record.date_time)
            if existing is not None:
                return existing
        else:
            return None


def merge(record: Any, existing: Any) -> None:
    """Take over a record's values into another one.

    Args:
        record: The record. Of its fields those count that were set, and of these and the configured
            values those that are not `None`.
        existing: The record that gets them; it stays where it is.
    """
    for name in record.model_fields_set - {"date_time", "configured_data"}:
        value = getattr(record, name)
        if value is not None:
            setattr(existing, name, value)
    configured = {key: value for key, value in record.configured_data.items() if value is not None}
    existing.configured_data.update(configured)


def _checked(date: Any) -> datetime:
    if not isinstance(date, datetime):
        raise ArgumentTypeError(f"expected a datetime, not {date!r}")
    return date
