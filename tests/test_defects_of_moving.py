"""Defects of importing, exporting and copying by the command line, each mended."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from moving_support import START, put
from support import WITH_TESTS, house, when

from eosdb import InvalidArgumentError, LMDBDatabase, moving
from eosdb.cli.program import program
from eosdb.native_database import NativeDatabase


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a database of three records and a file to import, as the current one."""
    with LMDBDatabase(tmp_path / "house.db") as db:
        house(db, 3, start=START, step=60)
    (tmp_path / "in.csv").write_text(f"date_time,power_w\n{START},1.5\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(program, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def outcome(*arguments: str) -> Any:
    """Run a verb that succeeds; return what it says by `--json`."""
    result = run(*arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def refused(*arguments: str, code: int = 1) -> str:
    """Run a verb that fails and leaves the database as it is; return the error."""
    file = Path("house.db/data.mdb")
    before = file.read_bytes()
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert "a mistake in eosdb" not in result.stderr
    assert file.read_bytes() == before
    return result.stderr


def test_lines_of_the_same_second_are_told(folder: Path) -> None:
    (folder / "in.csv").write_text(f"date_time,a\n{START + 9},1\n{START + 9},2\n{START},\n")
    result = run("import", "house.db", "in.csv", "-n", "new", "--dry-run")
    assert result.stdout == (
        "new: 2 records in 'in.csv': 2 would be added, 0 would be changed, 0 already there\n"
        "  1 line in the same second as an earlier one: the last one's values count\n"
    )
    (file,) = outcome("import", "house.db", "in.csv", "-n", "new")["files"]
    assert (file["records"], file["added"], file["repeated"]) == (2, 2, 1)


def test_two_files_for_one_namespace_are_refused(folder: Path) -> None:
    (folder / "files").mkdir()
    for name in ("house.csv", "house.jsonl", "other.csv"):
        (folder / "files" / name).write_text(f"date_time,a\n{START},1\n")
    error = refused("import", "house.db", "files")
    assert "'files/house.csv' and 'files/house.jsonl'" in error
    assert "'house'" in error
    assert outcome("import", "house.db", "files", "-n", "other")["files"][0]["added"] == 1


def test_the_quarantine_takes_no_files(folder: Path) -> None:
    for extra in ([], ["--dry-run"]):
        error = refused("import", "house.db", "in.csv", "-n", "eosdb_quarantine", *extra)
        assert "'eosdb_quarantine'" in error
    assert run("verify", "house.db").exit_code == 0
    assert folder.exists()


def test_nothing_is_written_into_the_database_itself(folder: Path) -> None:
    (folder / "link").symlink_to("house.db")
    (folder / "house.db" / "sub").mkdir()
    for target in ("house.db/data.mdb", "link/new", "house.db/sub/new", str(folder / "house.db/x")):
        for arguments in (
            ["export", "house.db", target, "--format", "csv", "--overwrite"],
            ["backup", "house.db/data.mdb", target],
            ["migrate", "link", target],
        ):
            error = refused(*arguments)
            assert re.fullmatch(f"eosdb: '{target}' lies in the directory of .*another.*\n", error)
    refused("export", "house.db", "house.db", "--format", "csv")
    assert {path.name for path in (folder / "house.db").iterdir()} == {
        "data.mdb", "lock.mdb", "sub",
    }  # fmt: skip
    assert run("export", "house.db", "house.dba").exit_code == 1  # no suffix, but no other reason
    assert run("export", "house.db", "house.db.csv").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "house.db", "in.csv", "-n", "h", "--map", "W=a", "--map", "W=b"],
         "--map names 'W' twice"),
        (["compact", "house.db", "-n", "house", "--tier", "2 hours=1 hour",
          "--tier", "2 hours=15 minutes"], "--tier names '2 hours' twice"),
        (["compact", "house.db", "-n", "house", "--aggregation", "note=last",
          "--aggregation", "note=mode"], "--aggregation names 'note' twice"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(arguments: list[str], message: str, folder: Path) -> None:
    assert message in " ".join(refused(*arguments, code=2).split())
    assert folder.exists()


def test_two_columns_of_one_key_are_refused(db: NativeDatabase, folder: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'W' and 'V' .*'a'"):
        moving.import_records(db, "h", folder / "in.csv", columns={"W": "a", "V": "a"})
    refused("import", "house.db", "in.csv", "-n", "h", "--map", "W=a", "--map", "V=a")


def test_the_kind_of_a_database_that_is_there(folder: Path) -> None:
    arguments = ["import", "house.db", "in.csv", "-n", "new"]
    error = refused(*arguments, "--kind", "sqlite")
    assert "'house.db' is an LMDB database, not sqlite" in error
    assert run(*arguments, "--kind", "lmdb").exit_code == 0
    assert outcome("import", "new.db", "in.csv", "-n", "new", "--kind", "sqlite")
    assert (folder / "new.db" / "data.db").is_file()
    assert run("import", "new.db", "in.csv", "-n", "new").exit_code == 0


def test_numbers_that_were_taken_as_text_are_told(folder: Path) -> None:
    (folder / "in.csv").write_text('date_time,a,b\n2026-01-01,"310,5",1\n')
    arguments = ["import", "house.db", "in.csv", "-n", "new", "--timezone", "UTC"]
    assert run(*arguments).stdout.endswith("\n  text, not numbers, in a ('310,5')\n")
    assert outcome(*arguments)["files"][0]["texts"] == {"a": "310,5"}
    (folder / "in.csv").write_text("date_time;a;b\n2026-01-01;310,5;1\n")
    assert "text" not in run(*arguments).stdout


def test_bounds_without_offset_are_in_the_zone_that_is_named(folder: Path) -> None:
    bounds = ["--from", "2026-01-01 09:00", "--to", "2026-01-01 09:01"]
    arguments = ["plot", "house.db", "out.svg", *bounds, "-k", "power_w", "--timezone"]
    assert "no numbers" in run(*arguments, "Europe/Berlin").stderr
    assert run(*arguments, "Asia/Tokyo").exit_code == 0  # of the first record
    assert (folder / "out.svg").is_file()


def test_every_bound_says_which_zone_it_is_in() -> None:
    found = {
        (verb, option.name): option.help or ""
        for verb, command in program.commands.items()
        for option in command.params
        if isinstance(option, click.Option) and option.name in {"start", "end", "before"}
    }
    assert len(found) == 5
    assert all("zone" in text for text in found.values()), found


EVIL = "evil\x1b[31m\x07\x9b2J\u202e"


@pytest.fixture
def evil(folder: Path) -> Path:
    """The folder with a namespace, a key and a value of control characters."""
    with LMDBDatabase("house.db") as db:
        put(db, {"date_time": when(START), "configured_data": {}, EVIL: EVIL})
        db.save_records(db.iterate_records(namespace="house"), EVIL)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "house.db"],
        ["stats", "house.db"],
        ["keys", "house.db"],
        ["verify", "house.db"],
        ["doctor", "house.db"],
        ["export", "house.db"],
        ["export", "house.db", "out.csv", "-n", EVIL],
        ["export", "house.db", EVIL, "-n", "nothing"],
        ["vacuum", "house.db", "--keep", "1 day", "--dry-run"],
        ["compact", "house.db", "-n", "house", "--dry-run"],
        ["info", "\udcff\x1b[2J"],
    ],
)
def test_control_characters_reach_no_terminal(arguments: list[str], evil: Path) -> None:
    for extra in ([], ["--json"], ["--debug"]):
        result = CliRunner().invoke(program, [*arguments, *extra], color=True)
        own = re.compile(r"^\x1b\[(1|3\d)m[\w .:'?]+\x1b\[0m", re.MULTILINE)
        shown = own.sub("", result.stdout + result.stderr)
        assert shown
        assert not re.search(r"[^\n -~\u00a0-\u2027\u2030-\u2065\u2070-\ud7ff]", shown), shown
        if "--json" in extra and result.exit_code == 0:
            json.loads(result.stdout)
    assert evil.exists()


