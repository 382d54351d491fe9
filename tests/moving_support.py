"""Records to be moved, and what they are compared by."""

from __future__ import annotations

import math
import pickle
import random
from typing import Any, Final

from support import at, when

from eosdb._core import gzip_decode, gzip_encode
from eosdb.native_database import NativeDatabase

START: Final = 1_767_225_600

TEXTS: Final = (
    "plain", "", " ", "1", " 1", "1.5", "-0", "007", "null", "true", "NaN", "nan", "Infinity",
    '"quoted"', "[1]", "{}", '{"$float":"nan"}', "a,b", "a;b", "line\nend", "car\rriage", "\r\n",
    "nul\0", "none",
    "ümläut", "😀", "'", "\\", "1e5", "2026-01-01T00:00:00Z", "-", "=1+1",
)  # fmt: skip
"""Texts that are easily taken for something else."""


def put(db: NativeDatabase, fields: dict[Any, Any], second: int = START, level: int = 9) -> None:
    value = gzip_encode(pickle.dumps(fields, protocol=5), level)
    db.save_records([(at(second).encode(), value)], "house")


def content(db: NativeDatabase, namespace: str | None = "house") -> list[tuple[bytes, bytes]]:
    """Return keys and pickles."""
    rows = db._store.scan(namespace, None, None, False)
    return [(key, gzip_decode(value)) for key, value in rows]


def meaning(rows: list[tuple[bytes, bytes]]) -> list[Any]:
    """Return rows such that equal values are equal text, whatever their order in a record."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return "dict", sorted(((repr(k), plain(v)) for k, v in value.items()), key=repr)
        if isinstance(value, list | tuple):
            return type(value).__name__, [plain(item) for item in value]
        return type(value).__name__, repr(value)

    return [(key, plain(pickle.loads(value))) for key, value in rows]


def random_household(db: NativeDatabase, records: int) -> None:
    """Save records of all kinds of values, in local time, across both changes of the clock."""
    random.seed(1)
    rows = []
    for number in range(records):
        second = START + number * 86_400 * 365 // records
        configured = {
            key: random.choice([1.5, None, "auto", number, math.nan])
            for key in ("load0_emr", "mode")
            if random.random() < 0.5
        }
        fields = {
            "date_time": when(second, "Europe/Berlin"),
            "configured_data": configured,
            "power_w": random.choice([None, math.nan, random.gauss(300, 100)]),
            "note": random.choice([None, *TEXTS]),
            "is_on": random.choice([None, True, False]),
        }
        rows.append((at(second).encode(), gzip_encode(pickle.dumps(fields, 5), 9)))
    db.save_records(rows, "house")


def interrupted(*_: int) -> None:
    raise KeyboardInterrupt
