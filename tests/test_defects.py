"""Defects that users of Akkudoktor-EOS have met in its record layer, each as a test.

Every docstring says what Akkudoktor-EOS does, and what is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field
from support import (
    ForeignDatabase,
    House,
    PlainHouse,
    PlainReading,
    Reading,
    at,
    house,
    second_of,
    seconds,
    when,
)

import eosdb
from eosdb import UNBOUND_END, UNBOUND_START, UNBOUND_WINDOW, DatabaseTimestamp

HOUR = 3600
START = 1_704_067_200


class Meters(eosdb.DataRecord):
    """A record whose keys are configured at run time."""

    power_w: float | None = None

    @classmethod
    def configured_data_keys(cls) -> list[str]:
        return ["m", "g"]


class MeterHouse(eosdb.DataSequence):
    records: list[Meters] = Field(default_factory=list)

    def db_namespace(self) -> str:
        return "meters"


class Garage(House):
    def db_namespace(self) -> str:
        return "garage"


@pytest.fixture(params=["memory", "lmdb", "foreign"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A database of each kind."""
    if request.param == "foreign":
        yield ForeignDatabase()
        return
    native: Any = (
        eosdb.MemoryDatabase() if request.param == "memory" else eosdb.LMDBDatabase(tmp_path / "db")
    )
    with native:
        yield native


@pytest.fixture
def lmdb_database(tmp_path: Path) -> Iterator[eosdb.LMDBDatabase]:
    with eosdb.LMDBDatabase(tmp_path / "lmdb") as opened:
        yield opened


# Retention


@pytest.mark.parametrize("hours", [24, 48, 50, 168, 336, 720])
def test_01_vacuum_keeps_the_whole_retention(hours: int) -> None:
    """`db_vacuum()` keeps as many hours as the settings say.

    Akkudoktor-EOS takes the hours from what is left of the duration after whole days: 24, 48 or
    720 h delete everything, 50 h keep 2 rows.
    """
    with eosdb.MemoryDatabase(settings=eosdb.DatabaseSettings(keep_duration_h=hours)) as database:
        sequence = house(database, 1000, start=START)
        assert sequence.db_vacuum() == 1000 - hours
        kept = seconds(House(database=database).db_iterate_records())
        assert kept == [START + n * HOUR for n in range(1000 - hours, 1000)]


def test_05_vacuum_from_the_unbounded_start_deletes_nothing(database: Any) -> None:
    """`keep_timestamp=UNBOUND_START` keeps everything; Akkudoktor-EOS deletes everything."""
    sequence = house(database, 48, start=START)
    assert sequence.db_vacuum(keep_timestamp=UNBOUND_START) == 0
    assert House(database=database).db_count_records() == 48


@pytest.mark.parametrize("loaded", [False, True])
def test_05_vacuum_counts_from_the_newest_record_that_is_left(database: Any, loaded: bool) -> None:
    """A newest record that is deleted but not yet saved is no longer the newest.

    Akkudoktor-EOS counts from it all the same: where it was far ahead, everything is deleted.
    """
    sequence = house(database, 48, start=START)
    if loaded:
        sequence.load()
    ahead = START + 300 * HOUR
    sequence.db_insert_record(Reading(date_time=when(ahead)))
    sequence.save()
    assert sequence.db_delete_records(at(ahead), at(ahead + 1)) == 1
    assert sequence.db_vacuum(keep_hours=24) == 24
    assert seconds(House(database=database).db_iterate_records()) == [
        START + n * HOUR for n in range(24, 48)
    ]


@pytest.mark.parametrize("loaded", [False, True])
def test_05_vacuum_is_not_fooled_by_a_row_from_the_future(database: Any, loaded: bool) -> None:
    """A row two years ahead of the clock does not age the others.

    Akkudoktor-EOS deletes all 700 real ones.
    """
    now = second_of(eosdb.to_datetime())
    sequence = house(database, 700, start=now - 699 * HOUR)
    if loaded:
        sequence.load()
    sequence.db_insert_record(Reading(date_time=when(now + 2 * 365 * 86_400)))
    sequence.save()
    assert sequence.db_vacuum(keep_hours=1000) == 0
    assert sequence.db_vacuum(keep_hours=600) == 100
    assert House(database=database).db_count_records() == 601


