"""The database in an SQLite file: Akkudoktor-EOS's own, other processes, faults."""

from __future__ import annotations

import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from support import WITH_TESTS, House, house, when
from system_calls import CANNOT_FILTER, are_known
from test_durability import FULL_DISK, WITHOUT_SYNC
from test_interchange import GOLDEN, NAMESPACES, SEQUENCES, copy_of, dumped, expected, key_of, same

import eosdb
from eosdb import LMDBDatabase, SQLiteDatabase, repair, verify

Rows = list[tuple[Any, ...]]


def others_view(path: Path, sql: str) -> Rows:
    """Return what Python's own SQLite reads; nobody may have the file open in this process."""
    with closing(sqlite3.connect(path / "data.db")) as connection:
        return connection.execute(sql).fetchall()


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=WITH_TESTS,
    )


# ---- what upstream wrote, and what it reads -----------------------------------------------------


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    shutil.copy(GOLDEN / "H" / "data.db", tmp_path)
    return tmp_path


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_every_record_of_upstream_is_read_as_it_was_written(namespace: str, golden: Path) -> None:
    content = expected("H")["namespaces"][namespace]
    with SQLiteDatabase(golden) as database:
        assert database.namespaces() == sorted(NAMESPACES)
        sequence = SEQUENCES[namespace](database=database)
        records = list(sequence)
        assert len(records) == len(sequence) == len(content["records"])
        for record, row in zip(records, content["records"], strict=True):
            assert key_of(record) == row["key"]
            assert same(dumped(record), row["fields"]), row["key"]
        assert sequence.db_damaged_records() == []


def test_both_engines_hold_the_same_bytes(golden: Path, tmp_path: Path) -> None:
    with SQLiteDatabase(golden) as sqlite, LMDBDatabase(copy_of("H", tmp_path)) as lmdb:
        for name in NAMESPACES:
            assert list(sqlite.iterate_records(namespace=name)) == list(
                lmdb.iterate_records(namespace=name)
            )
            assert sqlite.get_metadata(name) == lmdb.get_metadata(name) is not None


def test_upstream_reads_what_eosdb_has_changed(golden: Path) -> None:
    with SQLiteDatabase(golden) as database:
        devices = SEQUENCES["Devices"](database=database)
        before = len(devices)
        devices.update_value(when(0), power_w=1.5)
        first, second = [record.date_time for record in devices][1:3]
        devices.delete_by_datetime(first, second)
        assert devices.save()
        expected_rows = list(database.iterate_records(namespace="Devices"))
        assert len(expected_rows) == before
    # As EOS asks for them.
    own = "SELECT key, value FROM records WHERE namespace = 'Devices' AND key != x'00' ORDER BY key"
    assert others_view(golden, own) == expected_rows
    assert others_view(golden, "PRAGMA integrity_check") == [("ok",)]
    assert others_view(golden, "SELECT count(*) FROM metadata") == [(3,)]


def test_the_tables_are_the_same_whoever_made_them(golden: Path, tmp_path: Path) -> None:
    SQLiteDatabase(tmp_path / "ours").open()

    def schema(path: Path) -> set[str]:
        rows = others_view(path, "SELECT sql FROM sqlite_schema WHERE sql NOT NULL")
        return {re.sub(r"\W+", " ", sql).strip().lower() for (sql,) in rows}

    assert schema(tmp_path / "ours") == schema(golden)


