"""Finding what is damaged in a database, without blocking the event loop."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from .. import damage
from . import threads
from .blocking import BlockingDatabase, is_native

__all__ = ["repair", "verify"]


async def verify(
    database: Any,
    namespaces: Iterable[str | None] | None = None,
    *,
    progress: Callable[[int, int], object] | None = None,
) -> damage.VerifyReport:
    """Look at everything a database holds, as :func:`eosdb.verify` does, in a thread.

    Args:
        database: An open database, or the directory of one.
        namespaces: Which namespaces to look at; all if not given.
        progress: Is told, in the thread, how many of how many records were looked at.

    Returns:
        What was found.

    Raises:
        StorageError: If there is no database, or it cannot be read at all.
        InvalidArgumentError: If the database cannot list its namespaces and none are given.
    """
    in_thread = _thread_for(database)
    report: damage.VerifyReport = await in_thread(
        damage.verify, _blocking(database), namespaces, progress=progress
    )
    return report


async def repair(
    database: Any,
    target: str | os.PathLike[str] | None = None,
    namespaces: Iterable[str | None] | None = None,
    *,
    progress: Callable[[int, int], object] | None = None,
) -> damage.RepairReport:
    """Put aside what cannot be read, as :func:`eosdb.repair` does, in a thread.

    Args:
        database: An open database, or the directory of one.
        target: A directory that does not exist or is empty, for a repaired copy.
        namespaces: Which namespaces to look at; all if not given.
        progress: Is told, in the thread, how many of how many records were looked at.

    Returns:
        What was done.

    Raises:
        InvalidArgumentError: If the file is damaged and there is no target, or the target is taken.
        StorageError: If there is no database, or it cannot be written.
        ConflictError: If others keep changing what is to be put aside.
    """
    in_thread = _thread_for(database)
    report: damage.RepairReport = await in_thread(
        damage.repair, _blocking(database), target, namespaces, progress=progress
    )
    return report


def _thread_for(database: Any) -> Callable[..., Coroutine[Any, Any, Any]]:
    is_ours = isinstance(database, (str, os.PathLike)) or is_native(database)
    return threads.in_turn if is_ours else threads.in_thread


def _blocking(database: Any) -> Any:
    """Return the database as a thread can use it."""
    if isinstance(database, (str, os.PathLike)):
        return database
    blocking = getattr(database, "blocking", None)
    return BlockingDatabase(database) if blocking is None else blocking
