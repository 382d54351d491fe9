"""eosdb inside Akkudoktor-EOS, for which a small package of the same structure stands in."""

from __future__ import annotations

import functools
import json
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import eos_stand_in.world
import pytest
import upstream_format
from eos_stand_in.facts import READERS, facts_of
from eos_stand_in.world import FLAVOURS, StandIn, World

import eosdb
import eosdb.akkudoktoreos
from eosdb.akkudoktoreos import flavour
from eosdb.akkudoktoreos.importing import Finder

NOON = eosdb.to_datetime("2026-01-01T12:00:00Z")
Seen = tuple[StandIn, dict[str, Any]]
MIXIN = "class DatabaseRecordProtocolMixin"


@pytest.fixture(params=FLAVOURS)
def eos(request: pytest.FixtureRequest, tmp_path: Path) -> StandIn:
    return StandIn.build(tmp_path, request.param)


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, eos: StandIn) -> Iterator[StandIn]:
    """The stand-in, on the path of this process, which must stay as it is."""
    monkeypatch.syspath_prepend(str(eos.source))
    before = list(sys.meta_path)
    yield eos
    assert sys.meta_path == before
    assert not [name for name in sys.modules if name.startswith("akkudoktoreos")]


# ---- which EOS there is -----------------------------------------------------------------------


def test_the_flavour_is_found_in_the_source(path: StandIn) -> None:
    found = flavour.find()
    assert found.path == path.source / "akkudoktoreos"
    assert found.is_asynchronous == (path.flavour == "asynchronous")


def test_without_the_package_there_is_nothing_to_install_into(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    before = list(sys.meta_path)
    with pytest.raises(eosdb.errors.MissingDependencyError, match="no package akkudoktoreos"):
        eosdb.akkudoktoreos.install()
    assert sys.meta_path == before


def test_a_package_without_database_layer_is_refused(path: StandIn) -> None:
    (path.source / "akkudoktoreos/core/databaseabc.py").unlink()
    with pytest.raises(eosdb.errors.UnknownEosError, match=r"core/databaseabc\.py"):
        eosdb.akkudoktoreos.install()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (MIXIN, "class DatabaseRecords", "has no class DatabaseRecordProtocolMixin"),
        ("def db_count_records", "def db_shrink_records", r"\.db_shrink_records"),
        ("*, mark_dirty: bool", "*, priority: int, mark_dirty: bool", r"takes \['priority'\]"),
        ("def db_get_record", None, "db_get_record .* is asynchronous where ours is not"),
    ],
)
def test_an_unknown_database_layer_is_refused(
    path: StandIn, old: str, new: str | None, told: str
) -> None:
    if new is None:
        # One method is of the other kind.
        new = old if path.flavour == "asynchronous" else f"async {old}"
        old = f"async {old}" if path.flavour == "asynchronous" else old
    source = path.source / "akkudoktoreos/core/databaseabc.py"
    text = source.read_text()
    assert old in text
    source.write_text(text.replace(old, new, 1))
    with pytest.raises(eosdb.errors.UnknownEosError, match=told):
        eosdb.akkudoktoreos.install()


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("module", ["databaseabc", "database", "dataabc"])
def test_a_package_that_is_imported_already_is_refused(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"akkudoktoreos.core.{module}"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, name, ModuleType(name))
        with pytest.raises(eosdb.errors.UnknownEosError, match=f"'{name}' was imported already"):
            eosdb.akkudoktoreos.install()


# ---- what is served ---------------------------------------------------------------------------


