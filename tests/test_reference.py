"""The benchmark's Python reference behaves, so that what it is compared with means something."""

from __future__ import annotations

import gzip
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pandas as pd
import pendulum
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benches"))

import expectation
import reference
import reference_compaction
import reference_reading
import subject_reference
import worker
from subject import DAY_SECONDS, KEYS, STEP_SECONDS, ZONE, digest, synthetic_rows

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


# Reading. The cases are worked out by hand: minutes after START and values, and what comes of them.

MINUTE = pendulum.duration(minutes=1)
Points = dict[int, float | None]


def reader(store: reference.ReferenceLmdb, points: Points) -> reference_reading.ReferenceReader:
    sequence = reference_reading.ReferenceReader(Reading, store, "house")
    for minute, power in points.items():
        sequence.db_insert_record(Reading(date_time=START + minute * MINUTE, power_w=power))
    return sequence


def array(
    store: reference.ReferenceLmdb,
    points: Points,
    start: int | None,
    end: int | None,
    **options: Any,
) -> list[Any]:
    """Return the array of [start, end), in minutes, as a list."""
    result = reader(store, points).key_to_array(
        "power_w",
        start_datetime=None if start is None else START + start * MINUTE,
        end_datetime=None if end is None else START + end * MINUTE,
        **options,
    )
    values: list[Any] = result.tolist()
    return values


QUARTERS: Points = {0: 0.0, 15: 1.0, 30: 2.0, 45: 3.0, 60: 4.0}
HOURS: Points = {-10: 100.0, 0: 0.0, 60: 60.0, 120: 120.0, 180: 180.0}
GAP: Points = {0: 0.0, 180: 30.0}


@pytest.mark.parametrize(
    ("points", "window", "options", "expected"),
    [
        pytest.param(QUARTERS, (0, 60), {}, [1.5], id="mean of the values in a bucket"),
        pytest.param(QUARTERS, (30, 90), {}, [4.0], id="buckets start at the record before"),
        pytest.param(QUARTERS, (30, 90), {"boundary": "strict"}, [3.0], id="strict"),
        pytest.param(QUARTERS, (30, 90), {"align_to_interval": True}, [4.0], id="aligned"),
        pytest.param(HOURS, (0, 180), {}, [60.0, 120.0, 180.0], id="context shifts"),
        pytest.param(
            HOURS, (0, 180), {"boundary": "strict"}, [0.0, 60.0, 120.0], id="strict does not"
        ),
        pytest.param(
            HOURS, (0, 180), {"align_to_interval": True}, [0.0, 60.0, 120.0], id="nor aligned"
        ),
        pytest.param({}, (0, 180), {}, [None, None, None], id="nothing there"),
        pytest.param({}, (0, None), {}, [], id="nothing there, open end"),
        pytest.param({}, (None, None), {}, [None], id="nothing there, no bounds"),
        pytest.param({90: 1.0, 150: 2.0}, (0, 240), {}, [1.0, 1.0, 2.0, 2.0], id="edges repeat"),
        pytest.param({200: 5.0}, (0, 120), {}, [5.0, 5.0], id="only one beyond the end"),
        pytest.param(GAP, (0, 240), {}, [0.0, 10.0, 20.0, 30.0], id="gaps interpolated"),
        pytest.param(
            GAP, (0, 240), {"fill_method": "ffill"}, [0.0, 0.0, 0.0, 30.0], id="filled forward"
        ),
        pytest.param(
            GAP, (0, 240), {"fill_method": "bfill"}, [0.0, 30.0, 30.0, 30.0], id="backward"
        ),
        pytest.param(
            GAP, (0, 240), {"fill_method": "none"}, [0.0, None, None, 30.0], id="left open"
        ),
        pytest.param(
            {0: None, 60: 5.0}, (0, 180), {"dropna": False}, [None, 5.0, 5.0], id="None kept"
        ),
        pytest.param(
            QUARTERS,
            (None, None),
            {"interval": pendulum.duration(minutes=30)},
            [0.5, 2.5, 4.0],
            id="half hours, no bounds",
        ),
    ],
)
def test_an_array_is_what_pandas_makes_of_the_records(
    store: reference.ReferenceLmdb,
    points: Points,
    window: tuple[int | None, int | None],
    options: dict[str, Any],
    expected: list[Any],
) -> None:
    assert array(store, points, *window, **options) == expected


