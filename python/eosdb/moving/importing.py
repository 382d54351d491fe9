"""From a file into a database."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from ..damage import QUARANTINE
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
from .layout import PREFIX
from .lines import row_of
from .rows import CONFIGURED, ZONE, Row, checked_zone, read_row, row_key, row_pickle

__all__ = ["ImportReport", "import_records"]

_BATCH: Final = 5_000
"""How many lines are one transaction."""

_SHOWN: Final = 40
"""How many characters of a text are shown."""


@dataclass(frozen=True)
class ImportReport:
    """What was taken in.

    Attributes:
        namespace: The namespace.
        path: The file.
        format: `"parquet"`, `"csv"` or `"jsonl"`.
        lines: How many lines with a record the file has.
        added: How many records are new.
        changed: How many got other values.
        unchanged: How many were there as they are.
        repeated: How many lines lie in the same second as one before them in the file, and are part
            of its record.
        checked: Whether each record that was written was read again, and found equal.
        dry_run: Whether nothing was written.
        texts: The first text, at most 40 characters of it, under each key that got any from a CSV
            file of somebody else. Where numbers were meant, they are written in another way.
    """

    namespace: str
    path: Path
    format: str
    lines: int
    added: int
    changed: int
    unchanged: int
    repeated: int
    checked: bool
    dry_run: bool
    texts: dict[str, str] = field(default_factory=dict)


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

    Times that do not name their zone are what the clocks of `timezone` showed. Where those are set
    back, a time comes twice: it is the first of the two, unless that is not later than the line
    before it in the file; then it is the second. Where they are set forward, the times between were
    never shown, and are refused.

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
            batches before it are in the database. Or if the namespace is that of the quarantine,
            or two columns have the same key.
        NaiveDatetimeError: If a time has no zone, and `timezone` is not given.
        DamagedRecordError: If there is a record in the same second that cannot be read.
        ReadOnlyError: If the database was opened to be read.
        MissingDependencyError: If the format is Parquet, and pyarrow is not installed.
    """
    source = Path(source)
    chosen = format_of(source, format)
    if getattr(database, "read_only", False) and not dry_run:
        raise ReadOnlyError(f"'{database.storage_path}' was opened to be read: open it for writing")
    if namespace == QUARANTINE:
        raise InvalidArgumentError(
            f"the namespace '{QUARANTINE}' is where repairs put what is damaged: import into "
            "another one"
        )
    if columns is not None:
        _check_columns(columns)
    if timezone is not None:
        timezone = checked_zone(timezone)
    if not source.is_file():
        raise InvalidArgumentError(f"there is no file '{source}'")
    counts = _Counts()
    with failures_named(source):
        total = number_of_lines(source, chosen) if progress else 0
        texts: dict[str, str] = {}
        rows = _rows(source, chosen, dict(columns) if columns else None, timezone, texts)
        while batch := list(islice(rows, _BATCH)):
            _take(database, namespace, batch, counts, dry_run=dry_run)
            if progress:
                progress(counts.lines, max(total, counts.lines))
    return ImportReport(
        namespace,
        source,
        chosen,
        counts.lines,
        counts.added,
        counts.changed,
        counts.records - counts.added - counts.changed,
        counts.lines - counts.records,
        checked=not dry_run,
        dry_run=dry_run,
        texts=texts,
    )


def _check_columns(columns: Mapping[str, str]) -> None:
    by_key: dict[str, str] = {}
    for name, key in columns.items():
        if key in by_key:
            raise InvalidArgumentError(
                f"the columns {by_key[key]!r} and {name!r} would both be {key!r}: name one"
            )
        by_key[key] = name


class _Seconds:
    """Seconds that were seen, in eight bytes each."""

    def __init__(self) -> None:
        self._seen = np.empty(0, np.int64)

    def add(self, seconds: list[int]) -> int:
        """Take in seconds; return how many of them, each once, were not seen before."""
        each = np.unique(np.array(seconds, np.int64))
        places = np.searchsorted(self._seen, each)
        # numpy's functions for sets would sort all that were seen, for each batch.
        is_new = np.searchsorted(self._seen, each, "right") == places
        self._seen = np.insert(self._seen, places[is_new], each[is_new])
        return int(is_new.sum())


class _Counts:
    """What became of lines. A record counts once, in however many batches its lines are."""

    def __init__(self) -> None:
        self.lines = self.records = self.added = self.changed = 0
        self._seen = _Seconds()
        self._written = _Seconds()

    def take(self, batch: list[bytes], added: list[bytes], changed: list[bytes]) -> None:
        """Take in the keys of a batch's lines, and what became of them."""
        self.lines += len(batch)
        self.records += self._seen.add(list(map(_number, batch)))
        # What a former batch has added, this one changes when it is no trial.
        self.added += self._written.add(list(map(_number, added)))
        self.changed += self._written.add(list(map(_number, changed)))


def _number(key: bytes) -> int:
    """Return a key, such as `20260101T000000Z`, as a number."""
    return int(key[:8] + key[9:15])


def _rows(
    source: Path,
    format_: str,
    columns: dict[str, str] | None,
    timezone: str | None,
    texts: dict[str, str],
) -> Iterator[tuple[bytes, Row]]:
    """Yield the rows of a file with their keys; note where others have text."""
    former: datetime | None = None
    for line in lines_of(source, format_):
        try:
            row = row_of(line, columns, timezone, former)
            yield row_key(row), row
        except (EosdbError, ValueError) as error:
            kind = NaiveDatetimeError if isinstance(error, NaiveDatetimeError) else None
            raise (kind or InvalidArgumentError)(
                f"'{source}', line {line.number}: {error}"
            ) from error
        former = row.instant
        if format_ == "csv" and ZONE not in line.values:
            _note_texts(row, texts)


def _note_texts(row: Row, texts: dict[str, str]) -> None:
    configured = row.fields.get(CONFIGURED)
    for prefix, values in (("", row.fields), (PREFIX, configured)):
        if isinstance(values, dict):
            for name, value in values.items():
                if type(value) is str and f"{prefix}{name}" not in texts:
                    texts[f"{prefix}{name}"] = value[:_SHOWN]


def _take(
    database: NativeDatabase,
    namespace: str,
    batch: list[tuple[bytes, Row]],
    counts: _Counts,
    *,
    dry_run: bool,
) -> None:
    """Take rows in, in one transaction."""
    stored = _stored(database, namespace, [key for key, _ in batch])
    merged: dict[bytes, Row] = {}
    former: dict[bytes, bytes] = {}
    for key, row in batch:
        if key in merged:
            merged[key] = _merged(merged[key], row)
        elif key not in stored:
            merged[key] = row
        else:
            existing = _existing(namespace, key, stored[key])
            former[key] = row_pickle(existing)
            merged[key] = _merged(existing, row)
    written = {key: _pickle(key, row) for key, row in merged.items()}
    written = {key: pickle for key, pickle in written.items() if former.get(key) != pickle}
    added = [key for key in written if key not in former]
    changed = [key for key in written if key in former]
    counts.take([key for key, _ in batch], added, changed)
    if dry_run or not written:
        return
    keys = sorted(written)
    pickles = [written[key] for key in keys]
    values = compressed(pickles, database.compression_level)
    database.save_records(zip(keys, values, strict=True), namespace)
    found = _stored(database, namespace, keys)
    if wrong := [key for key, value in zip(keys, values, strict=True) if found.get(key) != value]:
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
