"""What eosdb's methods in Akkudoktor-EOS's sequences do beside what the defects are about."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from eos_stand_in.world import StandIn, World

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
