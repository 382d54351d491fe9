"""What is to be known of an EOS that eosdb was installed into."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from eos_stand_in.world import World

import eosdb
import eosdb.akkudoktoreos
from eosdb.akkudoktoreos.importing import Finder

NOON = eosdb.to_datetime("2026-01-01T12:00:00Z")
READERS = ("key_to_array", "key_to_dict", "key_to_lists", "key_to_series", "key_to_value")

IMPORTED = (
    *("DATABASE_METADATA_KEY", "DataRecordProtocol", "DatabaseABC", "DatabaseBackendABC"),
    *("DatabaseRecordProtocol", "DatabaseRecordProtocolLoadPhase", "DatabaseRecordProtocolMixin"),
    *("DatabaseTimeWindowType", "DatabaseTimestamp", "DatabaseTimestampType", "T_Record"),
    *("T_DatabaseRecordProtocol", "UNBOUND_END", "UNBOUND_START", "UNBOUND_WINDOW"),
    *("_DatabaseTimestampUnbound", "_DatabaseTimeWindowUnbound"),
)
"""What EOS's modules and tests import from its database layer, and what it defines for others."""


def _derived(world: World) -> Any:
    class Derived(world.sequence):  # type: ignore[misc, name-defined]
        def key_to_array(self, key: str) -> str:
            return f"the subclass's {key}"

    return Derived


def facts_of(world: World) -> dict[str, Any]:
    """Return what is to be known of an EOS that eosdb was installed into.

    Args:
        world: The EOS.
    """
    served = world.module("core.databaseabc")
    backend = world.database._db
    again = eosdb.akkudoktoreos.install()
    facts: dict[str, Any] = {
        "origin": served.__spec__.origin,
        "missing": [name for name in IMPORTED if not hasattr(served, name)],
        "modules": sorted({made.__module__ for made in (served.DatabaseABC, world.backend)}),
        "finders": sum(isinstance(finder, Finder) for finder in sys.meta_path),
        "again": again.is_asynchronous,
        "is_ours": isinstance(backend, eosdb.LMDBDatabase),
        "is_theirs": isinstance(backend, served.DatabaseBackendABC),
        "path": str(backend.storage_path),
        "provider": [backend.provider_id(), world.database.provider_id()],
        "one": world.backend() is backend,
        "closed by being made again": not backend.is_open,
    }
    world.do(world.database.open())
    measurement = world.fresh()
    world.insert(measurement, [{"date_time": NOON, "m": 1.0}])
    facts["saved"] = world.do(measurement.save())
    facts["saved again"] = world.do(measurement.save())
    facts["loaded again"] = [world.do(measurement.load()) for _ in range(2)][-1]
    facts["native"] = measurement._db_enter().is_native
    facts["own readers"] = [name for name in READERS if name in vars(world.sequence)]
    facts["readers"] = sorted({getattr(world.sequence, name).__module__ for name in READERS})
    facts["override"] = _derived(world)().key_to_array("m")
    facts["source"] = inspect.getsource(world.sequence).splitlines()[0]
    facts["array"] = world.do(measurement.key_to_array("m")).tolist()
    facts["meters"] = measurement.db_compact_aggregations()
    world.config.measurement.load_emr_keys = None
    world.config.measurement.grid_import_emr_keys = ["i", "i"]
    facts["other meters"] = measurement.db_compact_aggregations()
    return facts
