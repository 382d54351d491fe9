"""Versions of Akkudoktor-EOS between those that the stand-in has the structure of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eos_stand_in.world import FLAVOURS, StandIn, World

import eosdb
from eosdb.akkudoktoreos import flavour


def _compact_by_the_job(world: World) -> Any:
    manager = world.module("server.retentionmanager").RetentionManager()
    for name in ("autosave", "compaction"):
        manager.register(name, print, interval_attr=f"database/{name}_interval_sec")
    core = world.module("core.coreabc")
    both = [core.get_measurement(init=True), core.get_prediction(init=True)]
    now = eosdb.to_datetime().start_of("hour")
    for sequence, key in zip(both, ("p", "power_w"), strict=True):
        records = ({"date_time": now.subtract(minutes=n), key: 1.0} for n in range(600))
        world.insert(sequence, records)
    counts = []
    for keep in (None, 3):
        world.config.database.keep_duration_h = keep
        manager.jobs["compaction"][0]()
        counts += [sequence.db_count_records() for sequence in both]
    return [[setting for _, setting in manager.jobs.values()], counts]


def test_the_job_to_compact_of_0_3_0_compacts(tmp_path: Path) -> None:
    """The release 0.3.0 has the setting's name right, and still only saves."""
    settings, counts = StandIn.build(tmp_path, "synchronous").run(_compact_by_the_job)
    assert settings == ["database/autosave_interval_sec", "database/compaction_interval_sec"]
    # Measurements and forecasts are compacted; then those are deleted that are older than 3 hours.
    assert all(130 < count < 190 for count in counts[:2])
    assert all(100 < count < 130 for count in counts[2:])


MORE = """
    @property
    def db_enabled(self): ...

    def helper_that_eosdb_need_not_have(self, anything): ...

    def db_iterate_records(self, start_timestamp=None, end_timestamp=None):
        yield
"""


@pytest.fixture(params=FLAVOURS)
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The source of the database layer of an EOS that is on the path."""
    eos = StandIn.build(tmp_path, request.param)
    monkeypatch.syspath_prepend(str(eos.source))
    return eos.source / "akkudoktoreos/core/databaseabc.py"


def _add(source: Path, methods: str) -> None:
    if "async def" in source.read_text():
        methods = methods.replace("def db_iterate", "async def db_iterate")
    with source.open("a") as file:
        file.write(methods)


def test_properties_generators_and_what_is_none_of_the_layers_interface_are_fine(
    source: Path,
) -> None:
    _add(source, MORE)
    assert flavour.find().path == source.parent.parent


def test_a_positional_argument_that_eosdb_does_not_know_is_refused(source: Path) -> None:
    _add(source, MORE.replace("end_timestamp", "last_timestamp"))
    with pytest.raises(eosdb.errors.UnknownEosError, match=r"db_iterate_records .*last_timestamp"):
        flavour.find()
