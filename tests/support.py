"""What several tests share: sequences, a database written by somebody else, and instants."""

from __future__ import annotations

import calendar
import os
import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

import eosdb
from eosdb import DatabaseTimestamp, DateTime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_PATHS = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
WITH_TESTS = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, _PATHS))}
"""The environment of a process that imports from these tests, and what this one can import."""

PROGRAM = """
import importlib, sys
module, name = sys.argv[1].split(":")
getattr(importlib.import_module(module), name)(*sys.argv[2:])
"""
"""Runs the function `module:name` of these tests in a process of its own."""


def second_of(instant: datetime | None) -> int:
    """Return the UTC second that an instant lies in, by nothing but the standard library."""
    assert instant is not None
    return calendar.timegm(instant.utctimetuple())


def at(second: int) -> DatabaseTimestamp:
    """Return the timestamp of a second since 1970."""
    instant = EPOCH + timedelta(seconds=second)
    return DatabaseTimestamp(f"{instant.year:04d}{instant:%m%dT%H%M%SZ}")


def when(second: float, zone: str = "UTC") -> DateTime:
    """Return the datetime of a second since 1970."""
    return eosdb.to_datetime(second, in_timezone=zone)


def engine_for(path: str | os.PathLike[str]) -> Any:
    """Return the class of database that a path of these tests is for, by its name."""
    sqlite = Path(path).name.startswith("sqlite")
    return eosdb.SQLiteDatabase if sqlite else eosdb.LMDBDatabase


class Reading(eosdb.DataRecord):
    """A record of plain fields."""

    power_w: float | None = None
    count: int | None = None
    note: str | None = None


class House(eosdb.DataSequence):
    """A sequence as a user of the package writes it."""

    records: list[Reading] = []  # noqa: RUF012  as with any model, every sequence gets its own

    def db_namespace(self) -> str:
        return "house"


class NamedHouse(House):
    """A sequence with a field of its own."""

    name: str = "home"


class ModelHouse(BaseModel, eosdb.DatabaseRecordProtocolMixin[Reading]):
    """A model that mixes in no more than what a sequence needs."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str = "home"
    records: list[Reading] = Field(default_factory=list, description="Records, sorted by time")

    @classmethod
    def record_class(cls) -> type[Reading]:
        return Reading

    def db_namespace(self) -> str:
        return "house"


class Home(BaseModel):
    """A model of models."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    main: House
    all: list[House]
    by_name: dict[str, House]
    anything: Any


class PlainReading(BaseModel):
    """A record that shares nothing with the package but its protocol."""

    date_time: DateTime | None = None
    power_w: float | None = None
    count: int | None = None
    note: str | None = None

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)


class PlainHouse(eosdb.DatabaseRecordProtocolMixin[PlainReading]):
    """A sequence that is no model and sets the mixin's state itself, without calling it."""

    def __init__(self, database: Any = None, initial_load_window_h: int | None = None) -> None:
        self.records = []
        self._db_record_index = {}
        self._db_sorted_timestamps = []
        self._db_dirty_timestamps = set()
        self._db_new_timestamps = set()
        self._db_deleted_timestamps = set()
        self._db_initialized = True
        self._db_storage_initialized = False
        self._db_metadata = None
        self._db_loaded_range = None
        self._db_load_phase = eosdb.DatabaseRecordProtocolLoadPhase.NONE
        self._db_version = 1
        self.database = database
        self.config = SimpleNamespace(
            database=SimpleNamespace(
                compression_level=0,
                autosave_interval_sec=10,
                initial_load_window_h=initial_load_window_h,
                keep_duration_h=None,
            )
        )

    @classmethod
    def record_class(cls) -> type[PlainReading]:
        return PlainReading

    def db_namespace(self) -> str:
        return "house"


