"""From one database to another, as the bytes are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .._core import inspect_metadata, inspect_records
from ..damage import QUARANTINE, Damage, damage_in, foreign_in, verify
from ..errors import ConflictError, InvalidArgumentError, StorageError
from ..files import size_on_disk
from ..lmdb_database import LMDBDatabase
from ..native_database import NativeDatabase
from ..new_places import new_directory
from ..opening import database_at
from ..sqlite_database import SQLiteDatabase
from .compressing import recompressed
from .exporting import Progress, checked_target
from .pieces import pieces

__all__ = [
    "KINDS",
    "CopyReport",
    "backup_database",
    "kind_of",
    "migrate_database",
    "names_of",
]

KINDS: Final[dict[str, type[NativeDatabase]]] = {
    "lmdb": LMDBDatabase,
    "sqlite": SQLiteDatabase,
}
"""The kinds of database files, by the name that the command line has for them."""

_ATTEMPTS: Final = 3


@dataclass(frozen=True)
class CopyReport:
    """What was copied.

    Attributes:
        source: The directory of the database.
        target: The directory of the copy.
        kind: What kind of database the copy is.
        records: How many records each namespace has; the unnamed one under `None`.
        bytes_before: The size of the database's files, in bytes.
        bytes_after: The size of the copy's files.
        checked: Whether the copy was read again: by a migration each value, and found equal; by a
            backup every page and every value, of which those that cannot be read are `damaged`.
        damaged: What cannot be read, in the copy as in the database: it was copied as it is.
        left_out: What belongs to no namespace, so that a migration cannot copy it.
    """

    source: Path
    target: Path
    kind: str
    records: dict[str | None, int]
    bytes_before: int
    bytes_after: int
    checked: bool
    damaged: list[Damage] = field(default_factory=list)
    left_out: list[Damage] = field(default_factory=list)


def kind_of(database: NativeDatabase) -> str:
    """Return the name in :data:`KINDS` of a database.

    Args:
        database: The database.

    Raises:
        InvalidArgumentError: If it has no files.
    """
    for name, class_ in KINDS.items():
        if isinstance(database, class_):
            return name
    raise InvalidArgumentError(f"{database!r} has no files")


def migrate_database(
    database: NativeDatabase,
    target: str | os.PathLike[str],
    kind: str | None = None,
    *,
    level: int | None = None,
    progress: Progress | None = None,
) -> CopyReport:
    """Copy a database into a new one, of another kind or at another level of compression.

    Keys, values and metadata are moved as they are, and read again and compared. Namespaces in
    which there is nothing are left out. The target appears when it is complete. It is one moment of
    the database: if somebody writes meanwhile, all begins anew, three times at most.

    Args:
        database: An open database; to be read is enough.
        target: A directory that does not exist, or is empty.
        kind: A name in :data:`KINDS`; by default the database's own kind.
        level: The level of gzip for the values, 0 to 9; by default they stay as they are.
        progress: Is told, now and then, how many of how many records were copied.

    Returns:
        What was copied, and what cannot be.

    Raises:
        InvalidArgumentError: If the target is taken or lies in the directory of the database, or
            the kind or the level is unknown.
        ConflictError: If somebody else keeps writing.
        DiskFullError: If there is no space.
    """
    kind = kind_of(database) if kind is None else kind
    if kind not in KINDS:
        raise InvalidArgumentError(f"kind {kind!r} is unknown: use {' or '.join(KINDS)}")
    if level is not None and not 0 <= level <= 9:
        raise InvalidArgumentError(f"a level of compression is 0 to 9, not {level}")
    target = checked_target(database, Path(target))
    before = size_on_disk(database.storage_path)
    for _ in range(_ATTEMPTS):
        try:
            with new_directory(target) as draft, _errors_name(target, draft):
                records, damaged = _copied(database, KINDS[kind](draft), level, progress)
        except _SourceChanged:
            continue
        return CopyReport(
            database.storage_path,
            target,
            kind,
            records,
            before,
            size_on_disk(target),
            checked=True,
            damaged=damaged,
            left_out=foreign_in(database),
        )
    raise ConflictError("others keep writing to the database: migrate it when they pause")


def backup_database(
    database: NativeDatabase,
    target: str | os.PathLike[str],
    *,
    compact: bool = False,
    progress: Progress | None = None,
) -> CopyReport:
    """Write a copy of a database, of one moment, while others may write to it.

    The target appears when it is complete. The copy is opened, and its pages, its values and its
    metadata are looked at. What cannot be read is in the copy as it is in the database.

    Args:
        database: An open database; to be read is enough.
        target: A directory that does not exist, or is empty.
        compact: Whether to leave free pages out.
        progress: Is told, now and then, how many of how many records of the copy were looked at.

    Returns:
        What was copied, and what of it cannot be read.

    Raises:
        InvalidArgumentError: If the target is taken or lies in the directory of the database.
        DiskFullError: If there is no space.
    """
    target = checked_target(database, Path(target))
    kind = kind_of(database)
    copier: Any = database
    with new_directory(target) as draft, _errors_name(target, draft):
        copier.copy_to(draft, compact=compact)
        with database_at(draft) as copy:
            records = {name: copy._store.count(name, None, None) for name in names_of(copy)}
            damaged = verify(copy, progress=progress).damage
            if any(damage.page is not None for damage in damaged):
                raise StorageError(
                    f"the copy does not read as it was written ({damaged[0]}): the disk may be "
                    "failing. Try another one"
                )
    before, after = size_on_disk(database.storage_path), size_on_disk(target)
    source = database.storage_path
    return CopyReport(source, target, kind, records, before, after, checked=True, damaged=damaged)


def names_of(database: NativeDatabase) -> list[str | None]:
    """Return the namespaces, and the unnamed one as `None` where there is anything in it.

    Args:
        database: An open database.
    """
    store = database._store
    unnamed = store.count(None, None, None) or store.metadata(None) is not None
    return [*([None] if unnamed else []), *database.namespaces()]


@contextmanager
def _errors_name(target: Path, draft: Path) -> Iterator[None]:
    """Have errors of the core name the target, and not the draft, which nobody has asked for."""
    try:
        yield
    except StorageError as error:
        told = str(error)
        if str(draft) not in told:
            raise
        raise type(error)(told.replace(str(draft), str(target))) from error


class _SourceChanged(Exception):  # noqa: N818  it is no failure: all begins anew
    """Somebody wrote to the database while it was copied."""


def _copied(
    source: NativeDatabase, target: NativeDatabase, level: int | None, progress: Progress | None
) -> tuple[dict[str | None, int], list[Damage]]:
    """Copy everything; return how many records each namespace has, and what cannot be read."""
    names = names_of(source)
    total = sum(source._store.count(name, None, None) for name in names)
    generations = {name: _generation(source, name) for name in names}
    records: dict[str | None, int] = {}
    damaged: list[Damage] = []
    with target:
        for name in names:
            if (metadata := source._store.metadata(name)) is not None:
                records[name] = 0
                target._store.set_metadata(name, metadata)
                if name is not None and (cause := inspect_metadata(source, name)):
                    damaged.append(Damage(cause, name))
            for piece in pieces(source, name):
                if not piece.rows:
                    continue
                rows = piece.rows
                if name != QUARANTINE:
                    damaged += damage_in(piece.damaged, name)
                if level is not None:
                    values = recompressed([value for _, value in rows], level)
                    rows = [(key, value) for (key, _), value in zip(rows, values, strict=True)]
                target._store.save(name, rows, True)
                written = target._store.scan(name, rows[0][0], rows[-1][0] + b"\0", False)
                if written != rows:
                    raise StorageError(
                        f"the copy does not read as it was written, from {rows[0][0]!r} on: the "
                        "disk may be failing. Try another one"
                    )
                records[name] = records.get(name, 0) + len(rows)
                if progress:
                    progress(sum(records.values()), total)
        if any(target._store.metadata(name) != source._store.metadata(name) for name in names):
            raise _SourceChanged
    if names != names_of(source):
        raise _SourceChanged
    if any(_generation(source, name) != known for name, known in generations.items()):
        raise _SourceChanged
    return records, damaged


def _generation(database: NativeDatabase, name: str | None) -> int:
    """Return the number of the namespace's present content, which every change moves."""
    _, generation, _, _ = inspect_records(database, name, b"\xff")
    return generation
