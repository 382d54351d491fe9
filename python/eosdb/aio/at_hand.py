"""Answering in the event loop what is in memory, and leaving the rest to threads."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

from .._core import enter, timestamp_of
from ..timestamps import DatabaseTimestamp, DatabaseTimeWindowType
from .blocking import BlockingSequence, run

__all__ = ["at_hand", "do_at_hand"]

P = ParamSpec("P")
R = TypeVar("R")


class _NotAtHandError(Exception):
    """Storage has to be asked, or somebody waited for."""


class _SequenceAtHand(BlockingSequence):
    """An asynchronous sequence, seen by its event loop: nothing here reads or waits."""

    _db_may_wait = False

    def db_get_record(
        self,
        target_timestamp: DatabaseTimestamp | datetime,
        *,
        time_window: timedelta | DatabaseTimeWindowType = None,
    ) -> Any:
        # What is no instant is refused by the synchronous method.
        if time_window is None and isinstance(target_timestamp, datetime | DatabaseTimestamp):
            found = enter(self).get_at_hand(target_timestamp)
            if found is not NotImplemented:
                return found
        raise _NotAtHandError

    def db_insert_record(self, record: Any, *, mark_dirty: bool = True) -> None:
        if not enter(self).insert_at_hand(record, mark_dirty):
            raise _NotAtHandError

    def db_mark_dirty_record(self, record: Any) -> None:
        if not enter(self).mark_dirty_at_hand(timestamp_of(record)):
            raise _NotAtHandError

    def db_save_records(self) -> int:
        if self.db_enabled and not enter(self).is_saved_at_hand():
            raise _NotAtHandError
        return 0


async def do_at_hand(
    method: Callable[Concatenate[Any, P], R], sequence: Any, *args: P.args, **kwargs: P.kwargs
) -> R:
    """Run a method of synchronous sequences for an asynchronous one; in a thread if it must be.

    What it needs is mostly in memory: then it is done at once, in a fraction of a thread's time.

    Args:
        method: The method, a function whose first argument is the sequence. It may be begun, given
            up where it needs storage, and done again as a whole.
        sequence: The asynchronous sequence.
        *args: The other arguments.
        **kwargs: The keyword arguments.

    Returns:
        What the method returns.
    """
    if not sequence._db_must_open:
        try:
            answer: R = getattr(_SequenceAtHand(sequence), method.__name__)(*args, **kwargs)
        except _NotAtHandError:
            pass
        else:
            return answer
    return await run(method, sequence, *args, **kwargs)


def at_hand(
    method: Callable[Concatenate[Any, P], R],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return a method of synchronous sequences for asynchronous ones; see :func:`do_at_hand`.

    Args:
        method: The method, a function whose first argument is the sequence.

    Returns:
        A coroutine function with the same arguments and docstring.
    """

    @functools.wraps(method)
    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await do_at_hand(method, self, *args, **kwargs)

    return call
