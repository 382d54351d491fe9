"""Rounds of everything leave nothing behind: memory, files, threads, slots of readers, objects."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import itertools
import json
import os
import pickle
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from aio_support import House as AsyncHouse, watched_threads
from support import (
    PROGRAM,
    WITH_TESTS,
    ForeignDatabase,
    House,
    Reading,
    house,
    reader_slots,
    when,
)

import eosdb
from eosdb import EosdbError, LMDBDatabase, MemoryDatabase, aio

ROWS: Final = 100
TIER: Final = (eosdb.to_duration("1 hour"), eosdb.to_duration("4 hours"))

# ---- rounds -------------------------------------------------------------------------------------


def opened(path: Path) -> LMDBDatabase:
    return LMDBDatabase(path, durability="none")


def read_objects(path: Path) -> None:
    """Load, iterate and look up."""
    with opened(path) as database:
        sequence: Any = House(database=database)
        assert sequence.load()
        assert len([record.power_w for record in sequence]) == ROWS
        assert sequence.get_by_datetime(when(3600)).power_w == 1.0
        assert sequence.get_nearest_by_datetime(when(3601)).power_w == 1.0
        assert len(sequence.records[:5]) == 5
        assert sequence.db_next_timestamp(sequence.db_timestamp_range()[0])


def read_values(path: Path) -> None:
    """Read arrays, lists, frames and Arrow data."""
    with opened(path) as database:
        sequence: Any = House(database=database)
        assert len(sequence.key_to_array("power_w")) == ROWS
        assert len(sequence.keys_to_arrays(["power_w", "count"], interval="2 hours")) == 2
        assert len(sequence.key_to_energy("power_w")) == ROWS - 1
        assert len(sequence.key_to_lists("note", dropna=False)[1]) == ROWS
        assert len(sequence.key_to_dict("power_w")) == ROWS
        assert len(sequence.to_dataframe()) == len(sequence.key_to_series("power_w")) == ROWS
        assert pa.table(sequence).num_rows == ROWS


def write(path: Path) -> None:
    """Change, insert, delete, compact, vacuum and save."""
    with opened(path.with_name("written")) as database:
        sequence = house(database, 30)
        sequence.update_value(when(0), power_w=1.0, note="x" * 100)
        sequence.delete_by_datetime(when(3600), when(7200))
        assert sequence.save()
        assert sequence.db_compact([TIER]) > 0
        database.flush()
        assert sequence.db_vacuum(keep_hours=0) > 0


def copy_all(path: Path) -> None:
    """Copy sequences and files."""
    with opened(path) as database:
        sequence: Any = House(database=database)
        records = list(sequence)
        for copied in (
            copy.copy(sequence),
            copy.deepcopy(sequence),
            sequence.model_copy(deep=True),
            pickle.loads(pickle.dumps(sequence)),
            House.from_dict(sequence.to_dict()),
        ):
            assert len(copied.records) == len(records)


def fail(path: Path) -> None:
    """Meet every kind of error."""
    with opened(path.with_name("failing")) as database:
        sequence = house(database, 5, start=100_000)
        database.save_records([(b"19700101T000003Z", b"damaged")], "house")
        sequence = House(database=database)
        assert len(list(sequence)) == 5
        uses: list[Callable[[], object]] = [
            lambda: sequence.get_by_datetime(when(3)),
            lambda: sequence.db_insert_record(Reading(date_time=when(100_000))),
            lambda: sequence.get_by_datetime(when(0).naive()),
            lambda: sequence.key_to_array("watts"),
            lambda: sequence.db_compact([(TIER[0], eosdb.to_duration(0))]),
            lambda: LMDBDatabase(path.with_name("failing"), read_only=True).open(),
            lambda: LMDBDatabase(path.with_name("missing"), read_only=True).open(),
            lambda: database.copy_to(path),
        ]
        record = Reading(date_time=when(7))
        record.configured_data["path"] = path
        sequence.db_insert_record(record)
        uses.append(sequence.save)
        for use in uses:
            with pytest.raises(EosdbError):
                use()
        database.delete_records([b"19700101T000003Z"], "house")
        House(database=database).db_vacuum(keep_hours=0)
    with pytest.raises(EosdbError):
        database.count_records()
    assert not sequence.save()


def use_others(_: Path) -> None:
    """Use databases without a file."""
    with MemoryDatabase() as memory:
        for database in (memory, ForeignDatabase()):
            sequence = house(database, 20)
            assert len(list(sequence)) == 20
            assert len(sequence.key_to_array("power_w")) == 20
            sequence.update_value(when(5), note="x")
            assert sequence.save()
            assert sequence.delete_by_datetime(when(0), None) == 21


def fork(path: Path) -> None:
    """Fork a process that opens the database again."""
    with opened(path) as database:
        assert House(database=database).db_count_records() == ROWS
        child = os.fork()
        if child == 0:
            status = 1
            try:
                database.close()
                with opened(path) as again:
                    status = len(list(House(database=again))) - ROWS
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert database.count_records(namespace="house") == ROWS


async def _await(path: Path) -> None:
    async with aio.LMDBDatabase(path, durability="none") as database:
        sequence: Any = AsyncHouse(database=database)
        assert len([record.power_w async for record in sequence]) == ROWS
        assert len(await sequence.key_to_array("power_w")) == ROWS
        assert (await sequence.get_by_datetime(when(3600))).power_w == 1.0
        assert len(await sequence.to_dataframe()) == ROWS
        await sequence.update_value(when(0), power_w=0.0)
        assert await sequence.save()
        with pytest.raises(EosdbError):
            await sequence.key_to_array("watts")
        task = asyncio.create_task(sequence.db_count_records())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def use_asynchronously(path: Path) -> None:
    """Do it by way of an event loop, which is a new one each time."""
    asyncio.run(_await(path))


def load(path: Path) -> None:
    """Open, load and close."""
    with LMDBDatabase(path, read_only=True) as database:
        assert House(database=database).load()


ROUNDS: Final[dict[str, Callable[[Path], None]]] = {
    "objects": read_objects,
    "values": read_values,
    "writing": write,
    "copies": copy_all,
    "errors": fail,
    "other databases": use_others,
    "forks": fork,
    "asyncio": use_asynchronously,
    "loading": load,
}


# ---- what is there ------------------------------------------------------------------------------


def measured(path: Path) -> dict[str, int]:
    """Return how much of everything this process has."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory": pages * os.sysconf("SC_PAGESIZE"),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "slots": list(reader_slots(path)).count(os.getpid()),
        "objects": len(gc.get_objects()),
    }


