"""The verbs of `eosdb` that move records, and those that thin them out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command_line_support import PROGRAM, RECORDS, VERBS, House, outcome, run
from support import WITH_TESTS, house

from eosdb import LMDBDatabase


def outside(*arguments: str) -> Any:
    """Run a verb in a process of its own; return what it says by `--json`."""
    result = subprocess.run(  # noqa: S603  our own program
        [*PROGRAM, *arguments, "--json"],
        env=WITH_TESTS, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(result.stdout)


def test_there_and_back_by_a_folder_of_files(folder: Path) -> None:
    with LMDBDatabase("house.db") as db:
        db.save_records(db.iterate_records(namespace="house"), "a/b")
    (folder / "files").mkdir()
    assert len(outcome("export", "house.db", "files", "--format", "parquet")["files"]) == 2
    taken = outcome("import", "new.db", "files")
    assert [file["namespace"] for file in taken["files"]] == ["a/b", "house"]
    with LMDBDatabase("house.db") as db, LMDBDatabase("new.db") as new:
        for name in db.namespaces():
            assert list(db.iterate_records(namespace=name)) == list(
                new.iterate_records(namespace=name)
            )


def test_columns_are_mapped(folder: Path) -> None:
    (folder / "in.csv").write_text("Zeit,Leistung\n2026-07-01 12:00,5.5\n")
    taken = outcome(
        "import", "new.db", "in.csv", "-n", "house", "--timezone", "Europe/Berlin",
        "--map", "Zeit=date_time", "--map", "Leistung=power_w",
    )  # fmt: skip
    assert taken["files"][0]["added"] == 1
    result = run("export", "new.db")
    assert result.stdout == (
        "date_time,date_time_zone,configured_data,power_w\n"
        "2026-07-01T12:00:00+02:00,Europe/Berlin,,5.5\n"
    )


def test_a_backup_while_the_database_is_written(folder: Path) -> None:
    with LMDBDatabase("house.db") as db:
        house(db, 10, start=0)
        copied = outside("backup", "house.db", "copy", "--compact")
        assert copied["records"] == {"house": RECORDS + 10}
    assert outcome("info", "copy")["namespaces"][0]["records"] == RECORDS + 10
    assert folder.exists()


def energy(path: str) -> Any:
    with LMDBDatabase(path, read_only=True) as db:
        return House(database=db).key_to_energy("grid_kwh", interval="1 hour", max_gap="2 hours")


def test_compaction_keeps_the_energy_of_a_meter(folder: Path) -> None:
    before = energy("house.db")
    trial = outcome(*VERBS["compact --dry-run"])
    assert trial["meters_not_named"] == ["grid_kwh"]
    done = outcome(*VERBS["compact"], "--tier", "1 hour=15 minutes", "--max-gap", "2 hours")
    assert done["replaced"] > 200
    assert done["meters_not_named"] == []
    assert energy("house.db") == pytest.approx(before, abs=1e-9)
    assert outcome("verify", "house.db")["sound"]
    assert folder.exists()


def test_vacuum_deletes_what_is_old(folder: Path) -> None:
    trial = outcome(*VERBS["vacuum --dry-run"])
    done = outcome(*VERBS["vacuum"])
    assert done["namespaces"] == trial["namespaces"]
    assert done["namespaces"][0]["deleted"] == RECORDS - 13
    assert done["namespaces"][0]["keep_from"] == "2026-01-02T00:55:00Z"
    assert outcome("info", "house.db")["namespaces"][0]["records"] == 13
    done = outcome("vacuum", "house.db", "--before", "2026-01-02T01:00:00+00:00")
    assert done["namespaces"][0]["deleted"] == 1
    assert folder.exists()
