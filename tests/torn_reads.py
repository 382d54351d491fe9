"""A writer whose every save is consistent in itself, and readers that look whether they see it so.

Every save replaces all rows of a namespace, and its metadata, by such that hold one number: that of
the save. There are twenty rows of a group, whose notes grow, and a hundred older ones, which are
compacted and deleted now and then.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import random
import select
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from aio_support import House as AsyncHouse
from support import House, Reading, second_of, when

import eosdb
from eosdb import LMDBDatabase, aio

START: Final = 1_704_067_200
MINUTE: Final = 60
GROUP: Final = 20
GROUP_START: Final = START + 10 * 3600
OLDER: Final = 100
COMPACTED: Final = 7
"""How many the older rows are when they were compacted to quarters of an hour."""
LONGEST_NOTE: Final = 40_000
ENOUGH: Final = 25
"""The least number of saves, so that everything that is done now and then is done."""

UNCOMPRESSED: Final = eosdb.DatabaseSettings(compression_level=0)

ARRAY_OF_GROUP: Final[dict[str, Any]] = {
    "start_datetime": when(GROUP_START),
    "end_datetime": when(GROUP_START + GROUP * MINUTE),
    "interval": MINUTE,
    "boundary": "strict",
    "aggregation": "first",
}


def say(what: object) -> None:
    """Tell the test something."""
    print(what, flush=True)  # noqa: T201  the report


# ---- the writer ---------------------------------------------------------------------------------


def power_of(number: int, second: int) -> float:
    """The power of the row of a second; those of the group add up to nothing."""
    place = (second - GROUP_START) // MINUTE
    return float(number) if place < 0 else number * (place - (GROUP - 1) / 2)


def length_of_note(number: int) -> int:
    """The length of a note of the group; the map starts with 1 MiB and has to be enlarged soon."""
    return min(1000 * number, LONGEST_NOTE)


def save(house: Any, number: int) -> None:
    """Replace everything by what holds this number, in one save."""
    house.delete_by_datetime(when(START), when(GROUP_START))
    for n in range(OLDER):
        # At other seconds than the last time, so that most rows of the file go.
        date_time = when(START + n * MINUTE + number % 2)
        house.db_insert_record(Reading(date_time=date_time, power_w=float(number), count=number))
    noise = random.Random(number)
    for second in range(GROUP_START, GROUP_START + GROUP * MINUTE, MINUTE):
        note = noise.randbytes(length_of_note(number) // 2).hex()
        power_w = power_of(number, second)
        house.update_value(when(second), power_w=power_w, count=number, note=note)
    house._db_metadata = {**house._db_metadata, "version": number}
    house._db_enter().metadata_saved = False  # the save writes them too
    assert house.save()


def write(path: str, seconds: str) -> None:
    """Save for so long once a line was read, and tell the last number."""
    with LMDBDatabase(path, settings=UNCOMPRESSED) as database:
        house: Any = House(database=database)
        number = 1
        save(house, number)
        say("start")
        sys.stdin.readline()
        end = time.monotonic() + float(seconds)
        while time.monotonic() < end or number < ENOUGH:
            if number % 5 == 0:
                assert house.db_compact() == OLDER
            elif number % 7 == 0:
                assert house.db_vacuum(keep_hours=2) == OLDER
            elif number % 11 == 0:
                assert house.db_delete_records() == GROUP + OLDER
                assert house.save()
            number += 1
            save(house, number)
        say(number)


# ---- what must hold -----------------------------------------------------------------------------


class Seen:
    """What a reader has seen.

    Attributes:
        rounds: How often everything was read.
        numbers: How many different numbers.
        last: The last one.
        reads: How often each way of reading found rows.
        mixed: How often it found those of more than one save.
    """

    def __init__(self) -> None:
        self.numbers = 0
        self.last = 0
        self.rounds = 0
        self.reads: dict[str, int] = {}
        self.mixed: dict[str, int] = {}

    def values(self, way: str, values: Iterable[float | None], since: int, until: int) -> None:
        """Check that values were saved no earlier than the reading began, and no later."""
        numbers = {int(value) for value in values if value is not None}
        if numbers:
            assert since <= min(numbers), f"{way} is out of date: {numbers}, not {since}"
            assert max(numbers) <= until, way
            self.reads[way] = self.reads.get(way, 0) + 1
            self.mixed[way] = self.mixed.get(way, 0) + (len(numbers) > 1)
            self.numbers += max(numbers) > self.last
            self.last = max(numbers)

    def rows(self, way: str, rows: list[dict[str, Any]], since: int, until: int) -> None:
        """Check records that may be of more than one save: each as a whole is of one."""
        self.values(way, [row["count"] for row in rows], since, until)
        for row in rows:
            number, second = row["count"], second_of(row["date_time"])
            assert row["power_w"] == power_of(number, second), way
            length = length_of_note(number) if second >= GROUP_START else 0
            assert len(row["note"] or "") == length, way

    def snapshot(self, way: str, rows: list[dict[str, Any]], since: int, until: int) -> None:
        """Check records that must be those of one save, all of them."""
        self.rows(way, rows, since, until)
        assert len({row["count"] for row in rows}) <= 1, f"torn: {[row['count'] for row in rows]}"
        assert len(rows) in {0, GROUP, GROUP + COMPACTED, GROUP + OLDER}, way

    def round(self) -> None:
        """Note that everything was read once."""
        self.rounds += 1
        if self.rounds == 1:
            say("start")

    def end(self, number: int) -> None:
        """Check that what was read last is what was saved last, and report."""
        assert self.last == number
        say(json.dumps(vars(self)))


def number_in(metadata: bytes | None) -> int:
    """The number that metadata hold."""
    assert metadata is not None
    return int(pickle.loads(metadata)["version"])


def fields(stored: list[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
    return [pickle.loads(value) for _, value in stored]


def is_over() -> bool:
    """Return whether the test has closed our input."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


