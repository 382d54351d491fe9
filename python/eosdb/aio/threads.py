"""Leaving the event loop for a thread, and going back to it from there."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar

from ..errors import EosdbError

__all__ = ["in_thread", "is_stopped", "result_of"]

P = ParamSpec("P")
R = TypeVar("R")


class _Threads:
    """As many threads as there are calls at a time: one may wait for another, by way of the loop.

    Idle ones are used again, so that in practice there are few. The loop's own threads are left
    alone: what is waited for may need them.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin without threads, as a forked child does, which has none of its parent's."""
        self.pool = ThreadPoolExecutor(max_workers=1024, thread_name_prefix="eosdb")


_THREADS: Final = _Threads()
os.register_at_fork(after_in_child=_THREADS.start)

_CHECK_SECONDS: Final = 1.0
"""How often a thread looks whether the loop it waits for still runs."""

_CHECKS: Final = 5
"""After how many looks in a row at a loop that does not run it gives up, lest a program that ends
without its loop waits for ever.
"""


class _Call:
    """A call from an event loop, as the thread that answers it knows it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.cancelled = threading.Event()


_CALL: contextvars.ContextVar[_Call] = contextvars.ContextVar("eosdb_call")


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a function in a thread of ours, in the caller's context, and return what it returns.

    Args:
        function: The function. If the caller is cancelled meanwhile, it runs to its end unless it
            asks :func:`is_stopped`; what it changes, it changes as a whole.
        *args: Its arguments.
        **kwargs: Its keyword arguments.
    """
    loop = asyncio.get_running_loop()
    call = _Call(loop)
    context = contextvars.copy_context()
    context.run(_CALL.set, call)
    answer: list[R] = []

    def work() -> None:
        answer.append(context.run(function, *args, **kwargs))

    try:
        # The future, and what the loop ties to it, refer to one another and are freed at some later
        # time. So they must not hold the answer: records that are held are not read anew.
        await loop.run_in_executor(_THREADS.pool, work)
        return answer.pop()
    except asyncio.CancelledError:
        call.cancelled.set()
        raise


def is_stopped() -> bool:
    """Return whether nobody waits any longer for what this thread does."""
    call = _CALL.get(None)
    return call is not None and call.cancelled.is_set()


def result_of(answer: Any) -> Any:
    """Return what a call answers, from a thread; of a coroutine, what it returns in its loop.

    Args:
        answer: Anything; an awaitable is awaited, and an asynchronous iterator made a list.

    Raises:
        EosdbError: If the answer is to be awaited, and this thread was not sent by a loop.
    """
    if isinstance(answer, AsyncIterator):
        answer = _list_of(answer)
    elif not inspect.isawaitable(answer):
        return answer
    call = _CALL.get(None)
    if call is None or _is_in_loop():
        _close(answer)
        raise EosdbError(
            "this needs the database, which is asynchronous: await a method of the sequence, such "
            "as db_load_records(), before you use what is in memory"
        )
    coroutine = _awaited(answer)
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, call.loop)
    except RuntimeError as error:
        _close(coroutine, answer)
        raise EosdbError("the event loop was closed while the database was needed") from error
    standstill = 0
    while True:
        try:
            return future.result(_CHECK_SECONDS)
        except TimeoutError:
            if future.done():
                raise  # the coroutine's own
            standstill = 0 if call.loop.is_running() else standstill + 1
            if standstill == _CHECKS or call.loop.is_closed():
                if call.loop.is_closed():  # before it came to this: it never will
                    _close(coroutine, answer)
                else:
                    future.cancel()
                raise EosdbError(
                    "the event loop was stopped while the database was needed"
                ) from None


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _close(*answers: Any) -> None:
    """Close the coroutines among what nobody will await."""
    for answer in answers:
        if inspect.iscoroutine(answer):
            answer.close()


async def _awaited(answer: Awaitable[R]) -> R:
    return await answer


async def _list_of(items: AsyncIterator[R]) -> list[R]:
    return [item async for item in items]
