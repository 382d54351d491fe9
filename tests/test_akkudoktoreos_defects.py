"""Defects that users of Akkudoktor-EOS have met, as they meet them no longer with eosdb in it."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import upstream_format
from eos_stand_in.world import FLAVOURS, StandIn, World

import eosdb

NOON = "2026-01-01T12:00:00+00:00"
TIERS = [(eosdb.to_duration("2 hours"), eosdb.to_duration("15 minutes"))]


@pytest.fixture(params=FLAVOURS)
def eos(request: pytest.FixtureRequest, tmp_path: Path) -> StandIn:
    return StandIn.build(tmp_path, request.param)


# Merging


def _merge(world: World) -> Any:
    measurement = world.fresh()
    world.insert(measurement, [{"date_time": NOON, "m": 1, "note": "kept"}])
    world.do(measurement.save())
    measurement = world.fresh()
    world.insert(measurement, [{"date_time": NOON, "g": 2, "note": None}])
    world.do(measurement.save())
    return world.rows(world.fresh())


def test_10_merging_a_record_takes_over_what_it_has(eos: StandIn) -> None:
    """`insert_by_datetime` merges configured values one by one, and `None` overwrites nothing.

    Akkudoktor-EOS keeps `{m: 1}` of `{m: 1}` and `{g: 2}`, and lets an explicit `None` overwrite.
    """
    assert eos.run(_merge) == [[NOON, {"m": 1, "g": 2, "note": "kept"}]]


def test_10_can_be_left_as_it_is(eos: StandIn) -> None:
    """With `mend=False`, EOS's own `insert_by_datetime` decides, on eosdb's storage."""
    assert eos.run(_merge, "unmended") == [[NOON, {"m": 1}]]


# Metadata


def _recent() -> list[dict[str, Any]]:
    """Return the times of readings every five minutes of the last thirty hours."""
    now = eosdb.to_datetime().in_timezone("UTC").start_of("hour")
    return [{"date_time": now.subtract(minutes=5 * n)} for n in range(360, 0, -1)]


def _compact_one_after_the_other(world: World) -> Any:
    measurement, forecast = world.fresh(), world.forecast()
    world.insert(measurement, [{**time, "p": 1.0} for time in _recent()])
    world.insert(forecast, [{**time, "power_w": 1.0} for time in _recent()])
    world.do(measurement.save())
    world.do(forecast.save())
    first = int(world.do(world.fresh().db_compact(TIERS)))
    told = world.forecast()
    world.do(told.db_load_records())
    state = told._db_get_compact_state(TIERS[0][1])
    second = int(world.do(world.forecast().db_compact(TIERS)))
    world.do(world.database.set_metadata(None, namespace="Measurement"))
    deleted = world.do(world.database.get_metadata(namespace="Measurement")) is None
    other = world.do(world.database.get_metadata(namespace="Forecast")) is not None
    return {"first": first, "state": state, "second": second, "deleted": deleted, "other": other}


def _assert_compacted(result: dict[str, Any]) -> None:
    assert result["first"] > 200
    assert result["second"] == result["first"]
    assert (result["state"], result["deleted"], result["other"]) == (None, True, True)


def test_11_every_namespace_has_metadata_of_its_own(eos: StandIn) -> None:
    """Compacting one namespace stops no other, and deleting one's metadata deletes one's metadata.

    The synchronous Akkudoktor-EOS keeps one value for all: the cutoff of whichever namespace is
    compacted first counts for the others too, and deleting it deletes it for all.
    """
    _assert_compacted(eos.run(_compact_one_after_the_other))
    assert upstream_format.read_metadata(eos.database, "Measurement") is None
    assert upstream_format.read_metadata(eos.database, "Forecast") is not None


def test_11_old_shared_metadata_are_left_alone(eos: StandIn) -> None:
    """What the synchronous Akkudoktor-EOS keeps for all counts for none, and stays as it is."""
    cutoff = eosdb.DatabaseTimestamp.from_datetime(eosdb.to_datetime())
    shared = pickle.dumps({"version": 1, "last_compact_cutoff_900": str(cutoff)})
    eos.database.mkdir(parents=True)
    upstream_format.put(eos.database, None, {b"__metadata__": shared})
    _assert_compacted(eos.run(_compact_one_after_the_other))
    assert upstream_format.read_values(eos.database, None)["__metadata__"] == shared


# Timestamps


def _measure_twice_a_second(world: World) -> Any:
    second = "2026-01-01T12:00:0{}+00:00"
    measurement = world.fresh()
    world.insert(
        measurement,
        [
            {"date_time": second.format("0.250"), "m": 1.0, "p": 10.0},
            {"date_time": second.format("0.750"), "g": 2.0, "p": 20.0},
            {"date_time": second.format("1"), "m": 1.5},
            {"date_time": second.format("1"), "m": 1.75},
        ],
    )
    world.do(measurement.save())
    # The first record is in storage only, for this process has not read it.
    measurement = world.fresh()
    world.insert(measurement, [{"date_time": second.format("0.999"), "p": 30.0}])
    world.do(measurement.save())
    rows = world.rows(world.fresh())
    return {
        "rows": [values for _, values in rows],
        "len": world.do(world.fresh().db_count_records()),
    }


def test_28_measurements_in_the_same_second_are_merged(eos: StandIn) -> None:
    """Of two measurements in a second, different keys are merged; the same key has the later value.

    Akkudoktor-EOS gives both the same key and drops configured values of the later one.
    """
    assert eos.run(_measure_twice_a_second) == {
        "rows": [{"m": 1.0, "g": 2.0, "p": 30.0}, {"m": 1.75}],
        "len": 2,
    }
    assert list(upstream_format.read_records(eos.database, "Measurement")) == [
        "20260101T120000Z",
        "20260101T120001Z",
    ]


def _remember_the_year_999(world: World) -> Any:
    forecast = world.forecast()
    years = ("9999", "0999", "1000", "0001")
    world.insert(forecast, [{"date_time": f"{y}-01-01T00:00:00Z", "power_w": 1.0} for y in years])
    world.do(forecast.save())
    return [time[:4] for time, _ in world.rows(world.forecast())]


def test_28_years_below_1000_are_padded(eos: StandIn) -> None:
    """Keys have 16 characters whatever the year, so that they sort as the instants do.

    Akkudoktor-EOS writes the year 999 with three digits, which sorts behind all others.
    """
    assert eos.run(_remember_the_year_999) == ["0001", "0999", "1000", "9999"]
    assert list(upstream_format.read_records(eos.database, "Forecast")) == [
        "00010101T000000Z",
        "09990101T000000Z",
        "10000101T000000Z",
        "99990101T000000Z",
    ]


# In the place of what Akkudoktor-EOS does


def _insert_at_the_same_time(world: World) -> Any:
    barrier = threading.Barrier(2)
    met = threading.local()

    class Racing(world.module("measurement.measurement").Measurement):  # type: ignore[misc]
        def db_get_record(self, target_timestamp: Any, **options: Any) -> Any:
            record = super().db_get_record(target_timestamp, **options)
            if not getattr(met, "already", False):
                # Now either of the two has seen that there is no record yet.
                met.already = True
                barrier.wait(timeout=30)
            return record

    measurement = Racing()
    make = measurement.record_class()
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(
                measurement.insert_by_datetime, make(date_time=eosdb.to_datetime(NOON), **values)
            )
            for values in ({"m": 1.0}, {"g": 2.0})
        ]
        errors = [repr(job.exception()) for job in jobs if job.exception() is not None]
    values = [record.configured_data for record in measurement.records]
    return {"errors": errors, "values": values}


def test_two_threads_may_insert_in_the_same_second(tmp_path: Path) -> None:
    """The synchronous EOS inserts from its server's threads; the asynchronous one has a lock."""
    done = StandIn.build(tmp_path, "synchronous").run(_insert_at_the_same_time)
    assert done == {"errors": [], "values": [{"m": 1.0, "g": 2.0}]}


def _use_the_default_namespace(world: World) -> Any:
    database = world.database
    world.do(database.save_records([(b"20260101T000000Z", b"named")], namespace="Named"))
    world.do(database.save_records([(b"20260102T000000Z", b"unnamed")]))
    return world.do(database.count_records(namespace="Named"))


def test_using_a_namespace_does_not_make_it_the_default(eos: StandIn) -> None:
    assert eos.run(_use_the_default_namespace) == 1
    assert "20260102T000000Z" in upstream_format.read_values(eos.database, None)
