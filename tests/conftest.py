"""Stored rows, and a sequence that has loaded them, for the tests of dumps, copies and lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support import READINGS, ROWS, House, ModelHouse, NamedHouse

import eosdb


@pytest.fixture
def database() -> Iterator[eosdb.MemoryDatabase]:
    with eosdb.MemoryDatabase() as opened:
        writer = House(database=opened)
        for record in READINGS:
            writer.db_insert_record(record.model_copy())
        writer.save()
        yield opened


@pytest.fixture(params=[NamedHouse, ModelHouse])
def loaded(request: pytest.FixtureRequest, database: eosdb.MemoryDatabase) -> Any:
    """A sequence with loaded rows of which none was ever an object."""
    sequence = request.param()
    sequence.database = database
    assert sequence.db_load_records() == ROWS
    return sequence
