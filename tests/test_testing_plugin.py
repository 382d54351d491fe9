"""The fixtures of `eosdb.testing` in a test suite that has nothing but eosdb installed."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]

SUITE: Final = """
import asyncio
import pytest
import eosdb
from eosdb import aio


class Power(eosdb.DataRecord):
    power_w: float | None = None


class House(eosdb.DataSequence):
    records: list[Power] = []

    def db_namespace(self):
        return "house"


class AsyncHouse(aio.DataSequence):
    records: list[Power] = []

    def db_namespace(self):
        return "house"


def test_every_engine(eosdb_engine, eosdb_store, tmp_path):
    assert eosdb_store.is_open
    classes = {"lmdb": eosdb.LMDBDatabase, "memory": eosdb.MemoryDatabase}
    classes["sqlite"] = eosdb.SQLiteDatabase
    assert type(eosdb_store) is classes[eosdb_engine]
    assert eosdb_store.storage_path.parent == tmp_path
    assert eosdb_store.namespaces() == []
    opened.append(eosdb_store)


opened = []


def test_each_was_closed():
    assert len(opened) == 3
    assert not any(database.is_open for database in opened)


def test_clock_and_faults(eosdb_store, eosdb_faults, eosdb_clock):
    house = House(database=eosdb_store)
    house.update_value(eosdb_clock.now, power_w=1.0)
    eosdb_faults.fail(on="commit")
    with pytest.raises(eosdb.StorageError):
        house.save()
    assert house.save() == 1


def test_asynchronously(eosdb_aio_store):
    async def main():
        house = AsyncHouse(database=eosdb_aio_store)
        await house.update_value(eosdb.to_datetime(0), power_w=1.0)
        assert await house.save() == 1

    asyncio.run(main())


def test_settings(eosdb_store):
    assert eosdb_store.compression_level == 3


@pytest.mark.parametrize("eosdb_engine", ["lmdb"])
def test_one_engine(eosdb_store):
    assert type(eosdb_store) is eosdb.LMDBDatabase


class TestAnEngineThatDoesNotExist:
    @pytest.fixture
    def eosdb_engine(self):
        return "tape"

    def test_it(self, eosdb_store):
        pass
"""

CONFTEST: Final = """
import pytest


@pytest.fixture
def eosdb_settings(eosdb_settings):
    return eosdb_settings.model_copy(update={"compression_level": 3})
"""

ONCE: Final = """
def test_the_plugin_is_there_once(pytestconfig):
    modules = [module.__name__ for module in pytestconfig.pluginmanager.get_plugins()
               if hasattr(module, "eosdb_store")]
    assert len(modules) == 1
    print(*modules)
"""

GIVEN_BY_CONFTEST: Final = 'pytest_plugins = ["eosdb.testing"]\n'

UNRELATED: Final = """
import sys

HEAVY = {"eosdb", "eosdb._core", "numpy", "pandas", "pendulum", "pydantic"}


def test_nothing_was_imported_but_the_plugin(request):
    assert "_eosdb_pytest" in sys.modules
    assert not HEAVY & set(sys.modules)
    assert request.config.pluginmanager.has_plugin("eosdb.testing")
"""


@pytest.fixture
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder by which eosdb is installed, as far as its entry points go."""
    folder = tmp_path_factory.mktemp("installed")
    information = folder / "eosdb_plugin-1.dist-info"
    information.mkdir()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["pytest11"]
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: eosdb-plugin\nVersion: 1\n")
    (information / "entry_points.txt").write_text(f"[pytest11]\n{lines}")
    # By these pytest tells whose assertions it rewrites.
    (information / "RECORD").write_text("eosdb/__init__.py,,\n_eosdb_pytest/__init__.py,,\n")
    return folder


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project without a configuration of its own, which can import eosdb."""
    path = [str(ROOT / "python"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    return pytester


def install(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ["PYTHONPATH"]]))


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider", *arguments)


def test_a_project_needs_nothing_but_eosdb_installed(
    project: pytest.Pytester, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, installed)
    project.makepyfile(SUITE)
    project.makeconftest(CONFTEST)
    result = run(project)
    result.assert_outcomes(passed=14, errors=1)
    result.stdout.fnmatch_lines(["*eosdb_engine is 'tape': expected one of*lmdb*"])


@pytest.mark.parametrize("given", [["option"], ["conftest"], ["option", "conftest", "installed"]])
def test_it_can_be_given_and_is_there_once(
    given: list[str], project: pytest.Pytester, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "installed" in given:
        install(monkeypatch, installed)
        monkeypatch.setenv("PYTEST_PLUGINS", "eosdb.testing")
    if "conftest" in given:
        project.makeconftest(GIVEN_BY_CONFTEST)
    project.makepyfile(ONCE)
    result = run(project, "-s", *(["-p", "eosdb.testing"] if "option" in given else []))
    result.assert_outcomes(passed=1)
    if "installed" in given:  # otherwise it may be by chance, where these tests run
        result.stdout.fnmatch_lines(["*_eosdb_pytest*"])


def test_who_does_not_use_it_pays_nothing(
    project: pytest.Pytester, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, installed)
    project.makepyfile(UNRELATED)
    run(project).assert_outcomes(passed=1)


def test_this_suite_has_it_too(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.has_plugin("eosdb.testing")
