"""Compaction case by case: aggregations, tiers, late data, reports, and overrides."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from compaction_support import (
    DAY,
    HOUR,
    MINUTE,
    QUARTER,
    START,
    Home,
    Sample,
    database,
    fill,
    merged,
    of,
    rows_of,
    stored_rows,
    values_of,
)
from support import PlainHouse, PlainReading, when

import eosdb

__all__ = ["database"]

TO_QUARTERS = (eosdb.to_duration("2 hours"), eosdb.to_duration("15 minutes"))

SIX_HOURS = {minute * MINUTE: float(minute % 15) for minute in range(360)}


def with_aggregation(name: str) -> type[Home]:
    class Aggregated(Home):
        def db_compact_aggregations(self) -> Mapping[str, str]:
            return {"power_w": name}

    return Aggregated


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("mean", {0: 10.0, 600: 40.0}, 25.0),
        ("time_weighted_mean", {0: 10.0, 600: 40.0}, 20.0),
        ("min", {0: 10.0, 60: -3.0, 600: 40.0}, -3.0),
        ("max", {0: 10.0, 60: 50.0, 600: 40.0}, 50.0),
        ("sum", {0: 10.0, 60: 50.0, 600: 40.0}, 100.0),
        ("first", {60: 10.0, 600: 40.0}, 10.0),
        ("last", {60: 10.0, 600: 40.0}, 40.0),
        ("circular_mean", {0: 350.0, 600: 20.0}, 5.0),
        ("mode", {0: 1.0, 60: 2.0, 120: 2.0, 180: 3.0}, 2.0),
    ],
)
def test_each_aggregation(
    database: Any, name: str, values: dict[int, float], expected: float
) -> None:
    home = fill(with_aggregation(name)(database=database), of("power_w", values | {3 * HOUR: 0.0}))
    home.db_compact()
    assert values_of(home, "power_w") == pytest.approx({0: expected, 3 * HOUR: 0.0})


def test_means_are_those_of_pandas(database: Any) -> None:
    pandas = pytest.importorskip("pandas")
    generator = np.random.default_rng(7)
    seconds = np.cumsum(generator.integers(20, 400, 3000))
    values = generator.normal(300, 2000, 3000)
    home = fill(
        Home(database=database),
        of("power_w", dict(zip(seconds.tolist(), values.tolist(), strict=True))),
    )
    home.db_compact(compact_tiers=[TO_QUARTERS])
    cutoff = (int(seconds[-1]) - 2 * HOUR) // QUARTER * QUARTER
    old = seconds < cutoff
    means = pandas.Series(values[old]).groupby(seconds[old] // QUARTER * QUARTER).mean()
    left = values_of(home, "power_w")
    assert {second: left[second] for second in left if second < cutoff} == pytest.approx(
        means.to_dict(), rel=1e-12
    )


def test_a_coarser_tier_takes_what_the_finer_one_makes(database: Any) -> None:
    """In one run as in two: an hour is the mean of its quarters."""
    uneven = {0: 0.0, 60: 6.0, QUARTER: 9.0, 15 * DAY: 0.0}
    at_once = fill(Home(database=database), of("power_w", uneven))
    at_once.db_compact()
    assert values_of(at_once, "power_w") == {0: 6.0, 15 * DAY: 0.0}
    in_steps = fill(Home(database=eosdb.MemoryDatabase()), of("power_w", uneven))
    in_steps.db_compact(compact_tiers=[TO_QUARTERS])
    in_steps.db_compact()
    assert rows_of(in_steps) == rows_of(at_once)


def test_all_tiers_are_one_transaction(tmp_path: Path) -> None:
    with eosdb.LMDBDatabase(tmp_path) as database:
        rows = of("power_w", {m * MINUTE: 1.0 for m in range(0, 20 * 24 * 60, 30)})
        home = fill(Home(database=database), rows)
        before = database.get_backend_stats(namespace="home")
        report = home.db_compact()
        after = database.get_backend_stats(namespace="home")
    assert [tier.interval for tier in report.tiers] == [timedelta(minutes=15), timedelta(hours=1)]
    name = "last_transaction"
    assert name not in before or after[name] == before[name] + 1


def test_young_records_stay_byte_for_byte(database: Any) -> None:
    home = fill(Home(database=database), of("power_w", SIX_HOURS))
    before = stored_rows(database)
    home.db_compact()
    after = stored_rows(database)
    cutoff = eosdb.DatabaseTimestamp.from_datetime(when(START + 225 * MINUTE)).encode()
    young = {key: value for key, value in before.items() if key >= cutoff}
    assert young == {key: value for key, value in after.items() if key >= cutoff}
    assert len(young) == 135


def test_sparse_and_aligned_records_are_not_touched(database: Any) -> None:
    rows = of("power_w", {hour * HOUR: float(hour) for hour in range(100)})
    home = fill(Home(database=database), rows)
    before = stored_rows(database)
    assert home.db_compact() == 0
    assert stored_rows(database) == before
    assert home._db_get_compact_state(TO_QUARTERS[1]) is not None


def test_sparse_records_as_in_akkudoktor_eos(database: Any) -> None:
    """Its first value wins where there are no more records than buckets; ours is the mean."""

    class FirstHome(Home):
        db_compact_sparse_first: ClassVar[bool] = True

    rows = of("power_w", {3 * MINUTE: 111.0, 4 * MINUTE: 222.0, 3 * HOUR: 0.0})
    home = fill(FirstHome(database=database), rows)
    home.db_compact()
    assert values_of(home, "power_w")[0] == 111.0
    ours = fill(Home(database=eosdb.MemoryDatabase()), rows)
    ours.db_compact()
    assert values_of(ours, "power_w")[0] == 166.5
    dense = fill(FirstHome(database=eosdb.MemoryDatabase()), of("power_w", SIX_HOURS))
    dense.db_compact()
    assert values_of(dense, "power_w")[0] == 7.0


def test_late_records_open_just_their_buckets(database: Any) -> None:
    home = fill(Home(database=database), of("power_w", SIX_HOURS))
    home.db_compact()
    before = stored_rows(database)
    fill(home, of("power_w", {HOUR + 60: 100.0}))
    assert home.db_compact() == 2
    after = stored_rows(database)
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert changed == {eosdb.DatabaseTimestamp.from_datetime(when(START + HOUR)).encode()}
    assert values_of(home, "power_w")[HOUR] == (7.0 + 100.0) / 2
    assert home.db_compact() == 0


def test_a_longest_gap_of_ones_own(database: Any) -> None:
    class Patient(Home):
        gap: ClassVar[str] = "2 hours"

        def db_compact_max_gap(self) -> Any:
            return eosdb.to_duration(self.gap)

    readings = of("meter_kwh", {5 * MINUTE: 1.0, 95 * MINUTE: 4.0, 400 * MINUTE: 5.0})
    patient = fill(Patient(database=database), readings)
    patient.db_compact()
    left = values_of(patient, "meter_kwh")
    assert left[HOUR] == pytest.approx(1.0 + 3.0 * 55 / 90)
    hasty = fill(Home(database=eosdb.MemoryDatabase()), readings)
    hasty.db_compact()
    assert HOUR not in values_of(hasty, "meter_kwh")
    Patient.gap = "1 minute"
    fill(patient, of("meter_kwh", {4000 * MINUTE: 7.0}))
    with pytest.raises(eosdb.InvalidArgumentError, match="max_gap must be at least the interval"):
        patient.db_compact()


# ---- reports ----------------------------------------------------------------------------------


def test_a_dry_run_changes_nothing_and_tells_what_would_be(database: Any) -> None:
    rows = merged(of("power_w", SIX_HOURS), of("note", {0: "on", 60: "off"}))
    home = fill(Home(database=database), rows)
    home.db_insert_record(Sample(date_time=when(START + 361 * MINUTE), power_w=1.0))
    before = stored_rows(database), home._db_dirty_timestamps, dict(home._db_metadata)
    planned = home.db_compact(dry_run=True)
    assert (stored_rows(database), home._db_dirty_timestamps, home._db_metadata) == before
    done = home.db_compact()
    assert (planned.dry_run, done.dry_run) == (True, False)
    assert planned == done == 240
    assert planned.tiers == done.tiers
    (tier,) = done.tiers
    assert (tier.rows_before, tier.rows_after) == (240, 16)
    assert (tier.rows_deleted, tier.rows_written) == (240, 16)
    assert tier.keys["power_w"] == eosdb.reports.KeyReport(240, 16)
    assert tier.keys["note"] == eosdb.reports.KeyReport(2, 1)
    assert tier.cutoff == when(START + HOUR * 4)
    sizes = sum(map(len, before[0].values())), sum(map(len, stored_rows(database).values()))
    pending = len(stored_rows(database)[max(stored_rows(database))])
    assert tier.bytes_saved == done.bytes_saved == sizes[0] - (sizes[1] - pending)
    text = str(planned)
    assert "would replace 240 records by 16" in text
    assert "power_w: 240 values become 16" in text


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_reports_are_numbers_that_can_be_copied(copied: Any) -> None:
    home = fill(Home(database=eosdb.MemoryDatabase()), of("power_w", SIX_HOURS))
    for report in (home.db_compact(), home.db_vacuum(keep_hours=1)):
        again = copied(report)
        assert (again, repr(again), again.dry_run) == (report, repr(report), False)
        assert report + 1 == int(report) + 1


def test_vacuum_reports_what_it_deletes(database: Any) -> None:
    home = fill(Home(database=database), of("power_w", SIX_HOURS))
    before = stored_rows(database)
    planned = home.db_vacuum(keep_hours=3, dry_run=True)
    assert stored_rows(database) == before
    done = home.db_vacuum(keep_hours=3)
    assert planned == done == 360 - 121
    gone = before.keys() - stored_rows(database).keys()
    assert planned.bytes_deleted == done.bytes_deleted == sum(len(before[key]) for key in gone)
    assert done.keep_from == "20240101T035900Z"
    assert "deleted 239 records before 20240101T035900Z" in str(done)
    assert home.db_vacuum() == 0


def test_progress_reaches_the_end(database: Any) -> None:
    seen: list[tuple[int, int]] = []
    home = fill(Home(database=database), of("power_w", SIX_HOURS))
    home.db_compact(progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 0
    assert seen == sorted(seen)


# ---- what a sequence overrides -----------------------------------------------------------------


def test_a_key_to_array_of_ones_own_decides(database: Any) -> None:
    class Doubling(Home):
        def key_to_array(self, key: str, *arguments: Any, **options: Any) -> Any:
            return np.asarray(super().key_to_array(key, *arguments, **options), dtype=float) * 2

    rows = of("power_w", SIX_HOURS | {20 * DAY: 0.0})
    home = fill(Doubling(database=database), rows)
    home.db_compact(compact_tiers=[TO_QUARTERS])
    assert values_of(home, "power_w") == {m * QUARTER: 14.0 for m in range(24)} | {20 * DAY: 0.0}
    assert home.db_compact() > 0  # to hours, which are doubled once more
    assert values_of(home, "power_w")[HOUR] == 28.0


def test_tiers_of_ones_own(database: Any) -> None:
    class Keeping(Home):
        tiers: ClassVar[list[Any]] = [(eosdb.to_duration("1 hour"), eosdb.to_duration("1 hour"))]

        def db_compact_tiers(self) -> Any:
            return self.tiers

    home = fill(Keeping(database=database), of("power_w", SIX_HOURS))
    home.db_compact()
    assert sorted(values_of(home, "power_w"))[:5] == [h * HOUR for h in range(4)] + [4 * HOUR]
    Keeping.tiers = []
    assert home.db_compact() == 0


class WritableHouse(PlainHouse):
    @property
    def record_keys_writable(self) -> list[str]:
        return ["date_time", "power_w", "count", "note"]


def test_a_plain_class_of_validated_records() -> None:
    database = eosdb.MemoryDatabase()
    with database:
        house = WritableHouse(database)
        for minute in range(360):
            house.db_insert_record(
                PlainReading(date_time=when(START + minute * MINUTE), power_w=float(minute % 15))
            )
        assert house.db_compact() == 225
        first = next(house.db_iterate_records())
        assert (first.power_w, first.count, first.note) == (7.0, None, None)


def test_without_a_database_records_are_compacted_in_memory() -> None:
    home = Home()
    for second, value in SIX_HOURS.items():
        home.db_insert_record(Sample(date_time=when(START + second), power_w=value))
    assert home.db_compact() == 225
    assert len(home) == 150
    assert values_of(home, "power_w")[0] == 7.0
    with eosdb.MemoryDatabase() as database:
        home.database = database
        home.save()
        assert len(stored_rows(database)) == 150


def test_what_the_core_writes_is_what_python_would(database: Any) -> None:
    rows = merged(
        of("power_w", {0: 1.5, 60: 2.5, 3 * HOUR: 0.0}),
        of("note", {0: "a", 60: "b"}),
        of("is_on", {60: True}),
        of("extra", {0: 3, 60: 4}),
    )
    home = fill(Home(database=database), rows)
    home.db_compact()
    record = Sample(date_time=when(START), power_w=2.0, note="b", is_on=True)
    record["extra"] = 3.5
    expected = pickle.dumps(record.model_dump(), protocol=5)
    stored = database.deserialize_data(min(stored_rows(database).items())[1])
    assert pickle.loads(stored) == record.model_dump()
    if not isinstance(database, eosdb.LMDBDatabase):
        return
    assert stored == expected


def test_values_that_are_no_scalars_survive(database: Any) -> None:
    tree = {"a": [1, {"b": None}], "c": (2.5, "x")}
    home = fill(Home(database=database), of("extra", {0: 1.0, 60: tree, 3 * HOUR: 0.0}))
    home.db_compact()
    assert values_of(Home(database=database), "extra")[0] == tree


def test_an_unknown_aggregation_is_named(database: Any) -> None:
    home = fill(with_aggregation("median")(database=database), of("power_w", SIX_HOURS))
    before = stored_rows(database)
    with pytest.raises(eosdb.InvalidArgumentError, match="Unsupported aggregation: median"):
        home.db_compact()
    assert stored_rows(database) == before


def test_no_energy_moves_near_damaged_records(tmp_path: Path) -> None:
    span = (when(START), when(START + 8 * HOUR))
    options: dict[str, Any] = {"interval": "15 minutes", "max_gap": "30 minutes"}
    readings = {m * MINUTE + 7: 100.0 + m // 15 for m in range(0, 480, 5)}
    with eosdb.LMDBDatabase(tmp_path) as database:
        fill(Home(database=database), of("meter_kwh", readings))
        database.save_records([(b"20240101T013507Z", b"garbage")], namespace="home")
        before = Home(database=database).key_to_energy("meter_kwh", *span, **options)
        assert Home(database=database).db_compact() > 0
        after = Home(database=database).key_to_energy("meter_kwh", *span, **options)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-9)


def test_buckets_with_damaged_records_are_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with eosdb.LMDBDatabase(tmp_path) as database:
        fill(Home(database=database), of("power_w", SIX_HOURS))
        key = eosdb.DatabaseTimestamp.from_datetime(when(START + 61 * MINUTE)).encode()
        database.save_records([(key, b"\x1f\x8bdamaged")], namespace="home")
        home = Home(database=database)
        assert home.db_compact() == 210
        assert "damaged" in caplog.text
        kept = stored_rows(database)
        assert kept[key] == b"\x1f\x8bdamaged"
        left = values_of(Home(database=database), "power_w")
        inside = {second for second in left if HOUR <= second < HOUR + QUARTER}
        assert len(inside) == 14
        # Once it is repaired, the bucket is taken with the next run.
        record = Sample(date_time=when(START + 61 * MINUTE), power_w=1.0)
        again = Home(database=database)
        again.db_delete_records(
            eosdb.DatabaseTimestamp.from_datetime(when(START + 61 * MINUTE)),
            eosdb.DatabaseTimestamp.from_datetime(when(START + 61 * MINUTE + 1)),
        )
        again.db_insert_record(record)
        assert again.db_compact() == 15
        assert values_of(again, "power_w")[HOUR] == 7.0
