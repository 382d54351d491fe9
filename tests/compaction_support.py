"""Households to be compacted, for several tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from support import ForeignDatabase, second_of, when

import eosdb

MINUTE: Final = 60
QUARTER: Final = 900
HOUR: Final = 3600
DAY: Final = 86_400
START: Final = 1_704_067_200  # 2024-01-01T00:00:00Z


class Sample(eosdb.DataRecord):
    """A record with a key of every kind."""

    power_w: float | None = None
    meter_kwh: float | None = None
    count: int | None = None
    is_on: bool | None = None
    note: str | None = None

    @classmethod
    def configured_data_keys(cls) -> list[str]:
        return ["extra"]


class Home(eosdb.DataSequence):
    """A sequence with a meter."""

    records: list[Sample] = []  # noqa: RUF012  as with any model, every sequence gets its own

    def db_namespace(self) -> str:
        return "home"

    def db_compact_aggregations(self) -> Mapping[str, str]:
        return {"meter_kwh": "meter"}


def databases(kind: str, path: Path) -> Iterator[Any]:
    """Open a database of a kind."""
    if kind == "foreign":
        yield ForeignDatabase()
        return
    native: Any = eosdb.MemoryDatabase() if kind == "memory" else eosdb.LMDBDatabase(path / "db")
    with native:
        yield native


KINDS: Final = ["memory", "lmdb", "foreign"]


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A database of each kind."""
    yield from databases(request.param, tmp_path)


def fill(sequence: Any, rows: Mapping[int, Mapping[str, Any]]) -> Any:
    """Insert rows by their seconds after `START`, save, and return the sequence."""
    for second, values in rows.items():
        plain = {key: value for key, value in values.items() if key in Sample.model_fields}
        record = Sample(date_time=when(START + second), **plain)
        record.configured_data.update({k: v for k, v in values.items() if k not in plain})
        sequence.db_insert_record(record)
    sequence.db_save_records()
    return sequence


def rows_of(sequence: Any) -> dict[int, dict[str, Any]]:
    """Return what every record holds, by its seconds after `START`, without what is None."""
    rows = {}
    for record in sequence.db_iterate_records():
        values = record.model_dump(exclude={"date_time"})
        values |= values.pop("configured_data")
        rows[second_of(record.date_time) - START] = {
            key: value for key, value in values.items() if value is not None
        }
    return rows


def values_of(sequence: Any, key: str) -> dict[int, Any]:
    """Return the values of a key by their seconds after `START`."""
    return {second: row[key] for second, row in rows_of(sequence).items() if key in row}


def of(key: str, values: Mapping[int, Any]) -> dict[int, dict[str, Any]]:
    """Return rows of one key."""
    return {second: {key: value} for second, value in values.items()}


def merged(*columns: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """Return rows with the keys of all columns, sorted."""
    rows: dict[int, dict[str, Any]] = {}
    for column in columns:
        for second, values in column.items():
            rows.setdefault(second, {}).update(values)
    return dict(sorted(rows.items()))


def stored_rows(database: Any, namespace: str = "home") -> dict[bytes, bytes]:
    """Return the stored rows of a namespace."""
    rows: Iterable[tuple[bytes, bytes]] = database.iterate_records(namespace=namespace)
    return dict(rows)
