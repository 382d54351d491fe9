"""What eosdb's methods in Akkudoktor-EOS's sequences do beside what the defects are about."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from eos_stand_in.world import FLAVOURS, StandIn, World

import eosdb

NOON = eosdb.to_datetime("2026-01-01T12:00:00Z")


def _insert_at_the_same_time(world: World) -> Any:
    barrier = asyncio.Barrier(2)
    waited: set[asyncio.Task[Any] | None] = set()

    class Racing(world.module("measurement.measurement").Measurement):  # type: ignore[misc]
        async def db_get_record(self, target_timestamp: Any, **options: Any) -> Any:
            record = await super().db_get_record(target_timestamp, **options)
            if asyncio.current_task() not in waited:
                # Now either of the two has seen that there is no record yet.
                waited.add(asyncio.current_task())
                await barrier.wait()
            return record

    measurement = Racing()
    make = measurement.record_class()

    async def insert_both() -> None:
        both = (make(date_time=NOON, **values) for values in ({"m": 1.0}, {"g": 2.0}))
        await asyncio.gather(*map(measurement.insert_by_datetime, both))

    world.do(insert_both())
    world.do(measurement.save())
    return [values for _, values in world.rows(world.fresh())]


def test_two_tasks_may_insert_in_the_same_second(tmp_path: Path) -> None:
    done = StandIn.build(tmp_path, "asynchronous").run(_insert_at_the_same_time)
    assert done == [{"m": 1.0, "g": 2.0}]


def _use_what_cannot_be_opened(world: World) -> Any:
    world.do(world.database.close())
    folder = world.data / "file"
    folder.touch()
    world.config.general.data_folder_path = folder
    measurement = world.fresh()
    told = []
    for use in (measurement.save, measurement.load):
        with pytest.raises(eosdb.EosdbError) as caught:
            world.do(use())
        told.append(str(caught.value))
    return told


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_database_that_cannot_be_opened_is_not_taken_for_none(
    tmp_path: Path, flavour: str
) -> None:
    """The synchronous EOS says of it that it is not open, and goes on without."""
    told = StandIn.build(tmp_path, flavour).run(_use_what_cannot_be_opened)
    assert [str(tmp_path / "data" / "file") in message for message in told] == [True, True]


def _load_what_is_in_memory(world: World) -> Any:
    world.config.database.provider = None
    measurement = world.fresh()
    world.insert(measurement, [{"date_time": NOON, "m": 1.0}])
    return [bool(world.do(measurement.load())), len(measurement.records)]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_without_a_database_nothing_is_loaded(tmp_path: Path, flavour: str) -> None:
    """By this, EOS reads its JSON file instead."""
    assert StandIn.build(tmp_path, flavour).run(_load_what_is_in_memory) == [False, 1]
