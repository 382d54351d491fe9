"""Databases on a file system that is mounted read-only: backups on a medium, for instance."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from command_line_support import RECORDS
from support import WITH_TESTS

MOUNT: Final = """
mount --bind stored medium && mount -o remount,bind,ro medium && exec "$0" -W error -c "$1"
"""

READ: Final = f"""
import os
from command_line_support import outcome

before = set(os.listdir("medium"))
assert outcome("info", "medium")["namespaces"][0]["records"] == {RECORDS}
assert outcome("verify", "medium")["sound"]
assert outcome("backup", "medium", "copy")["records"] == {{"house": {RECORDS}}}
assert outcome("migrate", "medium", "again")["records"] == {{"house": {RECORDS}}}
assert set(os.listdir("medium")) == before
"""

WRITE: Final = """
import sqlite3
import eosdb

with eosdb.SQLiteDatabase("medium", read_only=True) as db:
    first = db.count_records(namespace="house")
    writer = sqlite3.connect("stored/data.db")  # by another way than the mount
    writer.execute("DELETE FROM records")
    writer.commit()
    assert db.count_records(namespace="house") == first  # it is in the log
    writer.close()  # which is written into the file
    for read in (lambda: db.count_records(namespace="house"), lambda: db.copy_to("copy")):
        try:
            read()
        except eosdb.StorageError as error:
            assert "read-only here" in str(error), error
        else:
            raise AssertionError("it read what it cannot trust")
with eosdb.SQLiteDatabase("medium", read_only=True) as db:
    assert db.count_records(namespace="house") == 0
"""

OPEN_LOG: Final = """
import sqlite3
import eosdb

writer = sqlite3.connect("stored/data.db")
writer.execute("DELETE FROM records")
writer.commit()
with eosdb.SQLiteDatabase("medium", read_only=True) as db:
    assert db.count_records(namespace="house") == 0
"""


def on_a_medium(database: Path, folder: Path, program: str) -> None:
    """Run a program beside a database that is mounted read-only as 'medium'."""
    shutil.copytree(database, folder / "stored")
    for file in (folder / "stored").glob("data.db-*"):
        file.unlink()
    (folder / "medium").mkdir()
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no 'unshare' here")
    command = [unshare, "--map-root-user", "--mount"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:  # noqa: S603
        pytest.skip("nobody may mount anything here")
    child = subprocess.run(  # noqa: S603  our own program
        [*command, "sh", "-c", MOUNT, sys.executable, program],
        cwd=folder,
        env=WITH_TESTS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr


@pytest.mark.parametrize("kind", ["lmdb", "sqlite"])
def test_a_backup_is_read_where_nothing_can_be_written(
    kind: str, tmp_path: Path, houses: dict[str, Path]
) -> None:
    on_a_medium(houses[kind], tmp_path, READ)


def test_who_writes_by_another_mount_is_noticed(tmp_path: Path, houses: dict[str, Path]) -> None:
    on_a_medium(houses["sqlite"], tmp_path, WRITE)


def test_a_log_is_not_overlooked(tmp_path: Path, houses: dict[str, Path]) -> None:
    on_a_medium(houses["sqlite"], tmp_path, OPEN_LOG)
