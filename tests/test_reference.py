"""The benchmark's Python reference behaves, so that what it is compared with means something."""

from __future__ import annotations

import gzip
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pendulum
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benches"))

import reference
from subject import KEYS, digest, synthetic_rows

START: Any = pendulum.datetime(2024, 3, 30, 22, tz="Europe/Berlin")


class Reading(reference.ReferenceRecord):
    power_w: float | None = None


class Metered(reference.ReferenceRecord):
    @classmethod
    def configured_data_keys(cls) -> list[str]:
        return ["meter_kwh"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[reference.ReferenceLmdb]:
    store = reference.ReferenceLmdb(tmp_path / "house.db")
    store.open()
    yield store
    if store.is_open:
        store.close()


def house(store: reference.ReferenceLmdb) -> reference.ReferenceSequence:
    return reference.ReferenceSequence(Reading, store, "house")


def moment(hour: float) -> Any:
    return START.add(seconds=round(hour * 3600))


def filled(store: reference.ReferenceLmdb, hours: int = 10) -> reference.ReferenceSequence:
    sequence = house(store)
    for hour in reversed(range(hours)):
        sequence.db_insert_record(Reading(date_time=moment(hour), power_w=hour * 1.5))
    return sequence


def values(sequence: reference.ReferenceSequence) -> list[float]:
    return [record["power_w"] for record in sequence.db_iterate_records()]


def test_round_trip_across_the_hour_that_summer_time_skips(
    store: reference.ReferenceLmdb,
) -> None:
    assert filled(store).db_save_records() == 10
    store.close()
    store.open()
    sequence = house(store)
    assert sequence.db_count_records() == 10
    assert sequence.records == []
    assert sequence.load()
    assert values(sequence) == [hour * 1.5 for hour in range(10)]
    assert [record.date_time for record in sequence.records] == [moment(hour) for hour in range(10)]


def test_a_value_on_disk_is_a_gzipped_pickle_under_its_utc_second(
    store: reference.ReferenceLmdb, tmp_path: Path
) -> None:
    sequence = house(store)
    sequence.db_insert_record(Reading(date_time=START, power_w=310.0))
    sequence.db_save_records()
    store.close()
    with lmdb.open(str(tmp_path / "house.db"), max_dbs=1) as environment:
        handle = environment.open_db(b"house")
        with environment.begin(db=handle) as transaction:
            ((key, value),) = list(transaction.cursor())
    assert key == b"20240330T210000Z"
    assert pickle.loads(gzip.decompress(value)) == {
        "date_time": START,
        "configured_data": {},
        "power_w": 310.0,
    }


def test_level_0_stores_plain_pickles_and_reads_either_kind(tmp_path: Path) -> None:
    store = reference.ReferenceLmdb(tmp_path, compression_level=0)
    assert store.encode(b"plain") == b"plain"
    assert store.decode(gzip.compress(b"packed")) == b"packed"
    assert store.decode(b"plain") == b"plain"


def test_lookups_find_the_exact_and_the_nearest_record(store: reference.ReferenceLmdb) -> None:
    filled(store).db_save_records()
    sequence = house(store)
    exact = sequence.get_by_datetime(moment(4))
    assert exact is not None
    assert exact["power_w"] == 6.0
    assert sequence.get_by_datetime(moment(4.5)) is None

    def nearest(hour: float, window_hours: float | None = None) -> Any:
        window = None if window_hours is None else pendulum.duration(hours=window_hours)
        record = sequence.get_nearest_by_datetime(moment(hour), window)
        return None if record is None else record["power_w"]

    assert nearest(4.4) == 6.0
    assert nearest(4.6) == 7.5
    assert nearest(4.5) == 7.5
    assert nearest(4.4, 1) == 6.0
    assert nearest(4.4, 0.5) is None
    assert nearest(100) == 13.5


def test_a_lookup_reads_the_storage_around_it_only(store: reference.ReferenceLmdb) -> None:
    filled(store).db_save_records()
    sequence = house(store)
    sequence.get_by_datetime(moment(4))
    assert len(sequence.records) == 1
    assert len(values(sequence)) == 10


def test_deleting_reaches_memory_and_storage(store: reference.ReferenceLmdb) -> None:
    filled(store).db_save_records()
    sequence = house(store)
    assert sequence.delete_by_datetime(moment(2), moment(5)) == 3
    assert sequence.db_count_records() == 7
    assert sequence.db_save_records() == 3
    assert values(house(store)) == [0.0, 1.5, 7.5, 9.0, 10.5, 12.0, 13.5]


def test_what_is_deleted_but_not_saved_does_not_come_back(store: reference.ReferenceLmdb) -> None:
    filled(store).db_save_records()
    sequence = house(store)
    sequence.delete_by_datetime(moment(2), moment(5))
    assert sequence.load()
    left = [record["power_w"] for record in sequence.records]
    assert left == [0.0, 1.5, 7.5, 9.0, 10.5, 12.0, 13.5]


def test_reading_on_reaches_the_next_stored_row(
    store: reference.ReferenceLmdb, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store).db_save_records()
    sequence = house(store)
    for hour in (4, 6, 3):
        assert sequence.get_by_datetime(moment(hour)) is not None
    monkeypatch.setattr(store, "scan", lambda *_: pytest.fail("read again"))
    assert sequence.get_by_datetime(moment(6.5)) is None
    assert sequence.get_by_datetime(moment(2.5)) is None


def test_a_second_record_at_the_same_second_is_refused(store: reference.ReferenceLmdb) -> None:
    sequence = filled(store)
    with pytest.raises(ValueError, match="20240330T210000Z"):
        sequence.db_insert_record(Reading(date_time=START))


def test_a_record_can_be_inserted_again_once_deleted(store: reference.ReferenceLmdb) -> None:
    sequence = filled(store)
    sequence.db_save_records()
    sequence.delete_by_datetime(START, moment(1))
    sequence.db_insert_record(Reading(date_time=START, power_w=-1.0))
    sequence.db_save_records()
    assert values(house(store))[:2] == [-1.0, 1.5]


def test_configured_keys_are_stored_apart_and_read_alike(store: reference.ReferenceLmdb) -> None:
    sequence = reference.ReferenceSequence(Metered, store, "meters")
    sequence.db_insert_record(Metered.model_validate({"date_time": START, "meter_kwh": 12_055.8}))
    sequence.db_save_records()
    again = reference.ReferenceSequence(Metered, store, "meters")
    (record,) = again.db_iterate_records()
    assert record["meter_kwh"] == 12_055.8
    assert record.configured_data == {"meter_kwh": 12_055.8}
    with pytest.raises(KeyError):
        record["power_w"]


def test_a_closed_database_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="closed"):
        reference.ReferenceLmdb(tmp_path).count("house")


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        reference.Stamp.from_datetime(pendulum.naive(2024, 1, 1))


def test_synthetic_rows_are_the_same_each_time_and_tell_apart() -> None:
    rows = list(synthetic_rows(100))
    assert digest(rows) == digest(synthetic_rows(100))
    assert digest(rows) != digest(reversed(rows))
    assert all(len(row.values) == len(KEYS) for row in rows)
    assert len({row.second for row in rows}) == 100
