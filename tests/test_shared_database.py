"""Two sequences of one namespace: each answers from what the other has saved, and from its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import House, Reading, at, house, second_of, when

import eosdb
from eosdb import UNBOUND_WINDOW

START = 1_704_067_200
ROWS = 5


@pytest.fixture(params=["memory", "lmdb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A database of each kind in which changes by others are noticed."""
    native: Any = (
        eosdb.MemoryDatabase() if request.param == "memory" else eosdb.LMDBDatabase(tmp_path / "db")
    )
    with native:
        house(native, ROWS, start=START, step=1)
        yield native


def powers(sequence: House) -> list[tuple[int, float | None]]:
    """Return what an iteration shows."""
    return [(second_of(r.date_time) - START, r.power_w) for r in sequence.db_iterate_records()]


STORED: list[tuple[int, float | None]] = [(n, float(n)) for n in range(ROWS)]

LOOKS: dict[str, Callable[[House], object]] = {
    "nothing": lambda _: None,
    "count": lambda sequence: sequence.db_count_records(),
    "get": lambda sequence: sequence.db_get_record(at(START + 2)),
    "nearest": lambda s: s.db_get_record(at(START + 2), time_window=UNBOUND_WINDOW),
    "load": lambda sequence: sequence.db_load_records(),
    "load a part": lambda sequence: sequence.db_load_records(at(START + 2), at(START + 4)),
    "iterate": lambda sequence: len(list(sequence.db_iterate_records())),
    "iterate over a part": lambda s: list(s.db_iterate_records(at(START), at(START + 3))),
    "list": lambda sequence: (sequence.load(), list(sequence.records)),
}


@pytest.mark.parametrize("look", LOOKS)
def test_what_another_saves_is_seen_whatever_was_looked_at(database: Any, look: str) -> None:
    mine, other = House(database=database), House(database=database)
    LOOKS[look](mine)
    other.update_value(when(START + 2), power_w=99.0)
    other.db_delete_records(at(START + 3), at(START + 4))
    other.db_insert_record(Reading(date_time=when(START + 9), power_w=9.0))
    LOOKS[look](mine)
    other.save()
    after = [(0, 0.0), (1, 1.0), (2, 99.0), (4, 4.0), (9, 9.0)]
    assert powers(mine) == after
    assert mine.db_count_records() == len(mine.records) == len(after)
    assert mine.db_save_records() == 0