def run(path: str, name: str, rounds: str) -> None:
    """Tell what there is after each part of the rounds."""
    with opened(Path(path)) as database:
        house(database, ROWS)
    work = ROUNDS[name]
    started = time.perf_counter()
    found = []
    for _ in range(PARTS):
        for _ in range(int(rounds) // PARTS):
            work(Path(path))
        found.append(measured(Path(path)))
    print(json.dumps([found, time.perf_counter() - started]))  # noqa: T201  the report


PARTS: Final = 6


def growth_of(path: Path, name: str, rounds: int) -> dict[str, int]:
    """Run rounds in a process of their own.

    Returns:
        By how much everything has grown in the part of the rounds in which it grew least, without
        the first one: what leaks grows in each.
    """
    child = subprocess.run(  # noqa: S603  our own interpreter
        [
            sys.executable,
            *("-W", "ignore", "-c", PROGRAM, "test_leaks:run"),
            *(str(path), name, str(rounds)),
        ],
        capture_output=True,
        text=True,
        check=False,
        # One arena of glibc's: which of many a thread takes is chance.
        env={**WITH_TESTS, "MALLOC_ARENA_MAX": "1"},
    )
    assert child.returncode == 0, child.stderr[-5000:]
    found, lasted = json.loads(child.stdout.splitlines()[-1])
    # For whoever asks with -s.
    print(f"{name}: {rounds} rounds in {lasted:.1f} s")  # noqa: T201
    for part in found:
        print("   ", part)  # noqa: T201
    pairs = list(itertools.pairwise(found))
    return {what: min(after[what] - before[what] for before, after in pairs) for what in found[0]}


MEMORY: Final = 256 * 1024
"""Bytes by which allocators may differ."""

FEW: Final = {
    "objects": 240,
    "values": 60,
    "writing": 120,
    "copies": 60,
    "errors": 210,
    "other databases": 150,
    "forks": 18,
    "asyncio": 90,
    "loading": 1800,
}


def nothing_is_left(path: Path, name: str, rounds: int) -> None:
    growth = growth_of(path, name, rounds)
    assert growth["memory"] < MEMORY
    assert growth["files"] <= 0
    assert growth["threads"] <= 0
    assert growth["slots"] <= 0
    assert growth["objects"] <= 0


@pytest.mark.parametrize("name", ROUNDS)
def test_rounds_leave_nothing_behind(name: str, tmp_path: Path) -> None:
    nothing_is_left(tmp_path / "db", name, FEW[name])


@pytest.mark.soak
@pytest.mark.parametrize("name", ROUNDS)
def test_many_rounds_leave_nothing_behind(name: str, tmp_path: Path) -> None:
    nothing_is_left(tmp_path / "db", name, 1_000_000 if name == "loading" else 20 * FEW[name])


def test_who_reads_takes_no_slot_for_longer(tmp_path: Path) -> None:
    with opened(tmp_path / "db") as database:
        sequence = house(database, ROWS)

        def read(_: int) -> int:
            return len(list(House(database=database)))

        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(read, range(64))) == {ROWS}
            assert reader_slots(tmp_path / "db") == {}
        assert len(list(sequence)) == ROWS
        assert reader_slots(tmp_path / "db") == {}


