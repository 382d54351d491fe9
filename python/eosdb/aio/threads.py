"""Leaving the event loop for a thread, and going back to it from there."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import inspect
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from ..errors import EosdbError

__all__ = ["in_thread", "in_turn", "is_stopped", "result_of"]

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

_TURNS: Final = 8
"""How many calls of a loop are at work at a time, of those that wait for nothing in it: with more,
none would be done sooner, and the loop would get the interpreter less often.
"""

_turns: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]] = WeakKeyDictionary()

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
    return await _done(functools.partial(function, *args, **kwargs))


async def in_turn(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do as :func:`in_thread`, but with a few functions at a time; the others wait for their turn.

    Args:
        function: The function. It must not wait for anything that the loop is to do.
        *args: Its arguments.
        **kwargs: Its keyword arguments.
    """
    work = functools.partial(function, *args, **kwargs)
    if _CALL.get(None) is not None:
        # A thread waits for the task that calls: it may hold the last turn.
        return await _done(work)
    turns = _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_TURNS))
    await turns.acquire()
    return await _done(work, turns)


async def _done(work: Callable[[], R], turns: asyncio.Semaphore | None = None) -> R:
    """Run `work` in a thread. Its turn ends with it, though the caller be cancelled before."""
    loop = asyncio.get_running_loop()
    call = _Call(loop)
    context = contextvars.copy_context()
    context.run(_CALL.set, call)
    answer: list[R] = []
    # The futures, and what the loop ties to them, refer to one another and are freed at some later
    # time. So they must not hold the answer: records that are held are not read anew.
    future = _THREADS.pool.submit(lambda: answer.append(context.run(work)))
    try:
        await asyncio.wrap_future(future)
        return answer.pop()
    except asyncio.CancelledError:
        call.cancelled.set()
        raise
    finally:
        if turns is None:
            pass
        elif future.done():
            turns.release()
        else:
            future.add_done_callback(lambda _: _in_loop(loop, turns.release))


def _in_loop(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    with contextlib.suppress(RuntimeError):  # of a loop that has been closed
        loop.call_soon_threadsafe(callback)


def is_stopped() -> bool:
    """Return whether nobody waits any longer for what this thread does."""
    call = _CALL.get(None)
    return call is not None and call.cancelled.is_set()


def result_of(answer: Any) -> Any:
    """Return what a call answers, from a thread; of a coroutine, what it returns in its loop.

    Args:
        answer: Anything; an awaitable is awaited, and an asynchronous iterator made an iterator
            for this thread.

    Raises:
        EosdbError: If the answer is to be awaited, and this thread was not sent by a loop.
    """
    if isinstance(answer, AsyncIterator):
        return _pulled(answer)
    if not inspect.isawaitable(answer):
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
        except concurrent.futures.CancelledError:
            _close(answer)  # if it was before its first step
            raise
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


def _pulled(items: AsyncIterator[R]) -> Iterator[R]:
    """Iterate over what an asynchronous iterator yields in its loop, some at a time.

    Nothing is asked for that is not needed: who searches takes the first one and leaves the rest.
    """
    wanted = _FIRST_PULL
    try:
        while some := result_of(_some_of(items, wanted)):
            yield from some
            if len(some) < wanted:
                return
            wanted = min(4 * wanted, _LARGEST_PULL)
    finally:
        with contextlib.suppress(EosdbError):  # told already
            result_of(_ended(items))


_FIRST_PULL: Final = 4
_LARGEST_PULL: Final = 1024
"""How many items are pulled at a time: the loop does nothing else meanwhile."""


async def _some_of(items: AsyncIterator[R], number: int) -> list[R]:
    some: list[R] = []
    async for item in items:
        some.append(item)
        if len(some) == number:
            break
    return some


async def _ended(items: AsyncIterator[Any]) -> None:
    close = getattr(items, "aclose", None)
    if close is not None:
        await close()
