"""From a file into a database."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from ..errors import (
    DamagedRecordError,
    EosdbError,
    InvalidArgumentError,
    NaiveDatetimeError,
    ReadOnlyError,
    StorageError,
)
from ..native_database import NativeDatabase
from ..new_places import failures_named
from .compressing import compressed
from .exporting import Progress
from .formats import format_of, lines_of, number_of_lines
from .lines import row_of
from .rows import CONFIGURED, Row, checked_zone, read_row, row_key, row_pickle

__all__ = ["ImportReport", "import_records"]

_BATCH: Final = 5_000
"""How many lines are one transaction."""


@dataclass(frozen=True)
class ImportReport:
    """What was taken in.

    Attributes:
        namespace: The namespace.
        path: The file.
        format: `"parquet"`, `"csv"` or `"jsonl"`.
        lines: How many records the file has.
        added: How many records are new.
        changed: How many got other values.
        unchanged: How many were there as they are.
        checked: Whether each record that was written was read again, and found equal.
        dry_run: Whether nothing was written.
    """

    namespace: str
    path: Path
    format: str
    lines: int
    added: int
    changed: int
    unchanged: int
    checked: bool
    dry_run: bool


def import_records(
    database: NativeDatabase,
    namespace: str,
    source: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002  it is what users call it
    columns: Mapping[str, str] | None = None,
    timezone: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Take the records of a file into a namespace.

    Where there is a record in the same second, the values of the file that are not `None` are taken
    over into it, and its others stay. Lines are taken in batches, each in one transaction: what an
    interrupted import has done stays, and doing it again does the rest.

    Args:
        database: A database that is open for writing.
        namespace: The namespace; it is made if there is none.
        source: The file.
        format: `"parquet"`, `"csv"` or `"jsonl"`; by default the suffix tells it.
        columns: Which columns are taken, and the key of each: a field, `date_time`, or
            `configured_data.<key>`. By default each column is the key of its name.
        timezone: The zone of times that do not name theirs, and of records that have none.
        dry_run: Whether to tell only what would be done.
        progress: Is told, now and then, how many of how many lines were taken.

    Returns:
        What was done, or would be.

    Raises:
        InvalidArgumentError: If a line cannot be understood; the message has its number. The
            batches before it are in the database.
        NaiveDatetimeError: If a time has no zone, and `timezone` is not given.
        DamagedRecordError: If there is a record in the same second that cannot be read.
        ReadOnlyError: If the database was opened to be read.
        MissingDependencyError: If the format is Parquet, and pyarrow is not installed.
    """
    source = Path(source)
    chosen = format_of(source, format)
    if getattr(database, "read_only", False) and not dry_run:
        raise ReadOnlyError(f"'{database.storage_path}' was opened to be read: open it for writing")
    if timezone is not None:
        timezone = checked_zone(timezone)
    if not source.is_file():
        raise InvalidArgumentError(f"there is no file '{source}'")
    counts = {"added": 0, "changed": 0, "unchanged": 0}
    done = 0
    with failures_named(source):
        total = number_of_lines(source, chosen) if progress else 0
        rows = _rows(source, chosen, dict(columns) if columns else None, timezone)
        while batch := list(islice(rows, _BATCH)):
            _take(database, namespace, batch, counts, dry_run=dry_run)
            done += len(batch)
            if progress:
                progress(done, max(total, done))
    return ImportReport(
        namespace, source, chosen, done, **counts, checked=not dry_run, dry_run=dry_run
    )


def _rows(
    source: Path, format_: str, columns: dict[str, str] | None, timezone: str | None
) -> Iterator[tuple[bytes, Row]]:
    """Yield the rows of a file with their keys."""
    for line in lines_of(source, format_):
        try:
            row = row_of(line, columns, timezone)
            yield row_key(row), row
        except (EosdbError, ValueError) as error:
            kind = NaiveDatetimeError if isinstance(error, NaiveDatetimeError) else None
            raise (kind or InvalidArgumentError)(
                f"'{source}', line {line.number}: {error}"
            ) from error


def _take(
    database: NativeDatabase,
    namespace: str,
    batch: list[tuple[bytes, Row]],
    counts: dict[str, int],
    *,
    dry_run: bool,
) -> None:
    """Take rows in, in one transaction."""
    stored = _stored(database, namespace, [key for key, _ in batch])
    known = set(stored)
    changed: dict[bytes, Row] = {}
    for key, row in batch:
        if key in changed:
            changed[key] = _merged(changed[key], row)
        elif key not in stored:
            changed[key] = row
        else:
            existing = _existing(namespace, key, stored[key])
            merged = _merged(existing, row)
            if _pickle(key, merged) != row_pickle(existing):
                changed[key] = merged
    added = sum(key not in known for key in changed)
    counts["added"] += added
    counts["changed"] += len(changed) - added
    counts["unchanged"] += len(batch) - len(changed)
    if dry_run or not changed:
        return
    keys = sorted(changed)
    pickles = [_pickle(key, changed[key]) for key in keys]
    values = compressed(pickles, database.compression_level)
    database.save_records(zip(keys, values, strict=True), namespace)
    written = _stored(database, namespace, keys)
    if wrong := [key for key, value in zip(keys, values, strict=True) if written.get(key) != value]:
        raise StorageError(
            f"the record at {wrong[0].decode()} does not read as it was written: others write to "
            "the namespace as well, or the disk is failing. Import again when they pause"
        )


def _pickle(key: bytes, row: Row) -> bytes:
    try:
        return row_pickle(row)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(
            f"the record at {key.decode()} cannot be stored: {error}"
        ) from error


def _stored(database: NativeDatabase, namespace: str, keys: list[bytes]) -> dict[bytes, bytes]:
    """Return what is stored under keys."""
    store = database._store
    first, last = min(keys), max(keys) + b"\0"
    if store.count(namespace, first, last) <= 2 * len(keys):
        return dict(store.scan(namespace, first, last, False))
    found: dict[bytes, bytes] = {}
    for key in keys:
        found.update(store.scan(namespace, key, key + b"\0", False))
    return found


def _existing(namespace: str, key: bytes, stored: bytes) -> Row:
    try:
        return read_row(key, stored)
    except DamagedRecordError as error:
        raise DamagedRecordError(
            f"namespace '{namespace}' has a record at {key.decode()} that cannot be read: repair "
            f"the database first ({error})",
            namespace=namespace,
            key=key.decode(),
            cause=str(error),
        ) from error


def _merged(existing: Row, row: Row) -> Row:
    """Return a record that has got the values of another one."""
    fields = dict(existing.fields)
    for name, value in row.fields.items():
        former = fields.get(name)
        if name == CONFIGURED and isinstance(value, dict) and isinstance(former, dict):
            fields[name] = former | {key: item for key, item in value.items() if item is not None}
        elif value is not None:
            fields[name] = value
        else:
            fields.setdefault(name, None)
    return Row(existing.instant, existing.zone, fields)
