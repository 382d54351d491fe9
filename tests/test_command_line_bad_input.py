"""Every verb of `eosdb` on what is no database, damaged or in use, and with wrong arguments.

Each says so in one line, ends with 1, and leaves everything as it was.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from command_line_support import (
    RECORDS,
    VERBS,
    WRITING,
    assert_is_one_line,
    digest,
    lay_out,
    outcome,
    run,
)

import eosdb
from eosdb import SQLiteDatabase

PNG: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde" * 500
TEXT: Final = b"This is no database.\n" * 1000
HEAD_OF_SQLITE: Final = b"SQLite format 3\0" + bytes(100_000)

Spoil = Callable[[Path], None]
"""What makes of a sound database, a directory, what a test is about."""


def in_place_of_the_directory(content: bytes) -> Spoil:
    def spoil(database: Path) -> None:
        shutil.rmtree(database)
        database.write_bytes(content)

    return spoil


def in_place_of_the_file(content: bytes) -> Spoil:
    def spoil(database: Path) -> None:
        file = next(database.glob("data.*"))
        file.write_bytes(content)

    return spoil


def nothing(database: Path) -> None:
    shutil.rmtree(database)


def an_empty_directory(database: Path) -> None:
    nothing(database)
    database.mkdir()


def a_directory_of_something_else(database: Path) -> None:
    an_empty_directory(database)
    (database / "photo.png").write_bytes(PNG)


def two_databases(database: Path) -> None:
    present = {file.name for file in database.iterdir()}
    missing = ({"data.mdb", "data.db"} - present).pop()
    (database / missing).write_bytes(b"anything")


def somebody_elses_sqlite_file(database: Path) -> None:
    for file in database.iterdir():
        file.unlink()
    other = sqlite3.connect(database / "data.db")
    other.execute("CREATE TABLE photos (name TEXT)")
    other.execute("INSERT INTO photos VALUES ('holiday')")
    other.commit()
    other.close()


def damaged_pages(database: Path) -> None:
    file = next(database.glob("data.*"))
    data = bytearray(file.read_bytes())
    for place in range(2 * 4096, len(data), 4096):
        data[place : place + 64] = b"\xff" * 64
    file.write_bytes(data)


def cut_short(database: Path) -> None:
    file = next(database.glob("data.*"))
    file.write_bytes(file.read_bytes()[:10_000])


STATES: Final[dict[str, tuple[str, Spoil]]] = {
    "nothing": ("lmdb", nothing),
    "empty directory": ("lmdb", an_empty_directory),
    "another directory": ("lmdb", a_directory_of_something_else),
    "two databases": ("lmdb", two_databases),
    "empty file": ("lmdb", in_place_of_the_directory(b"")),
    "text file": ("lmdb", in_place_of_the_directory(TEXT)),
    "PNG file": ("lmdb", in_place_of_the_directory(PNG)),
    "empty data.mdb": ("lmdb", in_place_of_the_file(b"")),
    "text as data.mdb": ("lmdb", in_place_of_the_file(TEXT)),
    "PNG as data.mdb": ("lmdb", in_place_of_the_file(PNG)),
    "SQLite as data.mdb": ("lmdb", in_place_of_the_file(HEAD_OF_SQLITE)),
    "damaged data.mdb": ("lmdb", damaged_pages),
    "short data.mdb": ("lmdb", cut_short),
    "empty data.db": ("sqlite", in_place_of_the_file(b"")),
    "text as data.db": ("sqlite", in_place_of_the_file(TEXT)),
    "PNG as data.db": ("sqlite", in_place_of_the_file(PNG)),
    "another's data.db": ("sqlite", somebody_elses_sqlite_file),
    "damaged data.db": ("sqlite", damaged_pages),
    "short data.db": ("sqlite", cut_short),
}

TELLS: Final = {
    "verify": "by 'eosdb repair house.db TARGET'",
    "repair --dry-run": "'eosdb repair house.db TARGET' would write",
    "doctor": "problem",
}
"""What the verbs that look for damage say of it as a result."""


@pytest.fixture(scope="module", params=STATES)
def spoilt(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    houses: dict[str, Path],
) -> tuple[str, Path, dict[str, str]]:
    """The name of a state, a folder in it, and what that holds."""
    kind, spoil = STATES[request.param]
    folder = tmp_path_factory.mktemp("spoilt")
    lay_out(folder, houses[kind])
    spoil(folder / "house.db")
    return request.param, folder, digest(folder)


@pytest.mark.parametrize("verb", VERBS)
def test_a_bad_database_is_one_line_and_stays_as_it_is(
    verb: str, spoilt: tuple[str, Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, folder, before = spoilt
    monkeypatch.chdir(folder)
    arguments = VERBS[verb]
    if state in {"nothing", "empty directory"} and verb.startswith("import"):
        return  # it makes one, see below
    result = run(*arguments)
    assert result.exit_code == 1
    if result.stderr:
        assert_is_one_line(result.stderr)
        assert "house.db" in result.stderr
        assert ".part" not in result.stderr
    else:
        assert TELLS[verb] in result.stdout
        pages = {"damaged data.mdb", "short data.mdb", "damaged data.db", "short data.db"}
        assert verb == "doctor" or state in pages
    assert digest(folder) == before


@pytest.mark.parametrize("kind", ["lmdb", "sqlite"])
@pytest.mark.parametrize("spoil", [nothing, an_empty_directory])
def test_an_import_makes_a_database_where_there_is_none(
    spoil: Spoil, kind: str, folder: Path
) -> None:
    spoil(folder / "house.db")
    before = digest(folder)
    assert outcome(*VERBS["import --dry-run"], "--kind", kind)["files"][0]["added"] == 1
    assert digest(folder) == before
    assert outcome(*VERBS["import"], "--kind", kind)["files"][0]["added"] == 1
    assert outcome("info", "house.db")["kind"] == kind


@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize("state", ["empty data.mdb", "empty data.db"])
def test_an_empty_file_is_opened_as_no_database(
    state: str, readonly: bool, tmp_path: Path, houses: dict[str, Path]
) -> None:
    kind, spoil = STATES[state]
    lay_out(tmp_path, houses[kind])
    spoil(tmp_path / "house.db")
    file = next((tmp_path / "house.db").glob("data.*"))
    with pytest.raises(eosdb.StorageError, match=r"data\.m?db' is empty.*restore a backup"):
        eosdb.open(tmp_path / "house.db", readonly)
    with pytest.raises(eosdb.StorageError, match=r"data\.m?db' is (empty|no database)"):
        eosdb.open(file, readonly)
    assert file.stat().st_size == 0


# ---- in use -------------------------------------------------------------------------------------

HOLD_LMDB: Final = """
import sys, lmdb
env = lmdb.open(sys.argv[1], max_dbs=8)
print("open", flush=True)
sys.stdin.read()
"""

HOLD_SQLITE: Final = """
import sqlite3, sys
connection = sqlite3.connect(f"{sys.argv[1]}/data.db", isolation_level=None)
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
print("open", flush=True)
sys.stdin.read()
"""

WRITE_SQLITE: Final = HOLD_SQLITE.replace("EXCLUSIVE", "NORMAL", 1).replace(
    "EXCLUSIVE", "IMMEDIATE"
)

HOLDERS: Final[dict[str, tuple[str, str]]] = {
    "lmdb": ("lmdb", HOLD_LMDB),
    "sqlite": ("sqlite", HOLD_SQLITE),
    "sqlite, writing": ("sqlite", WRITE_SQLITE),
}


@pytest.fixture(scope="module", params=HOLDERS)
def held(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    houses: dict[str, Path],
) -> Iterator[tuple[str, Path]]:
    """How another program holds a database, and the folder."""
    kind, program = HOLDERS[request.param]
    folder = tmp_path_factory.mktemp("held")
    lay_out(folder, houses[kind])
    process = subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, "-c", program, folder / "house.db"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    yield request.param, folder
    process.communicate(b"")


@pytest.mark.parametrize("verb", VERBS)
def test_a_database_that_another_program_holds(
    verb: str, held: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, folder = held
    defaults = SQLiteDatabase.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "timeout", 0.05)
    monkeypatch.chdir(folder)
    before = digest(folder / "house.db")
    result = run(*VERBS[verb])
    for made in ("out", "out.csv", "out.svg"):
        shutil.rmtree(folder / made, ignore_errors=True)
        (folder / made).unlink(missing_ok=True)
    # A repair writes only where something is damaged.
    if holder == "sqlite, writing" and verb not in WRITING - {"repair"}:
        assert (result.exit_code, result.stderr) == (0, "")
    else:
        assert result.exit_code == 1
        if verb == "doctor":
            assert re.search(
                "problem +records +they cannot be looked at: .*house.db", result.stdout
            )
            assert "free space" in result.stdout
        else:
            assert_is_one_line(result.stderr)
            assert "house.db" in result.stderr
    assert digest(folder / "house.db") == before


# ---- arguments ----------------------------------------------------------------------------------

COMPACT: Final = ["compact", "house.db", "-n", "house"]
IMPORT: Final = ["import", "house.db", "in.csv", "-n", "house"]

REFUSED: Final[dict[str, tuple[list[str], str]]] = {
    "stats namespace": (["stats", "house.db", "-n", "x"], "no namespace 'x': there are house"),
    "keys namespace": (["keys", "house.db", "-n", "x"], "no namespace 'x': there are house"),
    "verify namespace": (["verify", "house.db", "-n", "x"], "no namespace 'x': there are house"),
    "export namespace": (["export", "house.db", "-n", "x"], "no namespace 'x': there are house"),
    "export file namespace": (["export", "house.db", "o.csv", "-n", "x"], "no namespace 'x'"),
    "export files namespace": (
        ["export", "house.db", ".", "--format", "csv", "-n", "x"], "no namespace 'x'",
    ),
    "compact namespace": (["compact", "house.db", "-n", "x"], "no namespace 'x'"),
    "vacuum namespace": (["vacuum", "house.db", "-n", "x", "--keep", "1 h"], "no namespace 'x'"),
    "plot namespace": (["plot", "house.db", "o.png", "-n", "x"], "no namespace 'x'"),
    "import namespace": (["import", "house.db", "in.csv", "-n", "20260101T000000Z"], "mistaken"),
    "import empty namespace": (["import", "house.db", "in.csv", "-n", ""], "empty"),
    "import no file": (["import", "house.db", "no.csv", "-n", "house"], "no file 'no.csv'"),
    "import no files": (["import", "house.db", "house.db"], "no file to import"),
    "import zone": ([*IMPORT, "--timezone", "Mars"], "'Mars'"),
    "import empty zone": ([*IMPORT, "--timezone", ""], "''"),
    "import column": ([*IMPORT, "--map", "a=b"], "no column 'a'"),
    "export time": (["export", "house.db", "--from", "soon"], "'soon' is no date and time"),
    "export end": (["export", "house.db", "--to", "2026-13-01"], "'2026-13-01' is no date and"),
    "export exists": (["export", "house.db", "in.csv"], "exists"),
    "export suffix": (["export", "house.db", "out.txt"], "does not tell the format"),
    "export no directory": (["export", "house.db", "no/out.csv"], "no directory 'no'"),
    "export parquet to a stream": (["export", "house.db", "--format", "parquet"], "to a stream"),
    "backup exists": (["backup", "house.db", "house.db"], "not empty"),
    "backup no directory": (["backup", "house.db", "no/copy"], "no directory 'no'"),
    "migrate exists": (["migrate", "house.db", "in.csv"], "is a file"),
    "migrate no directory": (["migrate", "house.db", "no/copy"], "no directory 'no'"),
    "repair exists": (["repair", "house.db", "house.db"], "not empty"),
    "repair file": (["repair", "house.db", "in.csv"], "is a file"),
    "repair no directory": (["repair", "house.db", "no/copy"], "no directory 'no'"),
    "vacuum duration": (["vacuum", "house.db", "--keep", "long"], "'long' is no duration"),
    "vacuum negative": (["vacuum", "house.db", "--keep", "-1 day"], "-1 day"),
    "vacuum time": (["vacuum", "house.db", "--before", "soon"], "'soon' is no date and time"),
    "plot key": (["plot", "house.db", "o.png", "-k", "x"], "no key 'x'"),
    "plot energy key": (["plot", "house.db", "o.png", "-k", "x", "--energy", "1 h"], "no key 'x'"),
    "plot energy": (
        ["plot", "house.db", "o.png", "-k", "grid_kwh", "--energy", "often"], "'often'",
    ),
    "plot nothing": (["plot", "house.db", "o.png", "--to", "2000-01-01"], "no numbers"),
    "plot zone": (["plot", "house.db", "o.png", "--timezone", "Mars"], "'Mars'"),
    "plot offset": (["plot", "house.db", "o.png", "--timezone", "+01:00"], "'+01:00'"),
    "plot time": (["plot", "house.db", "o.png", "--from", "soon"], "'soon' is no date and time"),
    "plot exists": (["plot", "house.db", "old.svg"], "exists"),
    "plot no directory": (["plot", "house.db", "no/o.png"], "no directory 'no'"),
    "compact meter": (COMPACT, "--aggregation grid_kwh=meter"),
    "compact key": ([*COMPACT, "--aggregation", "x=mean"], "no key 'x': there are"),
    "compact name": ([*COMPACT, "--aggregation", "grid_kwh=median"], "median"),
    "compact tier": ([*COMPACT, "--dry-run", "--tier", "x=1 hour"], "'x'"),
    "compact interval": ([*COMPACT, "--dry-run", "--tier", "1 day=x"], "'x'"),
    "compact gap": ([*COMPACT, "--dry-run", "--max-gap", "x"], "'x'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(name: str, folder: Path) -> None:
    arguments, message = REFUSED[name]
    (folder / "old.svg").write_text("<svg/>")
    before = digest(folder)
    result = run(*arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert_is_one_line(result.stderr)
    assert digest(folder) == before


def test_debug_shows_where_an_error_comes_from(folder: Path) -> None:
    result = run("stats", "house.db", "-n", "x", "--debug")
    assert_is_one_line(result.stderr.partition("Traceback")[0])
    assert "Traceback (most recent call last)" in result.stderr
    assert folder.exists()


FILES: Final[dict[str, tuple[str, bytes]]] = {
    "empty CSV": ("in.csv", b""),
    "PNG as CSV": ("in.csv", PNG),
    "no time in CSV": ("in.csv", b"power_w\n1.5\n"),
    "naive time": ("in.csv", b"date_time,power_w\n2026-01-01 00:00,1.5\n"),
    "wrong zone": (
        "in.csv",
        b"date_time,date_time_zone,power_w\n2026-01-01T00:00:00+00:00,Mars,1.5\n",
    ),
    "short line": ("in.csv", b"date_time,power_w\n1767225600\n"),
    "not UTF-8": ("in.csv", b"date_time,note\n1767225600,\xff\xfe\n"),
    "NUL": ("in.csv", b"\0" * 10_000),
    "PNG as JSON": ("in.jsonl", PNG),
    "no object": ("in.jsonl", b"[1, 2]\n"),
    "cut short": ("in.jsonl", b'{"date_time": 1767225600, "power_w": 1.5}\n{"date_time": 17672'),
    "empty Parquet": ("in.parquet", b""),
    "PNG as Parquet": ("in.parquet", PNG),
    "head of Parquet": ("in.parquet", b"PAR1" + bytes(1000) + b"PAR1"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_not_imported(name: str, folder: Path) -> None:
    file, content = FILES[name]
    (folder / file).write_bytes(content)
    before = digest(folder)
    result = run("import", "house.db", file, "-n", "house")
    assert result.exit_code == 1
    assert_is_one_line(result.stderr)
    assert f"'{file}'" in result.stderr
    assert digest(folder) == before
    assert outcome("info", "house.db")["namespaces"][0]["records"] == RECORDS
