"""The seam to storage: what every database and every backend offers.

All operations take an optional `namespace`; `None` means the default namespace. How a namespace is
kept (a named database in LMDB, a column in SQLite) is the backend's affair.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from ._core import gzip_decode, gzip_encode
from .settings import DatabaseSettings

__all__ = ["DatabaseABC", "DatabaseBackendABC"]


class DatabaseABC(ABC):
    """A place that keeps records and metadata by namespace.

    As a context manager it is open inside the block and closed after it.

    Attributes:
        settings: How records are stored, loaded, saved and kept.
        data_folder: Folder below which the database finds its own place.
    """

    settings: DatabaseSettings
    data_folder: Path

    def __enter__(self) -> Self:
        """Open the database unless it is open, and return it."""
        if not self.is_open:
            self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the database."""
        self.close()

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether the database is open."""

    @property
    def storage_path(self) -> Path:
        """Where the database lies: `<data_folder>/db/<name of the class in lower case>`."""
        return self.data_folder / "db" / type(self).__name__.lower()

    @property
    def compression_level(self) -> int:
        """Level of gzip for record values, 0 (off) to 9."""
        return self.settings.compression_level

    @property
    def compression(self) -> bool:
        """Whether record values are compressed."""
        return self.compression_level > 0

    # Lifecycle

    @abstractmethod
    def provider_id(self) -> str:
        """Return the name of the provider, such as `"LMDB"`."""

    @abstractmethod
    def open(self, namespace: str | None = None) -> None:
        """Open the database.

        Args:
            namespace: Namespace to use where none is given.

        Raises:
            RuntimeError: If it cannot be opened.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the database and release what it holds."""

    @abstractmethod
    def flush(self, namespace: str | None = None) -> None:
        """Have everything written reach the disk.

        Args:
            namespace: Namespace concerned.
        """

    # Metadata

    @abstractmethod
    def set_metadata(self, metadata: bytes | None, *, namespace: str | None = None) -> None:
        """Store the metadata of a namespace, one value beside its records.

        Args:
            metadata: The value, or `None` to delete it.
            namespace: Namespace concerned.
        """

    @abstractmethod
    def get_metadata(self, namespace: str | None = None) -> bytes | None:
        """Return the metadata of a namespace.

        Args:
            namespace: Namespace concerned.

        Returns:
            The value, or `None` if there is none.
        """

    # Records

    @abstractmethod
    def save_records(
        self, records: Iterable[tuple[bytes, bytes]], namespace: str | None = None
    ) -> int:
        """Store records, replacing those with the same keys.

        Args:
            records: Keys and serialized values, best in ascending order of the keys.
            namespace: Namespace concerned.

        Returns:
            The number of records stored.

        Raises:
            RuntimeError: If the database is closed or the write failed.
        """

    @abstractmethod
    def delete_records(self, keys: Iterable[bytes], namespace: str | None = None) -> int:
        """Delete records.

        Args:
            keys: Keys of the records.
            namespace: Namespace concerned.

        Returns:
            The number of records that were there to delete.
        """

    @abstractmethod
    def iterate_records(
        self,
        start_key: bytes | None = None,
        end_key: bytes | None = None,
        namespace: str | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the records in `[start_key, end_key)`, without the metadata.

        Args:
            start_key: First key that belongs to the range; `None` for no bound.
            end_key: First key after the range; `None` for no bound.
            namespace: Namespace concerned.
            reverse: Whether to go from the last key to the first.

        Returns:
            An iterator over keys and serialized values.
        """

    @abstractmethod
    def count_records(
        self,
        start_key: bytes | None = None,
        end_key: bytes | None = None,
        *,
        namespace: str | None = None,
    ) -> int:
        """Count the records in `[start_key, end_key)`, without the metadata.

        Args:
            start_key: First key that belongs to the range; `None` for no bound.
            end_key: First key after the range; `None` for no bound.
            namespace: Namespace concerned.

        Returns:
            Their number.
        """

    @abstractmethod
    def get_key_range(self, namespace: str | None = None) -> tuple[bytes | None, bytes | None]:
        """Return the first and the last key of a namespace.

        Args:
            namespace: Namespace concerned.

        Returns:
            Both keys, or `(None, None)` if there are no records.
        """

    @abstractmethod
    def get_backend_stats(self, namespace: str | None = None) -> dict[str, Any]:
        """Return figures of the backend's own kind.

        Args:
            namespace: Namespace concerned.

        Returns:
            The figures by name; empty if the database is closed.
        """

    # Values

    def serialize_data(self, data: bytes) -> bytes:
        """Turn a pickled record into the bytes to store.

        Args:
            data: The pickle.

        Returns:
            The pickle, compressed if :attr:`compression` is on.
        """
        return gzip_encode(data, self.compression_level)

    def deserialize_data(self, data: bytes) -> bytes:
        """Turn stored bytes back into a pickled record, whatever level they were stored with.

        Args:
            data: The stored bytes.

        Returns:
            The pickle.

        Raises:
            DamagedRecordError: If the bytes are compressed but damaged, or inflate to more than
                64 MiB.
        """
        return gzip_decode(data)


class DatabaseBackendABC(DatabaseABC):
    """A database that stores by itself, such as in a file.

    Attributes:
        connection: The open connection of the underlying library, `None` while closed.
        lock: Held by whoever writes.
        default_namespace: Namespace to use where none is given.
    """

    connection: Any
    lock: Lock
    default_namespace: str | None
    _is_open: bool

    def __init__(
        self,
        storage_path: str | os.PathLike[str] | None = None,
        *,
        data_folder: str | os.PathLike[str] = ".",
        settings: DatabaseSettings | None = None,
    ) -> None:
        """Describe the database; :meth:`open` opens it.

        Args:
            storage_path: Where the database lies. If it is not given, the place below
                `data_folder` where Akkudoktor-EOS keeps it.
            data_folder: Akkudoktor-EOS's data folder, the current folder by default.
            settings: How records are stored, loaded, saved and kept; the defaults if not given.
        """
        self.settings = DatabaseSettings() if settings is None else settings
        self.data_folder = Path(data_folder)
        self._storage_path = None if storage_path is None else Path(storage_path)
        self.connection = None
        self.lock = Lock()
        self.default_namespace = None
        self._is_open = False

    @property
    def storage_path(self) -> Path:
        """Where the database lies: as given, else the place that Akkudoktor-EOS uses."""
        return super().storage_path if self._storage_path is None else self._storage_path

    @property
    def is_open(self) -> bool:
        """Whether the database is open."""
        return self._is_open
