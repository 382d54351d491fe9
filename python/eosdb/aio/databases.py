"""The databases, asynchronously: every call is answered by a thread."""

from __future__ import annotations

import asyncio
import functools
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Final, Literal, ParamSpec, Self, TypeVar

from .. import lmdb_database, memory_database, sqlite_database
from .._core import Store
from ..native_database import NativeDatabase
from ..settings import DatabaseSettings
from .threads import in_turn

__all__ = ["LMDBDatabase", "MemoryDatabase", "SQLiteDatabase"]

_AT_A_TIME: Final = 1000
"""How many records are handed out before others get their turn."""

P = ParamSpec("P")
R = TypeVar("R")


def _asynchronous(
    method: Callable[Concatenate[Any, P], R],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    @functools.wraps(method)
    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        answer: R = await in_turn(getattr(self.blocking, method.__name__), *args, **kwargs)
        return answer

    return call


class _Database:
    """What the asynchronous databases have in common.

    As a context manager (`async with`) a database is open inside the block and closed after it.

    Attributes:
        blocking: The database to be used from threads, with the same methods.
    """

    blocking: NativeDatabase

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    async def __aenter__(self) -> Self:
        """Open the database unless it is open, and return it."""
        if not self.is_open:
            await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the database."""
        await self.close()

    @property
    def native_store(self) -> Store | None:
        """The store, for sequences to use directly; `None` while the database is closed."""
        return self.blocking.native_store

    @property
    def settings(self) -> DatabaseSettings:
        """How records are stored, loaded, saved and kept."""
        return self.blocking.settings

    @property
    def is_open(self) -> bool:
        """Whether the database is open."""
        return self.blocking.is_open

    @property
    def read_only(self) -> bool:
        """Whether changes are refused."""
        return bool(getattr(self.blocking, "read_only", False))

    @property
    def storage_path(self) -> Path:
        """Where the database lies."""
        return self.blocking.storage_path

    @property
    def compression_level(self) -> int:
        """Level of gzip for record values, 0 (off) to 9."""
        return self.blocking.compression_level

    @property
    def compression(self) -> bool:
        """Whether record values are compressed."""
        return self.blocking.compression

    def provider_id(self) -> str:
        """Return the name of the provider."""
        return self.blocking.provider_id()

    def serialize_data(self, data: bytes) -> bytes:
        """Return data in the form in which it is stored."""
        return self.blocking.serialize_data(data)

    def deserialize_data(self, data: bytes) -> bytes:
        """Return what :meth:`serialize_data` was given."""
        return self.blocking.deserialize_data(data)

    open = _asynchronous(NativeDatabase.open)
    close = _asynchronous(NativeDatabase.close)
    set_metadata = _asynchronous(NativeDatabase.set_metadata)
    get_metadata = _asynchronous(NativeDatabase.get_metadata)
    save_records = _asynchronous(NativeDatabase.save_records)
    delete_records = _asynchronous(NativeDatabase.delete_records)
    count_records = _asynchronous(NativeDatabase.count_records)
    get_key_range = _asynchronous(NativeDatabase.get_key_range)
    namespaces = _asynchronous(NativeDatabase.namespaces)
    flush = _asynchronous(NativeDatabase.flush)
    get_backend_stats = _asynchronous(NativeDatabase.get_backend_stats)

    async def iterate_records(
        self,
        start_key: bytes | None = None,
        end_key: bytes | None = None,
        namespace: str | None = None,
        reverse: bool = False,
    ) -> AsyncIterator[tuple[bytes, bytes]]:
        """Iterate over a snapshot of the records of `[start_key, end_key)`."""
        records = await in_turn(
            lambda: deque(self.blocking.iterate_records(start_key, end_key, namespace, reverse))
        )
        while records:
            await asyncio.sleep(0)  # the loop has other things to do
            for _ in range(min(_AT_A_TIME, len(records))):
                yield records.popleft()

    def __repr__(self) -> str:
        return f"<aio.{repr(self.blocking)[1:]}"


class LMDBDatabase(_Database):
    """A database in a directory, as :class:`eosdb.LMDBDatabase` is one; its methods are awaited."""

    blocking: lmdb_database.LMDBDatabase

    def __init__(
        self,
        storage_path: str | os.PathLike[str] | None = None,
        *,
        map_size: int = 16 * 1024**3,
        durability: Literal["commit", "interval", "none"] = "commit",
        read_only: bool = False,
        data_folder: str | os.PathLike[str] = ".",
        settings: DatabaseSettings | None = None,
    ) -> None:
        """Describe the database; :meth:`open`, or an `async with` block, opens it.

        Args:
            storage_path: As for :class:`eosdb.LMDBDatabase`, as are the others.
            map_size: How large the file may grow, in bytes.
            durability: When what is saved is on disk.
            read_only: Whether to refuse changes.
            data_folder: Akkudoktor-EOS's data folder.
            settings: How records are stored, loaded, saved and kept.

        Raises:
            InvalidArgumentError: If `map_size` is out of range.
        """
        self.blocking = lmdb_database.LMDBDatabase(
            storage_path,
            map_size=map_size,
            durability=durability,
            read_only=read_only,
            data_folder=data_folder,
            settings=settings,
        )

    copy_to = _asynchronous(lmdb_database.LMDBDatabase.copy_to)
    compact = _asynchronous(lmdb_database.LMDBDatabase.compact)


class SQLiteDatabase(_Database):
    """A database in a directory, as :class:`eosdb.SQLiteDatabase` is one; methods are awaited."""

    blocking: sqlite_database.SQLiteDatabase

    def __init__(
        self,
        storage_path: str | os.PathLike[str] | None = None,
        *,
        durability: Literal["commit", "none"] = "commit",
        read_only: bool = False,
        timeout: float = 10.0,
        data_folder: str | os.PathLike[str] = ".",
        settings: DatabaseSettings | None = None,
    ) -> None:
        """Describe the database; :meth:`open`, or an `async with` block, opens it.

        Args:
            storage_path: As for :class:`eosdb.SQLiteDatabase`, as are the others.
            durability: When what is saved is on disk.
            read_only: Whether to refuse changes.
            timeout: How many seconds a save waits for other processes.
            data_folder: Akkudoktor-EOS's data folder.
            settings: How records are stored, loaded, saved and kept.
        """
        self.blocking = sqlite_database.SQLiteDatabase(
            storage_path,
            durability=durability,
            read_only=read_only,
            timeout=timeout,
            data_folder=data_folder,
            settings=settings,
        )

    copy_to = _asynchronous(sqlite_database.SQLiteDatabase.copy_to)
    compact = _asynchronous(sqlite_database.SQLiteDatabase.compact)
    vacuum = _asynchronous(sqlite_database.SQLiteDatabase.vacuum)


class MemoryDatabase(_Database):
    """A database in memory, as :class:`eosdb.MemoryDatabase` is one; its methods are awaited."""

    def __init__(self, *, settings: DatabaseSettings | None = None) -> None:
        """Describe the database; :meth:`open`, or an `async with` block, opens it.

        Args:
            settings: How records are stored, loaded, saved and kept.
        """
        self.blocking = memory_database.MemoryDatabase(settings=settings)
