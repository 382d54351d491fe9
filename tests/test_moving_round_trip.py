"""From LMDB by way of Parquet and SQLite back to LMDB: every record is what it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import moving_steps
import pytest
from moving_steps import BACK, LMDB
from moving_support import content, meaning, random_household
from support import WITH_TESTS

import eosdb

STEPS: Final = ("to_parquet", "to_sqlite", "to_lmdb")

MOST_MEGABYTES: Final = 150
"""What moving may take, of which pyarrow's libraries and the file that LMDB maps are a hundred."""


def fill(folder: Path, records: int) -> None:
    with eosdb.LMDBDatabase(folder / LMDB) as database:
        random_household(database, records)


def is_equal(folder: Path, records: int) -> bool:
    with (
        eosdb.LMDBDatabase(folder / LMDB, read_only=True) as first,
        eosdb.LMDBDatabase(folder / BACK, read_only=True) as last,
    ):
        before, after = content(first), content(last)
    return len(before) == records and meaning(before) == meaning(after)


def test_a_round_trip_changes_nothing(tmp_path: Path) -> None:
    fill(tmp_path, 300)
    for step in STEPS:
        getattr(moving_steps, step)(tmp_path)
    assert is_equal(tmp_path, 300)


def measured(step: str, folder: Path) -> tuple[float, float]:
    """Return the seconds and megabytes that a step takes in a process of its own."""
    result = subprocess.run(  # noqa: S603  our own program
        [sys.executable, moving_steps.__file__, step, str(folder)],
        env=WITH_TESTS, check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds, megabytes = map(float, result.stdout.split())
    return seconds, megabytes


@pytest.mark.soak
def test_a_round_trip_of_a_hundred_thousand_records_changes_nothing(tmp_path: Path) -> None:
    records = 100_000
    fill(tmp_path, records)
    for step in STEPS:
        seconds, megabytes = measured(step, tmp_path)
        floor, _ = measured(step.replace("to_", "floor_of_"), tmp_path)
        print(  # noqa: T201  for whoever asks
            f"{step}: {seconds:.2f} s ({records / seconds:,.0f} records a second), at least "
            f"{floor:.2f} s; {megabytes:.0f} MB"
        )
        assert megabytes < MOST_MEGABYTES
    assert is_equal(tmp_path, records)
