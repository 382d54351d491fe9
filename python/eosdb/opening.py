"""Which database a path holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ._core import Store
from .errors import StorageError
from .lmdb_database import LMDBDatabase
from .native_database import NativeDatabase
from .settings import DatabaseSettings
from .sqlite_database import SQLiteDatabase

__all__ = ["Engine", "database_at", "engine_in"]

Engine = type[LMDBDatabase] | type[SQLiteDatabase]

_FILES: Final[dict[str, Engine]] = {"data.mdb": LMDBDatabase, "data.db": SQLiteDatabase}


def database_at(
    path: str | os.PathLike[str],
    *,
    read_only: bool = True,
    settings: DatabaseSettings | None = None,
) -> NativeDatabase:
    """Return the database that exists at a path, not opened yet.

    Args:
        path: The directory of an LMDB environment or of an SQLite file `data.db`, either file
            itself, or a data folder of Akkudoktor-EOS with a database in it.
        read_only: Whether the database shall refuse changes.
        settings: How records are stored, loaded, saved and kept; the defaults if not given.

    Returns:
        The database.

    Raises:
        StorageError: If there is no database at the path, its file is empty, or there is more than
            one.
    """
    path = Path(path)
    if _is_file(path):
        found = [(path.parent, engine) for engine in _engines_of(path)]
    else:
        # Akkudoktor-EOS keeps its database in a folder of the class's name below its data folder.
        folders = [path, *(path / "db" / e.__name__.lower() for e in _FILES.values())]
        found = [(folder, engine) for folder in folders for engine in _engines_in(folder)]
    if len(found) > 1:
        places = " and ".join(
            f"'{folder}' ({engine.__name__.removesuffix('Database')})" for folder, engine in found
        )
        raise StorageError(f"'{path}' has more than one database, {places}: name the file of one")
    if not found:
        what = "is no database" if path.exists() else "does not exist"
        if path.is_file() and Store.sqlite_is_database(path) and path.name not in _FILES:
            raise StorageError(
                f"'{path}' is an SQLite file of another name: put it, alone, into a directory as "
                "'data.db'"
            )
        raise StorageError(
            f"'{path}' {what}: name the directory of an LMDB environment or of an SQLite file "
            f"'data.db', either file itself, or a data folder of Akkudoktor-EOS"
        )
    [(folder, engine)] = found
    file = next(folder / name for name, class_ in _FILES.items() if class_ is engine)
    if file.stat().st_size == 0:
        # Opened for writing, it would become a new database, and nobody would miss the old one.
        raise StorageError(
            f"'{file}' is empty, so it is no database: restore a backup, or delete the file to "
            "begin with a new one"
        )
    return engine(folder, read_only=read_only, settings=settings)


def engine_in(directory: Path) -> Engine:
    """Return the class of database that lies in a directory; LMDB where there is none.

    Args:
        directory: The directory.

    Raises:
        StorageError: If there is more than one.
    """
    engines = _engines_in(directory)
    if len(engines) > 1:
        raise StorageError(f"'{directory}' has more than one database: move one elsewhere")
    return engines[0] if engines else LMDBDatabase


def _engines_in(directory: Path) -> list[Engine]:
    return [engine for name, engine in _FILES.items() if _is_file(directory / name)]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise StorageError(f"'{path}' cannot be looked at: {error.strerror}") from error


def _engines_of(file: Path) -> list[Engine]:
    """Return the engine of a database's file."""
    engine = _FILES.get(file.name)
    if engine is SQLiteDatabase and not Store.sqlite_is_database(file):
        return []
    return [] if engine is None else [engine]
