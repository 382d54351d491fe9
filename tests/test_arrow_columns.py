"""The columns of a table for other libraries: types, values and instants."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pendulum
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from support import when
from test_arrow import START, House, Reading, house_of

import eosdb

# ---- types ----------------------------------------------------------------------------------

FLOAT, INT, BOOL, TEXT = pa.float64(), pa.int64(), pa.bool_(), pa.large_string()


class Odd:
    def __str__(self) -> str:
        return "odd ☂"


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([None, None], pa.null(), [None, None]),
        ([True, None, False], BOOL, [True, None, False]),
        ([1, None, 2**62 + 1], INT, [1, None, 2**62 + 1]),
        ([1.5, None, math.inf], FLOAT, [1.5, None, math.inf]),
        ([1, 2.5, None], FLOAT, [1.0, 2.5, None]),
        ([2.5, 1], FLOAT, [2.5, 1.0]),
        (["a", None, "ü"], TEXT, ["a", None, "ü"]),
        ([True, 1], TEXT, ["True", "1"]),
        ([2.5, False], TEXT, ["2.5", "False"]),
        (["a", 1, None, -2], TEXT, ["a", "1", None, "-2"]),
        ([True, "a"], TEXT, ["True", "a"]),
        ([{}, None], TEXT, ["{}", None]),
        ([{"a": [1]}, 1, None], TEXT, ["{'a': [1]}", "1", None]),
        ([[1, 2], (3,)], TEXT, ["[1, 2]", "(3,)"]),
        ([b"a", "b"], TEXT, ["b'a'", "b"]),
        ([Odd(), 1.0], TEXT, ["odd ☂", "1.0"]),
    ],
)
def test_a_column_has_the_type_of_its_values(
    values: list[Any], kind: Any, expected: list[Any]
) -> None:
    column = pa.table(house_of(values).to_arrow(keys=["anything"]))["anything"]
    assert column.type == kind
    assert column.to_pylist() == expected


def test_not_a_number_is_a_value_and_none_is_none() -> None:
    column = pa.table(house_of([math.nan, None, 1.0]).to_arrow())["anything"]
    assert column.null_count == 1
    assert math.isnan(column[0].as_py())
    assert column[1].as_py() is None


def test_numbers_beside_text_are_written_as_python_writes_them() -> None:
    numbers = [0.0, -0.0, 0.1, 1e15, 1e16, 1.5e300, 1e-4, 1.5e-5, 5e-324, 1 / 3, 1e22, -1e-7]
    # Numbers of which the last digit could be either of two: the even one is written.
    numbers += [1239680069571697.25, 1832615700744342.25, 0.5, 2.5, 1e23, 9007199254740993.0]
    numbers += [math.nan, math.inf, -math.inf]
    numbers += [math.ldexp(n * 0.7548776662466927 % 1 + 1, n % 2000 - 1000) for n in range(2000)]
    column = pa.table(house_of([*numbers, "text"]).to_arrow())["anything"]
    assert column.to_pylist() == [*map(str, numbers), "text"]


@pytest.mark.parametrize(
    ("key", "kind"), [("power_w", FLOAT), ("count", INT), ("on", BOOL), ("note", TEXT)]
)
def test_a_field_without_values_has_its_declared_type(key: str, kind: Any) -> None:
    column = pa.table(house_of([None, None], key).to_arrow())[key]
    assert (column.type, column.null_count) == (kind, 2)


def test_a_value_that_contradicts_the_declared_type_is_kept() -> None:
    house = House()
    unchecked = Reading.model_construct(
        date_time=when(START), power_w=True, count=2.5, on="x", note=1, configured_data={}
    )
    house.db_insert_record(unchecked)
    (row,) = pa.table(house.to_arrow()).to_pylist()
    assert row["power_w"] == 1.0
    assert isinstance(row["power_w"], float)
    assert row["count"] == 2.5
    assert row["on"] == "x"
    assert row["note"] == "1"


class Sold(eosdb.DataRecord):
    """A record of which only Python can read some values."""

    price: Decimal | None = None
    at: datetime | None = None
    steps: list[int] | None = None
    counts: list[int] = []  # noqa: RUF012  as with any model, every record gets its own


class Shop(eosdb.DataSequence):
    records: list[Sold] = []  # noqa: RUF012  as with any model, every sequence gets its own

    def db_namespace(self) -> str:
        return "shop"


def test_values_that_only_python_reads_are_written_as_text() -> None:
    with eosdb.MemoryDatabase() as database:
        shop = Shop(database=database)
        noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
        shop.update_value(when(START), at=noon, steps=[1, 2])
        shop.update_value(when(START + 1), price=None)
        shop.save()
        for sequence in (shop, Shop(database=database)):
            rows = pa.table(sequence.to_arrow(keys=["at", "steps"])).to_pylist()
            assert [(row["at"], row["steps"]) for row in rows] == [
                (str(sequence.get_by_datetime(when(START)).at), "[1, 2]"),
                (None, None),
            ]


def test_a_list_field_declares_no_number() -> None:
    shop = Shop()
    shop.update_value(when(START), price=None)
    schema = pa.schema(shop.to_arrow())
    assert (schema.field("steps").type, schema.field("counts").type) == (pa.null(), TEXT)
    assert pa.schema(Shop().to_arrow()).field("counts").type == pa.null()


def test_a_str_that_fails_is_passed_on() -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    with pytest.raises(RuntimeError, match="no words"):
        house_of([Mute()]).to_arrow()


# ---- instants -------------------------------------------------------------------------------

BERLIN = pendulum.timezone("Europe/Berlin")


def offset(hours: float) -> Any:
    return pendulum.timezone(int(hours * 3600))


@pytest.mark.parametrize(
    ("zones", "name", "polars_name"),
    [
        ([BERLIN, BERLIN], "Europe/Berlin", "Europe/Berlin"),
        (["UTC", "UTC"], "UTC", "UTC"),
        ([BERLIN, "UTC"], "UTC", "UTC"),
        ([BERLIN, "Europe/Vienna"], "UTC", "UTC"),
        ([offset(1), offset(1)], "+01:00", "Etc/GMT-1"),
        ([offset(-11), offset(-11)], "-11:00", "Etc/GMT+11"),
        ([offset(14)], "+14:00", "Etc/GMT-14"),
        ([offset(-12)], "-12:00", "Etc/GMT+12"),
        ([offset(0)], "UTC", "UTC"),
        ([offset(5.5)], "UTC", "UTC"),
        ([offset(15)], "UTC", "UTC"),
        ([offset(-13)], "UTC", "UTC"),
        ([offset(1), offset(2)], "UTC", "UTC"),
        (["Asia/Kolkata"], "Asia/Kolkata", "Asia/Kolkata"),
    ],
)
def test_instants_are_in_the_zone_of_all_records(
    zones: list[Any], name: str, polars_name: str
) -> None:
    with eosdb.MemoryDatabase() as database:
        writer = House(database=database)
        instants = [
            pendulum.from_timestamp(START + number, tz=zone) for number, zone in enumerate(zones)
        ]
        for instant in instants:
            writer.update_value(instant, power_w=1.0)
        writer.save()
        for sequence in (writer, House(database=database)):
            readings = sequence.to_arrow(keys=["power_w"])
            table, frame = pa.table(readings), pl.DataFrame(readings)
            assert table.schema.field("date_time").type == pa.timestamp("us", name)
            assert frame.schema["date_time"] == pl.Datetime("us", polars_name)
            assert table["date_time"].to_pylist() == instants
            assert frame["date_time"].to_list() == instants


def test_microseconds_are_kept() -> None:
    with eosdb.MemoryDatabase() as database:
        writer = House(database=database)
        instants = [
            datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
            datetime(2024, 2, 29, 12, 0, 0, 1, UTC),
            datetime(2262, 5, 1, 0, 0, 0, 500_000, UTC),
        ]
        for instant in instants:
            writer.db_insert_record(Reading(date_time=eosdb.to_datetime(instant)))
        writer.save()
        for sequence in (writer, House(database=database)):
            assert pa.table(sequence.to_arrow(keys=[]))["date_time"].to_pylist() == instants


def test_the_hour_that_comes_twice_keeps_its_instants() -> None:
    house = House()
    first = datetime(2024, 10, 27, 0, 30, tzinfo=UTC)
    instants = [first + timedelta(hours=hours) for hours in range(3)]
    for instant in instants:
        house.update_value(pendulum.instance(instant).in_timezone("Europe/Berlin"), power_w=1.0)
    shown = pl.DataFrame(house.to_arrow())["date_time"].to_list()
    assert [value.astimezone(UTC) for value in shown] == instants
    assert [value.hour for value in shown] == [2, 2, 3]


def test_the_first_and_the_last_year_fit() -> None:
    house = House()
    instants = [datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, 23, 59, 59, tzinfo=UTC)]
    for instant in instants:
        house.update_value(pendulum.instance(instant), power_w=1.0)
    assert pa.table(house.to_arrow())["date_time"].to_pylist() == instants
