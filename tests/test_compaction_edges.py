"""Compaction where somebody changes records meanwhile, and of unusual classes and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import pytest
from compaction_support import DAY, START, Home, Sample, database, fill, of, rows_of, values_of
from pydantic import Field, field_validator
from support import at, second_of, when

import eosdb

__all__ = ["database"]

NOW: Final = [(eosdb.to_duration(0), eosdb.to_duration("15 minutes"))]

STORED: Final = of("power_w", {60: 1.0, 300: 3.0, 600: 5.0, 7200: 9.0})


def meanwhile(change: Callable[[], object]) -> Callable[[int, int], None]:
    """Return a callback of progress that does something between reading and committing."""
    changes = [change]

    def progress(done: int, total: int) -> None:
        if done == total and changes:
            changes.pop()()

    return progress


# ---- changes meanwhile ------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [True, False])
def test_what_is_inserted_meanwhile_takes_part(database: Any, stored: bool) -> None:
    home = fill(Home(database=database if stored else None), STORED)
    late = Sample(date_time=when(START), note="late")
    home.db_compact(NOW, progress=meanwhile(lambda: home.db_insert_record(late)))
    home.db_save_records()
    expected = {0: {"power_w": 3.0, "note": "late"}, 7200: {"power_w": 9.0}}
    assert rows_of(Home(database=database) if stored else home) == expected


def test_what_is_changed_meanwhile_takes_part(database: Any) -> None:
    rows = of("power_w", {0: 1.0, 300: 3.0, 600: 5.0, 7200: 9.0})
    home = fill(Home(database=database), rows)
    change = meanwhile(lambda: home.update_value(when(START), power_w=4.0, note="x"))
    home.db_compact(NOW, progress=change)
    home.db_save_records()
    expected = {0: {"power_w": 4.0, "note": "x"}, 7200: {"power_w": 9.0}}
    assert rows_of(Home(database=database)) == expected


def test_what_is_deleted_meanwhile_stays_away(database: Any) -> None:
    home = fill(Home(database=database), STORED)
    change = meanwhile(lambda: home.db_delete_records(end_timestamp=at(START + 900)))
    home.db_compact(NOW, progress=change)
    home.db_save_records()
    assert rows_of(Home(database=database)) == {7200: {"power_w": 9.0}}


def test_what_is_inserted_elsewhere_disturbs_nothing(database: Any) -> None:
    home = fill(Home(database=database), STORED)
    seen: list[int] = []

    def progress(done: int, _total: int) -> None:
        seen.append(done)
        home.db_insert_record(Sample(date_time=when(START + DAY + done), power_w=0.0))

    home.db_compact(NOW, progress=progress)
    assert len(seen) == 1
    assert len(home._db_dirty_timestamps) == 1


# ---- classes ------------------------------------------------------------------------------------


def test_fields_that_a_sequence_does_not_let_be_written_stay(database: Any) -> None:
    class Narrow(Home):
        @property
        def record_keys_writable(self) -> list[str]:
            return ["date_time", "power_w"]

    rows: dict[int, dict[str, Any]] = {
        0: {"power_w": 100.0, "note": "a", "meter_kwh": 1.0},
        300: {"power_w": 200.0, "note": "b", "meter_kwh": 2.0},
        1200: {"note": "alone"},
        7200: {"power_w": 0.0},
    }
    home = fill(Narrow(database=database), rows)
    home.db_compact(NOW)
    left = rows_of(Narrow(database=database))
    assert left[0] == {"power_w": 150.0, "note": "b", "meter_kwh": 1.0}
    assert left[900]["note"] == "alone"


class Checked(eosdb.DataRecord):
    """A record whose values pass through code of its own, with a default that is no None."""

    value: float | None = 5.0
    other: float | None = None

    @field_validator("other")
    @classmethod
    def _same(cls, value: Any) -> Any:
        return value


class CheckedHome(eosdb.DataSequence):
    records: list[Checked] = Field(default_factory=list)

    def db_namespace(self) -> str:
        return "checked"


def test_a_default_is_no_value(database: Any) -> None:
    home = CheckedHome(database=database)
    for second, other in ((0, 1.0), (60, 3.0), (7200, 0.0)):
        home.db_insert_record(Checked(date_time=when(START + second), value=None, other=other))
    home.db_compact(NOW)
    first = next(CheckedHome(database=database).db_iterate_records())
    assert (first.value, first.other) == (None, 2.0)


class Annotations(eosdb.DataRecord):
    """Fields as they may be annotated."""

    limited: Annotated[float | None, Field(ge=-1e9)] = None
    whole: int | None = None
    listed: list[Annotated[int, {"unit": "W"}]] | None = None


class AnnotatedHome(eosdb.DataSequence):
    records: list[Annotations] = Field(default_factory=list)

    def db_namespace(self) -> str:
        return "annotated"

    def db_compact_aggregations(self) -> Mapping[str, str]:
        return {"whole": "max"}


def test_fields_of_all_kinds(database: Any) -> None:
    home = AnnotatedHome(database=database)
    for second, number in ((0, 2**53 + 1), (60, 2**53 + 3), (7200, 0)):
        home.db_insert_record(
            Annotations(
                date_time=when(START + second), limited=second, whole=number, listed=[second]
            )
        )
    home.db_compact(NOW)
    first = next(AnnotatedHome(database=database).db_iterate_records())
    assert (first.limited, first.listed) == (30.0, [60])
    assert first.whole in {2**53 + 1, 2**53 + 3}


# ---- ends of time, and databases to be read ------------------------------------------------------


def test_the_first_days_there_are(database: Any) -> None:
    first = eosdb.to_datetime("0001-01-01T00:00:05Z")
    home = Home(database=database)
    for hours in range(0, 24 * 30, 6):
        home.db_insert_record(Sample(date_time=first.add(hours=hours), power_w=float(hours)))
    assert home.db_compact([(eosdb.to_duration(0), eosdb.to_duration("7 days"))]) > 0
    records = list(Home(database=database).db_iterate_records())
    assert records[0].power_w == 0.0
    assert len(records) < 120


def test_a_database_to_be_read_keeps_its_view(tmp_path: Path) -> None:
    with eosdb.LMDBDatabase(tmp_path) as database:
        fill(Home(database=database), STORED)
    with eosdb.LMDBDatabase(tmp_path, read_only=True) as database:
        home = Home(database=database)
        with pytest.raises(eosdb.ReadOnlyError, match="3 records cannot be deleted"):
            home.db_vacuum(keep_hours=1)
        assert values_of(home, "power_w") == {60: 1.0, 300: 3.0, 600: 5.0, 7200: 9.0}
        assert home.db_vacuum(keep_hours=1, dry_run=True) == 3
        assert home.db_compact(NOW, dry_run=True) == 3
        with pytest.raises(eosdb.ReadOnlyError):
            home.db_compact(NOW)
        assert second_of(next(iter(home)).date_time) == START + 60
