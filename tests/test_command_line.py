"""The command `eosdb`: what it prints, how it ends, and what it leaves as it was."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result
from support import WITH_TESTS, at, house, when

import eosdb
from eosdb import LMDBDatabase, cli
from eosdb.cli.doctor import readers
from eosdb.cli.program import program

START: Final = 1_767_225_600
RECORDS: Final = 300

PROGRAM: Final = [sys.executable, "-W", "error", "-c", "from eosdb.cli import main; main()"]


class Metered(eosdb.DataRecord):
    """A record with a meter."""

    power_w: float | None = None
    grid_kwh: float | None = None


def make(path: Path, records: int = RECORDS) -> None:
    """Make a database with a meter, a reading every 5 minutes, and a gap."""

    class House(eosdb.DataSequence):
        records: list[Metered] = []  # noqa: RUF012

        def db_namespace(self) -> str:
            return "house"

    with LMDBDatabase(path) as db:
        sequence = House(database=db)
        for number in range(records):
            second = START + number * 300 + (3_600 if number >= 100 else 0)
            sequence.update_value(
                when(second), power_w=300.0 + number % 7, grid_kwh=100 + number * 0.025
            )
        sequence.save()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "house.db"
    make(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a database and files to import, as the current one."""
    shutil.copytree(template, tmp_path / "house.db")
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


