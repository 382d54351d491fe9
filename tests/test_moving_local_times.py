"""Times without an offset, in files of others, where the clock is set back or forward."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from moving_support import START, content
from pyarrow import parquet

from eosdb import InvalidArgumentError, moving
from eosdb.moving import importing
from eosdb.native_database import NativeDatabase

AUTUMN = [
    ("01:30", "20261024T233000Z"),
    ("02:00", "20261025T000000Z"),
    ("02:30", "20261025T003000Z"),
    ("02:00", "20261025T010000Z"),
    ("02:30", "20261025T013000Z"),
    ("03:00", "20261025T020000Z"),
]
"""What the clocks of Berlin show in an autumn night, and when that is."""


def imported(db: NativeDatabase, file: Path, zone: str = "Europe/Berlin", **options: Any) -> Any:
    report = moving.import_records(db, "house", file, timezone=zone, **options)
    return report, [key.decode() for key, _ in content(db)]


def test_the_hour_that_comes_twice_is_two_hours(db: NativeDatabase, tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text("date_time,a\n" + "".join(f"2026-10-25 {t},{t}\n" for t, _ in AUTUMN))
    report, keys = imported(db, file)
    assert keys == [key for _, key in AUTUMN]
    assert (report.added, report.unchanged) == (6, 0)
    again, keys = imported(db, file)
    assert (again.added, again.changed, again.unchanged) == (0, 0, 6)


def test_it_is_so_in_parquet_and_across_batches(
    db: NativeDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_BATCH", 1)
    times = [datetime.fromisoformat(f"2026-10-25 {time}") for time, _ in AUTUMN]
    parquet.write_table(
        pa.table({"date_time": pa.array(times, pa.timestamp("us"))}), tmp_path / "file.parquet"
    )
    _, keys = imported(db, tmp_path / "file.parquet")
    assert keys == [key for _, key in AUTUMN]


def test_a_first_pass_of_which_lines_are_missing(db: NativeDatabase, tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text("date_time\n2026-10-25 01:00\n2026-10-25 02:45\n2026-10-25 02:15\n")
    _, keys = imported(db, file)
    assert keys == ["20261024T230000Z", "20261025T004500Z", "20261025T011500Z"]


@pytest.mark.parametrize(
    ("zone", "minutes"),
    [("Europe/Berlin", 60), ("America/New_York", 10), ("Australia/Lord_Howe", 30)],
)
def test_every_reading_of_a_year_has_its_place(
    zone: str, minutes: int, db: NativeDatabase, tmp_path: Path
) -> None:
    # The days around each change are enough, and quicker.
    instants, place = [], ZoneInfo(zone)
    for day in range(365):
        start = datetime.fromtimestamp(START, UTC) + timedelta(days=day)
        if start.astimezone(place).utcoffset() != (
            (start + timedelta(days=1)).astimezone(place).utcoffset()
        ):
            step = timedelta(minutes=minutes)
            instants += [start + step * number for number in range(24 * 60 // minutes)]
    assert len(instants) == 2 * 24 * 60 // minutes
    file = tmp_path / "file.csv"
    file.write_text(
        "date_time\n" + "".join(f"{each.astimezone(place):%Y-%m-%dT%H:%M}\n" for each in instants)
    )
    _, keys = imported(db, file, zone)
    assert keys == [f"{each:%Y%m%dT%H%M%SZ}" for each in instants]
    assert all(a < b for a, b in pairwise(keys))


def test_an_hour_that_does_not_exist_is_refused(db: NativeDatabase, tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text("date_time\n2026-03-29 01:30\n2026-03-29 02:30\n")
    with pytest.raises(
        InvalidArgumentError,
        match=r"line 3: .*2026-03-29 02:30:00.* never .*'Europe/Berlin'.*offset.*UTC",
    ):
        imported(db, file)
    file.write_text("date_time\n2026-03-29 02:30\n")
    _, keys = imported(db, file, "UTC")
    assert keys == ["20260329T023000Z"]


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00", "0001-01-01T00:00:00+01:00"])
def test_what_is_no_time_in_utc_is_refused(time: str, db: NativeDatabase, tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text(f"date_time\n{time}\n")
    with pytest.raises(InvalidArgumentError, match=r"line 2: .*years 1 to 9999"):
        imported(db, file)