# Loading is a cache


def test_06_the_gap_between_two_loads_is_not_loaded(database: Any) -> None:
    """A change of a row between two loaded ranges changes the stored row.

    Akkudoktor-EOS takes the gap for loaded and the row for missing, and overwrites it: of
    (40, None) it makes (None, 1).
    """
    sequence = house(database, 100, start=START)
    sequence.db_load_records(at(START), at(START + 10 * HOUR))
    sequence.db_load_records(at(START + 80 * HOUR), at(START + 90 * HOUR))
    assert not sequence._db_range_covered(at(START), at(START + 90 * HOUR))
    sequence.update_value(when(START + 40 * HOUR), "count", 1)
    sequence.save()
    stored = House(database=database).get_by_datetime(when(START + 40 * HOUR))
    assert (stored.power_w, stored.count) == (40.0, 1)


@pytest.mark.parametrize("prepare", ["nothing", "loaded", "looked up", "neighbour loaded"])
def test_07_a_stored_record_is_a_duplicate(database: Any, prepare: str) -> None:
    """Inserting where a record is stored is refused, whether it was loaded or not.

    Akkudoktor-EOS looks for it in the empty range `[t, t)`: the stored value is overwritten without
    an error, and counts are one too many.
    """
    sequence = house(database, 100, start=START)
    second = START + 40 * HOUR
    if prepare == "loaded":
        sequence.load()
    elif prepare == "looked up":
        assert sequence.get_by_datetime(when(second)) is not None
    elif prepare == "neighbour loaded":
        sequence.db_load_records(at(second + HOUR), at(second + 2 * HOUR))
    with pytest.raises(eosdb.DuplicateRecordError, match=r"Duplicate timestamp .* -> 2024"):
        sequence.db_insert_record(Reading(date_time=when(second), power_w=-1.0))
    assert sequence.db_count_records() == 100
    assert sequence.db_save_records() == 0
    assert House(database=database).get_by_datetime(when(second)).power_w == 40.0


def test_10_merging_a_record_takes_over_what_it_has(database: Any) -> None:
    """`insert_by_datetime` merges configured values one by one, and `None` overwrites nothing.

    Akkudoktor-EOS keeps `{m: 1}` of `{m: 1}` and `{g: 2}`, and lets an explicit `None` overwrite.
    """
    sequence = MeterHouse(database=database)
    sequence.insert_by_datetime(Meters.model_validate({"date_time": when(0), "m": 1, "power_w": 5}))
    sequence.save()
    sequence = MeterHouse(database=database)
    other = {"date_time": when(0), "g": 2, "power_w": None}
    sequence.insert_by_datetime(Meters.model_validate(other))
    sequence.save()
    merged = MeterHouse(database=database).get_by_datetime(when(0))
    assert (merged.configured_data, merged.power_w) == ({"m": 1, "g": 2}, 5.0)


# Metadata


def test_11_every_namespace_has_metadata_of_its_own(database: Any) -> None:
    """Metadata of two namespaces do not know of each other.

    Akkudoktor-EOS keeps one value for all: the compaction of one namespace stops that of another,
    and deleting one's metadata deletes all.
    """
    recent = second_of(eosdb.to_datetime()) // HOUR * HOUR
    for kind in (House, Garage):
        sequence = kind(database=database)
        for n in range(360):
            date_time = when(recent - (360 - n) * 300)
            sequence.db_insert_record(Reading(date_time=date_time, power_w=1.0))
        sequence.save()
    tier = (eosdb.to_duration("2 hours"), eosdb.to_duration("15 minutes"))
    assert House(database=database).db_compact([tier]) > 0
    assert Garage(database=database)._db_get_compact_state(tier[1]) is None
    assert Garage(database=database).db_compact([tier]) > 0
    database.set_metadata(None, namespace="house")
    assert database.get_metadata(namespace="house") is None
    assert Garage(database=database)._db_get_compact_state(tier[1]) is not None


