"""The database layer that eosdb stands in for, asynchronous; its source tells that it is."""

# mypy: ignore-errors

from __future__ import annotations

from typing import Any, Generic, TypeVar

from akkudoktoreos.core import plain
from akkudoktoreos.core.coreabc import ConfigMixin, DatabaseMixin, SingletonMixin
from akkudoktoreos.core.plain import DatabaseTimestamp

__all__ = ["DatabaseBackendABC", "DatabaseRecordProtocolMixin", "DatabaseTimestamp"]

T_Record = TypeVar("T_Record")


class DatabaseBackendABC(ConfigMixin, SingletonMixin): ...


class DatabaseRecordProtocolMixin(ConfigMixin, DatabaseMixin, Generic[T_Record]):
    async def db_get_record(self, target_timestamp: Any, *, time_window: Any = None) -> Any:
        return plain.find(self, target_timestamp)

    async def db_insert_record(self, record: Any, *, mark_dirty: bool = True) -> None:
        plain.insert(self, record)

    async def db_mark_dirty_record(self, record: Any) -> None: ...

    async def db_count_records(self) -> int:
        return len(self.records)

    async def db_save_records(self) -> int:
        return plain.save(self, await self.database.ensure_open())

    async def db_load_records(self, start_timestamp: Any = None, end_timestamp: Any = None) -> int:
        return plain.load(self, await self.database.ensure_open())