def outside(*arguments: str) -> Any:
    """Run a verb in a process of its own; return what it says by `--json`."""
    result = subprocess.run(  # noqa: S603  our own program
        [*PROGRAM, *arguments, "--json"],
        env=WITH_TESTS, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(result.stdout)


def digest(path: Path) -> dict[str, str]:
    """Return what a folder holds, but for the table of readers."""
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != "lock.mdb"
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

SHAPES: Final[dict[str, set[str]]] = {
    "info": {"path", "kind", "bytes", "namespaces"},
    "stats": {"namespaces"},
    "keys": {"namespaces"},
    "verify": {"sound", "records", "damage", "quarantined"},
    "repair": {"dry_run", "target", "records", "quarantined", "lost"},
    "export": {"files"},
    "import": {"files"},
    "backup": {"source", "target", "kind", "records", "bytes_before", "bytes_after", "checked"},
    "migrate": {"source", "target", "kind", "records", "bytes_before", "bytes_after", "checked"},
    "compact": {
        "meters_not_named", "namespace", "dry_run", "replaced", "written", "bytes_saved", "tiers",
    },
    "vacuum": {"dry_run", "namespaces"},
    "plot": {"namespace", "path", "keys"},
    "doctor": {"path", "findings"},
}  # fmt: skip


def no_database(folder: Path) -> None:
    shutil.rmtree(folder / "house.db")


def an_empty_directory(folder: Path) -> None:
    no_database(folder)
    (folder / "house.db").mkdir()


def a_foreign_file(folder: Path) -> None:
    no_database(folder)
    (folder / "house.db").write_text("This is no database.\n" * 1000)


def a_foreign_database_file(folder: Path) -> None:
    (folder / "house.db" / "data.mdb").write_bytes(b"SQLite format 3\0" + bytes(100_000))


def an_empty_database_file(folder: Path) -> None:
    (folder / "house.db" / "data.mdb").write_bytes(b"")


def a_damaged_file(folder: Path) -> None:
    file = folder / "house.db" / "data.mdb"
    data = bytearray(file.read_bytes())
    for place in range(2 * 4096, len(data), 4096):
        data[place : place + 64] = b"\xff" * 64
    file.write_bytes(data)


STATES: Final[dict[str, Callable[[Path], None]]] = {
    state.__name__.replace("_", " "): state
    for state in (
        no_database,
        an_empty_directory,
        a_foreign_file,
        a_foreign_database_file,
        an_empty_database_file,
        a_damaged_file,
    )
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", VERBS)
def test_a_bad_database_is_one_line_and_stays_as_it_is(verb: str, state: str, folder: Path) -> None:
    STATES[state](folder)
    before = digest(folder)
    result = run(*VERBS[verb])
    if state == "an empty database file" and verb in {"repair", "import", "compact", "vacuum"}:
        assert result.exit_code == (verb == "compact")  # LMDB makes a new one of it
        return
    is_made = verb.startswith("import") and state in {"no database", "an empty directory"}
    if is_made:
        assert result.exit_code == 0
        assert ("house.db/data.mdb" in digest(folder)) == (verb == "import")
        return
    assert result.exit_code == 1
    if result.stderr:
        assert re.fullmatch(r"eosdb: [^\n]+\n", result.stderr)
        assert "a mistake in eosdb" not in result.stderr
    else:
        # What looks for damage tells of it.
        assert state == "a damaged file"
        assert verb in {"verify", "repair --dry-run", "doctor"}
        assert "damaged" in result.stdout or "1 page lost" in result.stdout
    assert digest(folder) == before


HOLDER: Final = """
import sys, lmdb
env = lmdb.open(sys.argv[1], max_dbs=8)
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Path]:
    """A folder with a database that another program holds by py-lmdb."""
    folder = tmp_path_factory.mktemp("held")
    shutil.copytree(template, folder / "house.db")
    (folder / "in.csv").write_text(f"date_time,power_w\n{START},1.5\n")
    process = subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, "-c", HOLDER, folder / "house.db"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    yield folder
    process.communicate(b"")


@pytest.mark.parametrize("verb", VERBS)
def test_a_database_that_another_lmdb_holds(
    verb: str, held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(held)
    before = digest(held)
    result = run(*VERBS[verb])
    assert result.exit_code == 1
    assert re.fullmatch(r"eosdb: [^\n]*house.db[^\n]+\n", result.stderr)
    assert digest(held) == before


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


REFUSED: Final[dict[str, tuple[list[str], str]]] = {
    "stats namespace": (["stats", "house.db", "-n", "x"], "no namespace 'x': there are house"),
    "keys namespace": (["keys", "house.db", "-n", "x"], "no namespace 'x'"),
    "verify namespace": (["verify", "house.db", "-n", "x"], "no namespace 'x'"),
    "export namespace": (["export", "house.db", "-n", "x"], "no namespace 'x'"),
    "compact namespace": (["compact", "house.db", "-n", "x"], "no namespace 'x'"),
    "vacuum namespace": (["vacuum", "house.db", "-n", "x", "--keep", "1 h"], "no namespace 'x'"),
    "import namespace": (["import", "house.db", "in.csv", "-n", "20260101T000000Z"], "mistaken"),
    "import no file": (["import", "house.db", "no.csv", "-n", "house"], "no file 'no.csv'"),
    "import zone": (["import", "house.db", "in.csv", "-n", "h", "--timezone", "Mars"], "'Mars'"),
    "import column": (["import", "house.db", "in.csv", "-n", "h", "--map", "a=b"], "no column 'a'"),
    "export time": (["export", "house.db", "--from", "soon"], "'soon' is no date and time"),
    "export exists": (["export", "house.db", "in.csv"], "exists"),
    "backup exists": (["backup", "house.db", "house.db"], "not empty"),
    "migrate exists": (["migrate", "house.db", "in.csv"], "is a file"),
    "vacuum duration": (["vacuum", "house.db", "--keep", "long"], "'long' is no duration"),
    "plot key": (["plot", "house.db", "o.png", "-k", "x"], "no key 'x'"),
    "plot nothing": (["plot", "house.db", "o.png", "--to", "2000-01-01"], "no numbers"),
    "plot zone": (["plot", "house.db", "o.png", "--timezone", "Mars"], "'Mars'"),
    "compact meter": (["compact", "house.db", "-n", "house"], "--aggregation grid_kwh=meter"),
    "compact key": (
        ["compact", "house.db", "-n", "house", "--aggregation", "x=mean"], "no key 'x': there are",
    ),
    "compact name": (
        ["compact", "house.db", "-n", "house", "--aggregation", "grid_kwh=median"], "median",
    ),
    "compact tier": (
        ["compact", "house.db", "-n", "house", "--dry-run", "--tier", "x=1 hour"], "'x'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(name: str, folder: Path) -> None:
    arguments, message = REFUSED[name]
    before = digest(folder)
    result = run(*arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert re.fullmatch(r"eosdb: [^\n]+\n", result.stderr)
    assert digest(folder) == before
    shown = run(*arguments, "--debug")
    assert result.stderr in shown.stderr
    assert "Traceback" in shown.stderr


# ---- verb by verb --------------------------------------------------------------------------------


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
    assert "1 damaged records were left out" in printed.stderr
    assert run("doctor", "house.db").exit_code == 1
    assert "damaged" in run("stats", "house.db").stdout
    assert run("repair", "house.db").exit_code == 0
    assert outcome("verify", "house.db")["quarantined"] == {"house": 1}
    assert "1 values are in quarantine" in run("verify", "house.db").stdout
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

        class House(eosdb.DataSequence):
            records: list[Metered] = []  # noqa: RUF012

            def db_namespace(self) -> str:
                return "house"

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


def findings(*arguments: str) -> dict[str, list[str]]:
    """Return the states of each check of the doctor."""
    result = run("doctor", "house.db", *arguments, "--json")
    found: dict[str, list[str]] = {}
    for finding in json.loads(result.stdout)["findings"]:
        found.setdefault(finding["check"], []).append(finding["state"])
    bad = {state for states in found.values() for state in states} & {"warning", "problem"}
    assert result.exit_code == bool(bad)
    return found


def test_the_doctor_finds_what_is_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings()["meters"] == ["ok"]
    assert findings("--backup-to", str(folder))["backup"] == ["warning"]
    assert findings("--backup-to", "none/backups")["backup"] == ["problem"]
    make(folder / "house.db")
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


# ---- as a program --------------------------------------------------------------------------------


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
    make(folder / "long.db", 5_000)
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


SLOW: Final = """
import time
from eosdb.moving import importing
take = importing._take
def slow(*args, **options):
    take(*args, **options)
    print("taken", flush=True)
    time.sleep(60)
importing._take = slow
from eosdb.cli import main
main()
"""


def test_ctrl_c_in_the_middle_of_an_import(folder: Path) -> None:
    (folder / "in.csv").write_text(
        "date_time,power_w\n" + "".join(f"{n * 60},{n}\n" for n in range(7_000))
    )
    arguments = ["import", "house.db", "in.csv", "-n", "new"]
    with subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, "-c", SLOW, *arguments],
        env=WITH_TESTS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "taken\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "eosdb: interrupted\n"
    assert process.returncode == 130
    (file,) = outcome(*arguments)["files"]
    assert (file["added"], file["unchanged"]) == (2_000, 5_000)


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