def test_values_that_are_no_numbers_are_not_averaged() -> None:
    index = pd.to_datetime([0, 1_200, 7_200], unit="s", utc=True)
    texts = pd.Series(["a", "b", "c"], index=index)
    assert reference_reading.resample(texts, "1h", "start_day", None).tolist() == ["a", "a", "c"]
    first = reference_reading.resample(texts, "1h", "start_day", "bfill")
    assert first.tolist() == ["a", "c", "c"]


def test_an_array_without_gaps_is_one_of_floats_and_else_of_objects(
    store: reference.ReferenceLmdb,
) -> None:
    sequence = reader(store, GAP)
    assert sequence.key_to_array("power_w").dtype == np.float64
    assert sequence.key_to_array("power_w", fill_method="none").dtype == np.object_


def test_unknown_keys_and_methods_are_refused(store: reference.ReferenceLmdb) -> None:
    sequence = reader(store, QUARTERS)
    with pytest.raises(KeyError, match="nothing"):
        sequence.key_to_array("nothing")
    with pytest.raises(ValueError, match="spline"):
        sequence.key_to_array("power_w", fill_method="spline")
    with pytest.raises(ValueError, match="loose"):
        sequence.key_to_array("power_w", boundary="loose")  # type: ignore[arg-type]


def test_lists_hold_the_values_of_a_window(store: reference.ReferenceLmdb) -> None:
    sequence = reader(store, {**QUARTERS, 20: None})
    dates, powers = sequence.key_to_lists("power_w", START + 15 * MINUTE, START + 45 * MINUTE)
    assert dates == [START + 15 * MINUTE, START + 30 * MINUTE]
    assert powers == [1.0, 2.0]
    assert sequence.key_to_lists("power_w", dropna=False)[1] == [0.0, 1.0, None, 2.0, 3.0, 4.0]


def test_context_is_found_in_storage_too(store: reference.ReferenceLmdb) -> None:
    reader(store, HOURS).db_save_records()
    sequence = reference_reading.ReferenceReader(Reading, store, "house")
    result = sequence.key_to_array("power_w", START + 120 * MINUTE, START + 180 * MINUTE)
    assert result.tolist() == [120.0]


def test_a_frame_has_a_row_for_each_record_by_local_time(store: reference.ReferenceLmdb) -> None:
    frame = reader(store, {60: 2.0, 0: 1.0}).to_dataframe()
    assert list(frame.columns) == ["date_time", "configured_data", "power_w"]
    assert frame.index.tolist() == [START, START + 60 * MINUTE]
    assert frame["power_w"].tolist() == [1.0, 2.0]
    assert reader(store, {}).to_dataframe().empty


# Compaction.


def compactor(
    store: reference.ReferenceLmdb, points: Points | None = None
) -> reference_compaction.ReferenceCompactor:
    """Return a sequence on what is stored, with minutes after START and values saved before."""
    if points is not None:
        reader(store, points).db_save_records()
    return reference_compaction.ReferenceCompactor(Reading, store, "house")


def points_of(sequence: reference.ReferenceSequence) -> Points:
    return {
        round((record["date_time"] - START).total_seconds() / 60): record["power_w"]
        for record in sequence.db_iterate_records()
    }


TO_HALF_HOURS = (pendulum.duration(hours=1), pendulum.duration(minutes=30))
TO_HOURS = (pendulum.duration(hours=2), pendulum.duration(hours=1))


def test_compaction_leaves_the_means_of_the_old_and_the_young_as_they_were(
    store: reference.ReferenceLmdb,
) -> None:
    sequence = compactor(store, {minute: minute / 10 for minute in range(0, 181, 10)})
    assert sequence.db_compact((TO_HALF_HOURS,)) == 12
    expected = {0: 1.0, 30: 4.0, 60: 7.0, 90: 10.0}
    expected |= {minute: minute / 10 for minute in range(120, 181, 10)}
    assert points_of(sequence) == pytest.approx(expected)
    assert points_of(compactor(store)) == pytest.approx(expected)


def test_compaction_goes_on_where_it_ended(store: reference.ReferenceLmdb) -> None:
    compactor(store, dict.fromkeys(range(0, 181, 10), 1.0)).db_compact((TO_HALF_HOURS,))
    assert compactor(store).db_compact((TO_HALF_HOURS,)) == 0
    sequence = compactor(store)
    sequence.db_insert_record(Reading(date_time=START + 210 * MINUTE, power_w=3.0))
    sequence.db_save_records()
    assert sequence.db_compact((TO_HALF_HOURS,)) == 3
    assert list(points_of(compactor(store))) == [0, 30, 60, 90, 120, 150, 160, 170, 180, 210]


