"""What the databases on a store of the core have in common."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Self

from ._core import Store
from .abc import DatabaseBackendABC
from .errors import ArgumentTypeError, DatabaseClosedError, InvalidNamespaceError
from .settings import DatabaseSettings
from .summaries import database_html
from .timestamps import UNBOUND_END, UNBOUND_START, _DatabaseTimestampUnbound

__all__ = ["NativeDatabase"]

_ACCESS = (
    "serialize_data",
    "deserialize_data",
    "save_records",
    "delete_records",
    "iterate_records",
    "count_records",
    "get_key_range",
    "get_metadata",
    "set_metadata",
)
"""The methods through which a sequence would use a database that is not native."""


class NativeDatabase(DatabaseBackendABC):
    """A database on a store of the core.

    Attributes:
        native_store: The store, for sequences to use directly; `None` while the database is closed.
            Missing where a subclass overrides a method of access, which is then to be used.
    """

    native_store: Store | None

    _any_keys: ClassVar[bool] = False
    """Whether records may have keys that are no timestamps, as EOS's backends permit."""

    def __init__(
        self,
        storage_path: str | os.PathLike[str] | None = None,
        *,
        data_folder: str | os.PathLike[str] = ".",
        settings: DatabaseSettings | None = None,
    ) -> None:
        """Describe the database; see :class:`DatabaseBackendABC`."""
        super().__init__(storage_path, data_folder=data_folder, settings=settings)
        self.connection: Store | None = None
        self._process = os.getpid()
        if not _overrides_access(type(self)):
            self.native_store = None

    def _open_store(self) -> Store:
        """Open and return the store."""
        raise NotImplementedError

    # A database is a handle: a copy of something that refers to it refers to the same.

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    # Lifecycle

    def open(self, namespace: str | None = None) -> None:
        """Open the database; nothing happens if it is open in this process.

        Args:
            namespace: Namespace to use where none is given.

        Raises:
            StorageError: If it cannot be opened.
            ForeignProcessError: If a process with another LMDB has it open.
        """
        if not self.is_open or self._process != os.getpid():
            self._process = os.getpid()
            self.connection = self._open_store()
            if not _overrides_access(type(self)):
                self.native_store = self.connection
        if namespace is not None:
            self._store.metadata(self._namespace(namespace))  # tells of a name that is refused
        self.default_namespace = namespace

    def close(self) -> None:
        """Close the database; nothing happens if it is closed."""
        store, self.connection = self.connection, None
        if not _overrides_access(type(self)):
            self.native_store = None
        if store is not None:
            store.close()

    @property
    def is_open(self) -> bool:
        """Whether the database is open."""
        return self.connection is not None and self.connection.is_open

    @property
    def _store(self) -> Store:
        if self.connection is None:
            raise DatabaseClosedError(
                f"the database at '{self.storage_path}' is closed: open it before you use it"
            )
        return self.connection

    def _namespace(self, namespace: str | None) -> str | None:
        if namespace is None:
            return self.default_namespace
        if not isinstance(namespace, str):
            raise ArgumentTypeError(f"a namespace must be a str or None, not {namespace!r}")
        try:
            namespace.encode()
        except UnicodeEncodeError as error:
            raise InvalidNamespaceError(
                f"namespace {namespace!r} is refused: it is no valid Unicode text"
            ) from error
        return namespace

    def flush(self, namespace: str | None = None) -> None:
        """Have everything written reach the disk."""
        del namespace
        self._store.sync()

    # Metadata

    def set_metadata(self, metadata: bytes | None, *, namespace: str | None = None) -> None:
        """Store the metadata of a namespace; see :meth:`DatabaseABC.set_metadata`."""
        if metadata is not None and not isinstance(metadata, bytes):
            raise ArgumentTypeError(f"metadata must be bytes or None, not {metadata!r}")
        self._store.set_metadata(self._namespace(namespace), metadata)

    def get_metadata(self, namespace: str | None = None) -> bytes | None:
        """Return the metadata of a namespace, or `None`."""
        return self._store.metadata(self._namespace(namespace))

    # Records

    def save_records(
        self, records: Iterable[tuple[bytes, bytes]], namespace: str | None = None
    ) -> int:
        """Store records in one transaction; see :meth:`DatabaseABC.save_records`.

        Raises:
            InvalidKeyError: If a key is no timestamp; then nothing is stored.
        """
        records = list(records)
        for record in records:
            match record:
                case (bytes(), bytes()):
                    pass
                case _:
                    raise ArgumentTypeError(
                        f"records are pairs of a key and a value in bytes, not {record!r}"
                    )
        return self._store.save(self._namespace(namespace), records, self._any_keys)

    def delete_records(self, keys: Iterable[bytes], namespace: str | None = None) -> int:
        """Delete records in one transaction; return how many there were."""
        return self._store.delete(self._namespace(namespace), list(keys))

    def iterate_records(
        self,
        start_key: bytes | None = None,
        end_key: bytes | None = None,
        namespace: str | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over a snapshot of the records of `[start_key, end_key)`."""
        start, end = _bounds(start_key, end_key)
        return iter(self._store.scan(self._namespace(namespace), start, end, reverse))

    def count_records(
        self,
        start_key: bytes | None = None,
        end_key: bytes | None = None,
        *,
        namespace: str | None = None,
    ) -> int:
        """Count the records of `[start_key, end_key)`."""
        start, end = _bounds(start_key, end_key)
        return self._store.count(self._namespace(namespace), start, end)

    def get_key_range(self, namespace: str | None = None) -> tuple[bytes | None, bytes | None]:
        """Return the first and the last key, `(None, None)` if there are no records."""
        return self._store.key_range(self._namespace(namespace)) or (None, None)

    def namespaces(self) -> list[str]:
        """Return the names of the namespaces, sorted."""
        return self._store.namespaces()

    def _repr_html_(self) -> str:
        return database_html(self)

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<{type(self).__name__} {str(self.storage_path)!r} ({state})>"


def _bounds(start: object, end: object) -> tuple[bytes | None, bytes | None]:
    """Return bounds as bytes, for upstream hands over the sentinels too."""
    bounds: list[bytes | None] = []
    for bound, open_ in ((start, UNBOUND_START), (end, UNBOUND_END)):
        if bound is None or bound is open_:
            bounds.append(None)
        elif isinstance(bound, bytes):
            bounds.append(bound)
        elif isinstance(bound, _DatabaseTimestampUnbound):
            # The far end: a start behind every key, or an end before them all.
            bounds.append(b"\xff" if bound is UNBOUND_END else b"")
        else:
            raise ArgumentTypeError(f"a key bound must be bytes or None, not {bound!r}")
    return bounds[0], bounds[1]


@functools.lru_cache(maxsize=64)
def _overrides_access(class_: type[NativeDatabase]) -> bool:
    base = next(c for c in class_.__mro__ if c.__module__.startswith("eosdb."))
    return any(getattr(class_, name) is not getattr(base, name) for name in _ACCESS)
