"""Ctrl-C in the middle of a verb: one line, nothing half done, and it can be done again."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from command_line_support import RECORDS, START, digest, lay_out, make_house, outcome, run
from support import PROGRAM, WITH_TESTS, at, engine_for

Interrupt = Callable[..., Any]
"""Runs a verb in a folder, interrupted at a place; returns how it ended."""


@pytest.fixture(scope="module")
def interrupt() -> Iterator[Interrupt]:
    with subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, "-W", "error", "-c", PROGRAM, "interrupted_programs:serve"],
        env=WITH_TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        requests, answers = server.stdin, server.stdout

        def ask(
            folder: Path, arguments: list[str], at: str, call: int = 1, longest: float = 0
        ) -> Any:
            request = {"folder": str(folder), "arguments": arguments, "at": at, "call": call}
            requests.write(json.dumps({**request, "longest": longest}) + "\n")
            requests.flush()
            return json.loads(answers.readline())

        yield ask


def rubbish(database: Path) -> None:
    """Put something to repair into a database."""
    with engine_for(database)(database) as db:
        db.save_records([(at(START + 300).encode(), b"rubbish")], "house")


def two_namespaces(database: Path) -> None:
    with engine_for(database)(database) as db:
        db.save_records(db.iterate_records(namespace="house"), "shed")


def lines(folder: Path) -> None:
    """Make something longer to import."""
    rows = "".join(f"{START + number * 60},{number}\n" for number in range(250))
    (folder / "in.csv").write_text(f"date_time,power_w\n{rows}")


@pytest.fixture(params=["lmdb", "sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path, houses: dict[str, Path]) -> Path:
    """A folder with a database of each kind in turn."""
    folder = tmp_path / "folder"
    lay_out(folder, houses[request.param])
    (folder / "house.db").rename(folder / request.param)
    return folder


def database_in(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.name in {"lmdb", "sqlite"})


COMPLETE: Final[dict[str, tuple[list[str], str, int]]] = {
    # What appears when it is complete: its arguments, and where it is interrupted.
    "export CSV, looking": (["export", "DB", "out.csv"], "progress", 1),
    "export CSV, writing": (["export", "DB", "out.csv"], "progress", 2),
    "export CSV, reading": (["export", "DB", "out.csv"], "progress", 3),
    "export JSON lines": (["export", "DB", "out.jsonl"], "progress", 1),
    "export Parquet": (["export", "DB", "out.parquet"], "progress", 2),
    "export files": (["export", "DB", ".", "--format", "csv"], "progress", 2),
    "backup": (["backup", "DB", "out"], "the copy was made", 1),
    "migrate to LMDB": (["migrate", "DB", "out", "--to", "lmdb"], "progress", 1),
    "migrate to SQLite": (["migrate", "DB", "out", "--to", "sqlite"], "progress", 1),
    "migrate level": (["migrate", "DB", "out", "--level", "1"], "progress", 1),
    "repair into a target": (["repair", "DB", "out"], "progress", 1),
    "verify": (["verify", "DB"], "progress", 1),
    "stats": (["stats", "DB"], "progress", 1),
    "doctor": (["doctor", "DB"], "progress", 1),
    "repair --dry-run": (["repair", "DB", "--dry-run"], "progress", 1),
    "import --dry-run": (["import", "DB", "in.csv", "-n", "house", "--dry-run"], "batch", 1),
    "compact --dry-run": (["compact", "DB", "-n", "house", "--dry-run"], "progress", 1),
}


def assert_interrupted(answer: Any) -> None:
    assert answer == {
        "reached": True, "code": 130, "stdout": "", "stderr": "eosdb: interrupted\n",
    }  # fmt: skip


IN_BOTH_KINDS: Final = {
    "backup", "migrate to LMDB", "migrate to SQLite", "repair into a target", "compact --dry-run",
}  # fmt: skip
"""Where the kind of database makes a difference."""


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (kind, name)
        for name in COMPLETE
        for kind in ("lmdb", "sqlite")
        if kind == "lmdb" or name in IN_BOTH_KINDS
    ],
    indirect=["place"],
)
def test_what_was_interrupted_leaves_nothing(
    name: str, place: Path, interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    words, where, call = COMPLETE[name]
    arguments = [database_in(place).name if word == "DB" else word for word in words]
    before = digest(place)
    assert_interrupted(interrupt(place, arguments, where, call))
    for file in ("stdout", "stderr"):
        (place / file).unlink()
    assert digest(place) == before
    assert {path.name for path in place.iterdir()} == {database_in(place).name, "in.csv"}
    run(*arguments)  # nothing is in its way


@pytest.mark.soak
@pytest.mark.parametrize("place", ["lmdb", "sqlite"], indirect=True)
def test_at_any_moment(place: Path, interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever runs just then, the core in the midst of a transaction among it."""
    monkeypatch.chdir(place)
    kind = database_in(place).name
    shutil.rmtree(kind)
    make_house(place / kind, 20_000)
    shutil.copytree(kind, "sound")
    (place / "in.csv").write_text(
        "date_time,power_w\n" + "".join(f"{START + n * 60},{n}\n" for n in range(12_000))
    )
    commands = {name: words for name, (words, _, _) in COMPLETE.items()} | {
        "import": ["import", "DB", "in.csv", "-n", "new"],
        "compact": ["compact", "DB", "-n", "house", "--aggregation", "grid_kwh=meter"],
        "vacuum": ["vacuum", "DB", "--keep", "1 hour"],
        "repair": ["repair", "DB"],
    }
    interrupted = dict.fromkeys(commands, 0)
    for name, words in commands.items():
        longest = 1.0
        for _ in range(6):
            shutil.rmtree(kind)
            shutil.copytree("sound", kind)
            names = {path.name for path in place.iterdir()} | {"stdout", "stderr"}
            arguments = [kind if word == "DB" else word for word in words]
            answer = interrupt(place, arguments, "any", longest=longest)
            made = {path.name for path in place.iterdir()} - names
            if answer["code"] == 130:
                interrupted[name] += 1
                assert (answer["stdout"], answer["stderr"]) == ("", "eosdb: interrupted\n"), name
            else:
                # It had ended, perhaps but for Python itself; the next one is interrupted earlier.
                assert answer["code"] in {0, -signal.SIGINT}, (name, answer)
                assert answer["stdout"], name
                assert answer["stderr"] == "", name
                longest /= 2
            # What had appeared when it was interrupted is complete.
            assert not any(file.startswith(".") for file in made), name
            if "out" in made:
                assert outcome("verify", "out")["records"] == {"house": 20_000}, name
            for file in made:
                shutil.rmtree(file) if Path(file).is_dir() else Path(file).unlink()
            verified = outcome("verify", kind)
            assert verified["sound"], name
            if words[0] not in {"import", "vacuum", "compact"}:
                assert digest(place / kind) == digest(place / "sound"), name
            if words[0] == "import":
                assert verified["records"].get("new", 0) % 5_000 in {0, 2_000}
    assert all(interrupted.values()), interrupted