def test_the_finer_tier_fills_the_hours_of_the_coarser_one(
    store: reference.ReferenceLmdb,
) -> None:
    sequence = compactor(store, {minute: float(minute) for minute in range(0, 241, 10)})
    assert sequence.db_compact((TO_HALF_HOURS, TO_HOURS)) == 12 + 8
    left = points_of(sequence)
    assert list(left) == [0, 30, 60, 90, 120, 150, *range(180, 241, 10)]
    assert [left[minute] for minute in (0, 60, 120, 150)] == [25.0, 85.0, 130.0, 160.0]
    assert left[30] == 55.0


def test_nothing_is_compacted_where_nothing_is_old(store: reference.ReferenceLmdb) -> None:
    assert compactor(store).db_compact() == 0
    assert compactor(store, QUARTERS).db_compact() == 0
    assert points_of(compactor(store)) == QUARTERS


def test_vacuuming_keeps_what_is_younger(store: reference.ReferenceLmdb) -> None:
    sequence = compactor(store, QUARTERS)
    keep = reference.Stamp.from_datetime(START + 30 * MINUTE)
    assert sequence.db_vacuum(keep_timestamp=keep) == 2
    assert points_of(compactor(store)) == {30: 2.0, 45: 3.0, 60: 4.0}


@pytest.fixture
def benchmark_zone() -> Iterator[None]:
    pendulum.set_local_timezone(pendulum.timezone(ZONE))
    yield
    pendulum.set_local_timezone()


@pytest.mark.usefixtures("benchmark_zone")
@pytest.mark.parametrize("configured", [pytest.param(False, marks=pytest.mark.soak), True])
def test_the_benchmark_expects_what_the_reference_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: bool
) -> None:
    monkeypatch.setattr(worker, "REPEAT_AT_MOST", 1)
    count = DAY_SECONDS // STEP_SECONDS + 100
    expectations = expectation.Expectation(count, configured)
    expected = expectations.results
    running = worker.Worker(subject_reference.subject(tmp_path, 9, configured), count)
    for name in ("prepare", "insert", "save", "read_first", "read_again", "read_day", "frame"):
        answer = worker.plain(getattr(running, name)())
        expectation.compare("reference", name, answer["result"], expected[name])
    expectation.compare(
        "pandas", "pandas", worker.plain(running.pandas())["result"], expected["pandas"]
    )
    rows = worker.plain(running.compact())["result"]
    expectation.compare_compacted("reference", rows, expectations.compacted, hours_only=True)
    for name in ("vacuum", "delete"):
        answer = worker.plain(getattr(running, name)())
        expectation.compare("reference", name, answer["result"], expected[name])


def test_of_compacted_rows_only_those_between_hours_may_be_too_many() -> None:
    expected = expectation.Compacted([[0, 1.0], [3600, 2.0], [7200, 4.0]], [[7260, 5.0]], 7200)
    right = [*expected.old, *expected.young]

    def check(rows: list[list[float]], *, hours_only: bool = True) -> None:
        expectation.compare_compacted("who", rows, expected, hours_only=hours_only)

    check(right, hours_only=False)
    check([[0, 1.0 + 1e-10], *right[1:]], hours_only=False)
    check([right[0], [900, 1.25], *right[1:]])
    wrong = expectation.WrongResultError
    with pytest.raises(wrong, match="who, compact: 5 rows where 4 are right"):
        check([right[0], [900, 1.25], *right[1:]], hours_only=False)
    with pytest.raises(wrong, match="5 rows"):
        check([*right[:3], [7215, 4.5], right[3]])
    with pytest.raises(wrong, match="who, compact: "):
        check([[0, 1.0 + 1e-8], *right[1:]])
    with pytest.raises(wrong, match="who, compact: "):
        check([*right[:3], [7260, 5.0 + 1e-10]])


def test_results_agree_but_for_the_last_bits() -> None:
    assert expectation.agree({"a": [1.0, None]}, {"a": [1.0 + 1e-13, None]})
    assert not expectation.agree([1.0], [1.0 + 1e-11])
    assert not expectation.agree([1.0, 2.0], [1.0])
    assert not expectation.agree([None], [1.0])
    assert not expectation.agree({"b": 1.0}, {"a": 1.0})
    with pytest.raises(expectation.WrongResultError, match="who, what: 1 where 2 is right"):
        expectation.compare("who", "what", 1, 2)
