"""The one database, which is opened once and whose methods are coroutines."""

# mypy: ignore-errors

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from akkudoktoreos.core.backends import (
    METHODS,
    DatabaseCommonSettings,
    LMDBDatabase,
    SQLiteDatabase,
)
from akkudoktoreos.core.coreabc import ConfigMixin, SingletonMixin
from akkudoktoreos.core.databaseabc import DatabaseBackendABC

__all__ = [
    "Database",
    "DatabaseBackendABC",
    "DatabaseCommonSettings",
    "LMDBDatabase",
    "NoDB",
    "SQLiteDatabase",
]


def _nothing(_self: Any, *_args: Any, **_options: Any) -> None: ...


class NoDB(type("Nothing", (), dict.fromkeys(METHODS, _nothing)), DatabaseBackendABC):
    """The backend before there is one: it keeps nothing."""

    is_open = False

    def provider_id(self) -> str:
        return "NoDB"


def _of_backend(name: str) -> Callable[..., Any]:
    async def method(self: Database, *args: Any, **options: Any) -> Any:
        backend = await self.ensure_open(namespace=options.get("namespace"))
        return await asyncio.to_thread(getattr(backend, name), *args, **options)

    return method


_Delegating = type("Delegating", (), {name: _of_backend(name) for name in METHODS})


class Database(_Delegating, ConfigMixin, SingletonMixin):
    # Made when the module is imported: there is no configuration yet.
    _db: Any = NoDB()

    async def ensure_open(self, *, namespace: str | None = None) -> Any:
        provider = self.config.database.provider or "NoDB"
        if self._db.provider_id() != provider:
            self._db.close()
            self._db = {"LMDB": LMDBDatabase, "SQLite": SQLiteDatabase}.get(provider, NoDB)()
        if not self._db.is_open or namespace is not None:
            # An open backend makes the namespace ready, no more.
            await asyncio.to_thread(self._db.open, namespace=namespace)
        return self._db

    @property
    def is_open(self) -> bool:
        return self._db.is_open

    @property
    def storage_path(self) -> Any:
        return self._db.storage_path

    @property
    def compression_level(self) -> int:
        return self._db.compression_level

    @property
    def compression(self) -> bool:
        return self._db.compression

    def provider_id(self) -> str:
        return self._db.provider_id()

    open = ensure_open