@pytest.fixture(scope="module", params=FLAVOURS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    eos = StandIn.build(tmp_path_factory.mktemp("eos"), request.param)
    return eos, eos.run(facts_of)


def test_the_served_module_has_all_names(served: Seen) -> None:
    _, facts = served
    assert (facts["origin"], facts["missing"]) == ("eosdb", [])
    assert facts["modules"] == ["akkudoktoreos.core.database", "akkudoktoreos.core.databaseabc"]


def test_installing_twice_is_installing_once(served: Seen) -> None:
    eos, facts = served
    assert (facts["finders"], facts["again"]) == (1, eos.flavour == "asynchronous")


def test_the_backend_is_ours_in_the_same_place(served: Seen) -> None:
    eos, facts = served
    assert (facts["is_ours"], facts["is_theirs"], facts["one"]) == (True, True, True)
    assert facts["closed by being made again"]
    assert facts["path"] == str(eos.database)
    assert facts["provider"] == ["LMDB", "LMDB"]
    assert (eos.database / "data.mdb").is_file()


def test_a_sequence_saves_natively(served: Seen) -> None:
    _, facts = served
    assert (facts["saved"], facts["native"]) == (True, True)


def test_saving_and_loading_tell_whether_the_database_has_it(served: Seen) -> None:
    _, facts = served
    assert (facts["saved again"], facts["loaded again"]) == (True, True)


def test_the_readers_are_ours(served: Seen) -> None:
    _, facts = served
    assert facts["own readers"] == []
    assert all(name.startswith("eosdb.") for name in facts["readers"])
    assert facts["array"] == [1.0]


def test_a_reader_of_a_subclass_stays(served: Seen) -> None:
    _, facts = served
    assert facts["override"] == "the subclass's m"


def test_the_source_of_a_changed_module_is_found(served: Seen) -> None:
    _, facts = served
    assert facts["source"].startswith("class DataSequence(")


def test_what_is_configured_as_meter_reading_is_a_meter(
    served: Seen,
) -> None:
    _, facts = served
    assert facts["meters"] == {"m": "meter", "g": "meter"}
    assert facts["other meters"] == {"i": "meter"}


def _where_from(world: World) -> Any:
    names = ("core.databaseabc", "core.database", "core.dataabc")
    measurement = world.fresh()
    world.insert(measurement, [{"date_time": NOON, "m": 2.0}])
    world.do(measurement.save())
    return {
        "folders": [Path(world.module(name).__file__).parts[-4] for name in names],
        "backend": world.database._db.__class__.__mro__[0].__module__,
        "readers": [name for name in READERS if name in vars(world.sequence)],
        "finders": sum(isinstance(finder, Finder) for finder in sys.meta_path),
    }


def test_without_install_nothing_is_changed(eos: StandIn) -> None:
    assert eos.run(_where_from, "without eosdb") == {
        "folders": ["eos"] * 3,
        "backend": "akkudoktoreos.core.backends",
        "readers": list(READERS),
        "finders": 0,
    }


# ---- the same files ---------------------------------------------------------------------------


TIMES = [NOON.add(minutes=15 * n) for n in range(8)]
STORED: list[list[Any]] = [
    [time.isoformat().replace("Z", "+00:00"), {"m": 0.5, "note": "\u00e4"}] for time in TIMES
]


def _write(world: World) -> None:
    measurement = world.fresh()
    world.insert(measurement, [{"date_time": time, "m": 0.5, "note": "\u00e4"} for time in TIMES])
    world.do(measurement.save())


def _read(world: World) -> Any:
    return world.rows(world.fresh())


def _change(world: World) -> Any:
    measurement = world.fresh()
    before = world.rows(measurement)
    world.insert(measurement, [{"date_time": TIMES[0], "g": 1.5}])
    world.do(measurement.save())
    return before


def test_either_reads_what_the_other_wrote(eos: StandIn) -> None:
    eos.run(_write, "without eosdb")
    assert eos.run(_change) == STORED
    (time, values), *others = STORED
    assert eos.run(_read, "without eosdb") == [[time, {**values, "g": 1.5}], *others]


# ---- settings ---------------------------------------------------------------------------------


def _change_settings(world: World) -> Any:
    settings = world.config.database
    recent = eosdb.to_datetime().in_timezone("UTC").start_of("hour")
    result: dict[str, Any] = {}
    measurement = world.fresh()
    for level in (0, 9):
        settings.compression_level = level
        world.insert(measurement, [{"date_time": NOON.add(hours=level), "m": 1.0}])
        world.do(measurement.save())
        rows = list(world.database._db.iterate_records(namespace="Measurement"))
        result[f"level {level}"] = [world.database.compression_level, rows[-1][1][:2].hex()]
    world.insert(
        measurement, ({"date_time": recent.subtract(hours=n), "m": 1.0} for n in range(100))
    )
    world.do(measurement.save())
    settings.initial_load_window_h = 24
    measurement = world.fresh()
    window = world.module("core.databaseabc").UNBOUND_WINDOW
    world.do(measurement.db_get_record(recent.subtract(hours=50), time_window=window))
    result["loaded"] = len(measurement.records)
    # Another object takes the settings' place when EOS reads its configuration anew.
    world.config.database = settings.model_copy(update={"keep_duration_h": 48})
    result["keep"] = measurement.db_keep_duration().total_hours()
    world.do(measurement.db_vacuum())
    result["kept"] = world.do(world.fresh().db_count_records())
    return result


def test_settings_are_those_of_the_moment(eos: StandIn) -> None:
    result = eos.run(_change_settings)
    # A pickle, and one in gzip.
    assert result["level 0"] == [0, "8005"]
    assert result["level 9"] == [9, "1f8b"]
    # 12 hours to either side of the centre, whose own record is the first or second of them.
    assert 24 <= result["loaded"] <= 25
    assert result["keep"] == 48
    assert 48 <= result["kept"] <= 49


# ---- compaction -------------------------------------------------------------------------------


def _compact(world: World) -> Any:
    end = eosdb.to_datetime().in_timezone("UTC").start_of("day").subtract(days=1)
    start = end.subtract(days=2)
    measurement = world.fresh()
    world.insert(
        measurement,
        (
            # The second meter is changed for a new one in between.
            {"date_time": start.add(minutes=5 * n), "m": n**1.1, "g": float(n % 300), "p": n % 7}
            for n in range(577)
        ),
    )
    world.do(measurement.save())

    def energy(key: str) -> list[float]:
        fresh = world.fresh()
        array: list[float] = world.do(
            fresh.key_to_energy(key, start, end, "1 hour", max_gap="1 hour")
        ).tolist()
        return array

    before = {key: energy(key) for key in "mg"}
    changed = int(world.do(world.fresh().db_compact()))
    after = {key: energy(key) for key in "mg"}
    rows = world.do(world.fresh().db_count_records())
    return {"before": before, "after": after, "changed": changed, "rows": rows}


def test_compaction_keeps_the_energy_of_configured_meters(eos: StandIn) -> None:
    result = eos.run(_compact)
    assert result["changed"] > 300
    assert result["rows"] < 250
    for key in "mg":
        assert sum(result["before"][key]) > 0
        assert result["after"][key] == pytest.approx(result["before"][key], abs=1e-9)


# ---- findings ---------------------------------------------------------------------------------


FUTURE = "99980101T000000Z"


def _look(world: World) -> Any:
    messages: list[tuple[str, str]] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append((record.levelname, record.getMessage()))

    logger = logging.getLogger("eosdb")
    logger.addHandler(Noting())
    logger.setLevel(logging.INFO)
    world.do(world.database.close())
    messages.clear()
    world.do(world.database.open())
    world.do(world.database.open())
    told = list(messages)
    findings = eosdb.akkudoktoreos.look(world.database._db)
    names = [[found.name, found.records, found.first, found.last] for found in findings.namespaces]
    return {"told": told, "namespaces": names, "problems": findings.problems}


@pytest.fixture(scope="module", params=FLAVOURS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What is found in a database that much is wrong with."""
    eos = StandIn.build(tmp_path_factory.mktemp("eos"), request.param)
    eos.database.mkdir(parents=True)
    good = upstream_format.pack({"date_time": NOON, "power_w": 1.0}, 9)
    values = {
        b"__metadata__": b"no metadata",
        b"20250101T000000Z": good[:-9],
        b"20250102T000000Z": good,
        b"20250103T000000Z": b"\x1f\x8bno gzip",
    }
    upstream_format.put(eos.database, "Damaged", values)
    upstream_format.put(eos.database, "Empty", {})
    upstream_format.put(eos.database, "Good", {b"20250102T000000Z": good})
    upstream_format.put(eos.database, "Measurement", {FUTURE.encode(): good})
    return eos, eos.run(_look)


def test_findings_name_what_is_wrong(found: Seen) -> None:
    _, seen = found
    assert seen["namespaces"] == [
        ["Damaged", 3, "20250101T000000Z", "20250103T000000Z"],
        ["Empty", 0, None, None],
        ["Good", 1, "20250102T000000Z", "20250102T000000Z"],
        ["Measurement", 1, FUTURE, FUTURE],
    ]
    metadata, first, last, clock = seen["problems"]
    assert metadata.startswith("Damaged: its metadata are not readable")
    assert first.startswith("Damaged: the record at 20250101T000000Z: ")
    assert last.startswith("Damaged: the record at 20250103T000000Z: ")
    assert clock.startswith("Measurement: its last record lies in the future")


def test_the_log_tells_it_once(found: Seen) -> None:
    eos, seen = found
    levels, messages = zip(*seen["told"], strict=True)
    assert levels == ("INFO", "WARNING", "INFO", "WARNING")
    assert messages[0].endswith(f"({eos.flavour}) in '{eos.database}': 4 namespaces, 1 empty")
    assert messages[1].startswith("Damaged: 3 records, 20250101T000000Z to 20250103T000000Z; its")
    assert messages[2] == "Good: 1 record, 20250102T000000Z to 20250102T000000Z"


# ---- the runner -------------------------------------------------------------------------------

PROGRAMS = Path(eos_stand_in.world.__file__).parent / "programs"
RUNNER = ("-m", "eosdb.akkudoktoreos")


@pytest.fixture
def one(tmp_path: Path) -> StandIn:
    """A stand-in, where it makes no difference which."""
    eos = StandIn.build(tmp_path, "synchronous")
    shutil.copytree(PROGRAMS, eos.data)
    return eos


COMMANDS = [("-m", "probe"), ("probe.py",), ("data/probe.py",)]


def _run_plainly_and_by_the_runner(one: StandIn, command: tuple[str, ...]) -> list[list[str]]:
    """Return the lines that a program prints, run by Python and run by the runner."""
    folder = one.data.parent if command[0].startswith("data") else one.data
    run = functools.partial(one.python, folder=folder)
    plain, ours = run(*command, "-h", "more"), run(*RUNNER, *command, "-h", "more")
    assert (ours.returncode, ours.stderr) == (plain.returncode, plain.stderr) == (0, "")
    return [plain.stdout.splitlines(), ours.stdout.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_program_is_run_as_python_runs_it(one: StandIn, command: tuple[str, ...]) -> None:
    plain, ours = _run_plainly_and_by_the_runner(one, command)
    assert json.loads(plain[0])[0] == ["-h", "more"]
    assert (ours[0], ours[2]) == (plain[0], plain[2])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_program_knows_its_file_as_under_python(one: StandIn, command: tuple[str, ...]) -> None:
    plain, ours = _run_plainly_and_by_the_runner(one, command)
    assert ours[1] == plain[1]


@pytest.mark.parametrize("command", [("-m", "probe"), ("probe.py",)])
def test_how_a_program_ends_passes_through(one: StandIn, command: tuple[str, ...]) -> None:
    assert one.python(*RUNNER, *command, "leave").returncode == 3
    failed = one.python(*RUNNER, *command, "fail")
    assert failed.returncode == 1
    assert failed.stderr.endswith("LookupError: so it is\n")


@pytest.mark.parametrize(
    ("options", "module"),
    [((), "eosdb.akkudoktoreos.additions"), (("--unmended",), "akkudoktoreos.core.dataabc")],
)
def test_the_runner_installs_eosdb(eos: StandIn, options: tuple[str, ...], module: str) -> None:
    shutil.copytree(PROGRAMS, eos.data)
    done = eos.python(*RUNNER, *options, "-m", "whose")
    assert (done.stdout, done.stderr) == (f"True {module}\n", "")


@pytest.mark.parametrize("options", [(), ("--unmended",)])
@pytest.mark.parametrize("command", [("-m", "parent"), ("parent.py",)])
def test_a_program_starts_itself_again_on_eosdb(
    one: StandIn, command: tuple[str, ...], options: tuple[str, ...]
) -> None:
    done = one.python(*RUNNER, *options, *command, "start again")
    module = "akkudoktoreos.core.dataabc" if options else "eosdb.akkudoktoreos.additions"
    assert (done.stderr, done.stdout.splitlines()) == ("", [f"True {module}"] * 2)


@pytest.mark.parametrize("options", [(), ("--unmended",)])
def test_a_program_spawns_processes_on_eosdb(one: StandIn, options: tuple[str, ...]) -> None:
    done = one.python(*RUNNER, *options, "-m", "parent", "spawn")
    module = "akkudoktoreos.core.dataabc" if options else "eosdb.akkudoktoreos.additions"
    assert (done.stderr, done.stdout.splitlines()) == ("", [f"True {module}"] * 2)


def test_the_runner_tells_how_it_is_used(one: StandIn) -> None:
    told = one.python(*RUNNER, "-h")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("usage: python -m eosdb.akkudoktoreos")
    for arguments in ((), ("-m",), ("--unmended",)):
        done = one.python(*RUNNER, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert told.stdout in done.stderr


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("-m", "akkudoktoreos.core.nothing"), "there is no module 'akkudoktoreos.core.nothing'"),
        (("-m", "nothing.at.all"), "there is no module 'nothing.at.all' to run"),
        (("nothing.py",), "'nothing.py': No such file or directory\n"),
        (("akkudoktoreos.core",), "a module has -m in front of its name"),
    ],
)
def test_the_runner_tells_that_there_is_no_program(
    one: StandIn, command: tuple[str, ...], told: str
) -> None:
    done = one.python(*RUNNER, *command)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("eosdb: ")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_that_misses_another_says_where(one: StandIn) -> None:
    (one.data / "needs.py").write_text("import nothing_at_all\n")
    (one.data / "package").mkdir()
    (one.data / "package/__init__.py").write_text("import nothing_at_all\n")
    for module in ("needs", "package.part"):
        done = one.python(*RUNNER, "-m", module)
        assert "Traceback" in done.stderr
        assert "No module named 'nothing_at_all'" in done.stderr


def test_the_runner_tells_that_there_is_no_eos(one: StandIn) -> None:
    done = one.python(*RUNNER, "-m", "probe", with_package=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("eosdb: there is no package akkudoktoreos")


# ---- the plugin -------------------------------------------------------------------------------

PLUGIN = ("-m", "pytest", "-p", "eosdb.akkudoktoreos.pytest_plugin", "-p", "no:cacheprovider")


def test_the_plugin_runs_tests_on_eosdb(eos: StandIn) -> None:
    eos.data.mkdir()
    (eos.data / "pytest.ini").write_text("[pytest]\npythonpath = ../eos\n")
    (eos.data / "conftest.py").write_text("import akkudoktoreos.core.dataabc\n")
    (eos.data / "test_inner.py").write_text(
        "import akkudoktoreos.core.databaseabc as served\n\n\n"
        "def test_inner():\n    assert served.__spec__.origin == 'eosdb'\n"
    )
    done = eos.python(*PLUGIN, with_package=False)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_plugin_tells_that_there_is_no_eos(one: StandIn) -> None:
    done = one.python(*PLUGIN, with_package=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: eosdb: there is no package akkudoktoreos" in done.stderr
    assert "Traceback" not in done.stderr
