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

from eosdb import LMDBDatabase, moving

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
