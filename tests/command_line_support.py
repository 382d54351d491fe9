"""Databases, verbs and outcomes for the tests of the command line."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from click.testing import CliRunner, Result
from support import engine_for, when

import eosdb
from eosdb.cli.program import program

START: Final = 1_767_225_600
RECORDS: Final = 300

PROGRAM: Final = [sys.executable, "-W", "error", "-c", "from eosdb.cli import main; main()"]


class Metered(eosdb.DataRecord):
    """A record with a meter."""

    power_w: float | None = None
    grid_kwh: float | None = None


class House(eosdb.DataSequence):
    """The sequence of :func:`make_house`."""

    records: list[Metered] = []  # noqa: RUF012  as with any model, every sequence gets its own

    def db_namespace(self) -> str:
        return "house"


def make_house(path: Path, records: int = RECORDS) -> None:
    """Make a database with a meter, a reading every 5 minutes, and a gap.

    Args:
        path: Its directory, whose name tells the kind.
        records: How many records.
    """
    with engine_for(path)(path) as db:
        sequence = House(database=db)
        for number in range(records):
            second = START + number * 300 + (3_600 if number >= 100 else 0)
            sequence.update_value(
                when(second), power_w=300.0 + number % 7, grid_kwh=100 + number * 0.025
            )
        sequence.save()


def lay_out(folder: Path, database: Path) -> None:
    """Make a folder with a copy of a database and a file to import."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(database, folder / "house.db")
    (folder / "in.csv").write_text(f"date_time,power_w\n{START},1.5\n")


def run(*arguments: str) -> Result:
    """Run a verb; what it raises unexpectedly fails the test."""
    result = CliRunner().invoke(program, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def outcome(*arguments: str) -> Any:
    """Run a verb that succeeds; return what it says by `--json`."""
    result = run(*arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def findings(*arguments: str) -> dict[str, list[str]]:
    """Return the states of each check of the doctor."""
    result = run("doctor", "house.db", *arguments, "--json")
    found: dict[str, list[str]] = {}
    for finding in json.loads(result.stdout)["findings"]:
        found.setdefault(finding["check"], []).append(finding["state"])
    bad = {state for states in found.values() for state in states} & {"warning", "problem"}
    assert result.exit_code == bool(bad)
    return found


def assert_is_one_line(stderr: str) -> None:
    """Check that an error is told in one line which is no excuse."""
    assert re.fullmatch(r"eosdb: [^\n]+\n", stderr), stderr
    assert "a mistake in eosdb" not in stderr


def digest(path: Path) -> dict[str, str]:
    """Return what a folder holds, but for what LMDB and SQLite note of readers."""
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file()
        and file.name not in {"lock.mdb", "data.db-shm"}
        and not (file.name == "data.db-wal" and file.stat().st_size == 0)
    }


VERBS: Final[dict[str, list[str]]] = {
    "info": ["info", "house.db"],
    "stats": ["stats", "house.db"],
    "keys": ["keys", "house.db"],
    "verify": ["verify", "house.db"],
    "repair": ["repair", "house.db"],
    "repair --dry-run": ["repair", "house.db", "--dry-run"],
    "export": ["export", "house.db", "out.csv"],
    "export -": ["export", "house.db"],
    "import": ["import", "house.db", "in.csv", "-n", "house"],
    "import --dry-run": ["import", "house.db", "in.csv", "-n", "house", "--dry-run"],
    "backup": ["backup", "house.db", "out"],
    "migrate": ["migrate", "house.db", "out"],
    "compact": ["compact", "house.db", "-n", "house", "--aggregation", "grid_kwh=meter"],
    "compact --dry-run": ["compact", "house.db", "-n", "house", "--dry-run"],
    "vacuum": ["vacuum", "house.db", "--keep", "1 hour"],
    "vacuum --dry-run": ["vacuum", "house.db", "--keep", "1 hour", "--dry-run"],
    "plot": ["plot", "house.db", "out.svg"],
    "doctor": ["doctor", "house.db"],
}

WRITING: Final = {"repair", "import", "compact", "vacuum"}
"""The verbs that change the database itself."""
