"""The list that a sequence shows as `records`: a list to whoever looks, and no object too early."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any, ClassVar

import pytest
from pydantic import Field, field_validator
from support import (
    READINGS,
    ROWS,
    START,
    House,
    Reading,
    at,
    reading,
)

import eosdb


def test_the_list_behaves_as_a_list(loaded: Any) -> None:
    records = loaded.records
    assert records == READINGS
    assert READINGS == records  # noqa: SIM300  either side may ask
    assert records != READINGS[1:]
    assert records[1] == READINGS[1]
    assert records[-1] == READINGS[-1]
    assert records[1:3] == READINGS[1:3]
    assert records[::-1] == READINGS[::-1]
    assert list(reversed(records)) == READINGS[::-1]
    assert READINGS[2] in records
    assert reading(99) not in records
    assert records.index(READINGS[2]) == 2
    assert records.count(READINGS[2]) == 1
    assert records + READINGS[:1] == [*READINGS, READINGS[0]]
    assert READINGS[:1] + records == [READINGS[0], *READINGS]
    assert max(records, key=lambda r: r.power_w) == READINGS[-1]
    assert bool(records)
    with pytest.raises(IndexError):
        _ = records[ROWS]
    with pytest.raises(IndexError):
        _ = records[-ROWS - 1]
    assert records[0] is records[0]
    popped = records.pop()
    assert popped == READINGS[-1]
    assert len(records) == ROWS - 1
    assert loaded.db_count_records() == ROWS - 1


def test_the_list_is_pickled_and_copied_as_a_list_of_its_own(loaded: Any) -> None:
    for copied in (
        copy.copy(loaded.records),
        copy.deepcopy(loaded.records),
        pickle.loads(pickle.dumps(loaded.records)),
        loaded.records.copy(),
    ):
        assert copied == READINGS
        copied.clear()
        assert len(loaded.records) == ROWS


# Nothing is built that nobody asks for


class Counted(Reading):
    """A record of its own class, so that its objects can be counted."""


class CountedHouse(House):
    records: list[Counted] = Field(default_factory=list)  # type: ignore[assignment]


class Validated(Reading):
    """A record that is validated when it is made, and counts that."""

    made: ClassVar[int] = 0

    @field_validator("power_w")
    @classmethod
    def _count(cls, value: float | None) -> float | None:
        cls.made += 1
        return value


class ValidatedHouse(House):
    records: list[Validated] = Field(default_factory=list)  # type: ignore[assignment]


def objects() -> int:
    """Return how many counted records exist."""
    gc.collect()
    return sum(type(thing) is Counted for thing in gc.get_objects())


def test_loading_builds_no_objects(database: eosdb.MemoryDatabase) -> None:
    sequence = CountedHouse(database=database)
    validated = ValidatedHouse(database=database)
    Validated.made = 0
    for each in (sequence, validated):
        assert each.db_load_records() == ROWS
        assert len(each.records) == len(each) == ROWS
        assert each.db_timestamp_range() == (at(START), at(START + 3600))
        assert each.db_previous_timestamp(at(START + 900)) == at(START)
        assert each._db_sorted_timestamps[1] == at(START + 900)
        assert at(START) in each._db_record_index
        assert each.db_delete_records(at(START + 3600)) == 1
        assert each.model_dump(exclude={"records"}) == {}
        assert each.db_get_stats()["memory_records"] == ROWS - 1
        assert copy.copy(each).db_count_records() == ROWS - 1
        assert copy.deepcopy(each).db_count_records() == ROWS - 1
        assert "4" in repr(each)
    assert objects() == 0
    assert Validated.made == 0


def test_only_what_is_asked_for_is_built(database: eosdb.MemoryDatabase) -> None:
    sequence = CountedHouse(database=database)
    validated = ValidatedHouse(database=database)
    Validated.made = 0
    for each in (sequence, validated):
        first = each.db_get_record(at(START))
        assert each.records[0] is first
        for _ in zip(range(2), each.db_iterate_records(), strict=False):
            pass
    assert objects() == Validated.made == 2


def test_a_dump_builds_each_row_once(database: eosdb.MemoryDatabase) -> None:
    sequence = ValidatedHouse(database=database)
    sequence.load()
    Validated.made = 0
    sequence.model_dump()
    sequence.model_dump_json()
    assert list(sequence) == list(sequence.records)
    assert Validated.made == ROWS
