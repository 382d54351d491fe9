"""How Akkudoktor-EOS is found and started with eosdb in it: what `python` and pytest allow."""

from __future__ import annotations

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


def test_a_module_is_named_in_full() -> None:
    with pytest.raises(eosdb.errors.InvalidArgumentError, match="named in full"):
        program.find(".server", is_module=True)


AGAIN = """\
import json, subprocess, sys
import akkudoktoreos.core.databaseabc as served
print(json.dumps([served.__spec__.origin, sys.path]), flush=True)
if not sys.argv[1:]:
    subprocess.run([sys.executable, sys.argv[0], "no more"], check=True)
"""


def test_a_safe_path_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, one: StandIn) -> None:
    """With `PYTHONSAFEPATH`, Python puts no folder in front of the path, and takes none away."""
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    one.data.mkdir()
    (one.data / "start.py").write_text(AGAIN)
    plain = one.python("start.py", "no more")
    ours = one.python(*RUNNER, "start.py")
    (_, path), *told = map(json.loads, [*plain.stdout.splitlines(), *ours.stdout.splitlines()])
    assert (told, ours.stderr) == ([["eosdb", path]] * 2, "")


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