# ---- objects ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lmdb", "memory", "foreign"])
def test_what_nobody_holds_is_freed(kind: str, tmp_path: Path) -> None:
    make: dict[str, Callable[[], Any]] = {
        "lmdb": lambda: opened(tmp_path / "db"),
        "memory": MemoryDatabase,
        "foreign": ForeignDatabase,
    }
    database = make[kind]()
    if kind != "foreign":
        database.open()
    sequence: Any = house(database, 10)
    records = list(sequence)
    copied = copy.deepcopy(sequence)
    held = [*records, *copied.records, sequence, sequence.records, copied, database]
    held.append(sequence._db_enter().iterate(None, None))
    freed = [weakref.ref(thing) for thing in held if getattr(type(thing), "__weakrefoffset__", 0)]
    assert len(freed) >= 23
    del held, sequence, records, copied
    gc.collect()
    assert [ref() for ref in freed if ref() is not None] == [database]
    if kind != "foreign":
        database.close()
    del database
    gc.collect()
    assert [ref() for ref in freed if ref() is not None] == []


def test_a_record_that_is_deleted_is_freed_with_its_sequence_alive() -> None:
    with MemoryDatabase() as database:
        sequence: Any = house(database, 10)
        freed = [weakref.ref(record) for record in sequence]
        assert sequence.delete_by_datetime(when(0), when(5 * 3600)) == 5
        assert sequence.save()
        gc.collect()
        assert [ref() is None for ref in freed] == [True] * 5 + [False] * 5


def test_an_answer_is_not_kept_by_what_brought_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that are held are not read anew, so a future must not hold them on its own.

    A thread lets go of its future some time after the loop has gone on.
    """

    async def main() -> None:
        futures = watched_threads(monkeypatch)
        with MemoryDatabase() as database:
            writer = house(database, 10)
            reader: Any = AsyncHouse(database=database)
            for number in range(3):
                powers = [record.power_w async for record in reader]
                assert len(set(powers)) == (10 if number == 0 else 1)
                for hour in range(10):
                    writer.update_value(when(hour * 3600), power_w=100.0 + number)
                writer.save()
                _, powers = await reader.key_to_lists("power_w")
                assert set(powers) == {100.0 + number}
        await futures.done()

    asyncio.run(main())
