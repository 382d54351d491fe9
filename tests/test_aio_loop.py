"""Nothing keeps the event loop: not storage, not a lock, not long work, not many calls at once."""

from __future__ import annotations

import asyncio
import gc
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aio_support import (
    HOUR,
    START,
    TIER,
    TIMEOUT,
    CoroutineDatabase,
    Gate,
    House,
    content,
    filled,
    inner,
    reading,
    run,
)
from support import House as SyncHouse, Reading, at, when

import eosdb
from eosdb import aio
from eosdb.aio import threads

# ---- a compaction's commit ----------------------------------------------------------------------

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


@contextmanager
def another_writer(file: Path) -> Iterator[Callable[[], None]]:
    """Have another process write to an SQLite file until the function is called."""
    command = [sys.executable, "-c", HOLDER, str(file)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as holder:  # noqa: S603  fixed
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"

        def go_on() -> None:
            holder.communicate("go on\n")

        yield go_on
        holder.kill()


def test_during_a_commit_the_loop_looks_and_changes_what_is_not_rewritten(tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.SQLiteDatabase(tmp_path / "db", durability="none") as database:
            sequence = await filled(database, 24)
            records = [record async for record in sequence]
            state = sequence._db_enter()
            with another_writer(tmp_path / "db" / "data.db") as go_on:
                compaction = asyncio.create_task(sequence.db_compact([TIER]))
                polls = 0
                while polls < 50:  # a moment of somebody else's work does not count
                    is_fenced = state.get_at_hand(at(START)) is NotImplemented
                    polls = polls + 1 if is_fenced else 0
                    await asyncio.sleep(0.001)
                # It waits for the other process, with a thread; the loop must not.
                assert len(sequence) == len(sequence.records) == 24
                assert sequence.records[0] is records[0]
                assert await sequence.db_get_record(at(START + 23 * HOUR)) is records[23]
                await sequence.update_value(when(START + 23 * HOUR), power_w=-23.0)
                await sequence.db_mark_dirty_record(records[23])
                await sequence.db_insert_record(reading(30))
                assert not compaction.done()
                # What would change a row that is being rewritten comes after, in a thread.
                late = asyncio.create_task(sequence.update_value(when(START), power_w=-1.0))
                marked = asyncio.create_task(sequence.db_mark_dirty_record(records[1]))
                await asyncio.wait([late, marked], timeout=0.2)
                assert not late.done()
                assert not marked.done()
                await asyncio.to_thread(go_on)
            assert await compaction == 22
            await late
            with pytest.raises(eosdb.errors.InvalidArgumentError):
                await marked  # there is no such row any more
            expected = [(hour, hour + 0.5) for hour in range(0, 22, 2)]
            expected[0] = (0, -1.0)
            expected += [(22, 22.0), (23, -23.0), (30, 30.0)]
            assert await content(sequence) == expected
            await sequence.save()
            assert await content(House(database=database)) == expected

    run(main())


def test_a_save_of_nothing_waits_for_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy loop gets to know late what a thread has done: twenty-five saves took nine seconds."""

    async def main() -> None:
        async with aio.LMDBDatabase(tmp_path / "db") as database:
            sequence = House(database=database)
            with monkeypatch.context() as without_threads:
                without_threads.setattr(threads._THREADS, "pool", None)
                assert await sequence.db_save_records() == await sequence.db_autosave() == 0
                assert not await sequence.save()
            await sequence.db_insert_record(reading(1))
            with monkeypatch.context() as without_threads:
                without_threads.setattr(threads._THREADS, "pool", None)
                with pytest.raises(AttributeError):
                    await sequence.db_save_records()
            assert await sequence.db_save_records() == 1
            assert await House(database=database).db_count_records() == 1

    run(main())


def test_what_is_looked_up_at_its_second_is_at_hand_like_any_other() -> None:
    async def main() -> None:
        database = CoroutineDatabase()
        sequence = await filled(database, 3)
        await sequence.load()
        await content(sequence)
        calls, pool = dict(inner(database).calls), threads._THREADS.pool
        threads._THREADS.pool = ThreadPoolExecutor()
        threads._THREADS.pool.shutdown()  # no thread is needed
        try:
            record = await sequence.get_by_datetime(when(START + HOUR))
            assert record is sequence.records[1]
            assert await sequence.get_by_datetime(when(START + 1)) is None
            await sequence.insert_by_datetime(reading(1, power_w=None, note="merged"))
            await sequence.insert_by_datetime(reading(9))
            await sequence.update_value(when(START), power_w=9.0)
            await sequence.db_mark_dirty_record(record)
        finally:
            threads._THREADS.pool = pool
        assert inner(database).calls == calls
        assert await content(sequence) == [(0, 9.0), (1, 1.0), (2, 2.0), (9, 9.0)]
        assert await sequence.db_save_records() == 3

    run(main())


# ---- long work in threads -----------------------------------------------------------------------


class Watch:
    """A thread of Python that would go on all the time, and sees for how long it could not.

    Attributes:
        longest: The longest time in seconds.
        total: The time in seconds.
    """

    def __enter__(self) -> Watch:
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self) -> None:
        self.longest, begun = 0.0, time.perf_counter()
        last = begun
        while not self._ends.is_set():
            time.sleep(0)
            now = time.perf_counter()
            self.longest, last = max(self.longest, now - last), now
        self.total = last - begun

    def __exit__(self, *error: object) -> None:
        self._ends.set()
        self._thread.join()


@pytest.fixture
def _eager_threads() -> Iterator[None]:
    """Who waits for the interpreter asks for it at once, and the collector keeps it for nobody."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    gc.disable()
    yield
    gc.enable()
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_eager_threads")
def test_long_reading_yields_to_other_threads() -> None:
    with eosdb.MemoryDatabase() as database:
        sequence = SyncHouse(database=database)
        sequence.records = many_readings()
        sequence.save()
        sequence = SyncHouse(database=database)
        sequence.key_to_lists("power_w")
        with Watch() as watch:
            sequence.key_to_lists("power_w")
        # In one go it would be nearly all of it.
        assert watch.longest < watch.total / 2


@pytest.mark.usefixtures("_eager_threads")
def test_a_long_save_yields_to_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()
    by_python, steps = pickle.dumps, 0

    def dumps(*args: Any) -> bytes:
        (ended if begun.is_set() else begun).set()
        return by_python(*args)

    def work() -> None:
        nonlocal steps
        assert begun.wait(TIMEOUT)
        while not ended.is_set():
            steps += 1
            time.sleep(0)

    monkeypatch.setattr(pickle, "dumps", dumps)
    with eosdb.MemoryDatabase() as database:
        sequence = SyncHouse(database=database)
        sequence.records = records = many_readings()
        # An integer of this size is left to Python's pickler, all between them to ours.
        records[0].count = records[-1].count = 2**70
        thread = threading.Thread(target=work)
        thread.start()
        sequence.save()
        thread.join()
    # In one go there would be one or two.
    assert steps > 10


def many_readings() -> list[Reading]:
    plain = reading(0)
    times = (when(START + number * 60) for number in range(60_000))
    return [plain.model_copy(update={"date_time": time}) for time in times]


def test_rows_of_a_database_are_handed_out_while_others_go_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.LMDBDatabase(tmp_path / "db", durability="none") as database:
            keys = [at(START + number).encode() for number in range(5000)]
            await database.save_records([(key, b"") for key in keys], namespace="house")
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.create_task(other())
            rows = database.iterate_records(namespace="house")
            found = [await anext(rows)]
            before = turns
            found += [row async for row in rows]
            task.cancel()
            assert [key for key, _ in found] == keys
            assert turns - before >= 4

    run(main())


# ---- databases that are asynchronous iterators ---------------------------------------------------


class CountingDatabase(CoroutineDatabase):
    """One that counts what is taken from it.

    Attributes:
        taken: How many rows were yielded.
        running: How many iterations were begun and have not ended.
    """

    def __init__(self) -> None:
        super().__init__()
        self.taken = self.running = 0

    async def iterate_records(
        self, *args: Any, **options: Any
    ) -> AsyncIterator[tuple[bytes, bytes]]:
        self.running += 1
        try:
            async for row in super().iterate_records(*args, **options):
                self.taken += 1
                yield row
        finally:
            self.running -= 1


def test_no_more_is_taken_from_an_asynchronous_database_than_is_needed() -> None:
    async def main() -> None:
        database = CountingDatabase()
        rows = 20_000
        sequence = SyncHouse()
        sequence.records = [reading(number) for number in range(rows)]
        database.inner.rows["house"] = {}
        sequence.database = database.inner
        assert sequence.db_save_records() == rows
        fresh = House(database=database)
        await fresh.update_value(when(START + 1), power_w=1.0)
        assert database.taken < 10
        assert await fresh.db_next_timestamp(at(START)) == at(START + 1)
        assert database.taken < 20
        database.taken = 0
        assert await fresh.db_load_records() == rows
        assert database.taken < 2 * rows
        assert database.running == 0

    run(main())


# ---- many calls at once -------------------------------------------------------------------------


class AtWork:
    """A `progress` of dry compactions that notes how many are at work at a time.

    Attributes:
        most: The largest number of them so far.
    """

    def __init__(self, enough: int) -> None:
        self._counting = threading.Lock()
        self._now = self.most = 0
        self.gate = Gate(enough)

    def __call__(self, done: int, total: int) -> None:
        with self._counting:
            self._now += 1
            self.most = max(self.most, self._now)
        self.gate.wait()
        with self._counting:
            self._now -= 1


def test_of_many_calls_a_few_are_at_work_at_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.LMDBDatabase(tmp_path / "db", durability="none") as database:
            await filled(database, 24)
            progress = AtWork(threads._TURNS)
            compact = [
                House(database=database).db_compact([TIER], dry_run=True, progress=progress)
                for _ in range(50)
            ]
            tasks = [asyncio.create_task(call) for call in compact]
            await progress.gate.until_reached()
            # Whoever is cancelled frees its turn when its thread is done, not before.
            for task in tasks[:20]:
                task.cancel()
            await asyncio.wait(tasks[20:], timeout=0.2)
            progress.gate.open()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert sum(isinstance(outcome, asyncio.CancelledError) for outcome in done) == 20
            assert [outcome for outcome in done if isinstance(outcome, int)] == [22] * 30
            assert progress.most == threads._TURNS

    run(main())


def test_a_call_that_a_turn_waits_for_needs_no_turn(tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.LMDBDatabase(tmp_path / "db", durability="none") as database:
            sequence, loop = await filled(database, 24), asyncio.get_running_loop()
            met = Gate(threads._TURNS)

            async def count() -> int:
                return await House(database=database).db_count_records()

            def progress(*_: int) -> None:
                met.wait()
                assert asyncio.run_coroutine_threadsafe(count(), loop).result() == 24

            calls = [
                asyncio.create_task(sequence.db_compact([TIER], dry_run=True, progress=progress))
                for _ in range(2 * threads._TURNS)
            ]
            await met.until_reached()
            met.open()
            assert [int(report) for report in await asyncio.gather(*calls)] == [22] * len(calls)

    run(main())


def test_thousands_of_calls_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.LMDBDatabase(tmp_path / "db", durability="none") as database:
            sequence = await filled(database, 24)
            before = threading.active_count()
            arrays = await asyncio.gather(*(sequence.key_to_array("power_w") for _ in range(3000)))
            assert all(len(array) == 24 for array in arrays)
            assert threading.active_count() <= before + threads._TURNS

    run(main())
