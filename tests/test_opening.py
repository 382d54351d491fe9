"""Which database a path holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

import eosdb
from eosdb.opening import database_at

ENGINES: Final[dict[str, Any]] = {"data.mdb": eosdb.LMDBDatabase, "data.db": eosdb.SQLiteDatabase}


def make(engine: Any, directory: Path) -> None:
    with engine(directory) as database:
        database.save_records([(b"20260101T000000Z", b"value")], "house")


@pytest.mark.parametrize("place", ["", "db/{}"])
@pytest.mark.parametrize("file", ENGINES)
def test_a_database_is_found_by_directory_file_and_data_folder(
    file: str, place: str, tmp_path: Path
) -> None:
    engine = ENGINES[file]
    directory = tmp_path / place.format(engine.__name__.lower())
    make(engine, directory)
    for path in {tmp_path, directory, directory / file}:
        with database_at(path) as found:
            assert isinstance(found, engine)
            assert found.storage_path == directory
            assert found.count_records(namespace="house") == 1
            with pytest.raises(eosdb.ReadOnlyError):
                found.save_records([(b"20260101T000001Z", b"value")], "house")
    with database_at(directory, read_only=False) as found:
        assert found.save_records([(b"20260101T000001Z", b"value")], "house") == 1


@pytest.mark.parametrize("places", [["", ""], ["db/lmdbdatabase", "db/sqlitedatabase"]])
def test_of_two_databases_one_must_be_named(places: list[str], tmp_path: Path) -> None:
    for (file, engine), place in zip(ENGINES.items(), places, strict=True):
        make(engine, tmp_path / place)
        assert isinstance(database_at(tmp_path / place / file), engine)
    both = r"more than one database, '.*' \(LMDB\) and '.*' \(SQLite\): name the file of one"
    with pytest.raises(eosdb.StorageError, match=both):
        database_at(tmp_path)


def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("none")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    text = tmp_path / "other" / "data.db"
    text.write_text("not of SQLite")
    for path in (note, tmp_path / "empty", text):
        with pytest.raises(eosdb.StorageError, match="is no database: name the directory"):
            database_at(path)
    with pytest.raises(eosdb.StorageError, match="does not exist"):
        database_at(tmp_path / "missing")
    make(eosdb.SQLiteDatabase, tmp_path)
    (tmp_path / "data.db").rename(tmp_path / "old.db")
    with pytest.raises(eosdb.StorageError, match=r"SQLite file of another name: .* 'data.db'"):
        database_at(tmp_path / "old.db")
    names = sorted(path.name for path in tmp_path.rglob("*"))
    assert names == ["data.db", "empty", "note.txt", "old.db", "other"]


def test_looking_at_an_open_file_leaves_its_locks_alone(tmp_path: Path) -> None:
    """Closing a file takes all locks of the process from it: so it is not opened to be seen."""
    with eosdb.SQLiteDatabase(tmp_path) as database:
        database.save_records([(b"20260101T000000Z", b"value")], "house")
        for _ in range(2):
            assert isinstance(database_at(tmp_path / "data.db"), eosdb.SQLiteDatabase)
        locked = _locks_on(tmp_path / "data.db")
        assert locked, "the test cannot tell"
        # What would happen otherwise:
        (tmp_path / "data.db").open("rb").close()
        assert not _locks_on(tmp_path / "data.db")


def _locks_on(file: Path) -> list[str]:
    """Return the locks on a file that the system knows of."""
    locks = Path("/proc/locks")
    if not locks.is_file():
        pytest.skip("which files are locked can be told on Linux only")
    inode = file.stat().st_ino
    return [line for line in locks.read_text().splitlines() if f":{inode} " in line]
