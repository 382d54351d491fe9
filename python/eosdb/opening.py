"""Which database a path holds."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import StorageError
from .lmdb_database import LMDBDatabase
from .native_database import NativeDatabase
from .settings import DatabaseSettings

__all__ = ["database_at"]

_LMDB_FILE = "data.mdb"
# Where Akkudoktor-EOS keeps its database below its data folder.
_LMDB_FOLDER = Path("db", "lmdbdatabase")


def database_at(
    path: str | os.PathLike[str],
    *,
    read_only: bool = True,
    settings: DatabaseSettings | None = None,
) -> NativeDatabase:
    """Return the database that exists at a path, not opened yet.

    Args:
        path: The directory of an LMDB environment, its file `data.mdb`, or a data folder of
            Akkudoktor-EOS with a database in it.
        read_only: Whether the database shall refuse changes.
        settings: How records are stored, loaded, saved and kept; the defaults if not given.

    Returns:
        The database.

    Raises:
        StorageError: If there is no database at the path.
    """
    path = Path(path)
    for directory in (path, path / _LMDB_FOLDER, *([path.parent] if path.is_file() else [])):
        file = directory / _LMDB_FILE
        if file.is_file() and (directory != path.parent or path.name == _LMDB_FILE):
            return LMDBDatabase(directory, read_only=read_only, settings=settings)
    what = "is no database" if path.exists() else "does not exist"
    raise StorageError(
        f"'{path}' {what}: name the directory of an LMDB environment, its file {_LMDB_FILE!r}, or "
        "a data folder of Akkudoktor-EOS"
    )
