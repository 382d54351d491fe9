"""What Akkudoktor-EOS's database loses or leaves behind: on disk, and where something fails.

Like `test_defects`: every docstring says what Akkudoktor-EOS does, and what is right.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, cast

import pytest
from aio_support import House as AsyncHouse, opened
from support import (
    PROGRAM,
    WITH_TESTS,
    ForeignDatabase,
    House,
    Reading,
    house,
    reader_slots,
    seconds,
    when,
)
from system_calls import CANNOT_FILTER, are_known, forbid_syncing

import eosdb
from eosdb import LMDBDatabase

PAGE: Final = 4096
SYSTEM_CALL: Final = -signal.SIGSYS

# ---- on disk ------------------------------------------------------------------------------------

USES: Final[dict[str, Callable[[LMDBDatabase, Any], object]]] = {
    "save": lambda _, sequence: sequence.save(),
    "flush": lambda database, _: database.flush(),
    "close": lambda database, _: database.close(),
    "read": lambda database, _: list(House(database=database)),
}


def use_without_syncing(path: str, durability: str, use: str) -> NoReturn:
    """Use a database in a process that the system ends as soon as it synchronises a file."""
    database = LMDBDatabase(path, durability=cast("Literal['commit']", durability))
    database.open()
    sequence = house(database, 100)
    sequence.update_value(when(0), note="x" * 100_000)
    forbid_syncing(kill=True)
    USES[use](database, sequence)
    os._exit(0)  # to leave in any other way closes the database


@pytest.mark.parametrize(
    ("durability", "use", "expected"),
    [
        ("commit", "save", SYSTEM_CALL),
        ("interval", "save", SYSTEM_CALL),
        ("interval", "flush", SYSTEM_CALL),
        ("interval", "close", SYSTEM_CALL),
        ("none", "save", 0),
        ("none", "flush", SYSTEM_CALL),
        ("none", "close", SYSTEM_CALL),
        ("commit", "read", 0),
    ],
)
def test_08_what_is_saved_flushed_or_closed_reaches_the_disk(
    durability: str, use: str, expected: int, tmp_path: Path
) -> None:
    """Saving, flushing and closing synchronise the file, as far as the durability says.

    Akkudoktor-EOS opens LMDB with NOSYNC, under which its `env.sync()` does nothing: no commit, no
    flush and no close ever has the system write anything.
    """
    if not are_known():
        pytest.skip("system calls are filtered on Linux only")
    path = tmp_path / "db"
    arguments = ["test_defects_of_storage:use_without_syncing", str(path), durability, use]
    child = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=WITH_TESTS,
    )
    if child.returncode == CANNOT_FILTER:
        pytest.skip("this process may not filter system calls")
    assert child.returncode == expected, child.stderr
    with LMDBDatabase(path) as database:
        # A save that got no further than its data is one that never was: the page that makes it
        # valid is written after them.
        saved = use == "save" and expected == 0
        first = House(database=database).get_by_datetime(when(0))
        assert (first.note is not None) == saved
        assert House(database=database).db_count_records() == 100


@pytest.mark.parametrize("change", ["a few rows", "most rows deleted", "a larger file"])
def test_08_a_torn_file_holds_what_was_saved_before(change: str, tmp_path: Path) -> None:
    """Where the machine stops while a save is written, the file holds what it did before.

    Until a save is complete, the disk may hold any of its pages and not the others. Akkudoktor-EOS
    has LMDB write into the map and in no order: five of five such files were corrupt.
    """
    path = tmp_path / "db"
    settings = eosdb.DatabaseSettings(compression_level=0)
    with LMDBDatabase(path, settings=settings) as database:
        sequence = house(database, 1000)
        for number in range(10):  # so that there are free pages, which are used again
            sequence.update_value(when(number * 100 * 3600), note=f"{number}" * 100)
            sequence.save()
        before = (path / "data.mdb").read_bytes()
        content = [record.model_dump() for record in House(database=database)]
        if change == "most rows deleted":
            sequence.delete_by_datetime(when(10 * 3600), None)
        elif change == "a larger file":
            sequence.update_value(when(5), note="x" * 1_000_000)
        for number in range(8):
            sequence.update_value(when(number * 3600), note="changed")
        sequence.save()
        after = (path / "data.mdb").read_bytes()
    pages = range(2 * PAGE, len(after), PAGE)
    changed = [page for page in pages if before[page : page + PAGE] != after[page : page + PAGE]]
    assert len(changed) >= 3
    chosen = random.Random(8)
    for number in range(12):
        # The first two pages tell which others are valid.
        torn = bytearray(before) + bytearray(len(after) - len(before))
        for page in changed:
            if chosen.random() < number / 11:
                torn[page : page + PAGE] = after[page : page + PAGE]
        copy = tmp_path / str(number)
        copy.mkdir()
        (copy / "data.mdb").write_bytes(torn)
        with LMDBDatabase(copy, settings=settings) as database:
            assert [record.model_dump() for record in House(database=database)] == content
            database.copy_to(copy / "copy")
            again = House(database=database)
            again.update_value(when(7), note="after it")
            assert again.save()
            assert House(database=database).db_count_records() == len(content) + 1


# ---- compact() ----------------------------------------------------------------------------------


@pytest.fixture
def loose(tmp_path: Path) -> Iterator[LMDBDatabase]:
    """A database with free pages."""
    with LMDBDatabase(tmp_path / "db") as database:
        sequence = house(database, 3000)
        sequence.delete_by_datetime(when(100 * 3600), when(1500 * 3600))
        sequence.save()
        yield database


def break_copying(path: Path, _: pytest.MonkeyPatch) -> None:
    path.with_name("db_compact_tmp").write_text("in the way")


def break_replacing(_: Path, patch: pytest.MonkeyPatch) -> None:
    def replace(self: Path, target: Path) -> Path:
        raise OSError(5, f"cannot replace {target} by {self}")

    patch.setattr(Path, "replace", replace)


def break_by_use(path: Path, patch: pytest.MonkeyPatch) -> None:
    other = LMDBDatabase(path)
    other.open()
    patch.callback = other  # type: ignore[attr-defined]  # lives as long as the patch


@pytest.mark.parametrize("break_it", [break_copying, break_replacing, break_by_use])
def test_09_a_compaction_that_fails_leaves_the_file(
    break_it: Callable[[Path, pytest.MonkeyPatch], None],
    loose: LMDBDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where `compact()` fails, the database is as before, open and complete.

    Akkudoktor-EOS removes the file first and puts the copy in its place then; if that fails it
    removes the copy too, and no file is left.
    """
    path = loose.storage_path
    file = (path / "data.mdb").read_bytes()
    rows = list(loose.iterate_records(namespace="house"))
    with monkeypatch.context() as patch:
        break_it(path, patch)
        with pytest.raises((OSError, eosdb.StorageError)):
            loose.compact()
        assert (path / "data.mdb").read_bytes() == file
        assert loose.is_open
        assert list(loose.iterate_records(namespace="house")) == rows
        if other := getattr(patch, "callback", None):
            other.close()
    path.with_name("db_compact_tmp").unlink(missing_ok=True)
    loose.compact()
    assert (path / "data.mdb").stat().st_size < len(file)
    assert list(loose.iterate_records(namespace="house")) == rows
    assert [entry.name for entry in path.parent.iterdir()] == ["db"]


