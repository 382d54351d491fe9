"""The backends that eosdb puts into Akkudoktor-EOS, and what EOS's classes see of them."""

from __future__ import annotations

import importlib
import inspect
import logging
import pickle
from pathlib import Path
from typing import Any, ClassVar

import pytest
import upstream_format
from eos_stand_in.world import FLAVOURS, StandIn, World

import eosdb
import eosdb.akkudoktoreos
from eosdb import record_class
from eosdb.akkudoktoreos import findings, flavour

NOON = eosdb.to_datetime("2026-01-01T12:00:00Z")
Seen = tuple[StandIn, dict[str, Any]]


class _Foreign:
    """A backend that is none of ours, as in EOS's own tests."""

    is_open = True

    def provider_id(self) -> str:
        return "LMDB"


def _name(found: Any) -> str:
    return type(found).__name__


def _of_backends(world: World) -> Any:
    """Return what is to be known of the backends, one after the other."""
    facts: dict[str, Any] = {}
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("eosdb").addHandler(handler)
    logging.getLogger("eosdb").setLevel(logging.INFO)
    settings, database = world.config.database, world.database
    for name in ("LMDB", "SQLite"):
        settings.provider = name
        measurement = world.fresh()
        world.insert(measurement, [{"date_time": NOON, "m": 1.0, "note": name}])
        saved = world.do(measurement.save())
        backend = database._db
        facts[name] = {
            "saved": saved,
            "class": f"{type(backend).__module__}.{type(backend).__qualname__}",
            "named": type(backend).__name__,
            "bases": [
                base.__name__ for base in type(backend).__mro__ if base in vars(eosdb).values()
            ],
            "path": str(backend.storage_path),
            "native": measurement._db_enter().is_native,
            "store": database.native_store is backend.native_store is not None,
            "blocking": database.blocking is backend,
            "rows": [values for _, values in world.rows(world.fresh())],
            "any key": world.do(database.save_records([(b"no time", b"")], namespace="Other")),
        }
        backend.settings = backend.data_folder = None  # as EOS's may be set, to no effect
        facts[name]["settings"] = backend.settings is world.config.database
        facts[name]["folder"] = str(backend.data_folder)
        # Opening what is open, to have a namespace ready, is nothing to tell.
        backend.open(namespace="Measurement")
    facts["told"] = [line.split("'")[1] for line in told if " keeps the records of " in line]
    settings.provider = "LMDB"
    facts["changed"] = [_name(database.native_store), _name(database.blocking)]
    settings.provider = "SQLite"
    world.do(database.open())
    world.do(database.close())
    facts["closed"] = [_name(database.native_store), _name(database.blocking)]
    settings.provider = "LMDB"
    lmdb = world.module("core.database").LMDBDatabase
    lmdb.reset_instance()
    facts["map size"] = lmdb(map_size=2**25).map_size
    lmdb.reset_instance()
    backend = lmdb()
    facts["default map size"] = backend.map_size
    backend.open()
    store = backend.native_store
    facts["made again"] = [lmdb() is backend, store.is_open]
    own, database._db = database._db, _Foreign()
    facts["foreign"] = [hasattr(database, "native_store"), database.blocking]
    database._db = own
    settings.provider = None
    none = database.native_store
    facts["none"] = [none is not backend.native_store, none.namespaces(), database.blocking]
    return facts


