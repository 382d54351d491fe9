"""The database in an LMDB environment."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from ._core import Store
from .errors import (
    DatabaseClosedError,
    InvalidArgumentError,
    ReadOnlyError,
    StorageError,
)
from .files import synchronize
from .native_database import NativeDatabase
from .settings import DatabaseSettings

__all__ = ["LMDBDatabase"]


class LMDBDatabase(NativeDatabase):
    """A database in a directory: an LMDB environment with one named database per namespace.

    The bytes are those that Akkudoktor-EOS writes; either reads what the other wrote. All objects
    of a process that open the same directory share one environment. Other processes may read while
    one writes.

    Example:
        >>> from tempfile import mkdtemp
        >>> with LMDBDatabase(mkdtemp()) as db:
        ...     db.save_records([(b"20260101T000000Z", b"value")], "house")
        1
    """

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
        """Describe the database; :meth:`open`, or a `with` block, opens it.

        Args:
            storage_path: The directory. If it is not given, `<data_folder>/db/lmdbdatabase`, where
                Akkudoktor-EOS keeps its database.
            map_size: How large the file may grow, in bytes. It starts small and grows by need.
            durability: `"commit"`: every save is on disk when it returns. `"interval"`: a crash of
                the machine may lose the last save. `"none"`: a crash of the machine may destroy
                the database.
            read_only: Whether to refuse changes; the directory must then exist.
            data_folder: Akkudoktor-EOS's data folder, the current folder by default.
            settings: How records are stored, loaded, saved and kept; the defaults if not given.

        Raises:
            InvalidArgumentError: If `map_size` is out of range.
        """
        super().__init__(storage_path, data_folder=data_folder, settings=settings)
        if not 2**20 <= map_size < 2**47:
            raise InvalidArgumentError(
                f"map_size must be between 1 MiB and 128 TiB in bytes, not {map_size}"
            )
        self.map_size = map_size
        self.durability = durability
        self.read_only = read_only

    def provider_id(self) -> str:
        """Return `"LMDB"`."""
        return "LMDB"

    def _open_store(self) -> Store:
        store = Store.lmdb(self.storage_path, self.map_size, self.durability, self.read_only)
        self._warn_of_network_file_system()
        return store

    def flush(self, namespace: str | None = None) -> None:
        """Have everything written reach the disk; with the default durability it has already.

        Raises:
            ValueError: If the database is closed, as upstream's backend has it.
        """
        try:
            super().flush(namespace)
        except DatabaseClosedError as error:
            raise _ClosedFlushError(str(error)) from error

    def get_backend_stats(self, namespace: str | None = None) -> dict[str, Any]:
        """Return LMDB's figures about a namespace; empty if the database is closed."""
        if not self.is_open:
            return {}
        namespace = self._namespace(namespace)
        return {"backend": "lmdb", **self._store.stats(namespace), "namespace": namespace}

    def copy_to(self, target: str | os.PathLike[str], *, compact: bool = True) -> None:
        """Write a consistent copy of the database while it is in use.

        Args:
            target: A directory that does not exist or is empty.
            compact: Whether to leave free pages out.

        Raises:
            InvalidArgumentError: If the target is taken.
            DiskFullError: If there is no space for it.
        """
        self._store.copy_to(Path(target), compact)

    def compact(self) -> None:
        """Give free pages back: replace the file by a compact copy of itself.

        The copy is complete and on disk before it takes the original's place, in one step. The
        database is closed meanwhile, and open again afterwards.

        Raises:
            DatabaseClosedError: If the database is not open.
            ReadOnlyError: If it was opened to be read.
            StorageError: If it is open elsewhere too, in this or another process, which would go
                on writing to the file that was replaced.
        """
        if self.read_only:
            raise ReadOnlyError(
                f"'{self.storage_path}' was opened read-only: open it for writing to compact it"
            )
        path = self.storage_path
        copy = path.with_name(f"{path.name}_compact_tmp")
        shutil.rmtree(copy, ignore_errors=True)
        self.copy_to(copy)
        default_namespace = self.default_namespace
        self.close()
        try:
            with _alone(path):
                (copy / "data.mdb").replace(path / "data.mdb")
                synchronize(path)
        finally:
            shutil.rmtree(copy, ignore_errors=True)
            self.open(default_namespace)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the environment's lock file as its only user, as LMDB does when it opens one first."""
    if Store.lmdb_is_open(path):
        raise StorageError(f"'{path}' is open elsewhere in this process: close it to compact it")
    with (path / "lock.mdb").open("r+b") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
        except OSError as error:
            raise StorageError(
                f"'{path}' is open in another process: close it there to compact it"
            ) from error
        yield


class _ClosedFlushError(DatabaseClosedError, ValueError):
    """Flushing a closed database: upstream raises `ValueError` there."""
