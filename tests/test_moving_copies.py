"""Copies of databases are equal, of one moment, and there as a whole or not at all."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import lmdb
import pytest
from moving_support import START, content, interrupted
from support import WITH_TESTS, at, house, when

import eosdb
from eosdb import (
    DiskFullError,
    InvalidArgumentError,
    LMDBDatabase,
    StorageError,
    moving,
)
from eosdb._core import gzip_decode
from eosdb.moving.copying import names_of

GOLDEN: Final = Path(__file__).parent / "golden" / "upstream"


def test_a_copy_is_the_same_in_every_byte(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "db") as db:
        house(db, 10_000, start=START, step=60)
        db.save_records([(at(START + 60).encode(), b"rubbish")], "house")
        db._store.save("house", [(b"a foreign key", b"value")], True)
        db._store.save(None, [(b"20260101T000000Z", b"unnamed")], True)
        db._store.set_metadata(None, b"shared")
        eosdb.repair(db, namespaces=[])
        for level in (None, 1):
            target = tmp_path / f"copy {level}"
            report = moving.migrate_database(db, target, level=level)
            with LMDBDatabase(target, read_only=True) as copy:
                names = names_of(copy)
                assert names == names_of(db) == [None, "house"]
                for name in names:
                    assert copy._store.metadata(name) == db._store.metadata(name)
                    if level is None:
                        rows = db._store.scan(name, None, None, False)
                        assert copy._store.scan(name, None, None, False) == rows
                    assert content(copy, name) == content(db, name)
            assert report.records == {None: 1, "house": 10_001}
            assert report.checked


def test_a_copy_is_of_one_moment(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "db") as db:
        writer = house(db, 3, start=START)
        times = []

        def disturb(done: int, _: int) -> None:
            times.append(done)
            if len(times) < 3:
                writer.update_value(when(START + len(times)), power_w=1.0)
                writer.save()

        moving.migrate_database(db, tmp_path / "copy", progress=disturb)
        assert len(times) == 3
        with LMDBDatabase(tmp_path / "copy") as copy:
            assert content(copy) == content(db)

        def always(*_: int) -> None:
            writer.update_value(when(START), power_w=random.random())
            writer.save()

        with pytest.raises(eosdb.ConflictError, match="keep writing"):
            moving.migrate_database(db, tmp_path / "other", progress=always)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "db"]


def test_copies_go_to_new_places_only(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "db") as db:
        house(db, 3, start=START)
        (tmp_path / "taken").mkdir()
        (tmp_path / "taken" / "file").touch()
        copies: dict[str, Callable[[Path], object]] = {
            "backup": lambda path: moving.backup_database(db, path),
            "migrate": lambda path: moving.migrate_database(db, path),
        }
        for copy in copies.values():
            with pytest.raises(InvalidArgumentError, match="not empty"):
                copy(tmp_path / "taken")
            with pytest.raises(InvalidArgumentError, match="is a file"):
                copy(tmp_path / "taken" / "file")
            with pytest.raises(InvalidArgumentError, match="no directory"):
                copy(tmp_path / "none" / "copy")
        (tmp_path / "empty").mkdir()
        assert moving.backup_database(db, tmp_path / "empty").records == {"house": 3}
        with pytest.raises(KeyboardInterrupt):
            moving.migrate_database(db, tmp_path / "new", progress=interrupted)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["db", "empty", "taken"]
        with pytest.raises(InvalidArgumentError, match="kind 'oracle' is unknown"):
            moving.migrate_database(db, tmp_path / "new", "oracle")
        with pytest.raises(InvalidArgumentError, match="0 to 9, not 10"):
            moving.migrate_database(db, tmp_path / "new", level=10)
    with eosdb.MemoryDatabase() as memory, pytest.raises(InvalidArgumentError, match="no files"):
        moving.backup_database(memory, tmp_path / "new")


FULL_DISK: Final = """
import resource, sys
from pathlib import Path
import eosdb
from eosdb import moving
with eosdb.LMDBDatabase(sys.argv[1], read_only=True) as db:
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
    for name in ("file.csv", "file.jsonl", "file.parquet", "backup", "migrated"):
        target = Path(sys.argv[2]) / name
        try:
            if name == "backup":
                moving.backup_database(db, target)
            elif name == "migrated":
                moving.migrate_database(db, target)
            else:
                moving.export_records(db, "house", target)
        except eosdb.DiskFullError as error:
            print(name)
"""


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "db", settings=eosdb.DatabaseSettings(compression_level=0)) as db:
        rows = []
        for second in range(START, START + 1_500):
            fields = {"date_time": when(second), "note": random.Random(second).randbytes(20).hex()}
            rows.append((at(second).encode(), pickle.dumps(fields, 5)))
        db.save_records(rows, "house")
    (tmp_path / "out").mkdir()
    result = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", FULL_DISK, tmp_path / "db", tmp_path / "out"],
        env=WITH_TESTS, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.split() == ["file.csv", "file.jsonl", "file.parquet", "backup", "migrated"]
    assert not list((tmp_path / "out").iterdir())


def test_py_lmdb_reads_what_was_migrated(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "db") as db:
        house(db, 10, start=START)
        moving.migrate_database(db, tmp_path / "copy")
        expected = content(db)
    with lmdb.open(str(tmp_path / "copy"), max_dbs=8, readonly=True) as env:
        database = env.open_db(b"house", create=False)
        with env.begin(database) as transaction:
            rows = dict(transaction.cursor())
    assert [(key, gzip_decode(rows[key])) for key, _ in expected] == expected
    assert issubclass(DiskFullError, StorageError)
