"""A move that is ended from outside leaves nothing, at the latest after the next one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from moving_support import START
from support import WITH_TESTS, house

from eosdb import LMDBDatabase, StorageError, moving
from eosdb.new_places import new_directory, new_file

MOVES: Final[dict[str, Callable[[LMDBDatabase, Path], object]]] = {
    "export": lambda db, target: moving.export_records(db, "house", target, format="csv"),
    "backup": moving.backup_database,
    "migrate": moving.migrate_database,
}

ENDED: Final = """
import json, os, signal, sys
from click.testing import CliRunner
from eosdb.cli.program import program
from eosdb.moving import exporting

write = exporting.write_rows
def ended(path, *rest):
    write(path, *rest)
    assert path.exists()
    signal.raise_signal(number)
exporting.write_rows = ended

signal.signal(signal.SIGHUP, signal.SIG_DFL)
found = []
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    result = CliRunner().invoke(program, ["export", sys.argv[1], "out.csv"])
    found.append((result.exit_code, result.stderr, os.listdir()))
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
number = signal.SIGHUP
found.append((CliRunner().invoke(program, ["export", sys.argv[1], "out.csv"]).exit_code, "", []))
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
json.dump(found, sys.stdout)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "db"
    with LMDBDatabase(path) as db:
        house(db, 3, start=START)
    return path


def test_asked_to_end_it_ends_as_by_ctrl_c(source: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    result = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", ENDED, source],
        env=WITH_TESTS, cwd=place, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(result.stdout) == [
        [143, "eosdb: ended by SIGTERM\n", []],
        [129, "eosdb: ended by SIGHUP\n", []],
        [130, "eosdb: interrupted\n", []],
        [0, "", []],
    ]


KILLED: Final = """
import os, signal, sys
from pathlib import Path
from test_moving_drafts import MOVES
from eosdb import LMDBDatabase
from eosdb.moving import copying, exporting

def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
exporting.write_rows = copying._copied = LMDBDatabase.copy_to = killed
for name, move in MOVES.items():
    if os.fork() == 0:
        with LMDBDatabase(sys.argv[1], read_only=True) as db:
            move(db, Path(name))
    _, status = os.wait()
    assert os.WTERMSIG(status) == signal.SIGKILL
"""


def test_what_a_killed_move_left_is_removed_by_the_next(source: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    for other in (".export.note", ".exports.0123abcd.part", ".export.0123.part"):
        (place / other).touch()
    others = {path.name for path in place.iterdir()}
    command = [sys.executable, "-c", KILLED, str(source)]
    subprocess.run(command, env=WITH_TESTS, cwd=place, check=True)  # noqa: S603  our own program
    left = {path.name for path in place.iterdir()} - others
    assert sorted(name.split(".")[1] for name in left) == sorted(MOVES)
    with LMDBDatabase(source, read_only=True) as db:
        for name, move in MOVES.items():
            move(db, place / name)
    assert {path.name for path in place.iterdir()} == others | set(MOVES)


def test_what_another_one_is_making_stays(source: Path, tmp_path: Path) -> None:
    with LMDBDatabase(source, read_only=True) as db:
        with new_file(tmp_path / "export", overwrite=True) as draft:
            MOVES["export"](db, tmp_path / "export")
            assert draft.exists()

        def move_meanwhile(name: str) -> None:
            with new_directory(tmp_path / name) as draft:
                (draft / "file").touch()
                MOVES[name](db, tmp_path / name)
                assert (draft / "file").exists()

        for name in ("backup", "migrate"):
            with pytest.raises(StorageError):  # the target has come to be meanwhile
                move_meanwhile(name)
    assert {path.name for path in tmp_path.iterdir()} == {"db", *MOVES}


def test_a_draft_that_somebody_took_for_left_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def taken(path: Path, *_: object, **__: object) -> None:
        made.append(path)
        if len(made) > 1:
            path.write_text("")

    monkeypatch.setattr(Path, "touch", taken)
    with new_file(tmp_path / "file", overwrite=False) as draft:
        assert draft == made[1]
