"""What the documents show works: their code runs, and the files and tests they name exist."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import eosdb

ROOT: Final = Path(__file__).resolve().parents[1]
README: Final = (ROOT / "README.md").read_text()
DESIGN: Final = (ROOT / "docs" / "design.md").read_text()
DOCUMENTS: Final = (
    "README.md",
    "CHANGELOG.md",
    "docs/akkudoktoreos.md",
    "docs/command-line.md",
    "docs/design.md",
    "docs/developing.md",
    "docs/energy.md",
    "docs/notebook.md",
    "docs/operators.md",
    "docs/performance.md",
    "docs/retention.md",
    "docs/testing.md",
)

MODULES: Final = sorted(
    module.name
    for module in pkgutil.walk_packages(eosdb.__path__, "eosdb.")
    if not module.name.rpartition(".")[2].startswith("_")
)
SHOWN_OUTPUT: Final = re.compile(r"print\(.*\)  # (.+)$", re.MULTILINE)


def python_blocks(markdown: str) -> list[str]:
    """Return the code of the blocks marked `python`."""
    return re.findall(r"^```python\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)


def run(code: str, folder: Path) -> str:
    """Run code as a program of its own, in which every warning is an error; return its output."""
    result = subprocess.run(  # noqa: S603  # the project's own documents
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return result.stdout


@pytest.mark.parametrize("document", ["README.md", "docs/notebook.md"])
def test_a_document_runs_from_top_to_bottom_and_prints_what_it_says(
    document: str, tmp_path: Path
) -> None:
    code = "\n".join(python_blocks((ROOT / document).read_text()))
    shown = SHOWN_OUTPUT.findall(code)
    assert shown
    assert run(code, tmp_path).splitlines() == shown


def test_the_tests_in_the_document_about_testing_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = python_blocks((ROOT / "docs" / "testing.md").read_text())
    code = "\n".join(blocks)
    pytester.makepyfile(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    result = pytester.runpytest_subprocess("-p", "eosdb.testing", "-W", "error")
    outcomes = result.parseoutcomes()
    assert outcomes == {"passed": outcomes["passed"]}
    assert outcomes["passed"] >= code.count("\ndef test_") >= 6


@pytest.mark.parametrize("name", ["eosdb", *MODULES])
def test_the_examples_in_the_docstrings_are_right(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    names = dict(vars(module))
    # The compiler takes this for a future import, which those who try an example have not made.
    names.pop("annotations", None)
    runner = doctest.DocTestRunner()
    for example in doctest.DocTestFinder().find(module, globs=names):
        runner.run(example)
    assert runner.summarize().failed == 0


def test_the_package_shows_examples() -> None:
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(name) for name in MODULES]
    assert sum(bool(test.examples) for module in modules for test in finder.find(module)) >= 3


def test_the_example_in_the_packages_docstring_runs(tmp_path: Path) -> None:
    _, indented = str(eosdb.__doc__).split("::\n")
    run("\n".join(line.removeprefix("    ") for line in indented.splitlines()), tmp_path)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    text = path.read_text()
    headings = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif "://" not in target:
            assert (path.parent / target).exists(), target


def sources() -> set[str]:
    """Return the files whose purpose the design document states, relative to the root."""
    patterns = (
        "src/**/*.rs",
        "python/eosdb/**/*.py",
        "python/eosdb/*.pyi",
        "python/eosdb/py.typed",
        "python/_eosdb_pytest/*",
        "tests/**/*.py",
        "tests/**/*.rs",
        "benches/*.py",
        "benches/*.rs",
        "benches/core/*.rs",
        "examples/*.py",
    )
    found = (path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file())
    return {str(path.relative_to(ROOT)) for path in found}


def described() -> set[str]:
    """Return the files that have a line in the design document's list of files."""
    files: set[str] = set()
    folder = ""
    for line in DESIGN.split("## Files", 1)[1].splitlines():
        if heading := re.match(r"### `(.+)/`", line):
            folder = heading[1]
        elif row := re.match(r"\| `([^|]+)` \|", line):
            files.update(f"{folder}/{name}" for name in row[1].split("`, `"))
    return files


def test_the_design_describes_every_file_and_no_other() -> None:
    assert described() == sources()


def test_the_tests_that_the_design_names_exist() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.(?:py|rs)|src/[\w/]+\.rs)::(\w+)`", DESIGN))
    assert named
    for file, test in named:
        text = (ROOT / file).read_text()
        assert re.search(rf"\b(?:def|fn) {test}\b", text), f"{file}::{test}"
