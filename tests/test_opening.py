"""Which database a path holds."""

from __future__ import annotations

from pathlib import Path

import pytest

import eosdb
from eosdb.opening import database_at


@pytest.mark.parametrize("place", ["", "db/lmdbdatabase"])
def test_a_database_is_found_by_directory_file_and_data_folder(place: str, tmp_path: Path) -> None:
    directory = tmp_path / place
    with eosdb.LMDBDatabase(directory) as database:
        database.save_records([(b"20260101T000000Z", b"value")], "house")
    for path in {tmp_path, directory, directory / "data.mdb"}:
        with database_at(path) as found:
            assert isinstance(found, eosdb.LMDBDatabase)
            assert found.storage_path == directory
            assert found.count_records(namespace="house") == 1
            with pytest.raises(eosdb.ReadOnlyError):
                found.save_records([(b"20260101T000001Z", b"value")], "house")
    with database_at(directory, read_only=False) as found:
        assert found.save_records([(b"20260101T000001Z", b"value")], "house") == 1


def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("none")
    (tmp_path / "empty").mkdir()
    for path in (note, tmp_path / "empty"):
        with pytest.raises(eosdb.StorageError, match="is no database: name the directory"):
            database_at(path)
    with pytest.raises(eosdb.StorageError, match="does not exist"):
        database_at(tmp_path / "missing")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "note.txt"]
