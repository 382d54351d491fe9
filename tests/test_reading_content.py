"""Values are read from the logical content: at once, from rows, whatever was loaded before."""

from __future__ import annotations

import copy
import gc
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field, field_validator
from reading_support import Row, Rows, fill, minute, stored
from support import ForeignDatabase, House, PlainHouse, PlainReading, when
from test_damaged_values import DAMAGED, KEY, MARK, READABLE, WITHOUT_TIME, with_value
from test_shared_database import LOOKS

import eosdb

HOURLY: dict[float, Any] = {60 * n: float(n) for n in range(5)}


@pytest.fixture(params=["memory", "lmdb", "foreign"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A database of each kind."""
    if request.param == "foreign":
        yield ForeignDatabase()
        return
    memory = request.param == "memory"
    with eosdb.MemoryDatabase() if memory else eosdb.LMDBDatabase(tmp_path / "db") as native:
        yield native


READERS: dict[str, Callable[[Any], Any]] = {
    "array": lambda s: s.key_to_array("v", interval="1 hour").tolist(),
    "arrays": lambda s: s.keys_to_arrays(["w", "v"], interval="1 hour")["v"].tolist(),
    "lists": lambda s: s.key_to_lists("v")[1],
    "dict": lambda s: list(s.key_to_dict("v").values()),
    "series": lambda s: s.key_to_series("v").tolist(),
    "frame": lambda s: [row.get("v") for row in s.to_dataframe()["configured_data"]],
    "value": lambda s: [
        s.key_to_value("v", instant) for instant in s.key_to_lists("date_time", dropna=False)[0]
    ],
}
EVERY_READER = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, where a command would leave its file."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Changes


@EVERY_READER
def test_what_is_not_saved_is_read(opened: Any, read: Callable[[Any], Any]) -> None:
    sequence = stored(opened, HOURLY)
    assert read(sequence) == [0.0, 1.0, 2.0, 3.0, 4.0]
    sequence.update_value(minute(60), v=10.0)
    assert read(sequence) == [0.0, 10.0, 2.0, 3.0, 4.0]
    sequence.update_value(minute(300), v=5.0)
    assert read(sequence) == [0.0, 10.0, 2.0, 3.0, 4.0, 5.0]
    sequence.delete_by_datetime(minute(240))
    sequence.delete_by_datetime(None, minute(1))
    assert read(sequence) == [10.0, 2.0, 3.0]
    assert read(Rows(database=opened)) == [0.0, 1.0, 2.0, 3.0, 4.0]
    sequence.save()
    assert read(sequence) == read(Rows(database=opened)) == [10.0, 2.0, 3.0]


@EVERY_READER
def test_an_object_that_somebody_holds_is_the_authority(
    opened: Any, read: Callable[[Any], Any]
) -> None:
    sequence = stored(opened, HOURLY)
    read(sequence)
    held = sequence.get_by_datetime(minute(120))
    held["v"] = 20.0
    assert read(sequence) == [0.0, 1.0, 20.0, 3.0, 4.0]
    assert read(Rows(database=opened)) == [0.0, 1.0, 2.0, 3.0, 4.0]
    sequence.db_mark_dirty_record(held)
    sequence.save()
    assert read(Rows(database=opened)) == [0.0, 1.0, 20.0, 3.0, 4.0]


@EVERY_READER
def test_a_deleted_record_that_is_inserted_again(opened: Any, read: Callable[[Any], Any]) -> None:
    sequence = stored(opened, HOURLY)
    read(sequence)
    sequence.delete_by_datetime(minute(60), minute(180))
    read(sequence)
    assert sequence.key_to_lists("v")[1] == [0.0, 3.0, 4.0]
    sequence.update_value(minute(60), v=11.0)
    sequence.update_value(minute(120), v=12.0)
    assert read(sequence) == [0.0, 11.0, 12.0, 3.0, 4.0]
    sequence.save()
    sequence.key_delete_by_datetime("v", minute(0), minute(1))
    assert read(sequence)[-4:] == [11.0, 12.0, 3.0, 4.0]
    assert sequence.key_to_lists("v")[1] == [11.0, 12.0, 3.0, 4.0]


@EVERY_READER
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("backend", ["memory", "lmdb"])
def test_what_another_sequence_saves_is_read(
    tmp_path: Path, backend: str, look: str, read: Callable[[Any], Any]
) -> None:
    native: Any = (
        eosdb.MemoryDatabase() if backend == "memory" else eosdb.LMDBDatabase(tmp_path / "db")
    )
    with native as database:
        sequence = stored(database, HOURLY)
        LOOKS[look](sequence)
        assert read(sequence) == [0.0, 1.0, 2.0, 3.0, 4.0]
        other = Rows(database=database)
        other.update_value(minute(60), v=10.0)
        other.delete_by_datetime(minute(240))
        other.update_value(minute(-60), v=-1.0)
        assert read(sequence) == [0.0, 1.0, 2.0, 3.0, 4.0]
        other.save()
        assert read(sequence) == [-1.0, 0.0, 10.0, 2.0, 3.0]
        other.delete_by_datetime()
        other.save()
        assert sequence.key_to_lists("v") == ([], [])
        assert sequence.to_dataframe().empty


# Whatever has been loaded


@EVERY_READER
@pytest.mark.parametrize("window", [0, 1, 2, 1000])
@pytest.mark.parametrize("center", [-9999, 120, 9999])
def test_the_window_that_is_loaded_first_limits_nothing(
    tmp_path: Path, window: int, center: int, read: Callable[[Any], Any]
) -> None:
    settings = eosdb.DatabaseSettings(initial_load_window_h=window)
    with eosdb.LMDBDatabase(tmp_path / "db", settings=settings) as database:
        sequence = stored(database, HOURLY)
        sequence.get_by_datetime(minute(center))
        assert read(sequence) == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("window", [None, 0, 1])
def test_a_part_is_read_as_if_all_were_loaded(tmp_path: Path, window: int | None) -> None:
    settings = eosdb.DatabaseSettings(initial_load_window_h=window)
    with eosdb.LMDBDatabase(tmp_path / "db", settings=settings) as database:
        stored(database, HOURLY | {-1_000_000: -7.0, 1_000_000: 7.0})
        for first, last in ((-1_000_000, -999_999), (120, 121), (1_000_000, 1_000_001)):
            sequence = Rows(database=database)
            sequence.key_to_lists("v", minute(first), minute(last))
            assert sequence.key_to_lists("v", minute(60), minute(180))[1] == [1.0, 2.0]
            # The neighbours are far away, and count: hours begin at the one before.
            array = sequence.key_to_array("v", minute(0), minute(300), fill_method="none")
            assert array.tolist() == [1.0, 2.0, 3.0, 4.0, None]
            assert len(sequence.key_to_lists("v")[1]) == 7


@EVERY_READER
def test_reading_changes_nothing(opened: Any, read: Callable[[Any], Any]) -> None:
    sequence = stored(opened, HOURLY)
    sequence.update_value(minute(60), v=10.0)
    sequence.delete_by_datetime(minute(240))
    dirty, deleted = set(sequence._db_dirty_timestamps), set(sequence._db_deleted_timestamps)
    for _ in range(2):
        assert read(sequence) == [0.0, 10.0, 2.0, 3.0]
    assert set(sequence._db_dirty_timestamps) == dirty
    assert set(sequence._db_deleted_timestamps) == deleted
    assert sequence.db_save_records() == 2


@EVERY_READER
def test_a_copy_reads_the_same(read: Callable[[Any], Any]) -> None:
    with eosdb.MemoryDatabase() as database:
        sequence = stored(database, HOURLY)
        read(sequence)
        sequence.update_value(minute(60), v=10.0)
        copied = copy.deepcopy(sequence)
        sequence.update_value(minute(60), v=11.0)
        copied.update_value(minute(120), v=12.0)
        assert read(copied) == [0.0, 10.0, 12.0, 3.0, 4.0]
        assert read(sequence) == [0.0, 11.0, 2.0, 3.0, 4.0]


# Nothing is built


class Counted(Row):
    """A record that counts those that were there."""

    gone: ClassVar[int] = 0

    def __del__(self) -> None:
        type(self).gone += 1


class CountedRows(Rows):
    records: list[Counted] = Field(default_factory=list)  # type: ignore[assignment]


def built() -> int:
    """Return how many counted records were ever made."""
    gc.collect()
    return Counted.gone + sum(type(thing) is Counted for thing in gc.get_objects())


@pytest.fixture
def frozen() -> Iterator[None]:
    """Let the collector look at what is made from now on only: everything takes long."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("load", [False, True])
@pytest.mark.parametrize("name", [name for name in READERS if name != "value"])
def test_reading_builds_no_objects(opened: Any, load: bool, name: str) -> None:
    stored(opened, HOURLY)
    sequence = CountedRows(database=opened)
    if load:
        sequence.load()
    before = built()
    for _ in range(2):
        assert READERS[name](sequence) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert built() == before
    assert sequence.key_to_value("v", minute(60)) == 1.0
    assert built() == before + 1


class Validated(Row):
    """A record whose stored values are not its values."""

    @field_validator("power_w")
    @classmethod
    def _at_most_one(cls, value: float | None) -> float | None:
        return None if value is None else min(value, 1.0)


class ValidatedRows(Rows):
    records: list[Validated] = Field(default_factory=list)  # type: ignore[assignment]


def test_a_class_that_validates_says_what_its_values_are(opened: Any) -> None:
    fill(Rows(database=opened), HOURLY, key="power_w").save()
    sequence = ValidatedRows(database=opened)
    for _ in range(2):
        assert sequence.key_to_lists("power_w")[1] == [0.0, 1.0, 1.0, 1.0, 1.0]
        assert sequence.key_to_array("power_w").tolist() == [0.0, 1.0, 1.0, 1.0, 1.0]
        assert sequence.to_dataframe()["power_w"].tolist() == [0.0, 1.0, 1.0, 1.0, 1.0]


def test_a_mixin_of_plain_classes_reads_values_too(opened: Any) -> None:
    writer = PlainHouse(opened)
    for number, value in HOURLY.items():
        writer.db_insert_record(PlainReading(date_time=minute(number), power_w=value))
    writer.db_save_records()
    for sequence in (writer, PlainHouse(opened)):
        assert sequence.key_to_lists("power_w", minute(60))[1] == [1.0, 2.0, 3.0, 4.0]
        array = sequence.key_to_array("power_w", minute(0), minute(120), boundary="strict")
        assert array.tolist() == [0.0, 1.0]
        assert sequence.key_to_series("power_w").tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert sequence.key_to_value("power_w", minute(60)) == 1.0
        assert list(sequence.to_dataframe().columns) == ["date_time", "power_w", "count", "note"]


# Values that are damaged, or of another form


def all_powers(house: House) -> list[list[float]]:
    """Return the powers of every second from 1 to 5, read in every way."""
    options: Any = {"interval": 1, "fill_method": "none", "boundary": "strict"}
    array = house.key_to_array("power_w", when(1), when(6), **options)
    return [
        house.key_to_lists("power_w")[1],
        house.key_to_series("power_w").tolist(),
        house.to_dataframe()["power_w"].tolist(),
        [value for value in array if value is not None],
    ]


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_value_is_skipped_and_named(
    case: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with eosdb.LMDBDatabase(with_value(folder, DAMAGED[case])) as database:
        house = House(database=database)
        with caplog.at_level(logging.WARNING, logger="eosdb"):
            assert all_powers(house) == [[1.0, 5.0]] * 4
        assert [record for record in caplog.records if KEY.decode() in record.getMessage()]
        ((key, cause),) = house.db_damaged_records()
        assert key == KEY.decode()
        assert cause
        house.delete_by_datetime(when(3), when(4))
        house.update_value(when(3), power_w=3.0)
        assert all_powers(house) == [[1.0, 3.0, 5.0]] * 4
    assert not (folder / MARK).exists()


@pytest.mark.parametrize("case", READABLE)
def test_a_value_of_another_form_is_read(case: str, folder: Path) -> None:
    value, power_w = READABLE[case]
    with eosdb.LMDBDatabase(with_value(folder, value)) as database:
        assert all_powers(House(database=database)) == [[1.0, power_w, 5.0]] * 4


@pytest.mark.parametrize("case", WITHOUT_TIME)
def test_the_time_of_a_value_is_that_of_its_record(case: str, folder: Path) -> None:
    with eosdb.LMDBDatabase(with_value(folder, WITHOUT_TIME[case])) as database:
        expected = [record.date_time for record in House(database=database)]
        times, values = House(database=database).key_to_lists("power_w", dropna=False)
        assert times == expected
        assert len(values) == len(times)
        assert list(House(database=database).to_dataframe().index) == expected
