"""Sequences of records, read record by record in Python."""

# mypy: ignore-errors

from __future__ import annotations

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

from eosdb import DateTime

__all__ = ["DataABC", "DataRecord", "DataSequence"]


class DataSequence(SequenceBasics, DatabaseRecordProtocolMixin[DataRecord]):
    records: list[DataRecord] = Field(default_factory=list)

    def __len__(self) -> int:
        return self.db_count_records()

    def insert_by_datetime(self, record: DataRecord) -> None:
        self._validate_record(record)
        present = self.db_get_record(DatabaseTimestamp.from_datetime(record.date_time))
        if present is None:
            self.db_insert_record(record)
        else:
            overwrite(present, record)
            self.db_mark_dirty_record(present)

    def update_value(self, date: DateTime, key: str, value: Any) -> None:
        record = self.db_get_record(DatabaseTimestamp.from_datetime(date))
        if record is None:
            self.db_insert_record(self.record_class()(**{"date_time": date, key: value}))
        else:
            record[key] = value
            self.db_mark_dirty_record(record)

    def save(self) -> bool:
        return self.db_save_records() > 0

    def load(self) -> bool:
        return self.db_load_records() > 0


for _name, _reader in READERS.items():
    setattr(DataSequence, _name, _reader)
