"""How Akkudoktor-EOS is found and started with eosdb in it: what `python` and pytest allow."""

from __future__ import annotations

import importlib
import importlib.machinery
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from eos_stand_in.world import StandIn

import eosdb.akkudoktoreos
from eosdb.akkudoktoreos import flavour, program, pytest_plugin
from eosdb.akkudoktoreos.importing import Finder

RUNNER = ("-m", "eosdb.akkudoktoreos")


@pytest.fixture
def one(tmp_path: Path) -> StandIn:
    """A stand-in, where it makes no difference which."""
    return StandIn.build(tmp_path, "synchronous")


# Finding it


def test_eos_is_found_by_whatever_would_import_it(
    monkeypatch: pytest.MonkeyPatch, one: StandIn
) -> None:
    """An editable installation may be a finder of its own, and nothing on the path."""

    class Editable:
        @staticmethod
        def find_spec(name: str, _path: Sequence[str] | None, _target: Any = None) -> Any:
            if name == "akkudoktoreos":
                return importlib.machinery.PathFinder.find_spec(name, [str(one.source)])
            return None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Editable])
    assert flavour.find().path == one.source / "akkudoktoreos"
    assert "akkudoktoreos" not in sys.modules


def _has_imported(monkeypatch: pytest.MonkeyPatch, eos: StandIn, name: str) -> None:
    monkeypatch.syspath_prepend(str(eos.source))
    monkeypatch.setitem(sys.modules, name, ModuleType(name))


def test_the_jobs_of_the_server_are_not_to_be_imported_before(
    monkeypatch: pytest.MonkeyPatch, one: StandIn
) -> None:
    _has_imported(monkeypatch, one, "akkudoktoreos.server.retentionmanager")
    before = list(sys.meta_path)
    with pytest.raises(eosdb.errors.UnknownEosError, match="retentionmanager' was imported"):
        eosdb.akkudoktoreos.install()
    assert sys.meta_path == before


class _Maker:
    """A finder whose loader has modules of its own making."""

    def __init__(self) -> None:
        self.module = ModuleType("made_elsewhere")

    def find_spec(self, name: str, _path: Any, _target: Any = None) -> Any:
        if name == self.module.__name__:
            return importlib.machinery.ModuleSpec(name, self)  # type: ignore[arg-type]
        return None

    def create_module(self, _spec: Any) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["value"] = 1


def test_a_module_is_changed_after_its_own_loader_has_made_and_run_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maker = _Maker()

    def change(module: ModuleType) -> None:
        module.__dict__["value"] += 1

    finder = Finder({}, {"made_elsewhere": change})
    # Python passes over what is no finder.
    monkeypatch.setattr(sys, "meta_path", [finder, object(), maker])
    module = importlib.import_module("made_elsewhere")
    monkeypatch.delitem(sys.modules, "made_elsewhere")
    assert module is maker.module
    assert module.value == 2


# What is run


def _run(path: Path) -> dict[str, Any]:
    found = program.find(str(path), is_module=False)
    namespace = {"__name__": "__main__"}
    program.execute(found, namespace)
    return namespace


def test_a_script_has_the_language_that_it_asks_for(tmp_path: Path) -> None:
    """Python evaluates its annotations, unless it says otherwise itself."""
    script = tmp_path / "script.py"
    script.write_text("def double(number: int): ...\n")
    assert _run(script)["double"].__annotations__ == {"number": int}
    script.write_text("from __future__ import annotations\ndef double(number: int): ...\n")
    assert _run(script)["double"].__annotations__ == {"number": "int"}


def test_a_module_may_import_its_neighbours_by_relative_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "house_of_cards"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "neighbour.py").write_text("NAME = __name__\n")
    (package / "start.py").write_text("from .neighbour import NAME\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    # Python would warn if the module's package were not that of its spec.
    program.execute(program.find("house_of_cards.start", is_module=True), namespace)
    assert namespace["NAME"] == "house_of_cards.neighbour"


def test_of_a_package_its_main_module_is_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "castle_in_the_air"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(eosdb.errors.InvalidArgumentError, match=r"castle_in_the_air\.__main__"):
        program.find("castle_in_the_air", is_module=True)
    (package / "__main__.py").write_text("")
    importlib.invalidate_caches()
    assert program.find("castle_in_the_air", is_module=True).file == str(package / "__main__.py")


def test_a_module_is_named_in_full() -> None:
    with pytest.raises(eosdb.errors.InvalidArgumentError, match="named in full"):
        program.find(".server", is_module=True)


AGAIN = """\
import json, subprocess, sys
import akkudoktoreos.core.databaseabc as served
print(json.dumps([served.__spec__.origin, sys.argv[1:], sys.path]), flush=True)
if "no more" not in sys.argv:
    subprocess.run([sys.executable, sys.argv[0], "no more"], check=True)
"""


def test_a_safe_path_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, one: StandIn) -> None:
    """With `PYTHONSAFEPATH`, Python puts no folder in front of the path, and takes none away."""
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    one.data.mkdir()
    (one.data / "start.py").write_text(AGAIN)
    plain = one.python("start.py", "no more")
    ours = one.python(*RUNNER, "start.py", "once more")
    (_, _, path), *told = map(json.loads, [*plain.stdout.splitlines(), *ours.stdout.splitlines()])
    assert ours.stderr == ""
    assert told == [["eosdb", ["once more"], path], ["eosdb", ["no more"], path]]


def test_a_script_that_is_linked_to_has_its_own_folder_on_the_path(one: StandIn) -> None:
    (one.data / "links").mkdir(parents=True)
    (one.data / "start.py").write_text(AGAIN)
    (one.data / "links" / "linked.py").symlink_to("../start.py")
    done = one.python(*RUNNER, "links/linked.py", "no more")
    assert json.loads(done.stdout)[2][0] == str(one.data.resolve())


# The plugin


PLUGIN = "eosdb.akkudoktoreos.pytest_plugin"


def test_a_conftest_may_name_the_plugin(one: StandIn) -> None:
    one.data.mkdir()
    (one.data / "conftest.py").write_text(f"pytest_plugins = ['{PLUGIN}']\n")
    (one.data / "test_inner.py").write_text(
        "import akkudoktoreos.core.databaseabc as served\n\n\n"
        "def test_inner():\n    assert served.__spec__.origin == 'eosdb'\n"
    )
    done = one.python("-m", "pytest", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_a_plugin_that_comes_too_late_says_so(
    monkeypatch: pytest.MonkeyPatch, one: StandIn
) -> None:
    _has_imported(monkeypatch, one, "akkudoktoreos.core.dataabc")
    with pytest.raises(pytest.UsageError, match=r"eosdb: .*dataabc' was imported already"):
        pytest_plugin.pytest_configure()
