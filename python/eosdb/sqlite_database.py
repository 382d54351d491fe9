"""The database in an SQLite file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from ._core import Store
from .errors import DatabaseClosedError, ReadOnlyError
from .native_database import NativeDatabase
from .settings import DatabaseSettings

__all__ = ["SQLiteDatabase"]


class SQLiteDatabase(NativeDatabase):
    """A database in a directory, as the SQLite file `data.db` with namespaces as a column.

    The tables are those of Akkudoktor-EOS; either reads what the other wrote. Any number of
    processes may use the file: readers wait for nobody, and writers for one another.

    In one process only eosdb may have the file open, and not Python's `sqlite3` beside it, which is
    a library of its own: when that closes the file, the system takes the locks of both from it.

    Example:
        >>> from tempfile import mkdtemp
        >>> with SQLiteDatabase(mkdtemp()) as db:
        ...     db.save_records([(b"20260101T000000Z", b"value")], "house")
        1
    """

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
        """Describe the database; :meth:`open`, or a `with` block, opens it.

        Args:
            storage_path: The directory. If it is not given, `<data_folder>/db/sqlitedatabase`,
                where Akkudoktor-EOS keeps its database.
            durability: `"commit"`: every save is on disk when it returns. `"none"`: a crash of the
                machine may lose the saves since the last :meth:`flush`; the database is never
                damaged.
            read_only: Whether to refuse changes; the file must then exist.
            timeout: How many seconds a save waits for other processes that are writing.
            data_folder: Akkudoktor-EOS's data folder, the current folder by default.
            settings: How records are stored, loaded, saved and kept; the defaults if not given.
        """
        super().__init__(storage_path, data_folder=data_folder, settings=settings)
        self.durability = durability
        self.read_only = read_only
        self.timeout = timeout

    def provider_id(self) -> str:
        """Return `"SQLite"`."""
        return "SQLite"

    @property
    def db_file(self) -> Path:
        """The file."""
        return self.storage_path / "data.db"

    def _open_store(self) -> Store:
        store = Store.sqlite(self.storage_path, self.durability, self.read_only, self.timeout)
        self._warn_of_network_file_system()
        return store

    def get_key_range(self, namespace: str | None = None) -> tuple[bytes | None, bytes | None]:
        """Return the first and the last key, `(None, None)` if there are no records.

        Raises:
            ValueError: If the database is closed, as upstream's backend has it.
        """
        try:
            return super().get_key_range(namespace)
        except DatabaseClosedError as error:
            raise _ClosedKeyRangeError(str(error)) from error

    def get_backend_stats(self, namespace: str | None = None) -> dict[str, Any]:
        """Return SQLite's figures about a namespace; empty if the database is closed."""
        if not self.is_open:
            return {}
        namespace = self._namespace(namespace)
        stats = self._store.stats(namespace)
        pages, page_size = stats["last_pgno"], stats["page_size"]
        return {
            "backend": "sqlite",
            "page_count": pages,
            "page_size": page_size,
            "database_size": pages * page_size,
            "file_path": str(self.db_file),
            "namespace": namespace or "",
            "namespace_count": stats["entries"],
        }

    def copy_to(self, target: str | os.PathLike[str], *, compact: bool = True) -> None:
        """Write a consistent copy of the database while it is in use.

        Args:
            target: A directory that does not exist or is empty.
            compact: As for :class:`eosdb.LMDBDatabase`; SQLite leaves free pages out in any case.

        Raises:
            InvalidArgumentError: If the target is taken.
            DiskFullError: If there is no space for it.
        """
        self._store.copy_to(Path(target), compact)

    def compact(self) -> None:
        """Give free pages back, while the database is in use.

        Raises:
            DatabaseClosedError: If the database is not open.
            ReadOnlyError: If it was opened to be read.
            StorageError: If others use it longer than `timeout`.
        """
        self._store.sync()  # tells of a closed one
        if self.read_only:
            raise ReadOnlyError(
                f"'{self.storage_path}' was opened read-only: open it for writing to compact it"
            )
        Store.sqlite_compact(self.storage_path, self.timeout)

    def vacuum(self) -> None:
        """Do what :meth:`compact` does, by upstream's name."""
        self.compact()


class _ClosedKeyRangeError(DatabaseClosedError, ValueError):
    """Asking a closed database for its first and last key: upstream raises `ValueError` there."""
