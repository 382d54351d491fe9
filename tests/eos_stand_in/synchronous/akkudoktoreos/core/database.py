"""The one database, which opens its backend when it is used."""

# mypy: ignore-errors

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from akkudoktoreos.core.backends import (
    METHODS,
    DatabaseCommonSettings,
    LMDBDatabase,
    SQLiteDatabase,
)
from akkudoktoreos.core.coreabc import SingletonMixin
from akkudoktoreos.core.databaseabc import DatabaseABC, DatabaseBackendABC

__all__ = [
    "Database",
    "DatabaseBackendABC",
    "DatabaseCommonSettings",
    "LMDBDatabase",
    "SQLiteDatabase",
]


def _of_backend(name: str) -> Callable[..., Any]:
    def method(self: Database, *args: Any, **options: Any) -> Any:
        return getattr(self._database(), name)(*args, **options)

    return method


_Delegating = type("Delegating", (), {name: _of_backend(name) for name in METHODS})


class Database(_Delegating, DatabaseABC, SingletonMixin):
    _db: Any = None

    def _database(self) -> Any:
        provider = self.config.database.provider
        if provider is None:
            raise RuntimeError("there is no database configured")
        if self._db is None or self._db.provider_id() != provider:
            self._db = {"LMDB": LMDBDatabase, "SQLite": SQLiteDatabase}[provider]()
        if not self._db.is_open:
            self._db.open()
        return self._db

    @property
    def is_open(self) -> bool:
        try:
            return self._database().is_open
        except Exception:  # noqa: BLE001  # whatever it is
            return False

    @property
    def storage_path(self) -> Any:
        return self._database().storage_path

    @property
    def compression_level(self) -> int:
        return self._database().compression_level

    def provider_id(self) -> str:
        return self._database().provider_id()
