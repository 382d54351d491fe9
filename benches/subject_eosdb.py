"""eosdb, as a worker drives it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field
from subject import KEYS, NAMESPACE, Subject, environment

import eosdb


class Reading(eosdb.DataRecord):
    """A row whose values are fields."""

    pv_power_w: float | None = None
    load_power_w: float | None = None
    grid_power_w: float | None = None
    battery_power_w: float | None = None


class ConfiguredReading(eosdb.DataRecord):
    """A row whose values are configured data."""

    @classmethod
    def configured_data_keys(cls) -> list[str]:
        """Return the keys of the four values."""
        return list(KEYS)


class House(eosdb.DataSequence):
    """Rows of fields."""

    records: list[Reading] = Field(default_factory=list)

    def db_namespace(self) -> str:
        """Return the namespace that all implementations use."""
        return NAMESPACE


class ConfiguredHouse(House):
    """Rows of configured data."""

    records: list[ConfiguredReading] = Field(default_factory=list)  # type: ignore[assignment]


def subject(root: Path, level: int, configured: bool) -> Subject:
    """Return eosdb as a subject.

    Args:
        root: The data folder.
        level: The gzip level.
        configured: Whether values are configured data.
    """
    path = environment(root)
    settings = eosdb.DatabaseSettings(compression_level=level)
    sequence_class = ConfiguredHouse if configured else House
    opened: list[eosdb.LMDBDatabase] = []

    def connect() -> Any:
        database = eosdb.LMDBDatabase(path, settings=settings)
        database.open()
        opened.append(database)
        return renew()

    def renew() -> Any:
        return sequence_class(database=opened[-1])

    return Subject(
        record_class=ConfiguredReading if configured else Reading,
        connect=connect,
        renew=renew,
        disconnect=lambda: opened.pop().close(),
        assume_loaded=lambda _: None,
        timestamp=eosdb.DatabaseTimestamp.from_datetime,
        path=path,
    )
