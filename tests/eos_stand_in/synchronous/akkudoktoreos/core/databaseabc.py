"""The database layer that eosdb stands in for, synchronous; its source tells that it is."""

# mypy: ignore-errors

from __future__ import annotations

from typing import Any, Generic, TypeVar

from akkudoktoreos.core import plain
from akkudoktoreos.core.coreabc import ConfigMixin, DatabaseMixin, SingletonMixin
from akkudoktoreos.core.plain import DatabaseTimestamp

__all__ = ["DatabaseABC", "DatabaseBackendABC", "DatabaseRecordProtocolMixin", "DatabaseTimestamp"]

T_Record = TypeVar("T_Record")


class DatabaseABC(ConfigMixin): ...


class DatabaseBackendABC(DatabaseABC, SingletonMixin): ...


class DatabaseRecordProtocolMixin(ConfigMixin, DatabaseMixin, Generic[T_Record]):
    def db_get_record(self, target_timestamp: Any, *, time_window: Any = None) -> Any:
        return plain.find(self, target_timestamp)

    def db_insert_record(self, record: Any, *, mark_dirty: bool = True) -> None:
        plain.insert(self, record)

    def db_mark_dirty_record(self, record: Any) -> None: ...

    def db_count_records(self) -> int:
        return len(self.records)

    def db_save_records(self) -> int:
        return plain.save(self, self.database._database())

    def db_load_records(self, start_timestamp: Any = None, end_timestamp: Any = None) -> int:
        return plain.load(self, self.database._database())