def test_an_interrupted_import_is_finished_by_doing_it_again(
    place: Path, interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    lines(place)
    arguments = ["import", database_in(place).name, "in.csv", "-n", "new"]
    assert_interrupted(interrupt(place, arguments, "batch", 2))
    assert outcome("verify", arguments[1])["records"] == {"house": RECORDS, "new": 200}
    (file,) = outcome(*arguments)["files"]
    assert (file["added"], file["unchanged"]) == (50, 200)


def test_an_interrupted_compaction_has_done_nothing(
    place: Path, interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    name = database_in(place).name
    arguments = ["compact", name, "-n", "house", "--aggregation", "grid_kwh=meter"]
    before = outcome("stats", name)
    assert_interrupted(interrupt(place, arguments, "progress", 2))
    assert outcome("stats", name) == before
    assert outcome("verify", name)["sound"]
    assert outcome(*arguments)["replaced"] > 0


def test_an_interrupted_vacuum_has_done_whole_namespaces(
    place: Path, interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    two_namespaces(database_in(place))
    arguments = ["vacuum", database_in(place).name, "--keep", "1 hour"]
    assert_interrupted(interrupt(place, arguments, "the next namespace", 2))
    assert outcome("verify", arguments[1])["records"] == {"house": 13, "shed": RECORDS}
    assert [each["deleted"] for each in outcome(*arguments)["namespaces"]] == [0, RECORDS - 13]


def test_an_interrupted_repair_loses_nothing(
    place: Path, interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    rubbish(database_in(place))
    arguments = ["repair", database_in(place).name]
    assert_interrupted(interrupt(place, arguments, "progress", 1))
    verified = outcome("verify", arguments[1])
    assert (verified["sound"], verified["quarantined"]) == (True, {"house": 1})
    assert outcome(*arguments)["records"] == {"house": RECORDS - 1}
