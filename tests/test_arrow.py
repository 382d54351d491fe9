"""Tables for other libraries: polars, pyarrow, DuckDB and pandas take them as they are."""

from __future__ import annotations

import copy
import ctypes
import gc
import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from support import WITH_TESTS, when

import eosdb
from eosdb._core import ArrowTable

DAY: Final = 86_400
START: Final = 1_700_000_000


class Reading(eosdb.DataRecord):
    """A record with a field of each type, and a key that may hold anything."""

    power_w: float | None = None
    count: int | None = None
    on: bool | None = None
    note: str | None = None

    @classmethod
    def configured_data_keys(cls) -> list[str]:
        return ["anything"]


class House(eosdb.DataSequence):
    records: list[Reading] = []  # noqa: RUF012  as with any model, every sequence gets its own

    def db_namespace(self) -> str:
        return "house"


COLUMNS: Final = ["date_time", "power_w", "count", "on", "note", "anything"]

ROWS: Final[list[dict[str, Any]]] = [
    {"power_w": 1.5, "count": 1, "on": True, "note": "grün", "anything": 7},
    {"power_w": math.nan, "count": -(2**63), "on": False, "note": "", "anything": None},
    {"power_w": None, "count": None, "on": None, "note": None, "anything": 8},
    {"power_w": -math.inf, "count": 2**63 - 1, "on": None, "note": "a\0b", "anything": None},
]


@pytest.fixture(params=["live", "stored", "some of each"])
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    """The rows, as records, as stored values that never were records, and as both."""
    with eosdb.MemoryDatabase() as database:
        writer = House(database=database)
        for number, values in enumerate(ROWS):
            writer.update_value(when(START + number * 60), values)
        writer.save()
        sequence = writer if request.param == "live" else House(database=database)
        if request.param == "some of each":
            assert sequence.get_by_datetime(when(START + 60)) is not None
        yield sequence