READS: dict[str, tuple[Callable[[House], object], object]] = {
    "count": (lambda s: s.db_count_records(), 5),
    "range": (lambda s: s.db_timestamp_range()[1], at(START + 9)),
    "get changed": (lambda s: s.get_by_datetime(when(START + 2)).power_w, 99.0),
    "get deleted": (lambda s: s.get_by_datetime(when(START + 3)), None),
    "get new": (lambda s: s.get_by_datetime(when(START + 9)).power_w, 9.0),
    "nearest": (lambda s: s.get_nearest_by_datetime(when(START + 3)).power_w, 4.0),
    "previous": (lambda s: s.db_previous_timestamp(at(START + 4)), at(START + 2)),
    "next": (lambda s: s.db_next_timestamp(at(START + 4)), at(START + 9)),
    "iterate over a part": (lambda s: len(list(s.db_iterate_records(at(START + 2)))), 3),
    "delete": (lambda s: s.db_delete_records(at(START + 3)), 2),
    "insert": (lambda s: s.db_insert_record(Reading(date_time=when(START + 3))), None),
    "dump": (lambda s: s.db_load_records() and len(s.model_dump()["records"]), 0),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("built", [False, True])
def test_the_first_look_after_the_other_has_saved_sees_it(
    database: Any, read: str, built: bool
) -> None:
    """Every way to read looks for changes by itself, also where everything was loaded."""
    mine, other = House(database=database), House(database=database)
    mine.load()
    if built:
        assert powers(mine) == STORED
    other.update_value(when(START + 2), power_w=99.0)
    other.db_delete_records(at(START + 3), at(START + 4))
    other.db_insert_record(Reading(date_time=when(START + 9), power_w=9.0))
    other.save()
    ask, expected = READS[read]
    assert ask(mine) == expected


def test_a_held_object_stays_the_row_until_it_is_let_go(database: Any) -> None:
    mine, other = House(database=database), House(database=database)
    record = mine.get_by_datetime(when(START + 2))
    other.update_value(when(START + 2), power_w=99.0)
    other.save()
    assert mine.db_count_records() == ROWS
    assert mine.get_by_datetime(when(START + 2)) is record
    assert powers(mine) == STORED
    del record
    assert mine.get_by_datetime(when(START + 2)).power_w == 99.0


def test_a_held_object_that_is_changed_wins(database: Any) -> None:
    mine, other = House(database=database), House(database=database)
    record = mine.get_by_datetime(when(START + 2))
    other.update_value(when(START + 2), power_w=99.0)
    other.save()
    record.count = 7
    mine.db_mark_dirty_record(record)
    assert mine.db_save_records() == 1
    stored = other.get_by_datetime(when(START + 2))
    assert (stored.power_w, stored.count) == (2.0, 7)


def test_a_held_object_of_a_row_that_the_other_deletes_is_no_row_any_more(database: Any) -> None:
    mine, other = House(database=database), House(database=database)
    record = mine.get_by_datetime(when(START + 2))
    other.db_delete_records(at(START + 2), at(START + 3))
    other.save()
    assert mine.get_by_datetime(when(START + 2)) is None
    assert record.power_w == 2.0
    mine.db_insert_record(record)
    assert mine.db_save_records() == 1
    assert powers(other) == STORED


def test_what_the_other_saved_before_my_save_is_seen_after_it(database: Any) -> None:
    """My own save does not hide that of another one that I had not yet seen."""
    mine, other = House(database=database), House(database=database)
    assert powers(mine) == STORED
    other.update_value(when(START + 2), power_w=99.0)
    other.db_delete_records(at(START + 3), at(START + 4))
    mine.update_value(when(START), power_w=50.0)
    other.save()
    mine.save()
    assert powers(mine) == powers(other) == [(0, 50.0), (1, 1.0), (2, 99.0), (4, 4.0)]


def test_my_unsaved_changes_survive_what_the_other_saves(database: Any) -> None:
    mine, other = House(database=database), House(database=database)
    mine.update_value(when(START), power_w=50.0)
    mine.db_delete_records(at(START + 1), at(START + 2))
    mine.db_insert_record(Reading(date_time=when(START + 9), power_w=9.0))
    for second in (0, 1, 9):
        other.update_value(when(START + second), power_w=99.0)
    other.save()
    content = [(0, 50.0), (2, 2.0), (3, 3.0), (4, 4.0), (9, 9.0)]
    assert mine.db_count_records() == len(content)
    assert powers(mine) == content
    assert mine.db_save_records() == 3
    assert powers(other) == content


@pytest.mark.parametrize("how", ["by range", "from the list"])
def test_what_came_and_went_unsaved_leaves_nothing_behind(database: Any, how: str) -> None:
    """A row inserted and deleted without a save deletes nothing that another one saves there."""
    mine, other = House(database=database), House(database=database)
    mine.db_insert_record(Reading(date_time=when(START + 9)))
    if how == "by range":
        assert mine.db_delete_records(at(START + 9), at(START + 10)) == 1
    else:
        del mine.records[-1]
    other.db_insert_record(Reading(date_time=when(START + 9), power_w=9.0))
    other.save()
    assert mine.db_count_records() == ROWS + 1
    assert mine.get_by_datetime(when(START + 9)).power_w == 9.0
    assert mine.db_save_records() == 0
    assert powers(other) == [*STORED, (9, 9.0)]


@pytest.mark.parametrize("how", ["by range", "from the list"])
def test_a_row_that_both_insert(database: Any, how: str) -> None:
    """Whoever saves last has the last word, and nobody counts it twice."""
    mine, other = House(database=database), House(database=database)
    mine.db_insert_record(Reading(date_time=when(START + 9), power_w=1.0))
    other.db_insert_record(Reading(date_time=when(START + 9), power_w=2.0))
    other.save()
    assert mine.get_by_datetime(when(START + 9)).power_w == 1.0
    if how == "by range":
        assert mine.db_delete_records(at(START + 9), at(START + 10)) == 1
    else:
        del mine.records[-1]
    assert mine.db_count_records() == ROWS
    assert mine.db_save_records() == 1
    assert powers(other) == STORED


def test_another_database_is_other_content(database: Any) -> None:
    """What came from one database is not taken along to the next one; what is unsaved is."""
    mine = House(database=database)
    assert powers(mine) == STORED
    mine.db_insert_record(Reading(date_time=when(START + 9), power_w=9.0))
    with eosdb.MemoryDatabase() as empty:
        mine.database = empty
        assert powers(mine) == [(9, 9.0)]
        assert mine.db_save_records() == 1
        assert empty.count_records(namespace="house") == 1
        mine.database = database
        assert powers(mine) == STORED
