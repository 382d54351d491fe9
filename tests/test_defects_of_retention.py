"""Defects of Akkudoktor-EOS's compaction, each as a test.

Every docstring says what Akkudoktor-EOS does, and what is right.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

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
    values_of,
)
from support import ForeignDatabase, when

import eosdb

__all__ = ["database"]


class Crashing(ForeignDatabase):
    """A database whose connection is lost between writing and deleting."""

    crashes = False

    def delete_records(self, keys: Iterable[bytes], namespace: str | None = None) -> int:
        if self.crashes:
            raise ConnectionError("crash")
        return super().delete_records(keys, namespace=namespace)


@pytest.mark.parametrize("key", ["is_on", "note", "count"])
def test_02_what_has_no_mean_loses_no_rows(database: Any, key: str) -> None:
    """A key that cannot be averaged is consolidated, and nothing is deleted without it.

    Akkudoktor-EOS marks the old rows as deleted before the new ones exist. The mean of a bool makes
    no valid record: 135 of 360 rows are left after the next autosave.
    """
    kinds: dict[str, list[Any]] = {
        "is_on": [True, False, True],
        "note": ["a", "b", "c"],
        "count": [1, 2, 4],
    }
    values = kinds[key]
    rows = of(key, {minute * MINUTE: values[minute % 3] for minute in range(360)})
    home = fill(Home(database=database), rows)
    assert home.db_compact() > 0
    # The last of each quarter's values; minutes 14, 29, 44, ... have the third one.
    cutoff = (359 - 120) * MINUTE // QUARTER * QUARTER
    compacted = dict.fromkeys(range(0, cutoff, QUARTER), values[2])
    young = {second: row[key] for second, row in rows.items() if second >= cutoff}
    assert values_of(Home(database=database), key) == compacted | young


def test_02_a_record_that_cannot_be_made_leaves_everything(database: Any) -> None:
    """Where no valid record can be made nothing is changed, and the error names the bucket.

    In Akkudoktor-EOS the error comes after the old rows were marked as deleted.
    """

    class Strict(Home):
        def db_compact_aggregations(self) -> Mapping[str, str]:
            return {"count": "mean"}

    rows = of("count", {minute * MINUTE: minute for minute in range(360)})
    home = fill(Strict(database=database), rows)
    with pytest.raises(eosdb.InvalidArgumentError, match="'mean' of 'count' gives fractions"):
        home.db_compact()
    home.db_save_records()
    assert rows_of(Strict(database=database)) == rows


def test_03_sparse_records_that_are_not_loaded_stay(database: Any) -> None:
    """Compaction takes the stored records, whatever is loaded.

    Akkudoktor-EOS's sparse path reads the rows in memory and deletes the whole window: of 117
    stored rows, 7 of them loaded, 106 are lost.
    """
    rows = of("power_w", {hour * HOUR + MINUTE: float(hour) for hour in range(117)})
    fill(Home(database=database), rows)
    home = Home(database=database)
    home.db_load_records(
        eosdb.DatabaseTimestamp.from_datetime(when(START)),
        eosdb.DatabaseTimestamp.from_datetime(when(START + 7 * HOUR)),
    )
    home.db_compact()
    left = values_of(Home(database=database), "power_w")
    assert list(left.values()) == [float(hour) for hour in range(117)]
    assert all(second % QUARTER == 0 for second in list(left)[:-3])


def test_04_values_of_a_key_that_is_configured_no_longer_stay(database: Any) -> None:
    """The history of a key that is configured no longer survives.

    Akkudoktor-EOS drops it with each compaction; where it is the only key the window is deleted.
    """
    former = of("former", {minute * MINUTE: float(minute) for minute in range(0, 600, 5)})
    home = fill(Home(database=database), former)
    assert home.db_compact() > 0
    left = values_of(Home(database=database), "former")
    assert left[0] == 5.0  # of 0, 5 and 10
    assert left[595 * MINUTE] == 595.0
    assert len(left) == 31 + 27  # quarters up to 7:45, and what is younger than two hours
    also = merged(former, of("power_w", {0: 3.0}))
    fill(home := Home(database=eosdb.MemoryDatabase()), also)
    home.db_compact()
    assert rows_of(home)[0] == {"power_w": 3.0, "former": 5.0}


def test_04_a_key_whose_own_resampling_fails_is_consolidated(database: Any) -> None:
    """A key whose `key_to_array` raises keeps its values.

    Akkudoktor-EOS leaves it out of the new rows, and so out of all.
    """

    class Failing(Home):
        def key_to_array(self, key: str, *arguments: Any, **options: Any) -> Any:
            if key == "note":
                raise TypeError("no numbers")
            return super().key_to_array(key, *arguments, **options)

    rows = merged(
        of("note", {minute * MINUTE: "on" for minute in range(360)}),
        of("power_w", {minute * MINUTE: 2.0 for minute in range(360)}),
    )
    home = fill(Failing(database=database), rows)
    assert home.db_compact() > 0
    left = rows_of(Failing(database=database))
    assert set(map(tuple, map(sorted, left.values()))) == {("note", "power_w")}


def test_12_the_finer_tier_leaves_what_the_coarser_one_took(database: Any) -> None:
    """Beyond 14 days one record an hour is left.

    Akkudoktor-EOS runs the coarse tier first and resamples its result back to 15 minutes: 20 days
    end with 576 records at 15 minutes there, and a square wave becomes a ramp.
    """
    square = {m * MINUTE: 1000.0 * (m // 60 % 2) for m in range(0, 20 * 24 * 60, 5)}
    home = fill(Home(database=database), of("power_w", square))
    home.db_compact()
    newest = max(square)
    hourly = (newest - 14 * DAY) // HOUR * HOUR
    left = values_of(Home(database=database), "power_w")
    old = {second: value for second, value in left.items() if second < hourly}
    assert old == {second: square[second] for second in range(0, hourly, HOUR)}
    home.db_compact()
    assert values_of(Home(database=database), "power_w") == left


def test_13_a_gap_stays_a_gap(database: Any) -> None:
    """Records are written only where there were some.

    Akkudoktor-EOS fills a gap of six days with 575 invented rows, and a sensor that was first seen
    at minute 100 back to the window's start.
    """
    hours = [*range(48), *range(192, 240)]
    rows = of("power_w", {h * HOUR + m: 1.0 for h in hours for m in (0, 700)})
    late = of("count", {100 * MINUTE: 7})
    home = fill(Home(database=database), merged(rows, late))
    home.db_compact()
    left = rows_of(Home(database=database))
    assert not [second for second in left if 48 * HOUR <= second < 192 * HOUR]
    assert [second for second, row in left.items() if "count" in row] == [90 * MINUTE]


def test_13_a_meter_does_not_bridge_a_gap(database: Any) -> None:
    """A meter gets no readings inside a gap, and the energy across it stays unknown."""
    readings = {m * MINUTE: m / 60 for m in range(300)} | {
        m * MINUTE: m / 60 for m in range(900, 1200)
    }
    home = fill(Home(database=database), of("meter_kwh", readings))
    home.db_compact()
    left = values_of(Home(database=database), "meter_kwh")
    assert not [second for second in left if 300 * MINUTE <= second < 900 * MINUTE]
    # The readings on either side of the gap are still there, at their own times.
    assert left[299 * MINUTE] == readings[299 * MINUTE]
    assert left[900 * MINUTE] == readings[900 * MINUTE]


def test_14_meters_are_not_averaged(database: Any) -> None:
    """The energy of every hour is as before, through a replacement of the meter too.

    Akkudoktor-EOS stores means: 100.00 becomes 100.07, hourly 0.6 and 0.6 become 0.775 and 0.425,
    and a reset yields a reading that never was.
    """
    rising = {m * MINUTE + 7: 100 + 0.6 * m / 60 for m in range(0, 600, 7)}
    replaced = {m * MINUTE: 0.01 + 0.6 * (m - 601) / 60 for m in range(601, 1500, 7)}
    home = fill(Home(database=database), of("meter_kwh", rising | replaced))
    span = (when(START), when(START + 24 * HOUR))
    before = home.key_to_energy("meter_kwh", *span, interval="1 hour", max_gap="30 minutes")
    assert home.db_compact() > 0
    after = Home(database=database)
    energy = after.key_to_energy("meter_kwh", *span, interval="1 hour", max_gap="30 minutes")
    assert np.isfinite(before).all()
    np.testing.assert_allclose(energy, before, rtol=0, atol=1e-9)
    left = values_of(after, "meter_kwh")
    # The last reading before the replacement and the first one after it, at their own times.
    assert left[max(rising)] == rising[max(rising)]
    assert left[601 * MINUTE] == 0.01


def test_15_records_that_are_not_saved_are_compacted_too(database: Any) -> None:
    """Unsaved records are part of what is compacted.

    Akkudoktor-EOS does not count them: they are taken for sparse, the first value wins in place of
    the mean, or they are never compacted, for the cutoff moves past them.
    """
    home = Home(database=database)
    for minute in range(360):
        home.db_insert_record(
            Sample(date_time=when(START + minute * MINUTE), power_w=float(minute % 15))
        )
    assert home.db_compact() == 225  # up to 3:45
    left = values_of(Home(database=database), "power_w")
    assert [left[second] for second in range(0, 225 * MINUTE, QUARTER)] == [7.0] * 15


@pytest.mark.parametrize("loaded", [False, True])
def test_16_a_record_from_the_future_does_not_age_the_others(database: Any, loaded: bool) -> None:
    """Ages count from the newest record that a wrong clock cannot have made.

    One row ten years ahead has Akkudoktor-EOS compact all fresh data.
    """
    now = int(eosdb.to_datetime().timestamp()) // HOUR * HOUR
    fresh = {now - START - minute * MINUTE: float(minute) for minute in range(360)}
    rows = of("power_w", dict(sorted(fresh.items())))
    home = fill(Home(database=database), rows | of("power_w", {now - START + 3650 * DAY: 1.0}))
    if not loaded:
        home = Home(database=database)
    home.db_compact()
    left = values_of(Home(database=database), "power_w")
    young = {second: value for second, value in fresh.items() if second >= now - START - 2 * HOUR}
    assert young.items() <= left.items()
    assert len(left) == 1 + len(young) + 240 // 15
    assert home.db_compact() == 0


def test_17_a_crash_does_not_average_averages(caplog: pytest.LogCaptureFixture) -> None:
    """A compaction that was interrupted ends in the same rows as one that was not.

    In Akkudoktor-EOS the bucket's mean is stored beside the rows it was taken of, and the next run
    takes the mean of all of them: 9.956 in place of 9.333.
    """
    rows = of("power_w", {minute * MINUTE: float(minute % 7) for minute in range(360)})
    whole = fill(Home(database=Crashing()), rows)
    whole.db_compact()
    crashing = Crashing()
    home = fill(Home(database=crashing), rows)
    crashing.crashes = True
    with pytest.raises(ConnectionError, match="crash"):
        home.db_compact()
    crashing.crashes = False
    assert len(crashing.rows["home"]) == 360
    with caplog.at_level(logging.WARNING, "eosdb"):
        again = Home(database=crashing)
        again.db_compact()
    assert "finished a compaction that was interrupted" in caplog.text
    assert crashing.rows == whole.database.rows
