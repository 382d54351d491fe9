"""Values that cannot or must not be read: the other rows are read all the same.

Like `test_defects`: every docstring says what Akkudoktor-EOS does, and what is right.
"""

from __future__ import annotations

import gzip
import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import House, Reading, at, house, second_of, seconds, when

import eosdb

HOUR = 3600
START = 1_704_067_200


def by_hour(sequence: Any) -> list[tuple[int, Any]]:
    """Return the records with the number of their hour."""
    return [
        ((second_of(record.date_time) - START) // HOUR, record)
        for record in sequence.db_iterate_records()
    ]


def truncated(value: bytes) -> bytes:
    return gzip.compress(value)[:-9]


def garbled(value: bytes) -> bytes:
    return value[: len(value) // 2] + b"\xff" * 8


def of_another_kind(_value: bytes) -> bytes:
    return pickle.dumps(["no", "record"], protocol=5)


def invalid(_value: bytes) -> bytes:
    return pickle.dumps({"date_time": when(START + 2 * HOUR), "power_w": "much"}, protocol=5)


@pytest.mark.parametrize("damage", [truncated, garbled, of_another_kind, invalid, bytes.upper])
def test_23_a_damaged_row_does_not_stop_the_others(
    damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """A value that cannot be read is reported with its key, and the others are read.

    Akkudoktor-EOS raises while it loads, so that nothing at all can be read.
    """
    settings = eosdb.DatabaseSettings(compression_level=0)
    with eosdb.MemoryDatabase(settings=settings) as database:
        house(database, 5, start=START)
        key = at(START + 2 * HOUR).encode()
        ((_, value),) = database.iterate_records(key, key + b"\0", "house")
        database.save_records([(key, damage(value))], "house")
        sequence = House(database=database)
        count = sequence.db_count_records()
        with caplog.at_level(logging.WARNING, "eosdb"):
            assert [n for n, _ in by_hour(sequence)] == [0, 1, 3, 4]
        assert str(at(START + 2 * HOUR)) in caplog.text
        with pytest.raises(eosdb.DamagedRecordError) as caught:
            sequence.get_by_datetime(when(START + 2 * HOUR))
        assert (caught.value.namespace, caught.value.key) == ("house", at(START + 2 * HOUR))
        assert caught.value.cause
        assert [row for row, _ in sequence.db_damaged_records()] == [at(START + 2 * HOUR)]
        nearest = sequence.get_nearest_by_datetime(when(START + 2 * HOUR))
        assert seconds([nearest]) == [START + 3 * HOUR]
        # Whether it is damaged shows only when it is read: what is stored counts.
        assert sequence.db_count_records() == count == 5
        # A later save of the others leaves the bytes where they are.
        sequence.update_value(when(START), power_w=1.5)
        sequence.save()
        assert database.count_records(namespace="house") == 5


def test_23_a_damaged_row_can_be_deleted_or_replaced() -> None:
    """Deleting a range that holds a damaged value removes it; then it can be written anew."""
    with eosdb.MemoryDatabase() as database:
        house(database, 3, start=START)
        database.save_records([(at(START).encode(), b"damaged")], "house")
        sequence = House(database=database)
        with pytest.raises(eosdb.DamagedRecordError):
            sequence.get_by_datetime(when(START))
        assert sequence.db_delete_records(at(START), at(START + 1)) == 1
        sequence.db_insert_record(Reading(date_time=when(START), power_w=7.0))
        sequence.save()
        assert House(database=database).get_by_datetime(when(START)).power_w == 7.0


class Attack:
    """Pickled, it calls a function when it is read."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.recipe = (function, arguments)

    def __reduce__(self) -> Any:
        return self.recipe


def attacks(target: Path) -> list[Any]:
    return [
        Attack(os.system, f"touch {target}"),
        Attack(eval, f"open({str(target)!r}, 'w')"),
        Attack(Path.touch, target),
        Attack(getattr, Attack(__import__, "os"), "getcwd"),
    ]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("level", [0, 9])
def test_24_reading_a_value_executes_nothing(number: int, level: int, tmp_path: Path) -> None:
    """A stored value cannot make its reader run code: it counts as damaged.

    Akkudoktor-EOS unpickles whatever it finds.
    """
    mark = tmp_path / "executed"
    for payload in (
        attacks(mark)[number],
        {"date_time": when(START), "power_w": attacks(mark)[number]},
    ):
        settings = eosdb.DatabaseSettings(compression_level=level)
        with eosdb.MemoryDatabase(settings=settings) as database:
            house(database, 2, start=START)
            value = database.serialize_data(pickle.dumps(payload, protocol=5))
            database.save_records([(at(START).encode(), value)], "house")
            sequence = House(database=database)
            assert [n for n, _ in by_hour(sequence)] == [1]
            with pytest.raises(eosdb.DamagedRecordError):
                sequence.get_by_datetime(when(START))
            assert not mark.exists()


@pytest.mark.parametrize("number", range(4))
def test_24_reading_metadata_executes_nothing(
    number: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor can metadata, which are replaced. Akkudoktor-EOS unpickles them too."""
    mark = tmp_path / "executed"
    with eosdb.MemoryDatabase() as database:
        house(database, 2, start=START)
        payload = {"version": 1, "created": attacks(mark)[number]}
        database.set_metadata(pickle.dumps(payload, protocol=4), namespace="house")
        with caplog.at_level(logging.WARNING, "eosdb"):
            assert House(database=database).db_count_records() == 2
        assert "house" in caplog.text
        assert not mark.exists()