# ---- a save that fails --------------------------------------------------------------------------

KINDS: Final = ["sync lmdb", "sync memory", "foreign", "aio lmdb", "aio memory", "coroutines"]


class Failing(ForeignDatabase):
    """A database whose saves fail while it is told so."""

    fails = False

    def save_records(self, records: Any, namespace: str | None = None) -> int:
        if self.fails:
            raise OSError(5, "the backend failed")
        return super().save_records(records, namespace)


async def answer(result: Any) -> Any:
    return await result if hasattr(result, "__await__") else result


async def fails_and_goes_on(
    database: Any, make: type[Any], break_it: Callable[[Any], Callable[[], object]]
) -> None:
    """Have a save fail twice; another one works, and so does the same when the cause is gone."""
    sequence = make(database=database)
    await answer(sequence.update_value(when(0), power_w=0.0))
    await answer(sequence.save())
    await answer(sequence.update_value(when(1), power_w=1.0))
    mend = break_it(sequence)
    for _ in range(2):
        with pytest.raises((eosdb.EosdbError, OSError)):
            await answer(sequence.save())
        other = make(database=database)
        assert await answer(other.db_count_records()) == 1
    await answer(mend())
    # Nothing is left open: the next one, by whomever, neither fails nor waits.
    other = make(database=database)
    await answer(other.update_value(when(2), power_w=2.0))
    assert await answer(other.save())
    assert await answer(sequence.save())
    assert not await answer(sequence.save())
    values = (await answer(make(database=database).key_to_lists("power_w")))[1]
    assert values == [0.0, 1.0, 2.0]


def refuse(sequence: Any) -> Callable[[], object]:
    """Have a record hold what cannot be stored."""
    record = sequence.records[-1]
    record.configured_data["path"] = Path("a path")

    def mend() -> None:
        record.configured_data.clear()

    return mend


@pytest.mark.parametrize("kind", KINDS)
def test_22_a_save_that_is_refused_is_followed_by_one_that_works(kind: str, tmp_path: Path) -> None:
    """A failed save is over when it has failed.

    Akkudoktor-EOS leaves the transaction of a failed save open, so that the next save raises too.
    """

    async def main() -> None:
        if kind == "foreign":
            await fails_and_goes_on(ForeignDatabase(), House, refuse)
        elif kind == "sync memory":
            with eosdb.MemoryDatabase() as memory:
                await fails_and_goes_on(memory, House, refuse)
        else:
            async with opened(kind, tmp_path) as database:
                make = House if kind == "sync lmdb" else AsyncHouse
                await fails_and_goes_on(database, make, refuse)

    asyncio.run(main())


def fill_up(sequence: Any) -> Callable[[], object]:
    """Change more than there is room for."""
    size = 3 * 1024**2
    record = sequence.records[-1]
    record.note = random.Random(22).randbytes(size // 2).hex()

    def mend() -> None:
        record.note = None

    return mend


@pytest.mark.parametrize("make", [House, AsyncHouse])
def test_22_a_save_that_finds_no_room_is_followed_by_one_that_works(
    make: type[Any], tmp_path: Path
) -> None:
    """So it is where the map is full, in a transaction of LMDB's."""
    settings = eosdb.DatabaseSettings(compression_level=0)

    async def main() -> None:
        with LMDBDatabase(tmp_path, map_size=1024**2, settings=settings) as database:
            await fails_and_goes_on(database, make, fill_up)
            assert set(reader_slots(tmp_path).values()) <= {2**64 - 1}

    asyncio.run(main())


@pytest.mark.parametrize("make", [House, AsyncHouse])
def test_22_a_save_that_a_backend_fails_is_followed_by_one_that_works(make: type[Any]) -> None:
    """So it is where a database that is written in Python raises."""
    database = Failing()

    def break_it(_: Any) -> Callable[[], object]:
        database.fails = True

        def mend() -> None:
            database.fails = False

        return mend

    asyncio.run(fails_and_goes_on(database, make, break_it))
    assert seconds(House(database=database)) == [0, 1, 2]
    House(database=database).db_insert_record(Reading(date_time=when(9)))
