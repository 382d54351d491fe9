"""No argument, of whatever type, makes the core panic."""

from __future__ import annotations

import contextlib
import datetime
import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from support import House, Reading, house, when

import eosdb
from eosdb import UNBOUND_START, DatabaseTimestamp, LMDBDatabase, MemoryDatabase

KEY: Final = b"20260101T000000Z"

JUNK: Final[list[Any]] = [
    None,
    True,
    -1,
    2**70,
    math.nan,
    "",
    "text\0\ud800",
    b"\xff",
    KEY,
    [KEY],
    {"a": 1},
    object(),
    datetime.datetime(2026, 1, 1),
    datetime.datetime.max.replace(tzinfo=datetime.timezone(-datetime.timedelta(hours=1))),
    when(0),
    datetime.timedelta.max,
    datetime.timedelta(microseconds=-1),
    UNBOUND_START,
    Reading(),
    int,
]

GOOD: Final[dict[str, Any]] = {
    "timestamp": DatabaseTimestamp(KEY.decode()),
    "datetime": when(0),
    "date": when(0),
    "dates": [when(5)],
    "values": [5.0],
    "values_count": 3,
    "window": datetime.timedelta(hours=1),
    "interval": datetime.timedelta(hours=1),
    "key": "power_w",
    "keys": [KEY],
    "record": Reading(date_time=when(1)),
    "records": [(KEY, b"value")],
    "namespace": "house",
    "data": b"data",
    "metadata": b"metadata",
    "target": "copy",
    "index": 0,
    "value": Reading(date_time=when(2)),
    "dt": when(0),
}
"""A value that fits, by the last part of a parameter's name."""


def own_methods(thing: Any) -> list[str]:
    """The public methods that this package, not pydantic or collections, gives an object."""
    names = []
    for name in sorted(dir(type(thing))):
        method = getattr(type(thing), name, None)
        module = getattr(method, "__module__", None) or ""
        is_own = module.startswith("eosdb") and callable(method) and not inspect.isclass(method)
        if is_own and (not name.startswith("_") or name in {"__getitem__", "__setitem__"}):
            names.append(name)
    return names


def calls(method: Callable[..., Any]) -> Iterator[Callable[[], Any]]:
    """Calls with one or two arguments that are junk, beside others that fit."""
    parameters = [
        parameter.name
        for parameter in inspect.signature(method).parameters.values()
        if parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}
    ]
    fitting = {
        name: GOOD[name.rsplit("_", maxsplit=1)[-1]]
        for name in parameters
        if name.rsplit("_", maxsplit=1)[-1] in GOOD
    }
    for count in (0, 1, 2):
        for names in itertools.combinations(parameters, count):
            for junk in itertools.product(JUNK, repeat=count):
                arguments = {**fitting, **dict(zip(names, junk, strict=True))}
                yield functools.partial(method, **arguments)
    for count in (1, 2):
        for positional in itertools.product(JUNK, repeat=count):
            yield functools.partial(method, *positional)


def exhaust(result: Any) -> None:
    if isinstance(result, Iterator):
        for _ in itertools.islice(result, 5):
            pass


@pytest.mark.parametrize("kind", ["sequence", "records", "LMDB", "memory", "timestamp"])
def test_only_exceptions_are_raised_and_everything_works_afterwards(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A panic is no `Exception`, nor is what ends a process."""
    monkeypatch.chdir(tmp_path)
    with LMDBDatabase(tmp_path / "db") as database, MemoryDatabase() as memory:
        sequence = house(database, 10)
        things: dict[str, Any] = {
            "sequence": sequence,
            "records": sequence.records,
            "LMDB": database,
            "memory": memory,
            "timestamp": DatabaseTimestamp(KEY.decode()),
        }
        thing = things[kind]
        for name in own_methods(thing):
            for call in calls(getattr(thing, name)):
                for opened in (database, memory):
                    if not opened.is_open:
                        opened.open()
                with contextlib.suppress(Exception):
                    exhaust(call())
        database.close()
        database.open()
        again = House(database=database)
        again.update_value(when(86_400), power_w=24.0)
        assert again.save()
        assert again.get_by_datetime(when(86_400)).power_w == 24.0
        assert eosdb.DatabaseTimestamp(again.db_timestamp_range()[1] or "") >= "19700102T000000Z"
