"""The asynchronous API beside the synchronous one, and in a process that was forked."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from aio_support import START, House, filled, gated, reading, run
from support import House as SyncHouse, when

import eosdb
from eosdb import aio
from eosdb.aio.blocking import BlockingSequence
from eosdb.retention_policy import RetentionPolicy
from eosdb.sequence_base import SequenceBase


def test_a_sequence_that_waits_for_the_loop_holds_up_none_that_saves_in_it() -> None:
    async def main() -> None:
        slow = await filled(gated("coroutines"), 1)
        await slow.db_insert_record(reading(2))
        gate = slow.database.gate("save_records")
        save = asyncio.create_task(slow.db_save_records())
        await gate.until_reached()
        with eosdb.MemoryDatabase() as database:
            other = SyncHouse(database=database)
            other.update_value(when(START), power_w=1.0)
            # In the loop, while a thread of the first sequence waits for the loop.
            assert other.db_save_records() == 1
        gate.open()
        assert await save == 1

    run(main())


def _count_in_a_child(folder: Path) -> int:
    """Return the status of a forked child that counts the records of a database."""

    async def count() -> int:
        async with aio.LMDBDatabase(folder) as database:
            return await House(database=database).db_count_records()

    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(asyncio.run(count()))
    return os.waitpid(child, 0)[1]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.LMDBDatabase(tmp_path / "db") as database:
            house = House(database=database)
            for number in range(3):
                await house.db_insert_record(reading(number))
            await house.db_save_records()

    run(main())
    status = _count_in_a_child(tmp_path / "db")
    assert os.WIFEXITED(status)
    assert os.WEXITSTATUS(status) == 3


NO_HOOKS = {"records", "model_post_init", "db_generate_timestamps", "db_damaged_records"}
"""What the base has beside the hooks; it is the same of whichever class."""


def test_every_hook_of_a_sequence_is_asked_for_by_the_thread_that_works_for_it() -> None:
    def public(class_: type[Any]) -> set[str]:
        return {name for name in vars(class_) if not name.startswith("_")}

    hooks = (public(SequenceBase) | public(RetentionPolicy)) - NO_HOOKS
    assert hooks <= public(BlockingSequence)