class ForeignDatabase:
    """A database that shares nothing with the package but the names of the methods.

    Attributes:
        rows: The values by namespace and key.
        calls: How often each method was called.
    """

    def __init__(self, settings: eosdb.DatabaseSettings | None = None) -> None:
        self.settings = settings or eosdb.DatabaseSettings(compression_level=0)
        self.rows: dict[str | None, dict[bytes, bytes]] = {}
        self.metadata: dict[str | None, bytes] = {}
        self.calls: dict[str, int] = {}
        self.is_open = True
        self.compression = False
        self.compression_level = 0
        self.storage_path = "/nowhere"

    def _count(self, method: str) -> None:
        self.calls[method] = self.calls.get(method, 0) + 1

    # Values

    def serialize_data(self, data: bytes) -> bytes:
        return b"\x00" + data

    def deserialize_data(self, data: bytes) -> bytes:
        return data.removeprefix(b"\x00")

    # Metadata

    def set_metadata(self, metadata: bytes | None, *, namespace: str | None = None) -> None:
        if metadata is None:
            self.metadata.pop(namespace, None)
        else:
            self.metadata[namespace] = metadata

    def get_metadata(self, namespace: str | None = None) -> bytes | None:
        return self.metadata.get(namespace)

    # Records

    def save_records(
        self, records: Iterable[tuple[bytes, bytes]], namespace: str | None = None
    ) -> int:
        self._count("save_records")
        saved = dict(records)
        self.rows.setdefault(namespace, {}).update(saved)
        return len(saved)

    def delete_records(self, keys: Iterable[bytes], namespace: str | None = None) -> int:
        self._count("delete_records")
        rows = self.rows.get(namespace, {})
        return sum(rows.pop(key, None) is not None for key in keys)

    def _rows(
        self, start_key: bytes | None, end_key: bytes | None, namespace: str | None
    ) -> list[tuple[bytes, bytes]]:
        # The copy is made in one step, whatever other threads do.
        rows = dict(self.rows.get(namespace, {}))
        return [
            (key, rows[key])
            for key in sorted(rows)
            if (start_key is None or key >= start_key) and (end_key is None or key < end_key)
        ]

    def iterate_records(
        self,
        start_key: bytes | None = None,
        end_key: bytes | None = None,
        namespace: str | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        self._count("iterate_records")
        rows = self._rows(start_key, end_key, namespace)
        yield from reversed(rows) if reverse else rows

    def count_records(
        self,
        start_key: bytes | None = None,
        end_key: bytes | None = None,
        *,
        namespace: str | None = None,
    ) -> int:
        self._count("count_records")
        return len(self._rows(start_key, end_key, namespace))

    def get_key_range(self, namespace: str | None = None) -> tuple[bytes | None, bytes | None]:
        rows = self._rows(None, None, namespace)
        return (rows[0][0], rows[-1][0]) if rows else (None, None)

    def get_backend_stats(self, namespace: str | None = None) -> dict[str, Any]:
        return {}

    def flush(self, namespace: str | None = None) -> None:
        pass


def house(database: Any, rows: int = 0, *, start: int = 0, step: int = 3600) -> House:
    """Return a sequence that knows nothing yet of the rows that are saved in its database.

    Args:
        database: The open database.
        rows: How many rows to save.
        start: The second of the first one.
        step: Seconds between two.
    """
    writer = House(database=database)
    for number in range(rows):
        writer.db_insert_record(
            Reading(date_time=when(start + number * step), power_w=float(number))
        )
    writer.save()
    return House(database=database)


def reader_slots(path: Path) -> dict[int, int]:
    """Return the processes that have a slot in LMDB's table of readers, with their transactions.

    The table ends LMDB's lock file: of each reader the transaction, all bits of which are set where
    there is none just now, and the process.
    """
    table = (path / "lock.mdb").read_bytes()[-510 * 64 :]
    slots = (struct.unpack_from("=QI", table, place) for place in range(0, len(table), 64))
    return {process: transaction for transaction, process in slots if process}


def seconds(records: Iterable[Any]) -> list[int]:
    """Return the seconds of records."""
    return [second_of(record.date_time) for record in records]


START = 1_704_067_200
"""The second of the first of :data:`READINGS`, 2024-01-01T00:00:00Z."""


def reading(n: int) -> Reading:
    """Return a record whose values tell its number."""
    return Reading(date_time=when(START + n * 900), power_w=n + 0.5, note=None if n % 2 else str(n))


READINGS = [reading(n) for n in range(5)]
ROWS = len(READINGS)