# ---- readers ------------------------------------------------------------------------------------


def read(path: str) -> None:
    """Read in every way until the input is closed, and once more after that."""
    seen = Seen()
    with LMDBDatabase(path, read_only=True) as database:

        def newest() -> int:
            return number_in(database.get_metadata("house"))

        kept: Any = House(database=database)
        over = False
        while not over:
            over = is_over()
            since = newest()
            stored = list(database.iterate_records(namespace="house"))
            seen.snapshot("iterate_records", fields(stored), since, newest())
            for name, house in (("kept", kept), ("new", House(database=database))):
                since = newest()
                records = [record.model_dump() for record in house]
                seen.rows(f"{name} iterated", records, since, newest())
                since = newest()
                array = house.key_to_array("count", **ARRAY_OF_GROUP)
                seen.values(f"{name} key_to_array", array, since, newest())
                since = newest()
                _, values = house.key_to_lists("count")
                seen.values(f"{name} key_to_lists", values, since, newest())
            seen.round()
        seen.end(newest())


def read_asynchronously(path: str) -> None:
    """Do the same by way of an event loop."""

    async def main() -> None:
        seen = Seen()
        async with aio.LMDBDatabase(path, read_only=True) as database:

            async def newest() -> int:
                return number_in(await database.get_metadata("house"))

            kept: Any = AsyncHouse(database=database)
            over = False
            while not over:
                over = is_over()
                since = await newest()
                stored = [row async for row in database.iterate_records(namespace="house")]
                seen.snapshot("iterate_records", fields(stored), since, await newest())
                for name, house in (("kept", kept), ("new", AsyncHouse(database=database))):
                    since = await newest()
                    records = [record.model_dump() async for record in house]
                    seen.rows(f"{name} iterated", records, since, await newest())
                    since = await newest()
                    array = await house.key_to_array("count", **ARRAY_OF_GROUP)
                    seen.values(f"{name} key_to_array", array, since, await newest())
                    since = await newest()
                    _, values = await house.key_to_lists("count")
                    seen.values(f"{name} key_to_lists", values, since, await newest())
                seen.round()
            seen.end(await newest())

    asyncio.run(main())


def read_in_a_child(path: str) -> None:
    """Read in a process that was forked from one that had the database open, and keeps it so."""
    with LMDBDatabase(path) as database:
        house: Any = House(database=database)
        house.load()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                try:
                    database.count_records(namespace="house")
                except eosdb.ForkedError:
                    read(path)
                    status = 0
            except BaseException:  # noqa: BLE001  no exception may leave the child
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert house.db_count_records() in {0, GROUP, GROUP + COMPACTED, GROUP + OLDER}


# ---- a reader that is killed --------------------------------------------------------------------


def scan(path: str) -> None:
    """Read all values, again and again."""
    with LMDBDatabase(path, read_only=True) as database:
        say("start")
        while True:
            assert sum(1 for _ in database.iterate_records(namespace="house"))


def overwrite(path: str) -> None:
    """Overwrite the same rows, so often for every line of input; tell the size of the file."""
    noise = random.Random(1)
    with LMDBDatabase(path, settings=UNCOMPRESSED, durability="none") as database:
        house: Any = House(database=database)
        house.load()
        say("start")
        for line in sys.stdin:
            for _ in range(int(line)):
                for n in range(20):
                    house.update_value(when(START + n), note=noise.randbytes(5000).hex())
                house.save()
            say(Path(path, "data.mdb").stat().st_size)
