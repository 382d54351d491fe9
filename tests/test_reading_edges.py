"""What happens to a reading at the edges: damage, vanished rows, other threads, odd classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, ConfigDict
from reading_support import Rows, fill, minute, stored
from support import ForeignDatabase

import eosdb

TEN_MINUTES = "10 minutes"


class House:
    def db_namespace(self) -> str:
        return "house"


@pytest.fixture
def database() -> Iterator[eosdb.MemoryDatabase]:
    with eosdb.MemoryDatabase() as database:
        yield database


def test_a_damaged_neighbour_counts_at_no_call(
    database: eosdb.MemoryDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    rows = stored(database, {0: 1.0, 7: 2.0, 20: 3.0, 30: 4.0})
    damaged = [key for key, _ in database.iterate_records(namespace="house")][1]
    database.save_records([(damaged, b"garbage")], namespace="house")
    arrays = [rows.key_to_array("v", minute(10), minute(40), TEN_MINUTES) for _ in range(2)]
    assert [array.tolist() for array in arrays] == [[2.0, 3.0, 4.0]] * 2
    assert "damaged" in caplog.text


def test_a_row_that_vanished_from_a_silent_database_ends_no_reading_in_a_loop() -> None:
    database = ForeignDatabase()
    fill(Rows(database=database), {0: 1.0, 10: 2.0, 20: 3.0}).save()
    rows = Rows(database=database)
    held = list(rows.db_iterate_records())[1]
    database.is_open = False
    rows.db_count_records()
    database.is_open = True
    rows.db_count_records()
    del held  # from now on the row is in storage only
    rows.db_count_records()
    other = Rows(database=database)
    other.db_delete_records()
    other.save()
    assert rows.key_to_lists("v")[1] == [record.v for record in rows.db_iterate_records()]


def test_the_values_of_a_silent_database_are_those_that_were_loaded() -> None:
    class Notes(eosdb.DataRecord):
        note: list[int] | None = None

    class Book(House, eosdb.DataSequence):
        records: list[Notes] = []  # noqa: RUF012  # as with any model

    database = ForeignDatabase()
    book = Book(database=database)
    for at in range(3):
        book.update_value(minute(at), note=[at])
    book.save()
    read = Book(database=database)
    assert read.key_to_lists("note")[1] == [[0], [1], [2]]
    calls = len(database.calls)
    database.is_open = False
    assert read.key_to_lists("note")[1] == [[0], [1], [2]]
    assert len(database.calls) == calls


class Touchy(eosdb.DataRecord):
    """A record whose property does something while it is read."""

    x: float | None = None
    y: float | None = None
    checked: tuple[int, ...] = ()
    during: ClassVar[Callable[[], None] | None] = None

    @property
    def touched(self) -> float | None:
        act, Touchy.during = Touchy.during, None
        if act is not None:
            act()
        return self.x

    @classmethod
    def record_keys(cls) -> list[str]:
        return [*super().record_keys(), "touched"]


class TouchyHouse(House, eosdb.DataSequence):
    records: list[Touchy] = []  # noqa: RUF012  # as with any model


def test_a_reading_holds_no_record_for_the_commits_of_others(
    database: eosdb.MemoryDatabase,
) -> None:
    house = TouchyHouse(database=database)
    for at in range(2):
        house.db_insert_record(Touchy(date_time=minute(at), x=1.0, y=1.0))
    house.save()
    other = TouchyHouse(database=database)
    seen = []

    def commit() -> None:
        other.update_value(minute(1), "x", 2.0)
        other.save()
        seen.append(house.key_to_value("x", minute(1)))
        house.update_value(minute(1), "y", 5.0)
        house.save()

    Touchy.during = commit
    house.key_to_lists("touched")
    assert seen == [2.0]
    assert TouchyHouse(database=database).key_to_value("x", minute(1)) == 2.0


def test_a_property_is_a_key_of_a_plain_class_too(database: eosdb.MemoryDatabase) -> None:
    class Watt(eosdb.DataRecord):
        power_w: float | None = None

        @property
        def power_kw(self) -> float | None:
            return None if self.power_w is None else self.power_w / 1000

        @classmethod
        def record_keys(cls) -> list[str]:
            return [*super().record_keys(), "power_kw"]

    class Roof(House, eosdb.DataSequence):
        records: list[Watt] = []  # noqa: RUF012  # as with any model

    roof = Roof(database=database)
    for at in range(3):
        roof.update_value(minute(60 * at), power_w=1000.0 * at)
    for _ in range(2):
        assert roof.key_to_lists("power_kw")[1] == [0.0, 1.0, 2.0]
        assert roof.key_to_value("power_kw", minute(60)) == 1.0
        roof.save()
        roof = Roof(database=database)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ConfigDict(allow_inf_nan=False), [(1.0, " ABC ")]),
        (ConfigDict(str_strip_whitespace=True), [(1.0, "ABC"), (math.inf, "note")]),
        (ConfigDict(str_to_lower=True), [(1.0, " abc "), (math.inf, "note")]),
        (ConfigDict(str_max_length=4), [(math.inf, "note")]),
    ],
)
def test_what_the_config_of_a_class_asks_for_is_done(
    database: eosdb.MemoryDatabase,
    config: ConfigDict,
    expected: list[tuple[float, str]],
) -> None:
    class Old(eosdb.DataRecord):
        v: float | None = None
        note: str | None = None

    class New(Old):
        model_config = config

    class OldHouse(House, eosdb.DataSequence):
        records: list[Old] = []  # noqa: RUF012  # as with any model

    class NewHouse(House, eosdb.DataSequence):
        records: list[New] = []  # noqa: RUF012  # as with any model

    old = OldHouse(database=database)
    old.update_value(minute(0), v=1.0, note=" ABC ")
    old.update_value(minute(60), v=math.inf, note="note")
    old.save()
    new = NewHouse(database=database)
    assert list(zip(new.key_to_lists("v")[1], new.key_to_lists("note")[1], strict=True)) == expected


def test_records_of_any_class_keep_their_zone(database: eosdb.MemoryDatabase) -> None:
    class Plain(BaseModel):
        date_time: datetime
        v: float | None = None

    class PlainHouse(eosdb.DatabaseRecordProtocolMixin[Any]):
        record_keys_writable: ClassVar[list[str]] = ["date_time", "v"]

        def __init__(self) -> None:
            self.database = database

        @classmethod
        def record_class(cls) -> type[Any]:
            return Plain

        def db_namespace(self) -> str:
            return "plain"

    zone = ZoneInfo("Europe/Berlin")
    house = PlainHouse()
    for month in (1, 7):
        house.db_insert_record(Plain(date_time=datetime(2024, month, 1, 12, tzinfo=zone), v=1.0))
    house.db_save_records()
    for read in (house, PlainHouse()):
        dates, _ = read.key_to_lists("v")
        assert [type(date) for date in dates] == [datetime, datetime]
        assert [date.tzinfo for date in dates] == [zone, zone]
        index: Any = read.key_to_series("v").index
        assert index.equals(read.to_dataframe().index)
        assert str(index.tz) == "Europe/Berlin"


def test_several_keys_are_no_text() -> None:
    with pytest.raises(eosdb.ArgumentTypeError, match="several keys"):
        Rows().keys_to_arrays("v")


def test_the_sentinels_are_no_bounds() -> None:
    rows = fill(Rows(), {0: 1.0, 60: 2.0})
    bounds: Any = (eosdb.UNBOUND_START, eosdb.UNBOUND_END)
    assert rows.key_to_lists("v", *bounds)[1] == [1.0, 2.0]
    assert rows.key_to_array("v", *bounds).tolist() == [1.0, 2.0]


def test_a_meter_may_be_decimal_and_is_refused_by_name_if_it_is_none() -> None:
    class Meter(eosdb.DataRecord):
        reading: Any = None

    class MeterHouse(House, eosdb.DataSequence):
        records: list[Meter] = []  # noqa: RUF012  # as with any model

    house = MeterHouse()
    for at, reading in enumerate((2**70, 2**70 + 2**20)):
        house.update_value(minute(60 * at), reading=reading)
    assert house.key_to_energy("reading").tolist() == [2.0**20]
    house = MeterHouse()
    house.update_value(minute(0), reading="unavailable")
    with pytest.raises(eosdb.ArgumentTypeError, match=r"'reading' has no meter readings.*'unava"):
        house.key_to_energy("reading")
