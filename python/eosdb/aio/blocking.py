"""What the threads that work for asynchronous sequences see: synchronous ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..datetimes import DateTime, Duration
from ..mixin import DatabaseRecordProtocolMixin
from ..sequence_base import SequenceBase
from ..sequence_operations import SequenceOperations
from .threads import in_thread, in_turn, result_of

__all__ = [
    "BlockingDatabase",
    "BlockingSequence",
    "asynchronous",
    "in_thread_of",
    "is_native",
    "run",
]

P = ParamSpec("P")
R = TypeVar("R")


class BlockingDatabase:
    """A database whose methods may be coroutines, for a thread to call."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._database, name)
        if not callable(attribute):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            return result_of(attribute(*args, **kwargs))

        return call


class BlockingSequence(SequenceOperations, DatabaseRecordProtocolMixin[Any]):
    """An asynchronous sequence, seen by the thread that works for it.

    It shares the sequence's `__dict__`, and so its one state, and asks it for its hooks.
    """

    __slots__ = ("_db_stands_for",)

    _db_stands_for: SequenceBase[Any]

    def __init__(self, sequence: Any) -> None:
        self._db_stands_for = sequence
        self.__dict__ = sequence.__dict__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db_stands_for, name)

    # What a class may override.

    @property  # type: ignore[misc]  # a thread assigns none
    def database(self) -> Any:
        return self._db_stands_for.database

    @property
    def _db_backend(self) -> Any:
        return self._db_stands_for._db_backend

    @property
    def db_enabled(self) -> bool:
        return self._db_stands_for.db_enabled

    @property
    def record_keys(self) -> Any:
        return getattr(self._db_stands_for, "record_keys", None)

    @property
    def record_keys_writable(self) -> Any:
        return self._db_stands_for.record_keys_writable

    @property
    def db_compact_sparse_first(self) -> bool:  # type: ignore[override]  # a class's, here read
        return self._db_stands_for.db_compact_sparse_first

    @property
    def _db_compact_former(self) -> str | None:  # type: ignore[override]  # as above
        return self._db_stands_for._db_compact_former

    def record_class(self) -> type[Any]:  # type: ignore[override]  # the sequence's
        return self._db_stands_for.record_class()

    def db_namespace(self) -> str:
        return self._db_stands_for.db_namespace()

    def db_initial_time_window(self) -> Duration | None:
        return self._db_stands_for.db_initial_time_window()

    def db_keep_datetime(self) -> DateTime | None:
        return self._db_stands_for.db_keep_datetime()

    def db_keep_duration(self) -> Duration | None:
        return self._db_stands_for.db_keep_duration()

    def db_compact_tiers(self) -> list[tuple[Duration, Duration]]:
        return self._db_stands_for.db_compact_tiers()

    def db_compact_aggregations(self) -> Mapping[str, str]:
        return self._db_stands_for.db_compact_aggregations()

    def db_compact_max_gap(self) -> Duration | None:
        return self._db_stands_for.db_compact_max_gap()

    @property
    def _resamples_itself(self) -> bool:
        sequence: Any = self._db_stands_for
        return bool(sequence._resamples_itself)

    @property
    def key_to_array(self) -> Callable[..., Any]:
        """The sequence's own `key_to_array`, which our operations ask where it is overridden."""
        sequence: Any = self._db_stands_for
        own = sequence.key_to_array

        def key_to_array(*args: Any, **kwargs: Any) -> Any:
            return result_of(own(*args, **kwargs))

        return key_to_array


async def run(
    method: Callable[Concatenate[Any, P], R], sequence: Any, *args: P.args, **kwargs: P.kwargs
) -> R:
    """Run a method of synchronous sequences for an asynchronous one, in a thread.

    Args:
        method: The method, a function whose first argument is the sequence.
        sequence: The asynchronous sequence.
        *args: The other arguments.
        **kwargs: The keyword arguments.

    Returns:
        What the method returns.
    """
    if sequence._db_must_open:
        await sequence._db_open()
    return await in_thread_of(sequence, method, BlockingSequence(sequence), *args, **kwargs)


async def in_thread_of(
    sequence: Any, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Run a function in a thread that works for an asynchronous sequence.

    Args:
        sequence: The sequence.
        function: The function.
        *args: Its arguments.
        **kwargs: Its keyword arguments.

    Returns:
        What the function returns.
    """
    # Databases and resampling of others' making may need the loop, or tasks that wait for threads.
    is_ours = is_native(sequence.database) and not sequence._resamples_itself
    return await (in_turn if is_ours else in_thread)(function, *args, **kwargs)


def is_native(database: Any) -> bool:
    """Return whether a database is one of eosdb's, or none at all: then nobody waits for the loop.

    Args:
        database: The database, or `None`.
    """
    return database is None or hasattr(database, "native_store")


def asynchronous(
    method: Callable[Concatenate[Any, P], R],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return a method of synchronous sequences for asynchronous ones.

    Args:
        method: The method, a function whose first argument is the sequence.

    Returns:
        A coroutine function with the same arguments and docstring, which runs it in a thread.
    """

    @functools.wraps(method)
    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await run(method, self, *args, **kwargs)

    return call