# Bounds and neighbours


def test_18_sentinels_are_bounds_like_any_other(database: Any) -> None:
    """The sentinels lie before and after every timestamp.

    Akkudoktor-EOS compares them as text: iterating from `UNBOUND_START` to `UNBOUND_END` yields
    nothing, and deleting up to `UNBOUND_START` deletes everything.
    """
    sequence = house(database, 10, start=START)
    every = [START + n * HOUR for n in range(10)]
    assert seconds(sequence.db_iterate_records(UNBOUND_START, UNBOUND_END)) == every
    assert seconds(sequence.db_iterate_records(at(every[7]), UNBOUND_END)) == every[7:]
    assert seconds(sequence.db_iterate_records(UNBOUND_START, at(every[3]))) == every[:3]
    assert seconds(sequence.db_iterate_records(UNBOUND_END, None)) == []
    assert sequence.db_delete_records(None, UNBOUND_START) == 0
    assert sequence.db_delete_records(UNBOUND_END, UNBOUND_START) == 0
    assert sequence.db_next_timestamp(UNBOUND_START) == at(every[0])
    assert sequence.db_previous_timestamp(UNBOUND_END) == at(every[-1])
    assert sequence.db_previous_timestamp(UNBOUND_START) is None
    assert sequence.db_next_timestamp(UNBOUND_END) is None
    assert sequence.db_delete_records(UNBOUND_START, UNBOUND_END) == 10


def test_19_neighbours_are_looked_for_in_storage(database: Any) -> None:
    """The record before an instant is the one before it, loaded or not.

    With rows 40 to 50 loaded, Akkudoktor-EOS finds row 49 before row 60, though 59 is stored.
    """
    sequence = house(database, 100, start=START)
    sequence.db_load_records(at(START + 40 * HOUR), at(START + 50 * HOUR))
    assert sequence.db_previous_timestamp(at(START + 60 * HOUR)) == at(START + 59 * HOUR)
    assert sequence.db_next_timestamp(at(START + 10 * HOUR)) == at(START + 11 * HOUR)
    assert sequence.db_timestamp_range() == (at(START), at(START + 99 * HOUR))


@pytest.mark.parametrize("first", ["iterate", "delete", "count", "nearest", "load"])
def test_20_an_initial_window_hides_nothing(database: Any, first: str) -> None:
    """What is asked for first answers from everything, whatever window is loaded first.

    Akkudoktor-EOS iterates over the window around now: none of 100 rows, and all of them the second
    time; deleting all deletes none.
    """
    database.settings.initial_load_window_h = 48
    sequence = house(database, 100, start=START)
    match first:
        case "iterate":
            assert len(list(sequence.db_iterate_records())) == 100
        case "delete":
            assert sequence.db_delete_records() == 100
        case "count":
            assert len(sequence) == 100
        case "nearest":
            found = sequence.db_get_record(at(START - 999 * HOUR), time_window=UNBOUND_WINDOW)
            assert found is not None
            assert seconds([found]) == [START]
        case _:
            assert sequence.db_load_records() == 100


# Saving


class SlowDatabase(ForeignDatabase):
    """A database in which something else happens while records are saved."""

    meanwhile: Callable[[], object] | None = None

    def save_records(
        self, records: Iterable[tuple[bytes, bytes]], namespace: str | None = None
    ) -> int:
        saved = super().save_records(records, namespace)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return saved