BY_SQLITE3: Final = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("DELETE FROM records WHERE key = (SELECT min(key) FROM records)")
connection.commit()
"""


def test_what_another_process_commits_is_seen(tmp_path: Path) -> None:
    with SQLiteDatabase(tmp_path) as database:
        sequence = house(database, 10)
        assert len(list(sequence)) == 10
        sequence.update_value(when(50_000), power_w=2.0)
        assert run(BY_SQLITE3, tmp_path / "data.db").returncode == 0
        assert sequence.get_by_datetime(when(0)) is None
        assert len(sequence) == 10
        assert sequence.save()
        assert database.count_records(namespace="house") == 10


# ---- as upstream's class ------------------------------------------------------------------------


def test_a_closed_database_answers_as_upstreams() -> None:
    database = SQLiteDatabase("nowhere")
    assert database.provider_id() == "SQLite"
    assert database.get_backend_stats() == {}
    for use in (
        database.flush,
        database.get_metadata,
        database.count_records,
        database.iterate_records,
        database.vacuum,
        lambda: database.set_metadata(None),
        lambda: database.save_records([]),
        lambda: database.delete_records([]),
    ):
        with pytest.raises(RuntimeError, match="is closed: open it"):
            use()
    with pytest.raises(ValueError, match="is closed: open it"):
        database.get_key_range()


def test_it_lies_where_upstream_has_it(tmp_path: Path) -> None:
    with SQLiteDatabase(data_folder=tmp_path) as database:
        house(database, 3)
        file = tmp_path / "db" / "sqlitedatabase" / "data.db"
        assert database.db_file == file
        assert file.is_file()
        stats = database.get_backend_stats("house")
        assert stats.pop("page_count") * stats["page_size"] == stats.pop("database_size") > 0
        assert stats == {
            "backend": "sqlite",
            "page_size": 4096,
            "file_path": str(file),
            "namespace": "house",
            "namespace_count": 3,
        }
        assert database.get_backend_stats()["namespace"] == ""


def test_options_out_of_range_are_refused(tmp_path: Path) -> None:
    for timeout in (-1.0, float("nan"), float("inf")):
        with pytest.raises(eosdb.InvalidArgumentError, match="timeout must be"):
            SQLiteDatabase(tmp_path, timeout=timeout).open()
    interval: Any = "interval"
    with pytest.raises(eosdb.InvalidArgumentError, match="nothing between durability"):
        SQLiteDatabase(tmp_path, durability=interval).open()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["compact", "vacuum"])
def test_compacting_makes_the_file_smaller_while_it_is_in_use(method: str, tmp_path: Path) -> None:
    with SQLiteDatabase(tmp_path) as database:
        sequence = house(database, 5000)
        sequence.delete_by_datetime(when(0), when(4990 * 3600))
        assert sequence.save()
        before = database.get_backend_stats()["database_size"]
        getattr(database, method)()
        assert database.get_backend_stats()["database_size"] < before / 5
        assert (tmp_path / "data.db").stat().st_size < before / 5
        assert len(list(sequence)) == 10
    with SQLiteDatabase(tmp_path, read_only=True) as database, pytest.raises(eosdb.ReadOnlyError):
        database.compact()


# ---- faults -------------------------------------------------------------------------------------


def with_sqlite(script: str) -> str:
    return script.replace("LMDBDatabase", "SQLiteDatabase")


@pytest.mark.parametrize("size", [512 * 1024, 3 * 1024**2])
def test_a_full_disk_loses_nothing(size: int, tmp_path: Path) -> None:
    child = run(with_sqlite(FULL_DISK), tmp_path, size)
    assert child.returncode == 0, child.stderr
    assert child.stdout.startswith(f"DiskFullError no space left for '{tmp_path}'")
    with SQLiteDatabase(tmp_path) as database:
        assert len(list(House(database=database))) == 2100


@pytest.mark.parametrize(("durability", "syncs"), [("commit", True), ("none", False)])
def test_a_commit_is_synchronised_before_it_returns(
    durability: str, syncs: bool, tmp_path: Path
) -> None:
    """Where the system refuses to synchronise, a commit fails: so it does synchronise."""
    if not are_known():
        pytest.skip("system calls are filtered on Linux only")
    child = run(with_sqlite(WITHOUT_SYNC), tmp_path, durability)
    if child.returncode == CANNOT_FILTER:
        pytest.skip("this process may not filter system calls")
    assert child.returncode == 0, child.stderr
    assert child.stdout == "saved\n" if not syncs else "disk I/O error" in child.stdout
    with SQLiteDatabase(tmp_path) as database:
        assert len(list(House(database=database))) == 10


@pytest.mark.parametrize("durability", ["commit", "none"])
def test_every_durability_keeps_what_a_process_wrote(durability: str, tmp_path: Path) -> None:
    script = (
        "import os, sys, eosdb\n"
        "from support import house\n"
        "db = eosdb.SQLiteDatabase(sys.argv[1], durability=sys.argv[2])\n"
        "db.open()\n"
        "house(db, 50)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert run(script, tmp_path, durability).returncode == -signal.SIGKILL
    with SQLiteDatabase(tmp_path) as database:
        assert len(list(House(database=database))) == 50


HOLDING: Final = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[SQLiteDatabase]:
    """A database that another process is writing to, on and on."""
    with SQLiteDatabase(tmp_path, timeout=0.05) as database:
        house(database, 5)
        with subprocess.Popen(  # noqa: S603  our own interpreter
            [sys.executable, "-c", HOLDING, str(tmp_path / "data.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "held\n"
            yield database


def test_a_save_waits_for_others_no_longer_than_told(held: SQLiteDatabase) -> None:
    sequence = House(database=held)
    sequence.update_value(when(0), note="pending")
    with pytest.raises(eosdb.StorageError, match=r"others have been using it for 0\.05 s"):
        sequence.save()
    assert len(sequence._db_enter().timestamps_marked("dirty")) == 1
    assert House(database=held).get_by_datetime(when(0)).note is None
    with SQLiteDatabase(held.storage_path, read_only=True) as reader:
        assert len(list(House(database=reader))) == 5


def test_a_copy_is_repaired_and_the_original_left_alone(tmp_path: Path) -> None:
    with SQLiteDatabase(tmp_path / "db") as database:
        house(database, 3)
        database.save_records([(b"19700101T000000Z", b"damaged")], "house")
    assert len(repair(tmp_path / "db", tmp_path / "copy").quarantined) == 1
    assert verify(tmp_path / "copy").is_sound
    assert len(verify(tmp_path / "db").damage) == 1
