"""Databases to be opened for reading, and what a record class reads of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from reading_support import START, Rows, minute

import eosdb
from eosdb import LMDBDatabase

TEXTS: Final = ("on", "off", "", "öäü", None)

ANY: Final = ["count", "note", "power_w", "v", "w"]


def store(path: Path, *sequences: Callable[[LMDBDatabase], Any], level: int = 9) -> Path:
    """Save what functions make of the database."""
    settings = eosdb.DatabaseSettings(compression_level=level)
    with LMDBDatabase(path, settings=settings) as database:
        for make in sequences:
            make(database).save()
    return path


def household(database: Any, *, base: datetime = START) -> Rows:
    """Return a sequence of records with values of all kinds, and without."""
    rows = Rows(database=database)
    random = np.random.default_rng(7)
    for number in sorted(random.choice(3000, 500, replace=False).tolist()):
        values: dict[str, Any] = {"power_w": float(random.normal(300, 50))}
        if number % 3:
            values["count"] = number
        if number % 5:
            values["note"] = TEXTS[number % len(TEXTS)]
        if number % 2:
            values["v"] = number * 0.25
        if number % 7 == 0:
            values["w"] = number if number % 2 else number + 0.5
        rows.update_value(minute(number, base), values)
    return rows


def zone_of(frame: Any) -> Any:
    """Return the zone of the index of a frame."""
    return frame.index.tz


def by_class(path: Path, read: Callable[[Rows], Any]) -> Any:
    """Return what a sequence with the record class reads."""
    with LMDBDatabase(path, read_only=True) as database:
        return read(Rows(database=database))


def key(number: float) -> bytes:
    return eosdb.DatabaseTimestamp.from_datetime(minute(number)).encode()
