"""The asynchronous API is the synchronous one, awaited, and the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, assert_type

import pytest
from aio_support import (
    CALLS,
    GATED,
    HOUR,
    KINDS,
    NOON,
    START,
    TIER,
    CoroutineDatabase,
    Gate,
    House,
    Own,
    PlainHouse,
    awaited_outcome_of,
    content,
    filled,
    gated,
    inner,
    opened,
    outcome_of,
    reading,
    run,
    words,
)
from pydantic import BaseModel
from support import House as SyncHouse, PlainReading, at, when

import eosdb
from eosdb import UNBOUND_WINDOW, aio

# ---- the same names ---------------------------------------------------------------------------

COROUTINES = words(
    """
    db_get_record db_previous_timestamp db_next_timestamp db_timestamp_range db_count_records
    db_insert_record db_mark_dirty_record db_delete_records db_load_records db_save_records
    db_autosave db_get_stats db_vacuum db_compact key_to_array keys_to_arrays key_to_energy
    key_to_lists key_to_dict key_to_value key_to_series to_dataframe to_arrow get_by_datetime
    get_nearest_by_datetime insert_by_datetime update_value key_from_lists delete_by_datetime
    key_delete_by_datetime save load
    """
)
OF_MODELS = {n for n in COROUTINES if not n.startswith(("db_", "key_to", "keys_", "to_"))}
"""What comes with `DataSequence`, not with the mixin."""

PRIVATE_OF_EOS = words(
    """
    _db_init_metadata _db_ensure_initialized _db_save_metadata _db_load_metadata
    _db_load_initial_window _db_load_full _db_ensure_loaded _db_set_compact_state _db_compact_tier
    _db_open
    """
)
"""What newer versions of Akkudoktor-EOS, and their tests, await although it is private."""

DATABASE_COROUTINES = words(
    """
    open close flush set_metadata get_metadata save_records delete_records count_records
    get_key_range get_backend_stats namespaces copy_to compact
    """
)


def public(class_: type[Any], base: type[Any]) -> set[str]:
    return {name for name in set(dir(class_)) - set(dir(base)) if not name.startswith("_")}


def check_same_call(name: str, synchronous: Any, asynchronous: Any) -> None:
    ours, theirs = inspect.signature(asynchronous), inspect.signature(synchronous)
    assert list(ours.parameters.values()) == list(theirs.parameters.values()), name


def coroutines(class_: type[Any]) -> set[str]:
    return {
        name
        for name in dir(class_)
        if inspect.iscoroutinefunction(inspect.getattr_static(class_, name))
    }


def test_every_public_name_is_there_and_awaited_if_it_may_wait() -> None:
    assert public(aio.DataSequence, BaseModel) == public(eosdb.DataSequence, BaseModel)
    ends = {"min_datetime", "max_datetime"}  # properties of synchronous sequences
    assert coroutines(aio.DataSequence) == COROUTINES | ends | PRIVATE_OF_EOS
    assert coroutines(aio.DatabaseRecordMixin) == coroutines(aio.DataSequence) - ends - OF_MODELS
    assert coroutines(eosdb.DataSequence) == set()
    of_databases = DATABASE_COROUTINES | {"__aenter__", "__aexit__"}
    assert coroutines(aio.LMDBDatabase) == of_databases
    assert coroutines(aio.SQLiteDatabase) == of_databases | {"vacuum"}


@pytest.mark.parametrize("name", sorted(COROUTINES | PRIVATE_OF_EOS - {"_db_open"}))
def test_a_method_is_a_coroutine_function_with_the_same_call(name: str) -> None:
    synchronous, asynchronous = getattr(eosdb.DataSequence, name), getattr(aio.DataSequence, name)
    assert inspect.iscoroutinefunction(asynchronous)
    check_same_call(name, synchronous, asynchronous)
    assert inspect.getdoc(asynchronous) == inspect.getdoc(synchronous)
    assert asynchronous.__name__ == name


@pytest.mark.parametrize("engine", ["LMDBDatabase", "SQLiteDatabase"])
@pytest.mark.parametrize("name", sorted({*DATABASE_COROUTINES, "__init__"}))
def test_a_method_of_a_database_is_a_coroutine_function_with_the_same_call(
    name: str, engine: str
) -> None:
    synchronous, asynchronous = (getattr(getattr(m, engine), name) for m in (eosdb, aio))
    assert inspect.iscoroutinefunction(asynchronous) == (name != "__init__")
    check_same_call(name, synchronous, asynchronous)


def test_iterating_is_an_asynchronous_generator() -> None:
    for synchronous, asynchronous in (
        (eosdb.DataSequence.db_iterate_records, aio.DataSequence.db_iterate_records),
        (eosdb.LMDBDatabase.iterate_records, aio.LMDBDatabase.iterate_records),
    ):
        assert inspect.isasyncgenfunction(asynchronous)
        check_same_call("iterate", synchronous, asynchronous)
        ours, theirs = inspect.getdoc(asynchronous), inspect.getdoc(synchronous)
        assert ours is not None
        assert theirs is not None
        assert ours.splitlines()[0] == theirs.splitlines()[0]


# ---- the same answers -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_call_has_the_outcome_of_the_synchronous_one(kind: str, tmp_path: Path) -> None:
    async def main(name: str, number: int) -> None:
        call = CALLS[name]
        with eosdb.MemoryDatabase() as memory:
            writer = SyncHouse(database=memory)
            for hour in range(60):
                writer.db_insert_record(reading(hour))
            writer.save()
            expected = SyncHouse(database=memory)
            async with opened(kind, tmp_path / str(number)) as database:
                sequence = await filled(database, 60)
                for _ in range(2):  # the second one may be answered without leaving the loop
                    assert await awaited_outcome_of(call, sequence) == outcome_of(call, expected)
                if name == "compact":
                    assert expected.db_count_records() < 60
                await sequence.save()
                expected.save()
                for reader in (sequence, House(database=database)):
                    records = [record async for record in reader]
                    assert records == list(SyncHouse(database=memory)), name

    for number, name in enumerate(CALLS):
        run(main(name, number))


def test_an_instant_of_another_type_is_refused_alike() -> None:
    async def main() -> None:
        database = CoroutineDatabase()
        sequence = await filled(database, 1)
        with pytest.raises(eosdb.errors.ArgumentTypeError, match="expected a datetime"):
            await sequence.update_value("noon", power_w=1.0)

    run(main())


def test_the_table_of_calls_has_every_method() -> None:
    def called(call: Callable[[Any], Any]) -> set[str]:
        return set(call.__code__.co_names)

    missing = COROUTINES - set().union(*map(called, CALLS.values()))
    assert missing == {"db_save_records", "db_get_stats", "to_arrow"}


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_and_arrow(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(kind, tmp_path) as database:
            sequence = await filled(database, 3)
            assert await sequence.min_datetime() == when(START)
            assert await sequence.max_datetime() == when(START + 2 * HOUR)
            stats = await sequence.db_get_stats()
            assert stats["enabled"]
            assert stats["total_records"] == 3
            assert stats["timestamp_range"] == {"min": at(START), "max": at(START + 2 * HOUR)}
            table = await sequence.to_arrow(keys=["power_w"])
            polars = pytest.importorskip("polars")
            assert polars.DataFrame(table)["power_w"].to_list() == [0.0, 1.0, 2.0]

    run(main())


@pytest.mark.parametrize("kind", ["aio lmdb", "aio memory"])
def test_a_closed_database(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(kind, tmp_path) as database:
            await filled(database, 3)
        assert not database.is_open
        for call in (database.count_records, database.namespaces, database.get_metadata):
            with pytest.raises(eosdb.errors.DatabaseClosedError):
                await call()
        with pytest.raises(eosdb.errors.DatabaseClosedError):
            _ = [row async for row in database.iterate_records()]
        # A sequence lives in memory then, as a synchronous one does.
        sequence = House(database=database)
        await sequence.update_value(NOON, power_w=1.0)
        assert await sequence.db_save_records() == 0
        assert await content(sequence) == [(12, 1.0)]

    run(main())


def test_a_database_as_such(tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.LMDBDatabase(tmp_path / "db") as database:
            await filled(database, 3)
            assert await database.namespaces() == ["house"]
            keys = [key async for key, _ in database.iterate_records(namespace="house")]
            assert keys == [at(START + hour * HOUR).encode() for hour in range(3)]
            assert await database.get_key_range("house") == (keys[0], keys[-1])
            assert await database.delete_records(keys[:1], namespace="house") == 1
            assert await database.count_records(namespace="house") == 2
            await database.copy_to(tmp_path / "copy")
            await database.flush()
        with eosdb.LMDBDatabase(tmp_path / "copy") as copied:
            assert len(SyncHouse(database=copied)) == 2

    run(main())


# ---- hooks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_overridden_hooks_are_honoured(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(kind, tmp_path) as database:
            sequence = await filled(database, 24, Own)
            backend = inner(database) if kind == "coroutines" else database
            counted = backend.count_records(namespace="own")
            assert (await counted if inspect.isawaitable(counted) else counted) == 24
            near = await sequence.db_get_record(at(START + 12 * HOUR), time_window=UNBOUND_WINDOW)
            assert near is not None
            assert len(sequence) == 4  # the initial window, two hours to either side
            assert sequence._db_load_phase is eosdb.DatabaseRecordProtocolLoadPhase.INITIAL
            arrays = await sequence.keys_to_arrays(["power_w"], NOON, when(START + 14 * HOUR))
            assert arrays["power_w"].tolist() == [112.0, 113.0]
            assert (await sequence.key_to_array("power_w", NOON, when(START + 13 * HOUR))) == [112]
            assert sequence.asked == ["power_w"] * 2

            assert await sequence.db_compact() == 22
            assert set(sequence.asked[2:]) == {"power_w"}
            assert (await content(sequence))[:2] == [(0, 100.5), (2, 102.5)]
            assert await sequence.db_vacuum() > 0
            assert (await content(House(database=database))) == []

    run(main())


def test_the_class_of_records_may_be_another() -> None:
    class Other(PlainReading):
        watts: float = 7.0

    class Others(PlainHouse):
        @classmethod
        def record_class(cls) -> type[PlainReading]:
            return Other

    async def main() -> None:
        database = CoroutineDatabase()
        await filled(database, 1)
        sequence = Others(database)
        assert isinstance(await sequence.db_get_record(at(START)), Other)

    run(main())


# ---- plain classes ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_class_with_the_mixin(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(kind, tmp_path) as database:
            sequence = PlainHouse(database)
            for hour in range(4):
                record = PlainReading(date_time=when(START + hour * HOUR), power_w=float(hour))
                await sequence.db_insert_record(record)
            assert await sequence.db_save_records() == 4
            sequence = PlainHouse(database, initial_load_window_h=2)
            record = await sequence.db_get_record(at(START + HOUR), time_window=UNBOUND_WINDOW)
            assert isinstance(record, PlainReading)
            record.power_w = 9.0
            await sequence.db_mark_dirty_record(record)
            assert await sequence.db_delete_records(at(START), at(START + 1)) == 1
            assert await sequence.db_save_records() == 2
            assert await content(PlainHouse(database)) == [(1, 9.0), (2, 2.0), (3, 3.0)]
            assert (await sequence.key_to_array("power_w")).tolist() == [9.0, 2.0, 3.0]

    run(main())


def test_types_are_those_of_the_synchronous_methods() -> None:
    async def main(sequence: aio.DatabaseRecordProtocolMixin[PlainReading]) -> None:
        assert_type(await sequence.db_get_record(at(START)), PlainReading | None)
        assert_type(await sequence.db_count_records(), int)
        assert_type(await sequence.db_vacuum(keep_hours=1), eosdb.VacuumReport)
        assert_type([record async for record in sequence.db_iterate_records()], list[PlainReading])

    run(main(PlainHouse(None)))


# ---- copies -----------------------------------------------------------------------------------

COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "model_copy": lambda sequence: sequence.model_copy(),
    "pickle": lambda sequence: pickle.loads(pickle.dumps(sequence)),
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_complete_and_independent(kind: str, way: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(kind, tmp_path) as database:
            sequence = await filled(database, 3)
            await sequence.update_value(when(START + 3 * HOUR), power_w=3.0)
            await sequence.load()
            copied = COPIES[way](sequence)
            assert type(copied) is House
            assert copied.records == sequence.records
            assert copied.database is (None if way == "pickle" else database)
            copied.database = database
            await copied.db_delete_records(at(START), at(START + 2 * HOUR))
            await sequence.update_value(when(START + 4 * HOUR), power_w=4.0)
            assert await content(copied) == [(2, 2.0), (3, 3.0)]
            assert await content(sequence) == [(hour, float(hour)) for hour in range(5)]
            assert await copied.save()
            assert await sequence.db_save_records() == 2
            assert await content(House(database=database)) == [
                (hour, float(hour)) for hour in (2, 3, 4)
            ]

    run(main())


@pytest.mark.parametrize("way", ["deepcopy", "model_copy", "_db_clone_empty"])
def test_records_of_a_copy_are_its_own_from_the_first_call_on(way: str) -> None:
    async def main() -> None:
        async with opened("aio memory", Path()) as database:
            sequence = await filled(database, 1500)
            copied = (COPIES | {way: lambda s: s._db_clone_empty()} | COPIES)[way](sequence)
            async for record in copied:
                record.power_w = -1.0
                await copied.db_mark_dirty_record(record)
            assert await copied.db_save_records() == 1500

    run(main())


# ---- the loop goes on -------------------------------------------------------------------------

WORK: dict[str, tuple[str, Callable[[Any], Coroutine[Any, Any, Any]]]] = {
    "load": ("iterate_records", lambda s: s.db_load_records()),
    "get": ("iterate_records", lambda s: s.db_get_record(at(START))),
    "iterate": ("iterate_records", content),
    "array": ("iterate_records", lambda s: s.key_to_array("power_w")),
    "update": ("iterate_records", lambda s: s.update_value(NOON, power_w=1.0)),
    "save": ("save_records", lambda s: s.save()),
    "compact": ("save_records", lambda s: s.db_compact([TIER])),
    "compact's metadata": ("set_metadata", lambda s: s.db_compact([TIER])),
    "first use": ("get_metadata", lambda s: s.db_count_records()),
}


@pytest.mark.parametrize("kind", GATED)
@pytest.mark.parametrize("work", WORK)
def test_other_tasks_go_on_while_the_database_keeps_waiting(kind: str, work: str) -> None:
    method, call = WORK[work]

    async def main() -> None:
        database = gated(kind)
        sequence = await filled(database, 24)
        if work == "save":
            await sequence.update_value(NOON, power_w=2.0)
        gate = database.gate(method)
        task = asyncio.create_task(call(sequence))
        await gate.until_reached()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not task.done()
        # What is in memory is at hand meanwhile.
        assert len(sequence) == len(sequence.records) == len(list(sequence))
        gate.open()
        await task
        assert await sequence.db_count_records() in {24, 13}

    run(main())


@pytest.mark.parametrize("kind", KINDS[:3])
def test_other_tasks_go_on_during_a_compaction(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(kind, tmp_path) as database:
            sequence, gate = await filled(database, 24), Gate()
            steps = []

            def progress(done: int, total: int) -> None:
                steps.append((done, total))
                gate.wait()

            task = asyncio.create_task(sequence.db_compact([TIER], progress=progress))
            await gate.until_reached()
            record = await sequence.db_get_record(at(START + 23 * HOUR))
            assert record == reading(23)
            assert not task.done()
            gate.open()
            assert await task == 22
            assert steps[-1][0] == steps[-1][1]

    run(main())


@pytest.mark.parametrize("kind", GATED)
def test_what_is_in_memory_needs_no_database(kind: str) -> None:
    async def main() -> None:
        database = gated(kind)
        sequence = await filled(database, 3)
        gates = [database.gate(method) for method in ("get_metadata", "iterate_records")]
        assert len(sequence) == len(sequence.records) == 0
        assert list(sequence) == list(sequence.records) == sequence.records == []
        assert repr(sequence) == "<House with 0 loaded records>"
        assert sequence.to_dict()["records"] == []
        assert sequence.db_enabled
        assert sequence.db_damaged_records() == []
        assert not any(gate.reached.is_set() for gate in gates)
        database.free()
        assert await sequence.db_load_records() == 3
        calls = dict(inner(database).calls)
        assert [record.power_w for record in sequence] == [0.0, 1.0, 2.0]
        assert (await sequence.db_get_record(at(START + HOUR))) is sequence.records[1]
        assert inner(database).calls == calls

    run(main())


def test_records_that_are_assigned_are_there_at_once() -> None:
    async def main() -> None:
        database = CoroutineDatabase()
        sequence = await filled(database, 3)
        sequence.records = [reading(5), reading(4)]
        assert [record.power_w for record in sequence] == [4.0, 5.0]
        await sequence.update_value(when(START + 4 * HOUR), note="changed")
        assert await sequence.db_count_records() == 5
        assert await sequence.db_save_records() == 2
        assert await House(database=database).db_count_records() == 5

    run(main())


def test_records_of_a_database_that_was_opened_again_say_what_to_await() -> None:
    async def main() -> None:
        database = CoroutineDatabase()
        sequence = await filled(database, 3)
        await sequence.load()
        database.is_open = False
        assert len(sequence) == 3
        database.is_open = True
        with pytest.raises(eosdb.EosdbError, match="await a method of the sequence"):
            len(sequence)
        await sequence.load()
        assert len(sequence) == 3

    run(main())
