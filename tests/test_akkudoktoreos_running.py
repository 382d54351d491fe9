"""What changes while Akkudoktor-EOS runs on eosdb: its settings, and what other threads do."""

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


def _switch_off(world: World) -> Any:
    stored = [{"date_time": NOON.add(minutes=5 * n), "p": float(n)} for n in range(48)]
    world.insert(measurement := world.fresh(), stored)
    world.do(measurement.save())
    measurement = world.fresh()
    world.do(measurement.load())
    world.config.database.provider = None
    world.insert(measurement, [{"date_time": NOON.add(days=1), "p": 99.0}])
    told = [world.do(measurement.save()), len(measurement.model_dump_json()) > 0]
    told += [world.do(measurement.key_to_array("p")).tolist(), len(measurement.records)]
    world.do(measurement.db_compact())
    # A sequence that is kept in no database has no namespace.
    told.append(world.do(world.sequence().db_count_records()))
    world.config.database.provider = "LMDB"
    told += [
        world.do(measurement.save()),
        len(world.rows(measurement)),
        len(world.rows(world.fresh())),
    ]
    return told


def test_a_database_that_is_switched_off_leaves_what_was_not_saved(eos: StandIn) -> None:
    """EOS then writes all records to a JSON file: those of the closed database are none of them."""
    assert eos.run(_switch_off) == [False, True, [99.0], 1, 0, True, 49, 49]


def _ask_hooks(world: World) -> Any:
    world.insert(measurement := world.fresh(), [{"date_time": NOON, "p": 1.0}])
    world.do(measurement.save())
    world.config.measurement.historic_hours = None
    told = [int(world.do(measurement.db_vacuum()))]
    sequence = world.module("measurement.measurement").Measurement

    class Failing(sequence):  # type: ignore[misc, valid-type]
        def db_initial_time_window(self) -> Any:
            return self.config.no_such_setting

    nearest = world.do(Failing().db_get_record(NOON, time_window=eosdb.UNBOUND_WINDOW))
    return [*told, nearest["p"]]


def test_hooks_that_eos_never_calls_may_fail(eos: StandIn) -> None:
    """The predictions' initial window asks for a setting that there is not."""
    assert eos.run(_ask_hooks) == [0, 1.0]


def _forget_a_meter(world: World) -> Any:
    start = eosdb.to_datetime().start_of("day").subtract(days=3)
    readings, reading = [], 0.0
    for minute in range(0, 1440, 4):
        reading += minute % 7 * (minute % 3)
        readings.append({"date_time": start.add(minutes=minute), "g": reading, "m": reading})
    world.insert(measurement := world.fresh(), readings)
    world.do(measurement.save())
    world.config.measurement.load_emr_keys = ["m"]
    compacted = int(world.do(measurement.db_compact()))
    world.config.measurement.load_emr_keys = ["m", "g"]
    energies = [
        world.do(world.fresh().key_to_energy(key, start, start.add(days=1), max_gap="1 hour"))
        for key in ("m", "g")
    ]
    return [compacted > 0, *(energy.round(6).tolist() for energy in energies)]


def test_a_meter_that_is_configured_no_longer_keeps_its_energy(eos: StandIn) -> None:
    compacted, kept, former = eos.run(_forget_a_meter)
    assert compacted
    assert former == kept


def _race(world: World) -> Any:
    measurement = world.fresh()
    found = measurement.db_get_record

    def overtaken(timestamp: Any, **options: Any) -> Any:
        record = found(timestamp, **options)
        if record is None:
            # Now the other thread comes.
            other = measurement.record_class()(date_time=NOON, m=1.0)
            measurement.db_insert_record(other)
        return record

    vars(measurement)["db_get_record"] = overtaken
    try:
        measurement.update_value(NOON, "p", 2.0)
    except ValueError as error:
        return str(error)
    del vars(measurement)["db_get_record"]
    return world.rows(measurement)


def test_two_threads_may_update_the_same_second(tmp_path: Path) -> None:
    eos = StandIn.build(tmp_path, "synchronous")
    assert eos.run(_race) == [["2026-01-01T12:00:00+00:00", {"m": 1.0, "p": 2.0}]]
    assert eos.run(_race, "unmended").startswith("Duplicate timestamp")
