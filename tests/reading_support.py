"""A sequence with keys that take any value, in memory and stored, for the tests of reading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import Field
from support import House

import eosdb

START = datetime(2024, 1, 1, tzinfo=UTC)


class Row(eosdb.DataRecord):
    """A record with keys of its class and keys that are configured."""

    power_w: float | None = None
    count: int | None = None
    note: str | None = None

    @classmethod
    def configured_data_keys(cls) -> list[str]:
        return ["v", "w"]


class Rows(House):
    records: list[Row] = Field(default_factory=list)  # type: ignore[assignment]


def minute(number: float, base: datetime = START) -> eosdb.DateTime:
    """Return an instant so many minutes after the first record of most tests."""
    return eosdb.to_datetime(
        base.astimezone(UTC) + timedelta(microseconds=round(number * 60_000_000)),
        in_timezone=base.tzinfo,
    )


def fill(sequence: Any, values: dict[float, Any], key: str = "v", base: datetime = START) -> Any:
    """Insert a record for each minute, with the value of one key; return the sequence."""
    for number, value in values.items():
        sequence.update_value(minute(number, base), key, value)
    return sequence


def stored(database: Any, values: dict[float, Any], **options: Any) -> Any:
    """Return a sequence that knows nothing yet of its stored records."""
    fill(Rows(database=database), values, **options).save()
    return Rows(database=database)