def test_data_on_the_standard_output_stay_as_they_are(evil: Path) -> None:
    assert f",{EVIL}," in run("export", "house.db", "-n", EVIL).stdout
    assert evil.exists()


LATIN = """
import io, sys
sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="ascii")
from eosdb.cli import main
main()
"""


def test_the_standard_output_is_utf_8(folder: Path) -> None:
    with LMDBDatabase("house.db") as db:
        put(db, {"date_time": when(START), "note": "ä😀"})
    result = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", LATIN, "export", "house.db", "--to", "2026-01-01T00:00:01Z"],
        env=WITH_TESTS, capture_output=True, check=True,
    )  # fmt: skip
    assert result.stdout.decode("utf-8").endswith("ä😀\n")
    assert folder.exists()


def test_one_record_is_no_records(folder: Path) -> None:
    with LMDBDatabase("one.db") as db:
        house(db, 1, start=START)
    for arguments in (
        ["export", "one.db", "out.csv"],
        ["import", "one.db", "in.csv", "-n", "house"],
        ["backup", "one.db", "backup"],
        ["migrate", "one.db", "copy"],
        ["vacuum", "one.db", "--before", "2027-01-01", "--dry-run"],
        ["stats", "one.db"],
    ):
        shown = run(*arguments).stdout
        assert re.search(r"\b1 record\b|records   1,", shown), shown
        assert not re.search(r"\b1 (records|namespaces)", shown), shown
    assert folder.exists()
