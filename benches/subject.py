"""What every implementation is measured with: the rows, and what a worker needs to know of it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

KEYS = ("pv_power_w", "load_power_w", "grid_power_w", "battery_power_w")
FIRST_SECOND = 1_704_067_200  # 2024-01-01T00:00:00Z
STEP_SECONDS = 60
DAY_SECONDS = 86_400
ZONE = "Europe/Berlin"
NAMESPACE = "house"
SEED = 20_240_101
LOOKUPS = 2_000
COUNTS = 20
# The key that is read where one will do; it is never 0, unlike the sun at night.
READ_KEY = "load_power_w"


class Row(NamedTuple):
    """One record as plain numbers: its UTC second and its four values."""

    second: int
    values: tuple[float, ...]


def synthetic_rows(count: int) -> Iterator[Row]:
    """Yield `count` power-like rows a minute apart, the same in every process.

    Args:
        count: How many rows.

    Yields:
        Rows in ascending order of time.
    """
    source = random.Random(SEED)
    load = 300.0
    for number in range(count):
        day = number * STEP_SECONDS % DAY_SECONDS / DAY_SECONDS
        sun = max(0.0, 1.0 - abs(day - 0.5) * 4.0)
        pv = round(sun * 8_000.0 * source.uniform(0.6, 1.0), 1)
        load = round(max(80.0, 0.9 * load + source.uniform(0.0, 90.0)), 1)
        battery = round(max(-3_000.0, min(3_000.0, pv - load)), 1)
        yield Row(
            FIRST_SECOND + number * STEP_SECONDS, (pv, load, round(load - pv + battery, 1), battery)
        )


def digest(rows: Iterable[Row]) -> str:
    """Return a fingerprint of rows: equal rows in equal order, equal text."""
    state = hashlib.sha256()
    for row in rows:
        state.update(repr((row.second, *row.values)).encode())
    return state.hexdigest()[:16]


@dataclass
class Subject:
    """What the operations need to know of an implementation.

    Attributes:
        record_class: The class of its records; called with `date_time` and the four keys.
        connect: Opens the database and returns an empty sequence on it.
        renew: Returns a further empty sequence on the open database.
        disconnect: Closes the database.
        assume_loaded: Tells a sequence after `load()` that all is there. Akkudoktor-EOS forgets
            that, and would read everything again at the next call.
        timestamp: Returns a moment as what `db_vacuum` takes.
        path: The directory of the database.
    """

    record_class: Callable[..., Any]
    connect: Callable[[], Any]
    renew: Callable[[], Any]
    disconnect: Callable[[], None]
    assume_loaded: Callable[[Any], None]
    timestamp: Callable[[Any], Any]
    path: Path


def environment(root: Path) -> Path:
    """Return where Akkudoktor-EOS keeps its LMDB environment below a data folder."""
    return root / "db" / "lmdbdatabase"
