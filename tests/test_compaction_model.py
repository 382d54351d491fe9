"""What holds after any compaction of any household, through storage."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np
from compaction_support import DAY, HOUR, MINUTE, QUARTER, START, Home, fill, rows_of, stored_rows
from hypothesis import HealthCheck, example, given, settings, strategies as st
from support import at, when

import eosdb

AGE: int = 2 * HOUR
COARSE: int = 5 * HOUR

TIERS = [
    (eosdb.to_duration(AGE), eosdb.to_duration(QUARTER)),
    (eosdb.to_duration(COARSE), eosdb.to_duration(HOUR)),
]

Rows = dict[int, dict[str, Any]]


class Household(Home):
    def db_compact_tiers(self) -> Any:
        return TIERS

    def db_compact_max_gap(self) -> Any:
        return eosdb.to_duration(HOUR)


class Arriving(Household):
    """The same, compacted while records arrive."""

    interval: ClassVar[int] = HOUR


@st.composite
def households(draw: st.DrawFn) -> Rows:
    """Return some ten hours of a house: a meter that is replaced, gaps, and other keys."""
    rows: Rows = {}
    second = draw(st.integers(0, 3000))
    meter = 12_000.0
    for _ in range(draw(st.integers(1, 120))):
        second += draw(
            st.one_of(st.sampled_from([60, 300, 300, 300]), st.integers(1, 900), st.just(5000))
        )
        meter += draw(st.sampled_from([0.0, 0.01, 0.02, 0.5]))
        if draw(st.integers(0, 40)) == 0:
            meter = 0.02
        row: dict[str, Any] = {}
        if draw(st.integers(0, 9)):
            row["meter_kwh"] = meter
        if draw(st.booleans()):
            row["power_w"] = draw(st.integers(-100, 400)) / 4
        if draw(st.integers(0, 5)) == 0:
            row |= draw(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "note": st.sampled_from(["on", "off", ""]),
                        "is_on": st.booleans(),
                        "count": st.integers(0, 5),
                        "extra": st.one_of(st.integers(0, 9), st.text(max_size=2)),
                    },
                )
            )
        if row:
            rows[second] = row
    return rows


def energy(home: Any, bounds: list[int]) -> Any:
    """Return the energy between each two neighbouring bounds."""
    return np.array(
        [
            home.key_to_energy(
                "meter_kwh",
                when(START + start),
                when(START + end),
                interval=end - start,
                max_gap="1 hour",
            )[0]
            for start, end in itertools.pairwise(bounds)
        ]
    )


def supported(before: Rows, after: Rows, width: int, span: tuple[int, int]) -> None:
    """Check that every bucket with values of a key that is no meter has readings to support it."""
    for second, row in after.items():
        if span[0] <= second < span[1]:
            for key in row.keys() - {"meter_kwh"}:
                start = (second + START) // width * width - START
                inside = range(start, start + width)
                assert any(key in before[at] for at in before if at in inside), (second, key)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(households())
@example({0: {"meter_kwh": 1.0}, 300: {"meter_kwh": 1.5}, 5 * DAY: {"meter_kwh": 2.0}})
def test_any_household(rows: Rows) -> None:
    if not rows:
        return
    with eosdb.MemoryDatabase() as database:
        home = fill(Household(database=database), rows)
        hours = range(min(rows) // HOUR * HOUR, max(rows) + 2 * HOUR, HOUR)
        # A day is enough, and keeps the gap of the example short.
        bounds = [*hours][:30]
        known = energy(home, bounds)
        before = stored_rows(database)
        home.db_compact()
        again = Household(database=database)
        after = rows_of(again)
        np.testing.assert_allclose(energy(again, bounds), known, rtol=0, atol=1e-9)

        newest = max(rows) + START
        quarters = (newest - AGE) // QUARTER * QUARTER - START
        full = (newest - COARSE) // HOUR * HOUR - START
        kept = {key: value for key, value in before.items() if key >= at(START + quarters).encode()}
        left = stored_rows(database)
        assert kept == {key: left[key] for key in left if key >= at(START + quarters).encode()}
        supported(rows, after, HOUR, (-HOUR, full))
        supported(rows, after, QUARTER, (full, quarters))
        for key in ("power_w", "note", "is_on", "count", "extra"):
            had = {
                (second + START) // HOUR for second, row in rows.items() if row.get(key) is not None
            }
            has = {(second + START) // HOUR for second, row in after.items() if key in row}
            assert had == has, key
        assert len(after) <= len(rows) + len(hours) * 4

        assert again.db_compact() == 0
        assert stored_rows(database) == left


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(households())
def test_at_once_or_after_every_hour(rows: Rows) -> None:
    if not rows:
        return
    with eosdb.MemoryDatabase() as at_once, eosdb.MemoryDatabase() as often:
        fill(Household(database=at_once), rows).db_compact()
        home = Arriving(database=often)
        hour = None
        for second, row in rows.items():
            if hour is not None and second // HOUR != hour:
                home.db_compact()
            hour = second // HOUR
            fill(home, {second: row})
        home.db_compact()
        expected, found = rows_of(Household(database=at_once)), rows_of(home)
    assert expected.keys() == found.keys()
    for second, row in expected.items():
        assert row.keys() == found[second].keys()
        for key, value in row.items():
            other = found[second][key]
            if isinstance(value, float):
                assert abs(other - value) < 1e-9, (second, key)
            else:
                assert other == value, (second, key)


def test_minutes_of_a_day() -> None:
    """The example of the documents in small: every minute of a day, all keys."""
    rows = {
        minute * MINUTE: {"power_w": float(minute), "meter_kwh": minute / 60, "note": "on"}
        for minute in range(24 * 60)
    }
    with eosdb.MemoryDatabase() as database:
        home = fill(Household(database=database), rows)
        home.db_compact()
        after = rows_of(home)
    full, quarters = 18 * HOUR, 21 * HOUR + 3 * QUARTER
    assert list(after) == [
        *range(0, full, HOUR),
        *range(full, quarters, QUARTER),
        *range(quarters, DAY, MINUTE),
    ]
    assert all(row["meter_kwh"] == second / HOUR for second, row in after.items())
