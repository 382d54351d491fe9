"""Copies and pickles of a sequence are complete and independent of it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from support import (
    READINGS,
    ROWS,
    START,
    Home,
    House,
    PlainHouse,
    PlainReading,
    Reading,
    at,
    reading,
    second_of,
    seconds,
    when,
)

import eosdb


def pickled(sequence: Any, protocol: int) -> Any:
    """Return what comes back from a pickle."""
    return pickle.loads(pickle.dumps(sequence, protocol))


SHALLOW: dict[str, Callable[[Any], Any]] = {
    "model_copy": lambda sequence: sequence.model_copy(),
    "copy.copy": copy.copy,
}
DEEP: dict[str, Callable[[Any], Any]] = {
    "model_copy(deep)": lambda sequence: sequence.model_copy(deep=True),
    "copy.deepcopy": copy.deepcopy,
    "in a list": lambda sequence: copy.deepcopy([sequence, sequence])[1],
}
PICKLED: dict[str, Callable[[Any], Any]] = {
    f"pickle protocol {protocol}": partial(pickled, protocol=protocol)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
}
WAYS = SHALLOW | DEEP | PICKLED


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_is_complete(loaded: Any, way: str) -> None:
    copied = WAYS[way](loaded)
    assert type(copied) is type(loaded)
    assert len(copied.records) == ROWS
    assert copied.records == READINGS
    assert copied == loaded
    assert copied.model_dump() == loaded.model_dump()
    assert list(copied.db_iterate_records()) == READINGS


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("first", ["the copy", "the original"])
def test_a_copy_is_independent(loaded: Any, way: str, first: str) -> None:
    copied = WAYS[way](loaded)
    changed, other = (copied, loaded) if first == "the copy" else (loaded, copied)
    changed.db_insert_record(Reading(date_time=when(START + 1), power_w=9.0))
    changed.db_delete_records(at(START + 900), at(START + 1800))
    del changed.records[-1]
    assert seconds(changed.records) == [START, START + 1, START + 1800, START + 2700]
    assert other.records == READINGS
    assert other.db_count_records() == ROWS
    assert other._db_new_timestamps == set()
    assert other._db_deleted_timestamps == set()
    if other.database is not None:
        assert other.db_save_records() == 0


@pytest.mark.parametrize("way", SHALLOW)
def test_a_shallow_copy_shares_the_record_objects(loaded: Any, way: str) -> None:
    mine = loaded.db_get_record(at(START))
    assert SHALLOW[way](loaded).db_get_record(at(START)) is mine


@pytest.mark.parametrize("way", DEEP | PICKLED)
def test_a_deep_copy_has_record_objects_of_its_own(loaded: Any, way: str) -> None:
    mine = loaded.db_get_record(at(START))
    theirs = WAYS[way](loaded).db_get_record(at(START))
    assert theirs == mine
    assert theirs is not mine
    theirs.power_w = -1.0
    assert mine.power_w == 0.5


@pytest.mark.parametrize("way", WAYS)
def test_what_is_unsaved_stays_unsaved_in_a_copy(loaded: Any, way: str) -> None:
    database = loaded.database
    loaded.db_insert_record(Reading(date_time=when(START + 1), power_w=9.0))
    loaded.db_delete_records(at(START), at(START + 1))
    record = loaded.db_get_record(at(START + 900))
    record.power_w = 8.0
    loaded.db_mark_dirty_record(record)
    copied = WAYS[way](loaded)
    assert copied.database is (None if way in PICKLED else database)
    copied.database = database
    assert copied.db_save_records() == 3
    stored = [(second_of(r.date_time), r.power_w) for r in House(database=database)]
    expected = [(START + 1, 9.0), (START + 900, 8.0)]
    assert stored == expected + [(START + 900 * n, n + 0.5) for n in range(2, ROWS)]


@pytest.mark.parametrize("way", DEEP | PICKLED)
def test_a_sequence_inside_a_model_is_copied_with_it(
    database: eosdb.MemoryDatabase, way: str
) -> None:
    sequence = House(database=database)
    sequence.load()
    home = Home(main=sequence, all=[sequence], by_name={}, anything=None)
    copied = WAYS[way](home)
    assert copied.main is copied.all[0]
    assert copied.main is not sequence
    assert copied.main.records == READINGS
    copied.main.db_delete_records()
    assert sequence.db_count_records() == ROWS


def test_a_copy_with_other_values(loaded: Any) -> None:
    copied = loaded.model_copy(update={"name": "shed"})
    assert (copied.name, loaded.name) == ("shed", "home")
    assert copied.records == loaded.records == READINGS
    fewer = loaded.model_copy(update={"records": [reading(7)]})
    assert seconds(fewer.records) == [START + 7 * 900]
    assert loaded.records == READINGS


def test_an_empty_clone_shares_the_database_only(loaded: Any) -> None:
    list(loaded.db_iterate_records())
    clone = loaded._db_clone_empty()
    assert clone.database is loaded.database
    assert len(clone.records) == 0
    assert clone.db_count_records() == ROWS
    assert len(loaded.records) == ROWS


@pytest.mark.parametrize("way", [way for way in WAYS if not way.startswith("model_copy")])
def test_plain_sequences_are_copied_too(database: eosdb.MemoryDatabase, way: str) -> None:
    sequence = PlainHouse(database)
    assert sequence.db_load_records() == ROWS
    copied = WAYS[way](sequence)
    assert len(copied.records) == ROWS
    assert copied.records == sequence.records
    copied.db_delete_records()
    copied.db_insert_record(PlainReading(date_time=when(START + 1)))
    assert seconds(sequence.records) == seconds(READINGS)
    assert sequence.db_save_records() == 0
