"""Faults of a database: it fails when a test says so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from .. import _core
from ..errors import ArgumentTypeError, InvalidArgumentError, StorageError
from ..native_database import NativeDatabase

__all__ = ["Faults"]


class Faults:
    """What goes wrong in a database, by which an application's answer to it is tested.

    The database stays the object that it is: the application, sequences and their queries use it as
    ever, natively, and get the errors that real trouble would give them. Closing and opening it
    again leaves the faults in place. Another object that opens the same path has none of them.

    Example:
        >>> import eosdb
        >>> with eosdb.MemoryDatabase() as database:
        ...     faults = Faults(database)
        ...     faults.fail(on="commit")
        ...     try:
        ...         database.set_metadata(b"value")
        ...     except eosdb.StorageError as error:
        ...         print(error)
        the storage failed, as a test has asked it to
    """

    def __init__(self, database: Any) -> None:
        """Put faults into a database; there are none before others are asked for.

        Args:
            database: The database, open or not: any of eosdb's, or of `eosdb.aio`'s.

        Raises:
            ArgumentTypeError: If it is another one.
        """
        native = getattr(database, "blocking", database)
        if not isinstance(native, NativeDatabase):
            raise ArgumentTypeError(f"only databases of eosdb can have faults, not {database!r}")
        self._faults = _core.Faults()
        open_store = native._open_store

        def wrapped(store: _core.Store) -> _core.Store:
            return self._faults.wrap(store, getattr(native, "durability", "commit"))

        native._open_store = lambda: wrapped(open_store())  # type: ignore[method-assign]
        if native.connection is not None:
            native.connection = wrapped(native.connection)
            # It is missing where a subclass does without.
            if hasattr(native, "native_store"):
                native.native_store = native.connection

    def fail(
        self,
        on: Literal["any", "read", "commit", "sync"] = "any",
        *,
        after: int = 0,
        once: bool = True,
        applied: bool = False,
        error: BaseException | type[BaseException] | None = None,
    ) -> None:
        """Let an operation fail. This takes the place of what was asked for before.

        Args:
            on: Which operations count. A save is one "commit", whatever it writes and deletes. How
                many times a call reads is eosdb's affair; :attr:`operations` tells.
            after: How many operations of this kind succeed first.
            once: Whether only one fails; otherwise all from there on, until :meth:`heal`.
            applied: Whether a commit is carried out and just its acknowledgement lost; otherwise it
                fails before anything is written.
            error: What is raised: an exception, or a class of exceptions that needs no arguments.
                A `StorageError` if not given.

        Raises:
            InvalidArgumentError: If `on` is unknown, `after` negative, or `applied` asked for where
                no commit can fail.
            ArgumentTypeError: If `error` is no exception.
        """
        if after < 0:
            raise InvalidArgumentError(f"after must be non-negative, not {after}")
        if applied and on not in ("any", "commit"):
            raise InvalidArgumentError(f"only commits can be applied, not on={on!r}")
        if error is None:
            error = StorageError("the storage failed, as a test has asked it to")
        exception: Any = error() if isinstance(error, type) else error
        if not isinstance(exception, BaseException):
            raise ArgumentTypeError(f"error must be an exception or its class, not {error!r}")
        self._faults.fail(on, after, not once, applied, exception)

    def limit_space(self, size: int | None) -> None:
        """Limit the space for what is written: a save beyond it raises `DiskFullError`.

        Nothing of such a save is written. Deleting takes no space, and gives none back.

        Args:
            size: How many bytes of keys, stored values and metadata can be written from now on.
                `None` gives back all the space there is.

        Raises:
            InvalidArgumentError: If it is negative.
        """
        if size is not None and size < 0:
            raise InvalidArgumentError(f"size must be non-negative, not {size}")
        self._faults.limit_space(size)

    def heal(self) -> None:
        """Let everything work again: take back :meth:`fail` and :meth:`limit_space`."""
        self._faults.heal()

    def freeze(self, *, after_commits: int = 0) -> None:
        """Cut the power: nothing reaches the disk any more, as :meth:`disk_image` shows it.

        The running program notices nothing; its saves seem to succeed. Freezing again, or closing
        the database, brings nothing to a disk without power.

        Args:
            after_commits: How many commits are still acknowledged before the power goes.

        Raises:
            InvalidArgumentError: If the database has no files, or `after_commits` is negative.
            DatabaseClosedError: If it is closed.
        """
        if after_commits < 0:
            raise InvalidArgumentError(f"after_commits must be non-negative, not {after_commits}")
        self._faults.freeze(after_commits)

    def disk_image(self, target: str | os.PathLike[str]) -> Path:
        """Write what is on the disk since the power was cut, or would be if it were cut now.

        That is what the database promises by its `durability`: every save that has returned
        (`"commit"`); all but the last one, unless `flush()` followed it (`"interval"`); what the
        last `flush()`, or closing, found (`"none"`). The promise itself is not tested by it.

        Args:
            target: A directory that does not exist or is empty.

        Returns:
            The directory, to open a database on.

        Raises:
            InvalidArgumentError: If the target is taken, or the database has no files.
            DatabaseClosedError: If it is closed and the power was not cut before.
        """
        self._faults.disk_image(target)
        return Path(target)

    @property
    def operations(self) -> list[tuple[str, str | None]]:
        """What was asked of the storage so far, failed or not: operations and their namespaces.

        Operations are `"commit"`, `"sync"`, and for reading `"scan"`, `"get"`, `"get_many"`,
        `"contains"`, `"count"`, `"metadata"`, `"namespaces"`, `"stats"` and `"copy"`.
        """
        return self._faults.operations
