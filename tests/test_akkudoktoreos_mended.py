"""What Akkudoktor-EOS forgets to do with its database, and does with eosdb in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eos_stand_in.world import FLAVOURS, StandIn, World

import eosdb

NOON = eosdb.to_datetime("2026-01-01T12:00:00Z")


@pytest.fixture(params=FLAVOURS)
def eos(request: pytest.FixtureRequest, tmp_path: Path) -> StandIn:
    return StandIn.build(tmp_path, request.param)


def _hours(count: int) -> list[dict[str, Any]]:
    """Return the values of a record in each of the last hours."""
    now = eosdb.to_datetime().in_timezone("UTC").start_of("hour")
    return [{"date_time": now.subtract(hours=n), "p": float(n)} for n in range(count, 0, -1)]


# Opening


def _use_what_nobody_opened(world: World) -> Any:
    world.do(world.database.save_records([], namespace="Measurement"))
    world.do(world.database.close())
    measurement = world.fresh()
    enabled = (world.database.is_open, measurement.db_enabled)
    world.insert(measurement, [{"date_time": NOON, "p": 1.0}])
    saved = world.do(measurement.save())
    return [*enabled, saved, world.database.is_open, world.rows(world.fresh())]


def test_the_database_that_is_configured_is_opened_by_who_uses_it_first(eos: StandIn) -> None:
    """The asynchronous EOS opens it nowhere, and so keeps everything in memory and a JSON file."""
    was_open, enabled, saved, is_open, rows = eos.run(_use_what_nobody_opened)
    # The synchronous EOS opens it when it is asked whether it is open.
    assert (was_open, enabled) == (eos.flavour == "synchronous", True)
    assert (saved, is_open) == (True, True)
    assert rows == [["2026-01-01T12:00:00+00:00", {"p": 1.0}]]


def _update_what_is_stored(world: World) -> Any:
    world.insert(measurement := world.fresh(), [{"date_time": NOON, "p": 1.0}])
    world.do(measurement.save())
    world.do(world.database.close())
    measurement = world.fresh()
    world.insert(measurement, [{"date_time": NOON, "m": 2.0}])
    world.do(measurement.save())
    return world.rows(world.fresh())


def test_what_is_stored_counts_before_the_database_is_open(eos: StandIn) -> None:
    rows = eos.run(_update_what_is_stored)
    assert rows == [["2026-01-01T12:00:00+00:00", {"m": 2.0, "p": 1.0}]]


def _without_database(world: World) -> Any:
    world.do(world.database.close())
    world.config.database.provider = None
    measurement = world.fresh()
    world.insert(measurement, [{"date_time": NOON, "p": 1.0}])
    return [measurement.db_enabled, world.do(measurement.save()), len(measurement.records)]


def test_without_a_configured_database_records_live_in_memory(eos: StandIn) -> None:
    assert eos.run(_without_database) == [False, False, 1]


# What saving and loading tell


def _save_and_load_twice(world: World) -> Any:
    measurement = world.fresh()
    told = [world.do(measurement.load())]
    world.insert(measurement, [{"date_time": NOON, "p": 1.0}])
    told += [world.do(measurement.save()), world.do(measurement.save())]
    told += [world.do(measurement.load()), world.do(measurement.load())]
    return told


def test_saving_and_loading_tell_whether_the_database_has_the_records(eos: StandIn) -> None:
    """By what they tell, EOS writes all measurements to a JSON file, or reads them from there."""
    # An empty database has none yet: those of the file are still to be read.
    assert eos.run(_save_and_load_twice) == [False, True, True, True, True]
    assert eos.run(_save_and_load_twice, "unmended")[1:3] == [True, False]


# How long records are kept


def _vacuum(world: World) -> Any:
    world.config.measurement.historic_hours = 10
    world.config.database.keep_duration_h = 40
    measurement, forecast = world.fresh(), world.forecast()
    world.insert(measurement, _hours(48))
    world.insert(forecast, [{"date_time": hour["date_time"]} for hour in _hours(48)])
    world.do(measurement.save())
    world.do(forecast.save())
    return [int(world.do(kept.db_vacuum())) for kept in (measurement, forecast)]


def test_a_class_of_eos_tells_how_long_its_records_are_kept(eos: StandIn) -> None:
    """EOS's classes say so by `db_keep_datetime`, which EOS never asks."""
    measurements, forecasts = eos.run(_vacuum)
    assert 37 <= measurements <= 39
    # Those say nothing; the settings have 40 hours for all, newest and the hour before it included.
    assert forecasts == 8


def _vacuum_with_a_wrong_clock(world: World) -> Any:
    measurement = world.fresh()
    measurement.__class__.db_keep_datetime = lambda _self: eosdb.to_datetime().add(years=10)
    world.insert(measurement, _hours(48))
    world.do(measurement.save())
    return int(world.do(measurement.db_vacuum()))


def test_a_clock_that_is_ahead_deletes_no_more_than_all_but_the_newest(eos: StandIn) -> None:
    assert eos.run(_vacuum_with_a_wrong_clock) == 47


# The regular jobs of the server


def _register_jobs(world: World) -> Any:
    manager = world.module("server.retentionmanager").RetentionManager()
    for name in ("autosave", "compact"):
        manager.register(name, print, interval_attr=f"database/{name}_interval_sec", fallback=1.0)
    core = world.module("core.coreabc")
    measurement, _ = core.get_measurement(init=True), core.get_prediction(init=True)
    now = eosdb.to_datetime().start_of("hour")
    records = [{"date_time": now.subtract(minutes=n), "p": 1.0} for n in range(600, 0, -1)]
    world.insert(measurement, records)
    compact, setting = manager.jobs["compact"]
    if compact is not print:
        compact()
    return [manager.jobs["autosave"][1], setting, measurement.db_count_records()]


def test_the_synchronous_server_saves_and_compacts_regularly(tmp_path: Path) -> None:
    """It asks for a setting that does not exist, which ends every job, and only ever saves."""
    eos = StandIn.build(tmp_path, "synchronous")
    autosave, compact, count = eos.run(_register_jobs)
    assert autosave == "database/autosave_interval_sec"
    assert compact == "database/compaction_interval_sec"
    assert count < 200


def test_the_jobs_can_be_left_as_they_are(tmp_path: Path) -> None:
    eos = StandIn.build(tmp_path, "synchronous")
    assert eos.run(_register_jobs, "unmended")[1:] == ["database/compact_interval_sec", 600]


# Another provider


def _switch_off_and_on(world: World) -> Any:
    measurement = world.fresh()
    world.insert(measurement, [{"date_time": NOON, "p": 1.0}])
    world.do(measurement.save())
    told = []
    for provider in (None, "LMDB"):
        world.config.database.provider = provider
        hour = 1 if provider is None else 2
        world.insert(measurement, [{"date_time": NOON.add(hours=hour), "p": 2.0}])
        told.append([measurement.db_enabled, world.do(measurement.save())])
    return [told, [row[0] for row in world.rows(world.fresh())]]


def test_the_provider_may_be_changed_while_it_is_running(tmp_path: Path) -> None:
    """What was saved to no database is saved when there is one again."""
    eos = StandIn.build(tmp_path, "asynchronous")
    told, rows = eos.run(_switch_off_and_on)
    assert told == [[False, False], [True, True]]
    assert rows == [f"2026-01-01T{hour}:00:00+00:00" for hour in (12, 13, 14)]
