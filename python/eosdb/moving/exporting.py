"""From a database to a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from ..damage import Damage
from ..errors import ConflictError, InvalidArgumentError, StorageError
from ..memory_database import MemoryDatabase
from ..native_database import NativeDatabase
from ..new_places import new_file
from ..timestamps import DatabaseTimestamp
from .formats import format_of, is_mixed, lines_of, write_rows, write_text
from .layout import Layout, LayoutChanged, scan
from .lines import row_of
from .pieces import pieces
from .rows import Digest, Row

__all__ = [
    "ExportReport",
    "Progress",
    "checked_namespace",
    "checked_target",
    "export_records",
    "print_records",
]

Progress = Callable[[int, int], object]

_ATTEMPTS: Final = 5

_TOLD: Final = 4_096


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes:
        namespace: The namespace.
        path: The file; `None` where it was a stream.
        format: `"parquet"`, `"csv"` or `"jsonl"`.
        records: How many records were written.
        checked: Whether the file was read again, and each record found equal.
        damaged: What could not be read, and is missing in the file.
    """

    namespace: str
    path: Path | None
    format: str
    records: int
    checked: bool
    damaged: list[Damage] = field(default_factory=list)


def export_records(
    database: NativeDatabase,
    namespace: str,
    target: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002  it is what users call it
    start: DatabaseTimestamp | None = None,
    end: DatabaseTimestamp | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Write the records of a namespace into a file, which is then read again and compared.

    The file appears when it is complete. While others write to the database, each record is whole,
    but records may be of different moments.

    Args:
        database: An open database.
        namespace: The namespace.
        target: The file.
        format: `"parquet"`, `"csv"` or `"jsonl"`; by default the suffix tells it.
        start: The first instant inside; `None` for no bound.
        end: The first instant outside; `None` for no bound.
        overwrite: Whether the file may replace another one.
        progress: Is told, now and then, how many of how many steps are done: each record is looked
            at, written, and read again.

    Returns:
        What was written.

    Raises:
        InvalidArgumentError: If there is no such namespace, the target exists or lies in the
            directory of the database, or the format is unknown.
        MissingDependencyError: If the format is Parquet, and pyarrow is not installed.
        DiskFullError: If there is no space for the file.
    """
    target = checked_target(database, Path(target))
    chosen = format_of(target, format)
    checked_namespace(database, namespace)
    for _ in range(_ATTEMPTS):
        source = _Source(database, namespace, start, end, progress)
        layout = _layout(source, chosen)
        digest = Digest()
        try:
            with new_file(target, overwrite=overwrite) as draft:
                write_rows(draft, chosen, layout, source.rows(digest))
                found = Digest()
                for line in lines_of(draft, chosen):
                    found.add(row_of(line, None, None))
                    if found.rows % _TOLD == 0:
                        source.tell(_TOLD)
                source.tell(found.rows % _TOLD)
                if found != digest:
                    raise StorageError(
                        f"'{target}' does not read as what was written ({found.rows:,} of "
                        f"{digest.rows:,} records): it was removed. Try again, on another disk"
                    )
        except LayoutChanged:
            continue
        return ExportReport(
            namespace, target, chosen, digest.rows, checked=True, damaged=source.damage
        )
    raise ConflictError("others keep changing the records: export them when they pause")


def print_records(
    database: NativeDatabase,
    namespace: str,
    stream: IO[str],
    *,
    format: str,  # noqa: A002  it is what users call it
    start: DatabaseTimestamp | None = None,
    end: DatabaseTimestamp | None = None,
) -> ExportReport:
    """Write the records of a namespace to a stream, such as the standard output.

    Args:
        database: An open database.
        namespace: The namespace.
        stream: A text stream that changes no line ends.
        format: `"csv"` or `"jsonl"`.
        start: The first instant inside; `None` for no bound.
        end: The first instant outside; `None` for no bound.

    Returns:
        What was written; it was not checked.

    Raises:
        InvalidArgumentError: If there is no such namespace, or the format is no text.
        ConflictError: If others changed the records meanwhile so that they need other columns.
    """
    if format not in {"csv", "jsonl"}:
        raise InvalidArgumentError(f"{format!r} cannot be written to a stream: use csv or jsonl")
    checked_namespace(database, namespace)
    source = _Source(database, namespace, start, end, None)
    layout = _layout(source, format)
    digest = Digest()
    try:
        write_text(stream, format, layout, source.rows(digest))
    except LayoutChanged:
        raise ConflictError("others changed the records meanwhile: export them again") from None
    return ExportReport(namespace, None, format, digest.rows, checked=False, damaged=source.damage)


def checked_namespace(database: NativeDatabase, namespace: str) -> str:
    """Return a namespace that is there.

    Args:
        database: An open database.
        namespace: Its name.

    Raises:
        InvalidArgumentError: If there is none of that name.
    """
    known = database.namespaces()
    if namespace not in known:
        there = f"there are {', '.join(known)}" if known else "the database is empty"
        raise InvalidArgumentError(f"there is no namespace {namespace!r}: {there}")
    return namespace


def checked_target(database: NativeDatabase, target: Path) -> Path:
    """Return a target that is outside the database, of which it might replace a file.

    Args:
        database: The database.
        target: What is to be written.

    Raises:
        InvalidArgumentError: If it lies in the directory of the database.
    """
    if isinstance(database, MemoryDatabase):
        return target
    directory = database.storage_path.resolve()
    if target.parent.resolve().is_relative_to(directory):
        raise InvalidArgumentError(
            f"'{target}' lies in the directory of the database itself, '{database.storage_path}': "
            "name another place"
        )
    return target


def _layout(source: _Source, format_: str) -> Layout:
    if format_ == "jsonl":  # has no columns
        source.steps -= source.records
        return Layout([], 0, has_exact=False)
    return scan(source.rows(), mixed=is_mixed(format_))


class _Source:
    """The rows of a span, as often as they are asked for, and what is damaged of them."""

    def __init__(
        self,
        database: NativeDatabase,
        namespace: str,
        start: DatabaseTimestamp | None,
        end: DatabaseTimestamp | None,
        progress: Progress | None,
    ) -> None:
        self._database = database
        self._namespace = namespace
        self._bounds = [None if bound is None else bound.encode() for bound in (start, end)]
        self._progress = progress
        self._done = 0
        self.records = database._store.count(namespace, *self._bounds)
        self.steps = 3 * self.records
        self.damage: list[Damage] = []

    def tell(self, done: int) -> None:
        self._done += done
        if self._progress:
            self._progress(self._done, max(self._done, self.steps))

    def rows(self, digest: Digest | None = None) -> Iterator[Row]:
        self.damage = []
        for piece in pieces(self._database, self._namespace, *self._bounds):
            for row in piece.read(self._namespace):
                if isinstance(row, Damage):
                    self.damage.append(row)
                    continue
                if digest is not None:
                    digest.add(row)
                yield row
            self.tell(len(piece.rows))
