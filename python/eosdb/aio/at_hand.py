"""Answering in the event loop what is in memory, and leaving the rest to threads."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

from .._core import enter, timestamp_of
from ..timestamps import DatabaseTimestamp, DatabaseTimeWindowType
from .blocking import BlockingSequence, run

__all__ = ["at_hand"]

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


def at_hand(
    method: Callable[Concatenate[Any, P], R],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return a method of synchronous sequences for asynchronous ones, which has little to do.

    Args:
        method: The method, a function whose first argument is the sequence. It may be begun, given
            up where it needs storage, and done again as a whole.

    Returns:
        A coroutine function with the same arguments and docstring. What it needs is mostly in
        memory: then it is done at once, which takes much less time than a thread does.
    """
    name = method.__name__

    @functools.wraps(method)
    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not self._db_must_open:
            try:
                answer: R = getattr(_SequenceAtHand(self), name)(*args, **kwargs)
            except _NotAtHandError:
                pass
            else:
                return answer
        return await run(method, self, *args, **kwargs)

    return call
