"""The verbs of `eosdb` that look at a database, check and mend it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from command_line_support import RECORDS, START, findings, make_house, outcome, run
from support import at, house, when

import eosdb
from eosdb import LMDBDatabase
from eosdb.cli.doctor import readers


def test_info_and_stats(folder: Path) -> None:
    assert outcome("info", "house.db")["namespaces"] == [
        {
            "name": "house",
            "records": RECORDS,
            "first": "2026-01-01T00:00:00Z",
            "last": "2026-01-02T01:55:00Z",
        }
    ]
    (stats,) = outcome("stats", "house.db")["namespaces"]
    assert stats["typical_interval_s"] == 300
    assert stats["gaps"] == 1
    assert stats["longest_gaps"] == [{"start": "2026-01-01T08:15:00Z", "length_s": 3900}]
    assert stats["keys"] == {"power_w": RECORDS, "grid_kwh": RECORDS}
    (keys,) = outcome("keys", "house.db")["namespaces"]
    assert {key["key"]: key["meter"] for key in keys["keys"]} == {
        "power_w": False,
        "grid_kwh": True,
    }
    assert folder.exists()


def test_a_database_is_found_by_its_file_and_in_a_data_folder(folder: Path) -> None:
    shutil.copytree(folder / "house.db", folder / "data" / "db" / "lmdbdatabase")
    for path in ("house.db/data.mdb", "data"):
        assert outcome("info", path)["namespaces"][0]["records"] == RECORDS


def test_damage_is_found_put_aside_and_told(folder: Path) -> None:
    with LMDBDatabase("house.db") as db:
        db.save_records([(at(START + 300).encode(), b"rubbish")], "house")
    verified = run("verify", "house.db", "--json")
    assert verified.exit_code == 1
    (damage,) = json.loads(verified.stdout)["damage"]
    assert (damage["namespace"], damage["key"]) == ("house", at(START + 300))
    exported = run("export", "house.db", "out.csv", "--json")
    assert exported.exit_code == 1
    assert json.loads(exported.stdout)["files"][0]["records"] == RECORDS - 1
    printed = run("export", "house.db")
    assert printed.exit_code == 1
    assert "1 damaged record left out" in printed.stderr
    assert run("doctor", "house.db").exit_code == 1
    assert "damaged" in run("stats", "house.db").stdout
    assert run("repair", "house.db").exit_code == 0
    assert outcome("verify", "house.db")["quarantined"] == {"house": 1}
    assert "in quarantine from earlier repairs: 1 value\n" in run("verify", "house.db").stdout
    assert run("migrate", "house.db", "copy").exit_code == 0
    assert outcome("verify", "copy")["quarantined"] == {"house": 1}
    assert folder.exists()


def test_what_can_be_read_of_a_damaged_file_is_saved(folder: Path) -> None:
    file = folder / "house.db" / "data.mdb"
    data = bytearray(file.read_bytes())
    data[-4096:] = bytes(4096)
    file.write_bytes(data)
    if run("verify", "house.db").exit_code == 0:
        pytest.skip("the last page is not in use")
    result = run("repair", "house.db", "rescued.db")
    assert result.exit_code == 1
    assert "1 page lost" in result.stdout
    assert run("verify", "rescued.db").exit_code == 0


def test_the_doctor_finds_what_is_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings()["meters"] == ["ok"]
    assert findings("--backup-to", str(folder))["backup"] == ["warning"]
    assert findings("--backup-to", "none/backups")["backup"] == ["problem"]
    make_house(folder / "house.db")
    with LMDBDatabase("house.db") as db:
        house(db, 0)
    (folder / "in.csv").write_text(
        f"date_time,grid_kwh\n{START + 600},99.0\n{eosdb.to_datetime().add(days=3).isoformat()},\n"
    )
    outcome("import", "house.db", "in.csv", "-n", "house")
    found = findings()
    assert found["meters"] == ["warning"]
    assert found["clock"] == ["warning"]
    mount = ("tmpfs", "tmpfs", {"rw"})
    monkeypatch.setattr("eosdb.cli.doctor._mount", lambda _: mount)
    assert findings()["file system"] == ["problem"]
    monkeypatch.setattr("eosdb.cli.doctor._mount", lambda _: ("/dev/mmcblk0p1", "ext4", {"rw"}))
    assert findings()["durability"] == ["note"]
    monkeypatch.setattr("eosdb.cli.doctor._mount", lambda _: ("/dev/sda", "ext4", {"nobarrier"}))
    assert findings()["durability"] == ["problem"]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    assert findings()["free space"] == ["warning"]


def test_the_doctor_finds_readers_that_died_or_stay(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    mine, idle = os.getpid(), 2**64 - 1

    def states(*slots: tuple[int, int]) -> list[str]:
        table = b"".join(struct.pack("=QI", *slot).ljust(64, b"\0") for slot in slots)
        (tmp_path / "lock.mdb").write_bytes(bytes(128) + table)
        return [finding.state for finding in readers(tmp_path)]

    assert states((idle, mine), (0, 0)) == ["ok"]
    assert states((500, mine), (450, mine)) == ["ok"]
    assert states((500, mine), (300, mine)) == ["warning"]
    assert states((500, mine), (300, process.pid)) == ["note"]


def test_a_plot_tells_the_keys_and_not_their_labels(folder: Path) -> None:
    with eosdb.LMDBDatabase(folder / "odd.db") as db:
        fields = {"date_time": when(START), "configured_data": {"a$b": 1.0, "_hidden": 2.0}}
        db.save_records([(at(START).encode(), pickle.dumps(fields, 5))], "odd")
    assert outcome("plot", "odd.db", "odd.png")["keys"] == ["_hidden", "a$b"]
    assert outcome("plot", "house.db", "a.svg", "-k", "grid_kwh")["keys"] == ["grid_kwh"]
    hours = ["--energy", "1 hour"]
    assert outcome("plot", "house.db", "b.png", "-k", "grid_kwh", *hours)["keys"] == ["grid_kwh"]
    result = run("plot", "house.db", "c.png", "-k", "grid_kwh", *hours, "--to", "2000-01-01")
    assert "nothing can be drawn" in result.stderr