def test_21_changes_during_a_save_are_kept_for_the_next_one() -> None:
    """A save takes back only the marks of what it has written.

    Akkudoktor-EOS takes back all: a row that is changed, inserted or deleted during a save is never
    saved.
    """
    database = SlowDatabase()
    sequence = house(database, 3, start=START)
    sequence.update_value(when(START), power_w=100.0)
    sequence.update_value(when(START + 2 * HOUR), power_w=102.0)

    def meanwhile() -> None:
        sequence.update_value(when(START), power_w=200.0)
        sequence.update_value(when(START + HOUR), power_w=201.0)
        sequence.update_value(when(START + 9 * HOUR), power_w=209.0)
        sequence.db_delete_records(at(START + 2 * HOUR), at(START + 3 * HOUR))

    database.meanwhile = meanwhile
    assert sequence.db_save_records() == 2
    assert sequence.db_save_records() == 4
    stored = [(n, r.power_w) for n, r in by_hour(House(database=database))]
    assert stored == [(0, 200.0), (1, 201.0), (9, 209.0)]


def by_hour(sequence: Any) -> list[tuple[int, Any]]:
    return [
        ((second_of(record.date_time) - START) // HOUR, record)
        for record in sequence.db_iterate_records()
    ]


# Counting and deleting


def test_25_the_count_does_not_drift(database: Any) -> None:
    """Pending deletions and new rows count once.

    Akkudoktor-EOS is one off after a row is deleted and inserted again, or inserted and deleted;
    `len()` even raises when its count falls below zero.
    """
    sequence = house(database, 3, start=START)
    sequence.db_delete_records(at(START), at(START + 1))
    assert len(sequence) == 2
    sequence.db_insert_record(Reading(date_time=when(START)))
    assert len(sequence) == 3
    sequence.db_delete_records(at(START), at(START + 1))
    assert len(sequence) == 2
    new = START + 99 * HOUR
    sequence.db_insert_record(Reading(date_time=when(new)))
    assert len(sequence) == 3
    sequence.db_delete_records(at(new), at(new + 1))
    assert len(sequence) == 2
    sequence.db_delete_records()
    sequence.db_delete_records()
    assert len(sequence) == 0
    assert sequence.db_save_records() == 3
    assert len(sequence) == len(House(database=database)) == 0


class Compared(PlainReading):
    """A record that counts how often it is compared."""

    comparisons: ClassVar[int] = 0

    def __eq__(self, other: object) -> bool:
        type(self).comparisons += 1
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]  # as every model that can change


class ComparedHouse(PlainHouse):
    @classmethod
    def record_class(cls) -> type[PlainReading]:
        return Compared


