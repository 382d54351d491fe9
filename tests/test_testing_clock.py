"""`eosdb.testing.FrozenClock`: everything in eosdb that asks what time it is sees it."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aio_support import House as AsyncHouse
from support import House, Reading, seconds, when

import eosdb
from eosdb import clock
from eosdb.testing import FrozenClock

NEW_YEAR = 1_767_225_600
HOUR = 3600
DAY = 24 * HOUR


def test_it_stands_still_until_it_is_moved(eosdb_clock: FrozenClock) -> None:
    assert eosdb_clock.now == eosdb.to_datetime() == when(NEW_YEAR)
    eosdb_clock.tick()
    eosdb_clock.tick("2 minutes")
    eosdb_clock.tick(timedelta(seconds=0.25))
    assert eosdb_clock.now == eosdb.to_datetime() == when(NEW_YEAR + 121.25)
    eosdb_clock.move_to("2026-07-01T12:00:00+02:00")
    shown = eosdb.to_datetime(in_timezone="Europe/Berlin")
    assert str(shown) == "2026-07-01 12:00:00+02:00"
    assert eosdb_clock.now.utcoffset() == timedelta(0)
    eosdb_clock.tick(timedelta(days=-1))
    assert eosdb.to_datetime() == eosdb_clock.now == when(1_782_813_600)
    for ask in (eosdb_clock.move_to, eosdb_clock.tick):
        with pytest.raises(eosdb.InvalidArgumentError):
            ask("soon")
    with pytest.raises(eosdb.TimestampRangeError):
        eosdb_clock.tick("500000 weeks")
    assert eosdb_clock.now == when(1_782_813_600)


def test_the_system_clock_is_back_afterwards() -> None:
    system = clock.now
    with FrozenClock() as outer:
        with FrozenClock(when(0)) as inner:
            assert clock.now() == inner.now == when(0)
        assert clock.now() == outer.now == when(NEW_YEAR)
    assert clock.now is system
    before, now, after = datetime.now(UTC), eosdb.to_datetime(), datetime.now(UTC)
    assert before <= now <= after


def test_new_records_and_namespaces_are_of_that_time(
    eosdb_clock: FrozenClock, eosdb_store: eosdb.DatabaseABC
) -> None:
    sequence = House(database=eosdb_store)
    eosdb_clock.tick("1 hour")
    sequence.insert_by_datetime(Reading(power_w=1.0))
    sequence.save()
    assert seconds(sequence) == [NEW_YEAR + HOUR]
    metadata = eosdb_store.get_metadata("house")
    assert metadata is not None
    assert b"2026-01-01T01:00:00+00:00" in metadata


@pytest.fixture
def eosdb_settings(eosdb_settings: eosdb.DatabaseSettings) -> eosdb.DatabaseSettings:
    """What this file's databases have, as an application's tests say it."""
    update = {"keep_duration_h": 24, "initial_load_window_h": 10}
    return eosdb_settings.model_copy(update=update)


def hourly(database: Any, hours: range) -> House:
    sequence = House(database=database)
    for hour in hours:
        sequence.update_value(when(NEW_YEAR + hour * HOUR), power_w=float(hour))
    sequence.save()
    return sequence


def test_retention_tells_the_newest_record_by_it(
    eosdb_clock: FrozenClock, eosdb_store: eosdb.DatabaseABC
) -> None:
    sequence = hourly(eosdb_store, range(-48, 1))
    # Made by a wrong clock: further ahead than a day.
    sequence.update_value(when(NEW_YEAR + 30 * HOUR), power_w=0.0)
    sequence.save()
    assert sequence.db_vacuum(dry_run=True) == 25
    eosdb_clock.tick("7 hours")
    assert sequence.db_vacuum() == 49
    assert seconds(sequence) == [NEW_YEAR + 30 * HOUR]


class Kept(House):
    """A sequence that keeps what is of yesterday or newer, but for an hour."""

    def db_keep_datetime(self) -> eosdb.DateTime:
        return when(NEW_YEAR - 23 * HOUR)

    def db_keep_duration(self) -> None:
        return None


def test_what_is_kept_up_to_an_instant_has_its_age_by_it(
    eosdb_clock: FrozenClock, eosdb_store: eosdb.DatabaseABC
) -> None:
    hourly(eosdb_store, range(-48, 1))
    sequence = Kept(database=eosdb_store)
    # The instant is that many hours old, and what is kept lies no further before the newest record.
    for age, expected in ((23, 25), (24, 24), (26, 22)):
        eosdb_clock.move_to(when(NEW_YEAR + (age - 23) * HOUR))
        assert sequence.db_vacuum(dry_run=True) == expected


def test_records_become_old_by_it(eosdb_clock: FrozenClock, eosdb_store: eosdb.DatabaseABC) -> None:
    sequence = House(database=eosdb_store)
    for minute in range(0, 180, 5):
        sequence.update_value(when(NEW_YEAR + minute * 60), power_w=float(minute))
    sequence.save()
    # All are too far ahead of the clock to be believed.
    eosdb_clock.move_to(when(NEW_YEAR - 2 * DAY))
    assert int(sequence.db_compact(dry_run=True)) == 0
    eosdb_clock.move_to(when(NEW_YEAR))
    assert int(sequence.db_compact()) > 0


def test_windows_around_now_lie_around_it(
    eosdb_clock: FrozenClock, eosdb_store: eosdb.DatabaseABC
) -> None:
    hourly(eosdb_store, range(-48, 48))
    for hour in (0, 20):
        eosdb_clock.move_to(when(NEW_YEAR + hour * HOUR))
        sequence = House(database=eosdb_store)
        sequence._db_load_initial_window()
        expected = [NEW_YEAR + (hour + offset) * HOUR for offset in range(-5, 5)]
        assert seconds(sequence.records) == expected


def test_an_array_of_nothing_begins_at_it(eosdb_clock: FrozenClock) -> None:
    for hour in (0, 2):
        eosdb_clock.move_to(when(NEW_YEAR + hour * HOUR))
        array = House().key_to_array("power_w", end_datetime=when(NEW_YEAR + 5 * HOUR))
        assert array.tolist() == [None] * (5 - hour)


@pytest.mark.usefixtures("eosdb_clock")
def test_threads_see_it(eosdb_aio_store: Any) -> None:
    async def main() -> None:
        sequence = AsyncHouse(database=eosdb_aio_store)
        await sequence.insert_by_datetime(Reading(power_w=1.0))
        await sequence.save()
        assert [record.date_time async for record in sequence] == [when(NEW_YEAR)]
        array = await AsyncHouse().key_to_array("power_w", end_datetime=when(NEW_YEAR + 2 * HOUR))
        assert len(array) == 2

    asyncio.run(main())


def test_nothing_else_asks_what_time_it_is() -> None:
    root = Path(__file__).parents[1]
    asks = re.compile(
        r"\b(?:datetime|DateTime|pendulum)\.(?:utc)?now\(|\.today\("
        r"|\btime\.(?:time|time_ns|localtime|gmtime)\("
        r"|SystemTime|Utc::now|Local::now"
    )
    sources = [*root.glob("python/**/*.py"), *root.glob("src/**/*.rs")]
    assert len(sources) > 100
    found = {str(path.relative_to(root)) for path in sources if asks.search(path.read_text())}
    # The latter makes names of temporary directories that nobody else has.
    assert found == {"python/eosdb/clock.py", "src/store/faulty.rs"}
