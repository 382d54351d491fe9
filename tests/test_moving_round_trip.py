"""From LMDB by way of Parquet and SQLite back to LMDB: every record is what it was."""

from __future__ import annotations

import pickle
import resource
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import lmdb
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from moving_support import content, meaning, random_household
from pyarrow import parquet
from support import PROGRAM, WITH_TESTS

import eosdb
from eosdb import moving
from eosdb._core import gzip_encode

MOST_MEGABYTES = 150
"""What moving may take, of which pyarrow's libraries and the file that LMDB maps are a hundred."""

LMDB, PARQUET, SQLITE, BACK = "first", "house.parquet", "second", "third"


def fill(folder: str, records: str) -> None:
    with eosdb.LMDBDatabase(Path(folder) / LMDB) as database:
        random_household(database, int(records))


def to_parquet(folder: str) -> None:
    with eosdb.LMDBDatabase(Path(folder) / LMDB, read_only=True) as database:
        moving.export_records(database, "house", Path(folder) / PARQUET)


def to_sqlite(folder: str) -> None:
    with eosdb.SQLiteDatabase(Path(folder) / SQLITE) as database:
        moving.import_records(database, "house", Path(folder) / PARQUET)


def to_lmdb(folder: str) -> None:
    with eosdb.SQLiteDatabase(Path(folder) / SQLITE, read_only=True) as database:
        moving.migrate_database(database, Path(folder) / BACK, kind="lmdb")


def equal(folder: Path, records: int) -> bool:
    with (
        eosdb.LMDBDatabase(folder / LMDB, read_only=True) as first,
        eosdb.LMDBDatabase(folder / BACK, read_only=True) as last,
    ):
        before, after = content(first), content(last)
    return len(before) == records and meaning(before) == meaning(after)


def test_a_round_trip_changes_nothing(tmp_path: Path) -> None:
    folder = str(tmp_path)
    fill(folder, "300")
    to_parquet(folder)
    to_sqlite(folder)
    to_lmdb(folder)
    assert equal(tmp_path, 300)


# ---- the least that the same steps take, without keeping all or checking anything ----------------


def floor_of_parquet(folder: str) -> None:
    with eosdb.open(Path(folder) / LMDB) as view:
        parquet.write_table(pa.table(view["house"].to_arrow()), Path(folder) / "floor.parquet")


def floor_of_sqlite(folder: str) -> None:
    rows = parquet.read_table(Path(folder) / PARQUET).to_pylist()
    values = ((number, gzip_encode(pickle.dumps(row), 9)) for number, row in enumerate(rows))
    with sqlite3.connect(Path(folder) / "floor.db") as database:
        database.execute("CREATE TABLE records (key INTEGER PRIMARY KEY, value BLOB)")
        database.executemany("INSERT INTO records VALUES (?, ?)", values)


def floor_of_lmdb(folder: str) -> None:
    rows = sqlite3.connect(Path(folder) / SQLITE / "data.db").execute(
        "SELECT key, value FROM records ORDER BY key"
    )
    with lmdb.open(f"{folder}/floor", map_size=2**30) as env, env.begin(write=True) as transaction:
        transaction.cursor().putmulti(rows, append=True)


def measured(function: str, *arguments: str) -> None:
    """Run a function of this module in a process of its own, and tell what it took."""
    start = time.perf_counter()
    globals()[function](*arguments)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{function}: {seconds:.2f} s, at most {peak:.0f} MB")  # noqa: T201  for whoever asks
    assert peak < MOST_MEGABYTES or not function.startswith("to_")


@pytest.mark.soak
def test_a_round_trip_of_a_hundred_thousand_records_changes_nothing(tmp_path: Path) -> None:
    for step in (
        ["fill", "100000"],
        *(["to_parquet"], ["floor_of_parquet"]),
        *(["to_sqlite"], ["floor_of_sqlite"]),
        *(["to_lmdb"], ["floor_of_lmdb"]),
    ):
        call = ["test_moving_round_trip:measured", step[0], str(tmp_path), *step[1:]]
        command = [sys.executable, "-c", PROGRAM, *call]
        subprocess.run(command, env=WITH_TESTS, check=True)  # noqa: S603  this interpreter
    assert equal(tmp_path, 100_000)
