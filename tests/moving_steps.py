"""The steps of a round trip, for processes that import nothing else; run as a program, measured.

Beside each step is the least that it takes: without keeping all, and without checking anything.
"""

from __future__ import annotations

import pickle
import sqlite3
import sys
import time
from pathlib import Path

import eosdb
from eosdb import moving
from eosdb._core import gzip_encode

LMDB, PARQUET, SQLITE, BACK = "first", "house.parquet", "second", "third"


def to_parquet(folder: Path) -> None:
    with eosdb.LMDBDatabase(folder / LMDB, read_only=True) as database:
        moving.export_records(database, "house", folder / PARQUET)


def to_sqlite(folder: Path) -> None:
    with eosdb.SQLiteDatabase(folder / SQLITE) as database:
        moving.import_records(database, "house", folder / PARQUET)


def to_lmdb(folder: Path) -> None:
    with eosdb.SQLiteDatabase(folder / SQLITE, read_only=True) as database:
        moving.migrate_database(database, folder / BACK, kind="lmdb")


def floor_of_parquet(folder: Path) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    with eosdb.open(folder / LMDB) as view:
        parquet.write_table(pa.table(view["house"].to_arrow()), folder / "floor.parquet")


def floor_of_sqlite(folder: Path) -> None:
    from pyarrow import parquet  # noqa: PLC0415

    rows = parquet.read_table(folder / PARQUET).to_pylist()
    values = ((number, gzip_encode(pickle.dumps(row), 9)) for number, row in enumerate(rows))
    with sqlite3.connect(folder / "floor.db") as database:
        database.execute("CREATE TABLE records (key INTEGER PRIMARY KEY, value BLOB)")
        database.executemany("INSERT INTO records VALUES (?, ?)", values)


def floor_of_lmdb(folder: Path) -> None:
    import lmdb  # noqa: PLC0415

    rows = sqlite3.connect(folder / SQLITE / "data.db").execute(
        "SELECT key, value FROM records ORDER BY key"
    )
    path = str(folder / "floor")
    with lmdb.open(path, map_size=2**30) as env, env.begin(write=True) as transaction:
        transaction.cursor().putmulti(rows, append=True)


if __name__ == "__main__":
    step, directory = sys.argv[1:]
    start = time.perf_counter()
    globals()[step](Path(directory))
    seconds = time.perf_counter() - start
    # Not ru_maxrss: that counts the process too that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(f"{seconds:.2f} {peak:.0f}")  # noqa: T201  what its caller reads
