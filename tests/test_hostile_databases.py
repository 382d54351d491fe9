"""A database that somebody hostile has written: nothing is executed, and the rest of it is read."""

from __future__ import annotations

import asyncio
import copy
import inspect
import itertools
import json
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from aio_support import House as AsyncHouse, opened
from hostile_pickles import EXECUTING, MANY_NAMES, MARK, PLACES, STORED
from support import PROGRAM, WITH_TESTS, ForeignDatabase, House, Reading, at, when

import eosdb
from eosdb import DamagedRecordError

KEY: Final = b"19700101T000003Z"
GOOD: Final = [1.0, 5.0]
"""The powers of the records at seconds 1 and 5; what is hostile lies between them."""

TIER: Final = (eosdb.to_duration("1 second"), eosdb.to_duration("2 seconds"))
UNCOMPRESSED: Final = eosdb.DatabaseSettings(compression_level=0)

KINDS: Final = ["lmdb", "memory", "foreign"]
AIO_KINDS: Final = ["aio lmdb", "aio memory", "coroutines"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, where what is executed leaves its mark."""
    monkeypatch.chdir(tmp_path)
    eosdb.register_type("hostile_pickles", "Registered")
    return tmp_path


def test_python_executes_each_of_them(folder: Path) -> None:
    """Otherwise that eosdb executes none would mean nothing."""
    child = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-W", "ignore", "-c", PROGRAM, "hostile_pickles:prove"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=WITH_TESTS,
    )
    assert [line for line in child.stdout.splitlines() if line.startswith("no mark")] == []
    assert len(EXECUTING) >= 45


# ---- every way of reading -----------------------------------------------------------------------

Way = tuple[Callable[[Any], Any], Callable[[Any], Any]]
"""What is called, and what takes the powers of the good records out of the result."""


def if_true(condition: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """What takes a result that has no powers for good."""
    return lambda result: GOOD if condition(result) else result


WINDOW: Final = (when(0), when(6), 1, None, True, "strict")

READS: Final[dict[str, Way]] = {
    "lists": (lambda h: h.key_to_lists("power_w"), lambda r: r[1]),
    "dictionary": (lambda h: h.key_to_dict("power_w"), lambda r: list(r.values())),
    "series": (lambda h: h.key_to_series("power_w"), lambda r: r.tolist()),
    "frame": (lambda h: h.to_dataframe(), lambda r: r["power_w"].tolist()),
    "arrow": (lambda h: h.to_arrow(), lambda r: pa.table(r)["power_w"].to_pylist()),
    "array": (
        lambda h: h.key_to_array("power_w", *WINDOW, aggregation="first"),
        lambda r: [value for value in r if value is not None and not np.isnan(value)],
    ),
    "arrays": (
        lambda h: h.keys_to_arrays(["power_w", "note"], *WINDOW, aggregation="last"),
        lambda r: [value for value in r["power_w"] if value is not None and not np.isnan(value)],
    ),
    "energy": (
        lambda h: h.key_to_energy("power_w", interval=1, max_gap=10),
        if_true(lambda r: np.nansum(r) == 4.0),
    ),
    "value": (lambda h: h.key_to_value("power_w", when(5)), lambda r: [1.0, r]),
    "exact": (lambda h: h.get_by_datetime(when(1)), lambda r: [r.power_w, 5.0]),
    "nearest": (lambda h: h.get_nearest_by_datetime(when(3)), lambda r: [1.0, r.power_w]),
    "nearest in a window": (
        lambda h: h.get_by_datetime(when(4), time_window=eosdb.to_duration(2)),
        lambda r: [1.0, r.power_w],
    ),
    "previous": (lambda h: h.db_previous_timestamp(at(5)), if_true(lambda r: r in {at(1), at(3)})),
    "next": (lambda h: h.db_next_timestamp(at(1)), if_true(lambda r: r in {at(3), at(5)})),
    "range": (lambda h: h.db_timestamp_range(), if_true(lambda r: r == (at(1), at(5)))),
    "count": (lambda h: h.db_count_records(), if_true(lambda r: r == 3)),
    "load": (lambda h: h.load(), if_true(bool)),
    "statistics": (lambda h: h.db_get_stats(), if_true(lambda r: r["total_records"] == 3)),
    "dry compaction": (lambda h: h.db_compact([TIER], dry_run=True), if_true(lambda r: r <= 2)),
    "dry vacuum": (lambda h: h.db_vacuum(keep_hours=0, dry_run=True), if_true(lambda r: r == 3)),
}

REFUSED: Final[dict[str, Callable[[Any], Any]]] = {
    "exact": lambda h: h.get_by_datetime(when(3)),
    "value": lambda h: h.key_to_value("power_w", when(3)),
    "update": lambda h: h.update_value(when(3), power_w=3.0),
    "insert or merge": lambda h: h.insert_by_datetime(Reading(date_time=when(3), power_w=3.0)),
}
"""What needs the record itself."""


def powers(records: Any) -> list[float]:
    return [record["power_w"] for record in records]


SHOWN: Final[dict[str, Callable[[Any], list[float]]]] = {
    "records": lambda h: powers(h.records),
    "model_dump": lambda h: powers(h.model_dump()["records"]),
    "JSON": lambda h: powers(json.loads(h.model_dump_json())["records"]),
    "copy": lambda h: powers(copy.copy(h).records),
    "deep copy": lambda h: powers(copy.deepcopy(h).records),
    "model copy": lambda h: powers(h.model_copy(deep=True).records),
    "pickle": lambda h: powers(pickle.loads(pickle.dumps(h)).records),
    "text": lambda h: GOOD if repr(h) and [str(record) for record in h.records] else [],
}
"""What a sequence shows of what it has loaded."""

CHANGES: Final[dict[str, tuple[Callable[[Any], Any], int]]] = {
    "change": (lambda h: h.update_value(when(5), note="changed"), 3),
    "compact": (lambda h: h.db_compact([TIER]), 3),
    "vacuum": (lambda h: h.db_vacuum(keep_timestamp=at(0)), 3),
    "delete": (lambda h: h.delete_by_datetime(when(2), when(4)), 2),
}
"""What changes the database, and how many rows it has afterwards."""


async def answer(result: Any) -> Any:
    """Return the result of a call that may have to be awaited."""
    return await result if inspect.isawaitable(result) else result


async def iterated(sequence: Any) -> list[float]:
    if isinstance(sequence, AsyncHouse):
        return [record.power_w async for record in sequence]
    return [record.power_w for record in sequence]


async def survives(database: Any, stored: bytes, folder: Path, *, copies: bool) -> None:
    """Store a value between two good records, and do everything that can be done with it."""
    make = House if isinstance(database, ForeignDatabase | eosdb.DatabaseABC) else AsyncHouse
    house: Any = make(database=database)
    for second in (1, 5):
        await answer(house.update_value(when(second), power_w=float(second)))
    await answer(house.save())
    await answer(database.save_records([(KEY, stored)], namespace="house"))

    assert await iterated(make(database=database)) == GOOD
    for way, (read, taken) in READS.items():
        assert taken(await answer(read(make(database=database)))) == GOOD, way
    for way, use in REFUSED.items():
        with pytest.raises(DamagedRecordError):
            pytest.fail(f"{way}: {await answer(use(make(database=database)))}")
    house = make(database=database)
    with pytest.raises((DamagedRecordError, eosdb.DuplicateRecordError)):
        await answer(house.db_insert_record(Reading(date_time=when(3), power_w=3.0)))
    assert await iterated(house) == GOOD
    assert [key for key, _ in house.db_damaged_records()] == [at(3)]
    for way, show in SHOWN.items():
        assert show(house) == GOOD, way
    if isinstance(house, House):
        assert pa.table(house)["power_w"].to_pylist() == GOOD
    if hasattr(database, "copy_to") and copies:
        await answer(database.copy_to(folder / "copy"))
        with eosdb.LMDBDatabase(folder / "copy") as copied:
            assert dict(copied.iterate_records(namespace="house"))[KEY] == stored
            assert await iterated(House(database=copied)) == GOOD
    for way, (change, rows) in CHANGES.items():
        house = make(database=database)
        await answer(change(house))
        await answer(house.save())
        assert await iterated(make(database=database)) == GOOD, way
        assert await answer(make(database=database).db_count_records()) == rows, way


@contextmanager
def database_of(kind: str, folder: Path) -> Iterator[Any]:
    if kind == "foreign":
        yield ForeignDatabase()
        return
    native: Any = (
        eosdb.MemoryDatabase(settings=UNCOMPRESSED)
        if kind == "memory"
        else eosdb.LMDBDatabase(folder / "db", settings=UNCOMPRESSED, durability="none")
    )
    with native:
        yield native


@asynccontextmanager
async def any_database(kind: str, folder: Path) -> AsyncIterator[Any]:
    if kind in KINDS:
        with database_of(kind, folder) as database:
            yield database
    else:
        async with opened(kind, folder) as database:
            yield database


def all_survive(kind: str, values: dict[str, bytes], folder: Path) -> None:
    async def main() -> None:
        for number, (name, stored) in enumerate(values.items()):
            place = folder / str(number)
            place.mkdir()
            try:
                async with any_database(kind, place) as database:
                    await survives(database, stored, place, copies=number == 0)
            except Exception as error:
                raise AssertionError(name) from error
            assert not (folder / MARK).exists(), name

    asyncio.run(main())


COMPRESSING: Final = ["lmdb", "memory", "aio lmdb", "aio memory"]
"""The kinds that look for gzip; to the others it would be no pickle."""


@pytest.mark.parametrize(
    ("kind", "is_inside"),
    [
        *itertools.product(["lmdb", "foreign", "coroutines"], [False, True]),
        ("memory", True),
        ("aio lmdb", True),
        ("aio memory", False),
        pytest.param("memory", False, marks=pytest.mark.soak),
        pytest.param("aio lmdb", False, marks=pytest.mark.soak),
        pytest.param("aio memory", True, marks=pytest.mark.soak),
    ],
)
def test_nothing_is_executed_and_the_rest_is_read(kind: str, is_inside: bool, folder: Path) -> None:
    outside = "as the value, compressed" if kind in COMPRESSING else "as the value"
    place = "in configured data" if is_inside else outside
    all_survive(kind, {name: PLACES[place](p) for name, p in EXECUTING.items()}, folder)


# ---- metadata -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS, *AIO_KINDS])
def test_metadata_execute_nothing_and_are_replaced(
    kind: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with any_database(kind, folder) as database:
            sync = kind in KINDS
            house: Any = (House if sync else AsyncHouse)(database=database)
            await answer(house.update_value(when(1), power_w=1.0))
            await answer(house.save())
            for name, payload in EXECUTING.items():
                for place in ("as the value", "in configured data"):
                    metadata = PLACES[place](payload)
                    await answer(database.set_metadata(metadata, namespace="house"))
                    caplog.clear()
                    house = (House if sync else AsyncHouse)(database=database)
                    assert await iterated(house) == [1.0], name
                    assert "not readable" in caplog.text, name
                    await answer(house.update_value(when(1), note=name))
                    await answer(house.save())
                    replaced = await answer(database.get_metadata(namespace="house"))
                    assert pickle.loads(replaced)["version"] == 1
                    assert not (folder / MARK).exists(), name

    asyncio.run(main())


# ---- time and memory ----------------------------------------------------------------------------

LIMIT: Final = 3 * 1024**3
"""Bytes of address space. Threads reserve much of it."""


def read_within_limits(kind: str, folder: str) -> None:
    """Read everything that is large; a process of its own does this."""
    import resource  # noqa: PLC0415  only where there is one

    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    all_survive(kind, STORED, Path(folder))
    metadata = {name: v for name, v in STORED.items() if "gzip" not in name}
    metadata["one text under many names"] = MANY_NAMES
    with database_of("memory", Path(folder)) as database:
        House(database=database).save()
        for name, value in metadata.items():
            database.set_metadata(value, namespace="house")
            house = House(database=database)
            house.update_value(when(1), power_w=1.0)
            assert house.save(), name
            assert pickle.loads(database.get_metadata("house") or b"")["version"] == 1, name
            house.delete_by_datetime(None, None)


AS_OTHERS: Final = ["memory", "aio lmdb", "aio memory", "coroutines"]
"""The kinds whose values are read by the same code."""


@pytest.mark.parametrize(
    "kind",
    [
        "lmdb",
        "foreign",
        *(pytest.param(kind, marks=pytest.mark.soak) for kind in AS_OTHERS),
    ],
)
def test_what_is_large_when_it_is_read_is_refused(kind: str, folder: Path) -> None:
    child = subprocess.run(  # noqa: S603  our own interpreter
        [
            sys.executable,
            "-c",
            PROGRAM,
            "test_hostile_databases:read_within_limits",
            kind,
            str(folder),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=WITH_TESTS,
    )
    assert child.returncode == 0, child.stderr[-5000:]
