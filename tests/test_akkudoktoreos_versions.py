"""Versions of Akkudoktor-EOS between those that the stand-in has the structure of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eos_stand_in.world import StandIn, World


def _register_jobs(world: World) -> Any:
    manager = world.module("server.retentionmanager").RetentionManager()
    for name in ("autosave", "compaction"):
        manager.register(name, print, interval_attr=f"database/{name}_interval_sec")
    return {name: [job.__name__, setting] for name, (job, setting) in manager.jobs.items()}


def test_the_job_to_compact_of_0_3_0_compacts(tmp_path: Path) -> None:
    """The release 0.3.0 has the setting's name right, and still only saves."""
    eos = StandIn.build(tmp_path, "synchronous")
    assert eos.run(_register_jobs) == {
        "autosave": ["print", "database/autosave_interval_sec"],
        "compaction": ["_compact", "database/compaction_interval_sec"],
    }
