"""What records and sequences of records must offer, as structural types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, Self, TypeVar

from .datetimes import DateTime, Duration
from .timestamps import DatabaseTimestamp, DatabaseTimestampType

__all__ = [
    "DataRecordProtocol",
    "DatabaseRecordProtocol",
    "T_DatabaseRecordProtocol",
    "T_Record",
]


class DataRecordProtocol(Protocol):
    """A record: values that hold at one instant."""

    def __init__(self, date_time: Any) -> None:
        """Create a record of the given instant."""

    @property
    def date_time(self) -> DateTime | None:
        """The instant the record belongs to."""

    def __getitem__(self, key: str) -> Any:
        """Return the value of `key`."""

    def model_dump(self) -> dict[str, Any]:
        """Return the record as plain data, the form in which it is stored."""


T_Record = TypeVar("T_Record", bound=DataRecordProtocol)


class DatabaseRecordProtocol(Protocol[T_Record]):
    """A sequence of records that a database keeps.

    Bounds are half-open: `start_timestamp` belongs to the range, `end_timestamp` does not, and
    `None` means unbounded.
    """

    records: list[T_Record]

    def model_post_init(self, context: Any, /) -> None:
        """Prepare the database state once the fields are set."""

    def model_copy(self, *, deep: bool = False) -> Self:
        """Return a copy of the sequence."""

    @classmethod
    def record_class(cls) -> type[T_Record]:
        """Return the class of the records."""

    def db_keep_duration(self) -> Duration | None:
        """Return how long records are kept in storage; `None` for the database's setting."""

    def db_namespace(self) -> str:
        """Return the namespace that holds the records."""

    def _db_reset_state(self) -> None:
        """Forget everything that was loaded or is pending."""

    @property
    def db_enabled(self) -> bool:
        """Whether a database is attached and open."""

    def db_timestamp_range(self) -> tuple[DatabaseTimestampType, DatabaseTimestampType]:
        """Return the first and the last timestamp."""

    def db_generate_timestamps(
        self,
        start_timestamp: DatabaseTimestamp,
        values_count: int,
        interval: Duration | None = None,
    ) -> Iterator[DatabaseTimestamp]:
        """Generate `values_count` timestamps from `start_timestamp` on, `interval` apart."""

    def db_get_record(self, target_timestamp: DatabaseTimestamp) -> T_Record | None:
        """Return the record at the timestamp, if there is one."""

    def db_insert_record(self, record: T_Record, *, mark_dirty: bool = True) -> None:
        """Insert a record at a timestamp that is still free."""

    def db_iterate_records(
        self,
        start_timestamp: DatabaseTimestampType | None = None,
        end_timestamp: DatabaseTimestampType | None = None,
    ) -> Iterator[T_Record]:
        """Iterate over the records in the range, in ascending order."""

    def db_load_records(
        self,
        start_timestamp: DatabaseTimestampType | None = None,
        end_timestamp: DatabaseTimestampType | None = None,
    ) -> int:
        """Load the records in the range and return how many were new."""

    def db_delete_records(
        self,
        start_timestamp: DatabaseTimestampType | None = None,
        end_timestamp: DatabaseTimestampType | None = None,
    ) -> int:
        """Delete the records in the range and return how many there were."""

    def db_mark_dirty_record(self, record: T_Record) -> None:
        """Note that a record has changed and must be saved."""

    def db_save_records(self) -> int:
        """Save what is pending and return the number of records written or deleted."""

    def db_autosave(self) -> int:
        """Save what is pending, on behalf of a timer."""

    def db_vacuum(
        self,
        keep_hours: int | None = None,
        keep_datetime: DatabaseTimestampType | None = None,
    ) -> int:
        """Delete records that are past keeping and return their number."""

    def db_count_records(self) -> int:
        """Return the number of records."""

    def db_get_stats(self) -> dict[str, Any]:
        """Return figures about the stored records."""


T_DatabaseRecordProtocol = TypeVar("T_DatabaseRecordProtocol", bound="DatabaseRecordProtocol[Any]")
