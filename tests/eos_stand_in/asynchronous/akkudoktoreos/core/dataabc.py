"""Sequences of records, read record by record in Python, by coroutines."""

# mypy: ignore-errors

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from akkudoktoreos.core.databaseabc import DatabaseRecordProtocolMixin, DatabaseTimestamp
from akkudoktoreos.core.records import (
    READERS,
    DataABC,
    DataRecord,
    SequenceBasics,
    overwrite,
)
from pydantic import Field

__all__ = ["DataABC", "DataRecord", "DataSequence"]


class DataSequence(SequenceBasics, DatabaseRecordProtocolMixin[DataRecord]):
    records: list[DataRecord] = Field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records)

    async def _insert_by_datetime(self, record: DataRecord) -> None:
        self._validate_record(record)
        present = await self.db_get_record(DatabaseTimestamp.from_datetime(record.date_time))
        if present is None:
            await self.db_insert_record(record)
        else:
            overwrite(present, record)
            await self.db_mark_dirty_record(present)

    async def insert_by_datetime(self, record: DataRecord) -> None:
        await self._insert_by_datetime(record)

    async def _save(self) -> bool:
        return await self.db_save_records() > 0

    async def _load(self) -> bool:
        return await self.db_load_records() > 0

    async def save(self) -> bool:
        return await self._save()

    async def load(self) -> bool:
        return await self._load()


def _awaited(reader: Callable[..., Any]) -> Callable[..., Any]:
    async def read(self: DataSequence, *arguments: Any) -> Any:
        return reader(self, *arguments)

    return read


for _name, _reader in READERS.items():
    setattr(DataSequence, _name, _awaited(_reader))