@pytest.mark.parametrize("rows", [100, 1000])
def test_26_deleting_compares_no_records(rows: int) -> None:
    """The work of a deletion grows with the rows deleted, not with their square.

    Akkudoktor-EOS looks for each in the list of all by comparing models: 15 s for 1,600 of 4,000.
    """
    database = ForeignDatabase()
    sequence = ComparedHouse(database)
    for n in range(rows):
        sequence.db_insert_record(Compared(date_time=when(START + n)))
    sequence.db_save_records()
    Compared.comparisons = 0
    database.calls.clear()
    assert sequence.db_delete_records(at(START + rows // 4), at(START + rows // 2)) == rows // 4
    assert sequence.db_save_records() == rows // 4
    assert Compared.comparisons == 0
    assert database.calls["delete_records"] == 1
    assert database.calls.get("iterate_records", 0) <= 1


# LMDB


def test_27_namespaces_are_no_records(lmdb_database: eosdb.LMDBDatabase) -> None:
    """What is asked without a namespace does not see the namespaces.

    In LMDB the names of the named databases are keys of the unnamed one; Akkudoktor-EOS lists and
    counts them as records.
    """
    house(lmdb_database, 3, start=START)
    assert lmdb_database.count_records() == 0
    assert list(lmdb_database.iterate_records()) == []
    assert lmdb_database.get_key_range() == (None, None)
    lmdb_database.save_records([(at(START).encode(), b"value")])
    assert lmdb_database.count_records() == 1
    assert [key for key, _ in lmdb_database.iterate_records()] == [at(START).encode()]
    assert House(database=lmdb_database).db_count_records() == 3


def test_27_there_is_room_for_many_namespaces(lmdb_database: eosdb.LMDBDatabase) -> None:
    """Two hundred namespaces fit; Akkudoktor-EOS has room for 128."""
    names = [f"namespace{n:03}" for n in range(200)]
    for name in names:
        assert lmdb_database.save_records([(at(START).encode(), name.encode())], name) == 1
    assert lmdb_database.namespaces() == names
    for name in names:
        rows = list(lmdb_database.iterate_records(namespace=name))
        assert rows == [(at(START).encode(), name.encode())]


def test_27_the_file_is_as_large_as_its_content(lmdb_database: eosdb.LMDBDatabase) -> None:
    """The file grows by need; that of Akkudoktor-EOS is 10 GiB (sparse) from the start."""
    house(lmdb_database, 100, start=START)
    assert (lmdb_database.storage_path / "data.mdb").stat().st_size < 1024**2


def test_27_a_full_map_keeps_all_or_nothing(tmp_path: Path) -> None:
    """A save that does not fit is refused as a whole, and can be made up for with more space.

    Akkudoktor-EOS writes and deletes in transactions of their own, of which one may fail alone.
    """
    settings = eosdb.DatabaseSettings(compression_level=0)
    with eosdb.LMDBDatabase(tmp_path / "db", map_size=1024**2, settings=settings) as small:
        house(small, 10, start=START)
        sequence = House(database=small)
        for n in range(200):
            date_time = when(START + (100 + n) * HOUR)
            sequence.db_insert_record(Reading(date_time=date_time, note="x" * 20_000))
        sequence.db_delete_records(at(START), at(START + 1))
        with pytest.raises(eosdb.DiskFullError):
            sequence.db_save_records()
        assert sequence.db_count_records() == 209
        assert House(database=small).db_count_records() == 10
    with eosdb.LMDBDatabase(tmp_path / "db", map_size=64 * 1024**2, settings=settings) as large:
        sequence.database = large
        assert sequence.db_save_records() == 201
        assert House(database=large).db_count_records() == 209


# Instants


def test_28_two_records_in_a_second_are_duplicates(database: Any) -> None:
    """A second record in the same second is refused, whether the first is loaded or stored.

    Akkudoktor-EOS gives both the same key, and where the first is stored only, the last one wins.
    """
    sequence = house(database)
    sequence.db_insert_record(Reading(date_time=when(START + 0.25), power_w=1.0))
    with pytest.raises(eosdb.DuplicateRecordError):
        sequence.db_insert_record(Reading(date_time=when(START + 0.75), power_w=2.0))
    sequence.save()
    with pytest.raises(eosdb.DuplicateRecordError):
        House(database=database).db_insert_record(Reading(date_time=when(START), power_w=3.0))
    ((_, record),) = by_hour(House(database=database))
    assert record.power_w == 1.0


def test_28_years_below_1000_are_padded(database: Any) -> None:
    """Keys have 16 characters whatever the year, so that they sort as the instants do.

    Akkudoktor-EOS writes the year 999 with three digits, which sorts behind all others.
    """
    instants = [eosdb.to_datetime(f"{year:04d}-06-01T00:00:00Z") for year in (1, 999, 1000, 9999)]
    stamps = [DatabaseTimestamp.from_datetime(instant) for instant in instants]
    assert [len(stamp) for stamp in stamps] == [16] * 4
    assert sorted(stamps) == stamps
    sequence = House(database=database)
    for instant in reversed(instants):
        sequence.db_insert_record(Reading(date_time=instant))
    sequence.save()
    assert seconds(House(database=database).db_iterate_records()) == [
        second_of(instant) for instant in instants
    ]
