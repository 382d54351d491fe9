"""Event loops that end, or are closed, in the middle of a call."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aio_support import (
    GATED,
    TIMEOUT,
    House,
    Threads,
    content,
    filled,
    gated,
    left_in_the_middle,
    run,
    watched_threads,
)
from support import WITH_TESTS

from eosdb.aio.threads import in_thread, result_of


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Threads]:
    with watched_threads(monkeypatch) as pool:
        yield pool


@pytest.mark.parametrize("kind", GATED)
def test_one_loop_after_another(kind: str, threads: Threads) -> None:
    database = gated(kind)
    sequence = run(filled(database, 3))
    for work, counts in (("save", {24}), ("compact", {13, 24})):
        # The first loop ends in the middle of a call.
        run(left_in_the_middle(work, sequence, database))
        database.free()
        run(threads.done())
        run(sequence.save())
        found = run(content(sequence))
        assert len(found) in counts
        assert run(content(House(database=database))) == found


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_what_a_closed_loop_has_not_run_is_closed(
    rounds: int, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread asks a loop that has stopped, which is closed so many rounds later.

    Nothing is left that would warn, where the garbage is collected, of never having been awaited.
    """
    asked, stopped = threading.Event(), threading.Event()
    as_ever = asyncio.run_coroutine_threadsafe
    coroutines = []

    def ask(coroutine: Any, loop: asyncio.AbstractEventLoop) -> Any:
        coroutines.append(coroutine)
        future = as_ever(coroutine, loop)
        asked.set()
        return future

    async def answer() -> None:
        await asyncio.sleep(TIMEOUT)

    def work() -> None:
        assert stopped.wait(TIMEOUT)
        coroutines.append(answer())
        result_of(coroutines[0])

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", ask)
    loop = asyncio.new_event_loop()
    task = loop.create_task(in_thread(work))
    loop.call_soon(loop.stop)
    loop.run_forever()
    stopped.set()
    assert asked.wait(TIMEOUT)
    for _ in range(rounds):
        loop.stop()
        loop.run_forever()
    for left in asyncio.all_tasks(loop):
        left._log_destroy_pending = False  # type: ignore[attr-defined]  # that is what is tested
    loop.close()
    run(threads.done())
    assert [inspect.getcoroutinestate(coroutine) for coroutine in coroutines] == [
        inspect.CORO_CLOSED,
        inspect.CORO_CLOSED,
    ]
    assert not task.done()


def test_what_is_cancelled_before_its_first_step_is_closed(threads: Threads) -> None:
    """As `asyncio.run` cancels what a thread has asked for in its loop's last moment."""
    coroutines = []

    async def answer() -> None:
        raise AssertionError

    def work() -> None:
        coroutines.append(answer())
        result_of(coroutines[0])

    async def main() -> None:
        call = asyncio.create_task(in_thread(work))
        tasks = asyncio.all_tasks()
        while not (asked := asyncio.all_tasks() - tasks):
            await asyncio.sleep(0)
        for task in asked:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await threads.done()
        assert inspect.getcoroutinestate(coroutines[0]) == inspect.CORO_CLOSED

    run(main())


ENDS = {
    "run": "asyncio.run({main})",
    "closed": "loop = asyncio.new_event_loop(); loop.run_until_complete({main}); loop.close()",
    "left open": "loop = asyncio.new_event_loop(); loop.run_until_complete({main})",
}


SOONER = "threads._CHECK_SECONDS = 0.2"
"""A thread gives a loop that stands still up sooner than in earnest."""


@pytest.mark.parametrize("work", ["save", "compact"])
@pytest.mark.parametrize("end", ENDS)
def test_the_interpreter_exits_though_a_loop_ended_in_the_middle_of_a_call(
    end: str, work: str
) -> None:
    main = ENDS[end].format(main=f"left_in_the_middle('{work}')")
    ended = subprocess.run(  # noqa: S603  a fixed command
        [
            sys.executable,
            "-c",
            f"import asyncio; from aio_support import *; {SOONER}; {main}; print('ended')",
        ],
        env=WITH_TESTS,
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    assert ended.stdout == "ended\n"
    assert ended.returncode == 0
    assert "never awaited" not in ended.stderr
