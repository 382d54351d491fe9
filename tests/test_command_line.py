"""The command `eosdb` as a program: what it prints where, how it ends, and its document."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from command_line_support import PROGRAM, VERBS, digest, make_house, outcome, run
from support import WITH_TESTS

from eosdb import cli
from eosdb.cli.program import program

COPIED: Final = {
    "source", "target", "kind", "records", "bytes_before", "bytes_after", "checked", "damaged",
    "left_out",
}  # fmt: skip

SHAPES: Final[dict[str, set[str]]] = {
    "info": {"path", "kind", "bytes", "namespaces"},
    "stats": {"namespaces"},
    "keys": {"namespaces"},
    "verify": {"sound", "records", "damage", "quarantined"},
    "repair": {"dry_run", "target", "records", "quarantined", "lost", "left", "damage"},
    "export": {"files"},
    "import": {"files"},
    "backup": COPIED,
    "migrate": COPIED,
    "compact": {
        "meters_not_named", "namespace", "dry_run", "replaced", "written", "bytes_saved", "tiers",
    },
    "vacuum": {"dry_run", "namespaces"},
    "plot": {"namespace", "path", "keys"},
    "doctor": {"path", "findings"},
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_it_did(verb: str, folder: Path) -> None:
    before = digest(folder)
    result = run(*VERBS[verb])
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search("house|records|date_time|ok", result.stdout)
    if "--dry-run" in verb or verb in {"info", "stats", "keys", "verify", "doctor", "export -"}:
        assert digest(folder) == before


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "export -"])
def test_every_verb_says_it_as_json_of_a_stable_shape(verb: str, folder: Path) -> None:
    data = outcome(*VERBS[verb])
    assert data.keys() == SHAPES[verb.partition(" ")[0]]
    if "dry_run" in data:
        assert data["dry_run"] == ("--dry-run" in verb)
    assert folder.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["info"],
        ["info", "house.db", "more"],
        ["export", "house.db", "out", "--format", "xlsx"],
        ["export", "house.db", "."],
        ["import", "house.db", "in.csv"],
        ["import", "house.db", "in.csv", "-n", "house", "--map", "power_w"],
        ["migrate", "house.db", "out", "--to", "oracle"],
        ["migrate", "house.db", "out", "--level", "10"],
        ["vacuum", "house.db"],
        ["vacuum", "house.db", "--keep", "1 day", "--before", "2026-01-01"],
        ["compact", "house.db"],
        ["compact", "house.db", "-n", "house", "--aggregation", "grid_kwh"],
        ["plot", "house.db", "out.txt"],
        ["plot", "house.db", "out.png", "--energy", "1 hour"],
        ["completion", "tcsh"],
    ],
)
def test_wrong_usage(arguments: list[str], folder: Path) -> None:
    before = digest(folder)
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    assert digest(folder) == before


def test_without_click_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "click", None)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    assert capsys.readouterr().err == (
        "eosdb: the command line needs click: install it by 'pip install click'\n"
    )


def test_without_pyarrow_it_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run("export", "house.db", "out.parquet")
    assert result.exit_code == 1
    assert "pip install eosdb[parquet]" in result.stderr
    assert not (folder / "out.parquet").exists()


def test_nobody_reads_any_longer(folder: Path) -> None:
    make_house(folder / "long.db", 5_000)
    with subprocess.Popen(  # noqa: S603  our own program
        [*PROGRAM, "export", "long.db"],
        env=WITH_TESTS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("date_time,")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def on_a_terminal(arguments: list[str], **environment: str) -> str:
    """Return what a program shows on a terminal."""
    leader, follower = pty.openpty()
    with subprocess.Popen(  # noqa: S603  our own program
        [*PROGRAM, *arguments],
        env={**WITH_TESTS, "TERM": "xterm", **environment},
        stdout=follower, stderr=follower, stdin=follower,
    ):  # fmt: skip
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 65_536)
            except OSError:  # the program has ended
                break
            if not part:
                break
            shown += part
    os.close(leader)
    return shown.decode()


def test_colours_and_bars_are_for_terminals(folder: Path) -> None:
    shown = on_a_terminal(["export", "house.db", "out.csv"])
    assert "Exporting house" in shown
    assert "100%" in shown
    assert "100%" in on_a_terminal(["import", "copy.db", "out.csv", "-n", "house"])
    for verb, label in (("backup", "Verifying"), ("vacuum", "Deleting")):
        assert re.search(f"{label}.*100%", on_a_terminal(VERBS[verb]))
    assert "\x1b[1m" in on_a_terminal(["info", "house.db"], NO_COLOR="")
    assert "\x1b[1m" not in on_a_terminal(["info", "house.db"], NO_COLOR="1")
    result = run("info", "house.db")
    assert "\x1b" not in result.stdout + result.stderr
    assert folder.exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_verbs(shell: str) -> None:
    assert "_EOSDB_COMPLETE" in run("completion", shell).stdout
    result = subprocess.run(  # noqa: S603  our own program
        PROGRAM,
        env={
            **WITH_TESTS,
            "_EOSDB_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": "eosdb ex",
            "COMP_CWORD": "1" if shell != "fish" else "ex",
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "export" in result.stdout


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("eosdb stats house.db -n ho", ["plain,house"]),
        ("eosdb stats house.db -n x", []),
        ("eosdb stats nothing.db -n ho", []),
        ("eosdb stats -n ho", []),
    ],
)
def test_shells_complete_namespaces(folder: Path, words: str, found: list[str]) -> None:
    result = subprocess.run(  # noqa: S603  our own program
        PROGRAM,
        env={
            **WITH_TESTS,
            "_EOSDB_COMPLETE": "bash_complete",
            "COMP_WORDS": words.replace(" ", "\n"),
            "COMP_CWORD": str(words.count(" ")),
        },
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (result.stdout.split(), result.stderr) == (found, "")


DOCUMENT: Final = Path(__file__).resolve().parents[1] / "docs" / "command-line.md"


def test_what_the_document_shows_is_what_happens(folder: Path) -> None:
    (folder / "power.csv").write_text("Zeit,Leistung\n2026-07-01 12:00,5.5\n2026-07-01 12:05,6.5\n")
    blocks = re.findall(r"^```console\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    steps = [step for block in blocks for step in block.split("$ eosdb ")[1:]]
    assert len(steps) >= 12
    shown, happened = [], []
    for step in steps:
        line, _, output = step.partition("\n")
        shown.append(f"$ eosdb {line}\n{output}")
        happened.append(f"$ eosdb {line}\n{run(*shlex.split(line)).output}")
    assert list(map(sizes_left_out, shown)) == list(map(sizes_left_out, happened))


def sizes_left_out(text: str) -> str:
    """Return text without what files take, which depends on the file system."""
    return re.sub(r"(database '.*?'|'backup.db'|before|equal:),? [\d.]+ kB", r"\1 … kB", text)


def test_the_document_names_every_verb_and_every_shape() -> None:
    text = DOCUMENT.read_text()
    for verb in program.commands:
        assert f"[`{verb}`](#" in text
    shapes = text.split("## JSON")[1].split("## Shells")[0]
    for verb, names in SHAPES.items():
        lines = [line.split("|") for line in shapes.splitlines() if line.startswith("| `")]
        (line,) = [cells[2] for cells in lines if f"`{verb}`" in cells[1]]
        assert all(f"`{name}`" in line for name in names), verb