def house_of(values: list[Any], key: str = "anything") -> House:
    """Return a sequence with a record a minute that has these values."""
    sequence = House()
    for number, value in enumerate(values):
        sequence.update_value(when(START + number * 60), key, value)
    return sequence


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal and of one type; not a number equals itself."""
    return type(one) is type(other) and (one == other or (one != one and other != other))  # noqa: PLR0124


def assert_rows(rows: list[dict[str, Any]]) -> None:
    """Check that these are the rows that were written."""
    assert [row.pop("date_time") for row in rows] == [
        datetime.fromtimestamp(START + number * 60, UTC) for number in range(len(ROWS))
    ]
    assert [list(row) for row in rows] == [COLUMNS[1:]] * len(ROWS)
    for row, expected in zip(rows, ROWS, strict=True):
        for key, value in row.items():
            assert same(value, expected[key]), key


# ---- consumers ------------------------------------------------------------------------------


def test_polars_gets_types_and_values(house: House) -> None:
    frame = pl.DataFrame(house.to_arrow())
    assert dict(frame.schema) == {
        "date_time": pl.Datetime("us", "UTC"),
        "power_w": pl.Float64,
        "count": pl.Int64,
        "on": pl.Boolean,
        "note": pl.String,
        "anything": pl.Int64,
    }
    assert_rows(frame.to_dicts())


def test_pyarrow_gets_types_and_values(house: House) -> None:
    table = pa.table(house.to_arrow())
    table.validate(full=True)
    assert table.schema == pa.schema(
        {
            "date_time": pa.timestamp("us", "UTC"),
            "power_w": pa.float64(),
            "count": pa.int64(),
            "on": pa.bool_(),
            "note": pa.large_string(),
            "anything": pa.int64(),
        }
    )
    assert_rows(table.to_pylist())


def test_duckdb_gets_types_and_values(house: House) -> None:
    with duckdb.connect() as connection:
        connection.register("readings", house.to_arrow())
        described = connection.sql("FROM readings")
        assert [str(kind) for kind in described.types] == [
            "TIMESTAMP WITH TIME ZONE",
            "DOUBLE",
            "BIGINT",
            "BOOLEAN",
            "VARCHAR",
            "BIGINT",
        ]
        # The Python objects of instants with a time zone would need another package.
        found = connection.sql("SELECT epoch_us(date_time), * EXCLUDE date_time FROM readings")
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in found.fetchall()]
    for row in rows:
        row["date_time"] = datetime.fromtimestamp(row["date_time"] / 1_000_000, UTC)
    assert_rows(rows)


def test_duckdb_queries_a_table_by_the_name_of_its_variable(house: House) -> None:
    readings = house.to_arrow()
    with duckdb.connect() as connection:
        query = "SELECT count(*), sum(anything), count(note) FROM readings"
        assert connection.sql(query).fetchall() == [(readings.num_rows, 15, 3)]


def test_pandas_gets_types_and_values(house: House) -> None:
    from_arrow = getattr(pd.DataFrame, "from_arrow", lambda data: pa.table(data).to_pandas())
    frame = from_arrow(house.to_arrow())
    assert list(frame) == COLUMNS
    assert str(frame["date_time"].dtype) == "datetime64[us, UTC]"
    assert list(frame["date_time"]) == [when(START + number * 60) for number in range(len(ROWS))]
    assert frame["power_w"].dtype == "float64"
    assert frame["note"].dropna().tolist() == ["grün", "", "a\0b"]
    assert frame["anything"].dropna().tolist() == [7, 8]


def test_a_sequence_is_taken_like_its_table(house: House) -> None:
    assert_rows(pa.table(house).to_pylist())
    assert_rows(pl.DataFrame(house).to_dicts())
    with duckdb.connect() as connection:
        connection.register("readings", house)
        assert connection.sql("SELECT count(*) FROM readings").fetchall() == [(len(ROWS),)]


def test_consumers_share_the_memory_of_the_table() -> None:
    readings = house_of([1.5, 2.5, 3.5]).to_arrow()
    taken = [pa.table(readings)["anything"].chunk(0) for _ in range(2)]
    addresses = {chunk.buffers()[1].address for chunk in taken}
    numbers = pl.DataFrame(readings)["anything"].to_numpy(allow_copy=False)
    assert addresses == {numbers.ctypes.data}


def test_what_was_taken_outlives_the_table(house: House) -> None:
    table = pa.table(house.to_arrow())
    gc.collect()
    assert_rows(table.to_pylist())


def test_a_table_stays_when_the_sequence_changes(house: House) -> None:
    readings = house.to_arrow()
    house.update_value(when(START), power_w=99.0)
    house.update_value(when(START + DAY), power_w=99.0)
    assert_rows(pa.table(readings).to_pylist())
    assert pa.table(house.to_arrow())["power_w"].to_pylist()[0] == 99.0
    assert len(house.to_arrow()) == len(ROWS) + 1


# ---- selections -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [
        (None, None, [0, 1, 2, 3]),
        (60, 180, [1, 2]),
        (61, None, [2, 3]),
        (None, 60, [0]),
        (60, 60, []),
        (180, 60, []),
        (DAY, None, []),
    ],
)
def test_bounds_are_half_open(
    house: House, start: int | None, end: int | None, rows: list[int]
) -> None:
    first, last = (None if bound is None else when(START + bound) for bound in (start, end))
    readings = house.to_arrow(first, last)
    assert readings.num_rows == len(readings) == len(rows)
    assert pa.table(readings)["anything"].to_pylist() == [ROWS[row]["anything"] for row in rows]


def test_keys_come_as_asked_for_behind_the_instants(house: House) -> None:
    assert house.to_arrow().column_names == COLUMNS
    assert house.to_arrow(keys=["note", "count"]).column_names == ["date_time", "note", "count"]
    assert house.to_arrow(keys=["note", "date_time"]).column_names == ["date_time", "note"]
    assert house.to_arrow(keys=[]).column_names == ["date_time"]
    assert house.to_arrow(keys=iter(["note"])).column_names == ["date_time", "note"]
    alone = pa.table(house.to_arrow(keys=["note"]))
    assert alone["note"].to_pylist() == [row["note"] for row in ROWS]


def test_unknown_keys_are_refused_and_repeated_ones_come_once(house: House) -> None:
    with pytest.raises(eosdb.UnknownKeyError):
        house.to_arrow(keys=["power_kw"])
    twice = house.to_arrow(keys=["note", "power_w", "note"])
    assert twice.column_names == ["date_time", "note", "power_w"]


def test_naive_bounds_are_refused(house: House) -> None:
    with pytest.raises(eosdb.NaiveDatetimeError):
        house.to_arrow(datetime(2024, 1, 1))


def test_a_table_without_rows_has_its_columns(house: House) -> None:
    empty = house.to_arrow(when(START + DAY))
    expected = pa.table(house.to_arrow()).schema
    untyped = expected.get_field_index("anything")
    expected = expected.set(untyped, pa.field("anything", pa.null()))
    assert len(empty) == 0
    assert pa.table(empty).schema == expected
    assert pa.table(House().to_arrow()).schema == expected
    assert pl.DataFrame(empty).shape == (0, len(COLUMNS))
    assert pa.table(empty).to_pandas().shape == (0, len(COLUMNS))
    with duckdb.connect() as connection:
        connection.register("readings", empty)
        assert connection.sql("SELECT * FROM readings").fetchall() == []


# ---- capsules -------------------------------------------------------------------------------


class Stream(ctypes.Structure):
    """An ArrowArrayStream of the Arrow C stream interface."""

    _fields_ = (
        ("get_schema", ctypes.c_void_p),
        ("get_next", ctypes.c_void_p),
        ("get_last_error", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


def stream_of(capsule: object) -> Stream:
    """Return the structure that a capsule points to."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype = ctypes.c_void_p
    pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return Stream.from_address(pointer(capsule, b"arrow_array_stream"))


