"""The database settings, and plain backends, which both kinds of EOS have in common."""

# mypy: ignore-errors

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lmdb
from pydantic import BaseModel

from akkudoktoreos.core.databaseabc import DatabaseBackendABC

METHODS = (
    *("open", "close", "flush", "get_metadata", "set_metadata", "get_backend_stats"),
    *("save_records", "delete_records", "iterate_records", "count_records", "get_key_range"),
)
"""What the one database has its backend do."""


class DatabaseCommonSettings(BaseModel):
    provider: str | None = None
    compression_level: int = 9
    initial_load_window_h: int | None = None
    keep_duration_h: int | None = None
    autosave_interval_sec: int | None = 10
    compaction_interval_sec: int | None = 3600
    batch_size: int = 100


class LMDBDatabase(DatabaseBackendABC):
    """As little of a database as reading and writing records takes."""

    env: Any = None

    def __init__(self, map_size: int = 2**26, **options: Any) -> None:
        super().__init__(**options)
        self.map_size = map_size

    @property
    def is_open(self) -> bool:
        return self.env is not None

    def provider_id(self) -> str:
        return "LMDB"

    def open(self, namespace: str | None = None) -> None:
        if self.env is None:
            folder = self.config.general.data_folder_path / "db" / "lmdbdatabase"
            folder.mkdir(parents=True, exist_ok=True)
            self.env = lmdb.open(str(folder), map_size=self.map_size, max_dbs=8)

    def close(self) -> None:
        if self.env is not None:
            self.env.close()
        self.env = None

    def save_records(self, records: list[tuple[bytes, bytes]], namespace: str) -> int:
        with self.env.begin(write=True, db=self.env.open_db(namespace.encode())) as transaction:
            return sum(transaction.put(key, value) for key, value in records)

    def iterate_records(self, namespace: str) -> Iterator[tuple[bytes, bytes]]:
        with self.env.begin(db=self.env.open_db(namespace.encode())) as transaction:
            yield from [(k, v) for k, v in transaction.cursor() if k != b"__metadata__"]


class SQLiteDatabase(DatabaseBackendABC):
    """Only its name, which is what eosdb puts its own backend under."""

    def provider_id(self) -> str:
        return "SQLite"
