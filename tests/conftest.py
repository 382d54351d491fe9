"""Stored rows, sequences of them, and folders with databases, for the tests of several files."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line_support import lay_out, make_house
from reading_support import Rows, fill, stored
from support import READINGS, ROWS, House, ModelHouse, NamedHouse

import eosdb

# Also where eosdb was installed before it named its plugin itself.
pytest_plugins = ["eosdb.testing", "pytester"]


@pytest.fixture
def database() -> Iterator[eosdb.MemoryDatabase]:
    with eosdb.MemoryDatabase() as opened:
        writer = House(database=opened)
        for record in READINGS:
            writer.db_insert_record(record.model_copy())
        writer.save()
        yield opened


@pytest.fixture
def db() -> Iterator[eosdb.MemoryDatabase]:
    """An empty database."""
    with eosdb.MemoryDatabase() as opened:
        yield opened


@pytest.fixture(params=[NamedHouse, ModelHouse])
def loaded(request: pytest.FixtureRequest, database: eosdb.MemoryDatabase) -> Any:
    """A sequence with loaded rows of which none was ever an object."""
    sequence = request.param()
    sequence.database = database
    assert sequence.db_load_records() == ROWS
    return sequence


@pytest.fixture(params=["in memory", "stored"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """What makes a sequence of values by minute, once in memory and once stored and never built."""
    with eosdb.MemoryDatabase() as opened:
        yield (
            functools.partial(stored, opened)
            if request.param == "stored"
            else (functools.partial(fill, Rows()))
        )


@pytest.fixture(scope="session")
def houses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Databases of the same records by kind, to be copied and not to be changed."""
    folder = tmp_path_factory.mktemp("houses")
    for kind in ("lmdb", "sqlite"):
        make_house(folder / kind)
    return {kind: folder / kind for kind in ("lmdb", "sqlite")}


@pytest.fixture
def folder(tmp_path: Path, houses: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an LMDB database and a file to import, as the current one."""
    lay_out(tmp_path, houses["lmdb"])
    monkeypatch.chdir(tmp_path)
    return tmp_path
