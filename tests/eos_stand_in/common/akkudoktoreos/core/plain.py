"""The work of the stand-in's own database layer: everything in a list."""

# mypy: ignore-errors

from __future__ import annotations

import gzip
import pickle
from datetime import UTC, datetime
from typing import Any


class DatabaseTimestamp(str):
    """The key of a record."""

    __slots__ = ()

    @classmethod
    def from_datetime(cls, instant: datetime) -> DatabaseTimestamp:
        return cls(instant.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ"))


def find(sequence: Any, key: str) -> Any:
    """Return the record with a key, or `None`."""
    for record in sequence.records:
        if DatabaseTimestamp.from_datetime(record.date_time) == key:
            return record
    return None


def insert(sequence: Any, record: Any) -> None:
    """Insert a record at its place."""
    sequence.records.append(record)
    sequence.records.sort(key=lambda other: other.date_time)


def save(sequence: Any, backend: Any) -> int:
    """Write all records."""
    rows = [
        (
            DatabaseTimestamp.from_datetime(record.date_time).encode(),
            gzip.compress(pickle.dumps(record.model_dump(), protocol=5)),
        )
        for record in sequence.records
    ]
    return backend.save_records(rows, sequence.db_namespace())


def load(sequence: Any, backend: Any) -> int:
    """Read all records."""
    sequence.records = []
    for _, value in backend.iterate_records(sequence.db_namespace()):
        plain = gzip.decompress(value) if value[:1] == b"\x1f" else value
        sequence.records.append(sequence.record_class()(**pickle.loads(plain)))
    return len(sequence.records)