@pytest.fixture(scope="module", params=FLAVOURS)
def backends(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    eos = StandIn.build(tmp_path_factory.mktemp("eos"), request.param)
    return eos, eos.run(_of_backends)


@pytest.mark.parametrize("name", ["LMDB", "SQLite"])
def test_both_backends_are_ours_under_their_names(backends: Seen, name: str) -> None:
    eos, facts = backends
    found = facts[name]
    assert found["class"] == f"akkudoktoreos.core.database.{name}Database"
    assert found["named"] == f"{name}Database"
    assert found["bases"] == [f"{name}Database", "DatabaseBackendABC", "DatabaseABC"]
    assert found["path"] == str(eos.data / "db" / f"{name.lower()}database")


@pytest.mark.parametrize("name", ["LMDB", "SQLite"])
def test_both_backends_save_natively(backends: Seen, name: str) -> None:
    _, facts = backends
    found = facts[name]
    assert (found["saved"], found["native"]) == (True, True)
    assert (found["store"], found["blocking"]) == (True, True)
    assert found["rows"] == [{"m": 1.0, "note": name}]


@pytest.mark.parametrize("name", ["LMDB", "SQLite"])
def test_a_backend_takes_any_key_as_those_of_eos_do(backends: Seen, name: str) -> None:
    _, facts = backends
    assert facts[name]["any key"] == 1


@pytest.mark.parametrize("name", ["LMDB", "SQLite"])
def test_the_configuration_decides_whatever_is_assigned(backends: Seen, name: str) -> None:
    eos, facts = backends
    assert (facts[name]["settings"], facts[name]["folder"]) == (True, str(eos.data))


def test_the_log_names_each_file_that_is_opened(backends: Seen) -> None:
    """The first was opened before anybody listened."""
    _, facts = backends
    assert [Path(path).name for path in facts["told"]] == ["sqlitedatabase"]


def test_the_size_of_the_map_is_the_callers(backends: Seen) -> None:
    _, facts = backends
    assert facts["map size"] == 2**25
    assert facts["default map size"] == eosdb.LMDBDatabase("nowhere").map_size


def test_making_a_backend_again_closes_its_store(backends: Seen) -> None:
    """Whoever holds the store still would keep the file open."""
    _, facts = backends
    assert facts["made again"] == [True, False]


def test_the_configured_database_is_used_as_soon_as_it_can_be_opened(backends: Seen) -> None:
    """The asynchronous EOS opens or changes it by a coroutine, which no property can await."""
    eos, facts = backends
    if eos.flavour == "asynchronous":
        assert facts["changed"] == ["Store", "SQLiteDatabase"]
        assert facts["closed"] == ["NoneType", "NoneType"]
    else:
        assert facts["changed"] == ["Store", "LMDBDatabase"]
        assert facts["closed"] == ["Store", "SQLiteDatabase"]


def test_a_backend_of_others_is_used_by_its_methods(backends: Seen) -> None:
    _, facts = backends
    assert facts["foreign"] == [False, None]


def test_without_a_configured_database_there_is_an_empty_store(backends: Seen) -> None:
    """It has sequences forget what was stored: that cannot be read any longer."""
    _, facts = backends
    assert facts["none"] == [True, [], None]


def _of_classes(world: World) -> Any:
    """Return what EOS's classes, and tools that look at its sources, see."""
    served = world.module("core.databaseabc")
    data = world.module("core.dataabc")
    made = (served.DatabaseABC, served.DatabaseBackendABC, served.DatabaseRecordProtocolMixin)
    measurement = world.fresh()
    alien = world.forecast().record_class()(date_time=NOON)
    with pytest.raises(TypeError, match="does not belong here"):
        world.do(measurement.insert_by_datetime(alien))
    nothing = dict.fromkeys(served.DatabaseABC.__abstractmethods__)
    database = type("Database", (served.DatabaseABC,), nothing)()
    database.settings = database.data_folder = None  # to no effect
    facts = {
        "settings": database.settings is world.config.database,
        "folder": database.data_folder == world.data,
        "pickled": [pickle.loads(pickle.dumps(each)) is each for each in made],
        "source": "def fill(" in inspect.getsource(served),
        "documented": bool(inspect.getdoc(served)),
        "file": Path(inspect.getsourcefile(data) or "").name,
        "loader": Path(data.__loader__.get_filename()).name,
        "frame": "to_dataframe" in vars(data.DataSequence),
        "trusted": record_class._base(measurement.record_class()) is data.DataRecord,
        "sparse": measurement.db_compact_sparse_first,
    }
    reloaded = importlib.reload(served)
    facts["reloaded"] = reloaded.DatabaseABC is not made[0]
    return facts


@pytest.mark.parametrize("kind", FLAVOURS)
def test_what_is_served_can_be_pickled_looked_up_and_reloaded(tmp_path: Path, kind: str) -> None:
    facts = StandIn.build(tmp_path, kind).run(_of_classes)
    assert facts == {
        "settings": True,
        "folder": True,
        "pickled": [True] * 3,
        "source": True,
        "documented": True,
        "file": "dataabc.py",
        "loader": "dataabc.py",
        "frame": False,
        "trusted": True,
        "sparse": True,
        "reloaded": True,
    }


def test_only_measurements_are_not_to_lie_in_the_future(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Forecasts do; and of a namespace without records, unreadable metadata are told."""
    value = upstream_format.pack({"date_time": NOON}, 0)
    rows = [(b"99980101T000000Z", value), (b"99990101T000000Z", value)]
    with eosdb.LMDBDatabase(tmp_path) as database:
        for namespace in ("Forecast", "Measurement"):
            database.save_records(rows, namespace=namespace)
        database.set_metadata(b"no metadata", namespace="Empty")
        with caplog.at_level(logging.INFO, "eosdb"):
            findings.tell(database, flavour.Flavour(tmp_path, is_asynchronous=False))
        problems = eosdb.akkudoktoreos.look(database).problems
    assert [problem.split(":")[0] for problem in problems] == ["Empty", "Measurement"]
    assert caplog.messages[0].endswith(": 3 namespaces")


class _Theirs:
    """A database that is none of EOS's, as its tests have them."""

    is_open = True


def _of_a_foreign_database(world: World) -> Any:
    measurement = type(world.fresh())

    class Kept(measurement):  # type: ignore[misc, valid-type]
        database: ClassVar[Any] = _Theirs()

    world.config.database.provider = None
    kept = Kept()
    return [kept.db_enabled, kept._db_must_open]


def test_a_database_that_is_none_of_eos_is_not_opened(tmp_path: Path) -> None:
    eos = StandIn.build(tmp_path, "asynchronous")
    assert eos.run(_of_a_foreign_database) == [True, False]
