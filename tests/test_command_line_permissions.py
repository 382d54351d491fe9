"""Every verb of `eosdb` where something may not be written, or not even be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from command_line_support import VERBS, WRITING, assert_is_one_line, digest, lay_out, run
from permissions import permissions_held


@contextmanager
def modes_restored(folder: Path) -> Iterator[None]:
    """Let the folder be removed when the test is over."""
    modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    try:
        yield
    finally:
        for path, mode in modes.items():
            if path.exists():
                path.chmod(mode)


def directory(database: Path) -> None:
    database.chmod(0o555)


def data_file(database: Path) -> None:
    next(database.glob("data.*")).chmod(0o444)


def directory_without_lock_file(database: Path) -> None:
    (database / "lock.mdb").unlink(missing_ok=True)
    database.chmod(0o555)


def everything(database: Path) -> None:
    for file in database.iterdir():
        file.chmod(0o444)
    database.chmod(0o555)


def unreadable_file(database: Path) -> None:
    next(database.glob("data.*")).chmod(0)


def closed_directory(database: Path) -> None:
    database.chmod(0)


OWNER: Final = "as the database's owner"
CASES: Final[dict[tuple[str, Callable[[Path], None]], tuple[set[str], str]]] = {
    # Which verbs are refused, and what they say.
    ("lmdb", directory): (set(), ""),  # the lock file is there, and may be written
    ("lmdb", data_file): (WRITING, "data.mdb may not be written"),
    ("lmdb", directory_without_lock_file): (set(VERBS), f"lock.mdb may not be written.*{OWNER}"),
    ("lmdb", everything): (set(VERBS), f"lock.mdb may not be written.*{OWNER}"),
    ("lmdb", unreadable_file): (set(VERBS), f"data.mdb may not be read.*{OWNER}"),
    ("lmdb", closed_directory): (set(VERBS), "Permission denied"),
    ("sqlite", directory): (set(VERBS), f"directory may not be written.*{OWNER}"),
    ("sqlite", data_file): (WRITING, r"data.db may not be written.*open it read-only"),
    ("sqlite", everything): (set(VERBS), f"directory may not be written.*{OWNER}"),
    ("sqlite", unreadable_file): (set(VERBS), "must be able to read data.db"),
    ("sqlite", closed_directory): (set(VERBS), "Permission denied"),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1].__name__}")
def test_who_may_only_read_reads_where_that_can_be(
    case: tuple[str, Callable[[Path], None]],
    tmp_path: Path,
    houses: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, restrict = case
    refused, message = CASES[case]
    folder = tmp_path / "folder"
    lay_out(folder, houses[kind])
    monkeypatch.chdir(folder)
    before = digest(folder)
    with modes_restored(folder):
        restrict(folder / "house.db")
        for verb, arguments in VERBS.items():
            with permissions_held(tmp_path):
                result = run(*arguments)
            if verb in refused:
                assert result.exit_code == 1, verb
                told = result.stderr
                if verb == "doctor" and not told:  # it is one of its findings
                    told = result.stdout
                    assert re.search("problem +records", told)
                else:
                    assert_is_one_line(told)
                assert re.search(f"house.db.*{message}", told), told
            else:
                assert (result.exit_code, result.stderr) == (0, ""), verb
            if (folder / "out").exists():
                (folder / "out").rename(folder / f"out of {verb}")
            for left in (folder / "house.db").glob("data.db-*"):
                left.unlink()  # see the next test
    made = {"out.csv", "out.svg", "out of backup", "out of migrate"}
    if refused:
        after = digest(folder)
        assert {name: after[name] for name in after if name.split("/")[0] not in made} == before
    if refused == set(VERBS):
        assert not made & {path.name for path in folder.iterdir()}


def test_a_file_is_migrated_that_may_only_be_read_and_has_a_log(
    tmp_path: Path, houses: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(tmp_path / "folder", houses["sqlite"])
    monkeypatch.chdir(tmp_path / "folder")
    data_file(tmp_path / "folder" / "house.db")
    with permissions_held(tmp_path):
        assert run("info", "house.db").exit_code == 0  # leaves the log
        assert run("migrate", "house.db", "out").stderr == ""


TO_TARGETS: Final[dict[str, list[str]]] = {
    "export CSV": ["export", "house.db", "closed/out.csv"],
    "export JSON lines": ["export", "house.db", "closed/out.jsonl"],
    "export Parquet": ["export", "house.db", "closed/out.parquet"],
    "export in place of a file": ["export", "house.db", "closed/old.csv", "--overwrite"],
    "export into a directory": ["export", "house.db", "closed", "--format", "csv"],
    "import": ["import", "closed/new.db", "in.csv", "-n", "house"],
    "import SQLite": ["import", "closed/new.db", "in.csv", "-n", "house", "--kind", "sqlite"],
    "import where it is empty": ["import", "closed/empty", "in.csv", "-n", "house"],
    "import from": ["import", "house.db", "closed/secret.csv", "-n", "house"],
    "backup": ["backup", "house.db", "closed/out"],
    "migrate": ["migrate", "house.db", "closed/out"],
    "migrate to SQLite": ["migrate", "house.db", "closed/out", "--to", "sqlite"],
    "repair": ["repair", "house.db", "closed/out"],
    "plot": ["plot", "house.db", "closed/out.svg"],
}


@pytest.mark.parametrize("name", TO_TARGETS)
def test_a_place_that_may_not_be_written(name: str, folder: Path) -> None:
    closed = folder / "closed"
    (closed / "empty").mkdir(parents=True)
    for file in ("old.csv", "secret.csv"):
        (closed / file).write_text("date_time,power_w\n")
    before = digest(folder)
    with modes_restored(closed):
        (closed / "secret.csv").chmod(0)
        (closed / "empty").chmod(0o555)
        closed.chmod(0o555)
        with permissions_held(folder):
            result = run(*TO_TARGETS[name])
    assert result.exit_code == 1
    assert_is_one_line(result.stderr)
    assert re.search("closed.*Permission denied", result.stderr)
    assert ".part" not in result.stderr
    assert digest(folder) == before
    assert {path.name for path in closed.iterdir()} == {"old.csv", "secret.csv", "empty"}


def test_the_doctor_says_that_nothing_may_be_written(folder: Path) -> None:
    with modes_restored(folder):
        (folder / "house.db" / "data.mdb").chmod(0o444)
        with permissions_held(folder):
            result = run("doctor", "house.db")
    assert result.exit_code == 0
    assert "you may read it, but not write to it" in result.stdout
