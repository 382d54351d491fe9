"""What calls cost, counted in questions to storage, rows and Python calls instead of seconds.

Counts are the same on every machine, however busy. They guard against the worst: a call that costs
by the history instead of its window, that asks storage again for what is known, or that does in
Python what the core should do.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest
from support import ForeignDatabase, House, Reading, at, house, when

import eosdb
from eosdb.testing import Faults

STEP: Final = 3600
DAY: Final = 24 * STEP


class CountingDatabase(ForeignDatabase):
    """A database that counts the rows it hands out, takes and removes."""

    def __init__(self) -> None:
        super().__init__()
        self.touched = 0

    def iterate_records(self, *arguments: Any, **options: Any) -> Iterator[tuple[bytes, bytes]]:
        for row in super().iterate_records(*arguments, **options):
            self.touched += 1
            yield row

    def save_records(self, records: Any, namespace: str | None = None) -> int:
        records = list(records)
        self.touched += len(records)
        return super().save_records(records, namespace)

    def delete_records(self, keys: Any, namespace: str | None = None) -> int:
        keys = list(keys)
        self.touched += len(keys)
        return super().delete_records(keys, namespace)


def _change(sequence: House, last: int) -> None:
    record = sequence.get_by_datetime(when(last))
    assert record is not None
    record.power_w = -1.0
    sequence.db_mark_dirty_record(record)
    sequence.save()


def _insert(sequence: House, last: int) -> None:
    sequence.db_insert_record(Reading(date_time=when(last + 60), power_w=1.0))
    sequence.save()


def _delete(sequence: House, last: int) -> None:
    assert sequence.db_delete_records(at(last - DAY), at(last)) == 24
    sequence.save()


def _array(sequence: House, last: int) -> None:
    options: Any = {"start_datetime": when(last - DAY), "end_datetime": when(last)}
    assert len(sequence.key_to_array("power_w", interval="1 hour", **options)) == 24


CALLS: Final[dict[str, Callable[[House, int], object]]] = {
    "look up": lambda sequence, last: sequence.get_by_datetime(when(last - DAY)),
    # Without a window the first search loads the initial window, as in Akkudoktor-EOS.
    "nearest": lambda sequence, last: sequence.get_nearest_by_datetime(
        when(last - DAY + 7), timedelta(hours=2)
    ),
    "neighbours": lambda sequence, last: (
        sequence.db_previous_timestamp(at(last - DAY)),
        sequence.db_next_timestamp(at(last - DAY)),
    ),
    "insert and save": _insert,
    "change and save": _change,
    "delete a day and save": _delete,
    "array of a day": _array,
    "load a day": lambda sequence, last: sequence.db_load_records(at(last - DAY), at(last)),
    "iterate over a day": lambda sequence, last: [
        *sequence.db_iterate_records(at(last - DAY), at(last))
    ],
}
"""Calls on a sequence that knows nothing yet, with the second of the last row."""

MOST_ROWS: Final = 80
"""What a call on a day of 24 rows may touch: them, some of them twice, and neighbours."""

FEW, MANY = 200, 2_000


def _touched(call: Callable[[House, int], object], rows: int) -> int:
    database = CountingDatabase()
    sequence = house(database, rows, step=STEP)
    database.touched = 0
    call(sequence, (rows - 1) * STEP)
    return database.touched


@pytest.mark.parametrize("name", CALLS)
def test_a_call_touches_the_rows_of_its_window(name: str) -> None:
    few, many = (_touched(CALLS[name], rows) for rows in (FEW, MANY))
    assert few == many
    assert 0 < many <= MOST_ROWS


def _asked(call: Callable[[House, int], object], rows: int) -> list[str]:
    with eosdb.MemoryDatabase() as database:
        sequence = house(database, rows, step=STEP)
        faults = Faults(database)
        call(sequence, (rows - 1) * STEP)
        return [operation for operation, _ in faults.operations]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_asks_storage_a_few_times(name: str) -> None:
    few, many = (_asked(CALLS[name], rows) for rows in (FEW, MANY))
    assert few == many
    assert len(many) <= 8
    assert many.count("commit") == ("save" in name)


def test_counting_reads_no_row() -> None:
    assert _asked(lambda sequence, _: sequence.db_count_records(), MANY) == ["metadata", "count"]


def test_what_is_known_is_not_asked_again() -> None:
    with eosdb.MemoryDatabase() as database:
        faults = Faults(database)
        sequence = house(database, FEW, step=STEP)

        def read() -> list[Any]:
            sequence.key_to_array("power_w", interval="1 hour")
            return [
                answer
                for second in range(0, FEW * STEP, STEP)
                for answer in (
                    sequence.get_by_datetime(when(second + 1)),
                    sequence.get_nearest_by_datetime(when(second + 1)),
                    sequence.db_next_timestamp(at(second)),
                )
            ]

        first = read()
        asked = len(faults.operations)
        again = read()
        assert first == again
        assert faults.operations[asked:] == []


def test_appended_records_are_one_commit_and_few_questions() -> None:
    with eosdb.MemoryDatabase() as database:
        sequence = house(database, FEW, step=STEP)
        faults = Faults(database)
        for number in range(FEW, FEW + 500):
            sequence.db_insert_record(Reading(date_time=when(number * STEP), power_w=1.0))
        sequence.save()
        asked = [operation for operation, _ in faults.operations]
        assert asked.count("commit") == 1
        assert len(asked) <= 5


def test_importing_brings_nothing_that_only_some_ask_for() -> None:
    heavy = {"pandas", "pyarrow", "polars", "matplotlib", "akkudoktoreos", "pytest", "asyncio"}
    code = "import sys, eosdb; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert "numpy" in loaded.stdout.split()
    assert heavy.isdisjoint(loaded.stdout.split())


# Python calls


def python_calls(action: Callable[[], object]) -> int:
    """Return how many functions an action calls, those of Python and those written in C."""
    count = 0

    def profile(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(before)
    return count


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[House]:
    """A sequence of a thousand stored rows, with its rows loaded and none of them an object."""
    with eosdb.LMDBDatabase(tmp_path / "db") as database:
        sequence = house(database, 1_000, step=STEP)
        sequence.load()
        yield sequence


# What is counted is 7, 9, 4, 0.02, 0.2 and 89; there is room for other releases of pendulum.
def test_a_lookup_is_a_few_python_calls(stored: House) -> None:
    moments = [when(number * STEP) for number in range(100)]
    assert python_calls(lambda: [stored.get_by_datetime(m) for m in moments]) <= 10 * 100
    assert python_calls(lambda: [stored.get_nearest_by_datetime(m) for m in moments]) <= 12 * 100


def test_inserting_is_a_few_python_calls_and_saving_none(stored: House) -> None:
    new = [Reading(date_time=when(number * STEP + 7), power_w=1.0) for number in range(1_000)]

    def insert() -> None:
        for record in new:
            stored.db_insert_record(record)

    assert python_calls(insert) <= 6 * 1_000
    assert python_calls(stored.save) <= 100


def test_no_python_call_is_made_for_a_row(stored: House) -> None:
    assert python_calls(lambda: list(stored.db_iterate_records())) <= 50
    assert python_calls(lambda: list(stored.records)) <= 50
    assert python_calls(lambda: House(database=stored.database).load()) <= 200
    assert python_calls(lambda: stored.key_to_array("power_w", interval="1 hour")) <= 150
    assert python_calls(lambda: stored.db_vacuum(keep_timestamp=at(500 * STEP))) <= 150
