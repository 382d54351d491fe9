"""`eosdb.testing.Faults`: how an application's tests find out what it does when storage fails.

The first tests are written as an application's author would write them.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from aio_support import House as AsyncHouse, reading as async_reading
from support import ForeignDatabase, House, house, seconds, when
from test_durability import expected_content, pending_in, with_pending

import eosdb
from eosdb import DiskFullError, LMDBDatabase, StorageError
from eosdb.testing import Faults

# ---- what an application does when storage fails -------------------------------------------------


def test_a_full_disk_loses_nothing_and_the_next_save_stores_all(
    eosdb_store: eosdb.DatabaseABC, eosdb_faults: Faults
) -> None:
    sequence = House(database=eosdb_store)
    eosdb_faults.limit_space(1000)
    saved = 0
    with pytest.raises(DiskFullError, match="limit of 1000 bytes"):  # noqa: PT012  at some time
        for number in range(100):
            sequence.update_value(when(number), power_w=float(number))
            saved += sequence.save()
    assert 0 < saved < 20
    assert eosdb_store.count_records(namespace="house") == saved
    assert len(sequence) == saved + 1
    eosdb_faults.limit_space(None)
    sequence.save()
    assert seconds(House(database=eosdb_store)) == list(range(saved + 1))


@pytest.mark.parametrize("applied", [False, True])
def test_whichever_operation_of_a_save_fails_it_can_be_repeated(
    applied: bool, eosdb_store: eosdb.DatabaseABC, eosdb_faults: Faults
) -> None:
    failed = 0
    while True:
        store_emptied(eosdb_store)
        sequence = with_pending(eosdb_store)
        pending = pending_in(sequence)
        eosdb_faults.fail(after=failed, applied=applied)
        try:
            sequence.save()
        except StorageError:
            failed += 1
        else:
            break
        eosdb_faults.heal()
        assert pending_in(sequence)[3:] == pending[3:]
        if not applied:
            assert pending_in(sequence) == pending
        assert sequence.save()
        assert pending_in(sequence)[:3] == [set(), set(), set()]
        assert expected_content(House(database=eosdb_store)) == pending[3]
        assert not sequence.save()
    assert failed


def store_emptied(database: Any) -> None:
    everything = House(database=database)
    everything.delete_by_datetime(None, None)
    everything.save()
    assert database.count_records(namespace="house") == 0


def workload(database: Any) -> list[Callable[[], Any]]:
    """What an application does in a day, step by step; each can be done again if it failed."""
    sequence = House(database=database)

    def fill() -> None:
        for minute in range(0, 24 * 60, 5):
            sequence.update_value(when(60 * minute), power_w=float(minute), count=minute)

    def change() -> None:
        sequence.update_value(when(0), note="changed")
        sequence.delete_by_datetime(when(3600), when(7200))

    return [
        fill,
        sequence.save,
        change,
        sequence.save,
        lambda: House(database=database).key_to_array("power_w"),
        sequence.db_compact,
        lambda: sequence.delete_by_datetime(when(0), when(1800)),
        sequence.db_autosave,
        lambda: list(House(database=database)),
    ]


def test_whichever_operation_of_a_day_fails_doing_it_again_ends_in_the_same(
    eosdb_store: eosdb.DatabaseABC, eosdb_faults: Faults
) -> None:
    for step in workload(eosdb_store):
        step()
    operations = eosdb_faults.operations
    expected = expected_content(House(database=eosdb_store))
    assert len(expected) > 50
    failed = []
    for number in range(len(operations)):
        store_emptied(eosdb_store)
        # As if it was made just now: no tier has compacted anything yet.
        eosdb_store.set_metadata(None, namespace="house")
        eosdb_faults.fail(after=number, error=OSError(errno.EIO, "worn out"))
        for step in workload(eosdb_store):
            try:
                step()
            except OSError:
                failed.append(eosdb_faults.operations[-1])
                step()
        assert expected_content(House(database=eosdb_store)) == expected
    assert failed == operations


# ---- what a power cut leaves ---------------------------------------------------------------------


def commits(faults: Faults) -> int:
    return [name for name, _ in faults.operations].count("commit")


@pytest.mark.parametrize(("durability", "lost"), [("commit", 0), ("interval", 1)])
def test_a_power_cut_after_any_commit_leaves_what_was_acknowledged(
    durability: Literal["commit", "interval"], lost: int, tmp_path: Path
) -> None:
    database = LMDBDatabase(tmp_path / "whole", durability=durability)
    faults = Faults(database)
    contents: list[list[Any]] = [[]]
    with database:
        for step in workload(database):
            step()
            if commits(faults) == len(contents):
                contents.append(expected_content(House(database=database)))
    assert len(contents) == commits(faults) + 1 == 5
    for acknowledged in range(1, len(contents)):
        path = tmp_path / str(acknowledged)
        database = LMDBDatabase(path / "database", durability=durability)
        faults = Faults(database)
        with database:
            faults.freeze(after_commits=acknowledged)
            for step in workload(database):
                step()
            assert expected_content(House(database=database)) == contents[-1]
        image = faults.disk_image(path / "image")
        with LMDBDatabase(image) as left:
            assert expected_content(House(database=left)) == contents[acknowledged - lost]


def test_what_is_flushed_survives_and_the_rest_need_not(tmp_path: Path) -> None:
    database = LMDBDatabase(tmp_path / "database", durability="none")
    faults = Faults(database)
    with database:
        house(database, 3)
        database.flush()
        house(database, 1, start=100_000)
        faults.freeze()
        database.flush()
    with LMDBDatabase(faults.disk_image(tmp_path / "image")) as left:
        assert seconds(House(database=left)) == [0, 3600, 7200]
    with database:
        assert len(House(database=database)) == 4


def test_without_files_there_is_no_image(tmp_path: Path) -> None:
    database = eosdb.MemoryDatabase()
    faults = Faults(database)
    with pytest.raises(eosdb.InvalidArgumentError, match="no database was opened"):
        faults.freeze()
    with database:
        for ask in (faults.freeze, lambda: faults.disk_image(tmp_path / "image")):
            with pytest.raises(eosdb.InvalidArgumentError, match=r"no disk image.*memory"):
                ask()
    with pytest.raises(eosdb.DatabaseClosedError):
        faults.freeze()


# ---- the faults themselves -----------------------------------------------------------------------


def test_sequences_use_the_database_natively(
    eosdb_store: eosdb.DatabaseABC, eosdb_faults: Faults
) -> None:
    sequence = house(eosdb_store, 10)
    assert sequence._db_enter().is_native
    assert ("commit", "house") in eosdb_faults.operations
    before = len(eosdb_faults.operations)
    assert len(list(sequence)) == 10
    asked = eosdb_faults.operations[before:]
    assert asked
    assert {name for name, _ in asked} <= {"scan", "get_many", "get", "metadata", "count"}
    assert {namespace for _, namespace in asked} == {"house"}


def test_a_database_that_is_open_is_bound_anew(eosdb_store: Any) -> None:
    sequence = house(eosdb_store, 3)
    assert len(list(sequence)) == 3
    sequence.update_value(when(1), power_w=1.0)
    Faults(eosdb_store).fail(on="commit")
    with pytest.raises(StorageError, match="as a test has asked it to"):
        sequence.save()
    assert sequence.save() == 1


def test_faults_outlive_closing_and_compacting(tmp_path: Path) -> None:
    database = LMDBDatabase(tmp_path / "database")
    faults = Faults(database)
    faults.fail(on="commit", after=1, once=False)
    with database:
        house(database, 1)
        database.compact()
    with database:
        for _ in range(2):
            with pytest.raises(StorageError):
                house(database, 1, start=1)
        faults.heal()
        house(database, 1, start=1)
        assert len(House(database=database)) == 2


def test_reads_and_syncs_fail_apart(eosdb_store: eosdb.DatabaseABC, eosdb_faults: Faults) -> None:
    sequence = house(eosdb_store, 1)
    eosdb_faults.fail(on="sync", error=OSError)
    assert len(sequence) == 1
    sequence.update_value(when(1), power_w=1.0)
    sequence.save()
    with pytest.raises(OSError, match=r"^$"):
        eosdb_store.flush()
    eosdb_store.flush()
    eosdb_faults.fail(on="read", error=TimeoutError("slow disk"))
    eosdb_store.flush()
    with pytest.raises(TimeoutError, match="slow disk"):
        eosdb_store.count_records(namespace="house")
    assert eosdb_store.count_records(namespace="house") == 2


def test_asynchronous_sequences_fail_too(eosdb_aio_store: Any, eosdb_faults: Faults) -> None:
    async def main() -> None:
        sequence = AsyncHouse(database=eosdb_aio_store)
        await sequence.db_insert_record(async_reading(0))
        eosdb_faults.fail(on="commit")
        with pytest.raises(StorageError, match="as a test has asked it to"):
            await sequence.save()
        assert await sequence.save()
        await eosdb_aio_store.close()

    asyncio.run(main())


def test_an_asynchronous_database_can_be_given(tmp_path: Path) -> None:
    async def main() -> None:
        database = eosdb.aio.LMDBDatabase(tmp_path / "database")
        faults = Faults(database)
        async with database:
            faults.fail(on="commit")
            with pytest.raises(StorageError):
                await database.set_metadata(b"metadata")

    asyncio.run(main())


class Overriding(eosdb.MemoryDatabase):
    """A database that sequences do not use natively."""

    def serialize_data(self, data: bytes) -> bytes:
        return b"\x00" + data

    def deserialize_data(self, data: bytes) -> bytes:
        return data.removeprefix(b"\x00")


@pytest.mark.parametrize("opened_before", [False, True])
def test_a_database_with_access_of_its_own_keeps_it(opened_before: bool) -> None:
    database = Overriding()
    if opened_before:
        database.open()
    faults = Faults(database)
    with database:
        sequence = house(database, 2)
        assert not sequence._db_enter().is_native
        sequence.update_value(when(1), power_w=1.0)
        faults.fail(on="commit")
        with pytest.raises(StorageError):
            sequence.save()
        assert sequence.save() == 1


def test_what_makes_no_sense_is_refused(eosdb_faults: Faults) -> None:
    refused: list[tuple[type[Exception], Callable[[], object]]] = [
        (eosdb.ArgumentTypeError, lambda: Faults(ForeignDatabase())),
        (eosdb.ArgumentTypeError, lambda: Faults(None)),
        (eosdb.ArgumentTypeError, lambda: eosdb_faults.fail(error="text")),  # type: ignore[arg-type]
        (eosdb.ArgumentTypeError, lambda: eosdb_faults.fail(error=int)),  # type: ignore[arg-type]
        (eosdb.InvalidArgumentError, lambda: eosdb_faults.fail("write")),  # type: ignore[arg-type]
        (eosdb.InvalidArgumentError, lambda: eosdb_faults.fail(after=-1)),
        (eosdb.InvalidArgumentError, lambda: eosdb_faults.fail("read", applied=True)),
        (eosdb.InvalidArgumentError, lambda: eosdb_faults.limit_space(-1)),
        (eosdb.InvalidArgumentError, lambda: eosdb_faults.freeze(after_commits=-1)),
    ]
    for error, ask in refused:
        with pytest.raises(error):
            ask()