def resident() -> int:
    """Return the bytes of memory that this process uses."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def test_capsules_have_the_names_of_the_protocol(house: House) -> None:
    readings = house.to_arrow()
    assert '"arrow_array_stream"' in repr(readings.__arrow_c_stream__())
    assert '"arrow_schema"' in repr(readings.__arrow_c_schema__())
    assert pa.schema(readings) == pa.table(readings).schema


def test_every_call_returns_a_stream_of_its_own(house: House) -> None:
    readings = house.to_arrow()
    streams = [readings.__arrow_c_stream__() for _ in range(3)]
    for stream in reversed(streams):
        reader = pa.RecordBatchReader._import_from_c_capsule(stream)
        assert_rows(reader.read_all().to_pylist())


def test_a_stream_is_marked_when_it_was_taken(house: House) -> None:
    capsule = house.to_arrow().__arrow_c_stream__()
    assert stream_of(capsule).release
    reader = pa.RecordBatchReader._import_from_c_capsule(capsule)
    assert not stream_of(capsule).release
    with pytest.raises(pa.ArrowInvalid):
        pa.RecordBatchReader._import_from_c_capsule(capsule)
    del capsule
    gc.collect()
    assert_rows(reader.read_all().to_pylist())


def test_a_schema_can_be_taken_once(house: House) -> None:
    capsule = house.to_arrow().__arrow_c_schema__()
    assert pa.Schema._import_from_c_capsule(capsule).names == COLUMNS
    with pytest.raises(pa.ArrowInvalid):
        pa.Schema._import_from_c_capsule(capsule)


def test_a_requested_schema_is_left_to_the_consumer(house: House) -> None:
    readings = house.to_arrow(keys=["count", "power_w"])
    own = pa.schema(readings)
    requested = own.set(2, pa.field("power_w", pa.float32()))
    capsule = readings.__arrow_c_stream__(requested.__arrow_c_schema__())
    assert pa.RecordBatchReader._import_from_c_capsule(capsule).schema == own
    assert pa.RecordBatchReader.from_stream(readings, schema=own).schema == own
    assert pa.table(readings, schema=requested).schema == requested


@pytest.mark.parametrize(
    "make", [lambda _: 1, lambda _: "arrow_schema", lambda table: table.__arrow_c_stream__()]
)
def test_what_is_no_schema_is_refused(house: House, make: Callable[[ArrowTable], Any]) -> None:
    readings = house.to_arrow()
    with pytest.raises(eosdb.ArgumentTypeError, match="arrow_schema"):
        readings.__arrow_c_stream__(make(readings))
    assert_rows(pa.table(readings).to_pylist())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    "use",
    [
        lambda _: None,
        lambda table: table.__arrow_c_stream__(),
        lambda table: table.__arrow_c_schema__(),
        lambda table: pa.RecordBatchReader._import_from_c_capsule(table.__arrow_c_stream__()),
        pa.table,
        pl.DataFrame,
    ],
    ids=["unused", "unused stream", "unused schema", "unread stream", "pyarrow", "polars"],
)
def test_memory_is_freed_whatever_a_capsule_was_used_for(use: Callable[[ArrowTable], Any]) -> None:
    house = house_of(["x" * 1_000_000])

    def run(times: int) -> None:
        for _ in range(times):
            use(house.to_arrow())

    run(20)
    before = resident()
    run(300)
    assert resident() - before < 100_000_000


def test_threads_take_one_table_together(house: House) -> None:
    readings = house.to_arrow()
    with ThreadPoolExecutor(8) as pool:
        frames = list(pool.map(lambda _: pl.DataFrame(readings), range(64)))
    assert all(frame.equals(frames[0], null_equal=True) for frame in frames)


def test_capsules_may_outlive_the_interpreter() -> None:
    code = """
import ctypes, sys, eosdb
from support import house
readings = house(eosdb.MemoryDatabase(), 3)
table = readings.to_arrow()
sys.kept = [table, table.__arrow_c_stream__(), table.__arrow_c_schema__()]
for kept in sys.kept:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=WITH_TESTS)  # noqa: S603


# ---- the class ------------------------------------------------------------------------------


def test_a_table_shows_its_columns(house: House) -> None:
    shown = repr(house.to_arrow(keys=["power_w", "note"]))
    assert shown.startswith("<ArrowTable with 4 rows")
    for part in ('date_time: Timestamp(µs, "UTC")', "power_w: Float64", "note: LargeUtf8"):
        assert part in shown


def test_tables_come_from_sequences_only(house: House) -> None:
    with pytest.raises(TypeError):
        ArrowTable()
    with pytest.raises(TypeError):
        type("Mine", (ArrowTable,), {})
    readings: Any = house.to_arrow()
    with pytest.raises(AttributeError):
        readings.num_rows = 3
    for take in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            take(readings)


def test_keys_with_nul_are_refused() -> None:
    class Strange(Reading):
        @classmethod
        def configured_data_keys(cls) -> list[str]:
            return ["a\0b"]

    class Strangers(House):
        records: list[Strange] = []  # type: ignore[assignment]  # noqa: RUF012

    house = Strangers()
    house.update_value(when(START), "a\0b", 1)
    with pytest.raises(eosdb.InvalidArgumentError, match="NUL"):
        house.to_arrow()
    assert house.to_arrow(keys=["power_w"]).num_rows == 1
