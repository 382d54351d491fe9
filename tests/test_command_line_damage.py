"""What cannot be read is told by every verb that meets it, and what to do about it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import lmdb
import pytest
from command_line_support import RECORDS, START, House, findings, make_house, outcome, run
from support import at, when
from test_command_line_bad_input import damaged_pages

import eosdb
from eosdb import LMDBDatabase, SQLiteDatabase

KINDS: Final[dict[str, Any]] = {"lmdb": LMDBDatabase, "sqlite": SQLiteDatabase}


@pytest.fixture(params=KINDS)
def house_db(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: Any) -> str:
    """The kind of a database 'house.db' in the current folder."""
    monkeypatch.chdir(tmp_path)
    make_house(tmp_path / request.param)
    (tmp_path / request.param).rename("house.db")
    return str(request.param)


def spoil(kind: str) -> None:
    """Damage two values and the metadata."""
    with KINDS[kind]("house.db") as db:
        db.save_records([(at(START + n * 300).encode(), b"rubbish") for n in (1, 2)], "house")
        db.set_metadata(b"rubbish", namespace="house")


def failed(*arguments: str) -> Any:
    """Run a verb that finds something; return what it says by `--json`."""
    result = run(*arguments, "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    return json.loads(result.stdout)


# ---- copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["backup", "migrate"])
def test_a_copy_says_what_of_it_cannot_be_read(verb: str, house_db: str) -> None:
    spoil(house_db)
    data = failed(verb, "house.db", "copy")
    assert data["records"] == {"house": RECORDS}
    assert data["checked"]
    keys = {each["key"] for each in data["damaged"]}
    assert keys == {None, at(START + 300), at(START + 600)}
    result = run(verb, "house.db", "again")
    assert result.exit_code == 1
    assert "copied as they are; 3 values cannot be read: see 'eosdb verify house.db'" in (
        result.stdout
    )
    assert "found sound" not in result.stdout
    # The copy is kept, and is as good as the original.
    assert failed("verify", "copy")["damage"] == failed("verify", "house.db")["damage"]


def test_a_sound_copy_was_looked_at_as_a_whole(
    house_db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[int, int]] = []
    with KINDS[house_db]("house.db") as db:
        report = eosdb.moving.backup_database(db, "copy", progress=lambda *step: steps.append(step))
    assert report.damaged == []
    assert steps == [(RECORDS, RECORDS)]
    # A disk that does not give back what it was given.
    broken = [eosdb.Damage("it is zeros", page=3)]
    monkeypatch.setattr("eosdb.damage._damaged_pages", lambda *_: broken)
    with KINDS[house_db]("house.db") as db, pytest.raises(eosdb.StorageError, match="zeros"):
        eosdb.moving.backup_database(db, "other")
    assert not Path("other").exists()


@pytest.mark.parametrize("target", KINDS)
def test_a_namespace_without_anything_is_no_loss(target: str, tmp_path: Path) -> None:
    make_house(tmp_path / "lmdb")
    with lmdb.open(str(tmp_path / "lmdb"), max_dbs=8) as env:
        env.open_db(b"empty")
    assert outcome("info", str(tmp_path / "lmdb"))["namespaces"][0]["name"] == "empty"
    arguments = ["migrate", str(tmp_path / "lmdb"), str(tmp_path / "new"), "--to", target]
    result = run(*arguments)
    assert result.exit_code == 0
    assert f"{RECORDS} records in 1 namespace copied" in result.stdout
    assert "left out: 1 namespace with nothing in it" in result.stdout


def test_hundreds_of_namespaces_are_migrated(tmp_path: Path) -> None:
    row = (at(START).encode(), b"\x80\x05}.")
    with SQLiteDatabase(tmp_path / "many", durability="none") as db:
        for number in range(300):
            db.save_records([row], f"n{number}")
    target = str(tmp_path / "new")
    assert len(outcome("migrate", str(tmp_path / "many"), target, "--to", "lmdb")["records"]) == 300
    assert len(outcome("verify", target)["records"]) == 300


@pytest.mark.parametrize("verb", ["backup", "migrate"])
def test_an_error_names_the_copy_by_its_name(
    verb: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, *_: object, **__: object) -> None:
        raise eosdb.StorageError(f"storage error at '{path}': it has too many namespaces")

    monkeypatch.setattr(LMDBDatabase, "copy_to", lambda _, draft, **__: fail(draft))
    monkeypatch.setattr(
        "eosdb.moving.copying._copied", lambda _, new, *__: fail(new.storage_path.absolute())
    )
    result = run(verb, "house.db", "copy")
    assert result.exit_code == 1
    assert "storage error at 'copy': it has too many" in result.stderr
    assert not (folder / "copy").exists()


# ---- repair -------------------------------------------------------------------------------------


def test_a_dry_run_tells_what_a_repair_does(house_db: str) -> None:
    spoil(house_db)
    foreseen = outcome("repair", "house.db", "--dry-run")
    assert foreseen["records"] == {"house": RECORDS - 2}
    done = outcome("repair", "house.db")
    assert done == foreseen | {"dry_run": False}


@pytest.mark.usefixtures("house_db")
def test_a_dry_run_of_damaged_pages_says_what_it_cannot_know() -> None:
    damaged_pages(Path("house.db"))
    for target in ([], ["rescued"]):
        foreseen = failed("repair", "house.db", *target, "--dry-run")
        assert foreseen["damage"]
        unknown = ("records", "quarantined", "lost", "left")
        assert [foreseen[name] for name in unknown] == [None] * 4
    result = run("repair", "house.db", "--dry-run")
    assert "'eosdb repair house.db TARGET' would write" in result.stdout
    assert "known when it is done" in result.stdout
    assert "'eosdb repair house.db TARGET'" in run("verify", "house.db").stdout
    assert not Path("rescued").exists()


# ---- what belongs to no namespace ---------------------------------------------------------------


def another_programs_database(names: Iterable[bytes]) -> None:
    with lmdb.open("house.db", max_dbs=8) as env:
        for name in names:
            database = env.open_db(name)
            with env.begin(write=True) as transaction:
                transaction.put(b"theirs", b"value", db=database)


def test_another_programs_database_stays_where_it_is(folder: Path) -> None:
    names = [b"20260101T000000Z", b"\xff\xfebad"]
    another_programs_database(names)
    spoil("lmdb")
    verified = failed("verify", "house.db")
    assert verified["records"] == {"house": RECORDS}
    shown = [each["key"] for each in verified["damage"] if each["namespace"] is None]
    assert shown == ["20260101T000000Z", "\\xff\\xfebad"]
    for arguments in (["repair", "house.db", "--dry-run"], ["repair", "house.db"]):
        report = failed(*arguments)
        assert len(report["quarantined"]) == 3
        assert [each["key"] for each in report["left"]] == shown
    # Nothing is tried again and again.
    assert failed("repair", "house.db")["quarantined"] == []
    verified = failed("verify", "house.db")
    assert verified["quarantined"] == {"house": 3}
    assert len(verified["damage"]) == 2
    assert "Put aside" not in run("verify", "house.db").stdout
    migrated = failed("migrate", "house.db", "copy")
    assert [each["key"] for each in migrated["left_out"]] == shown
    assert migrated["records"] == {"eosdb_quarantine": 3, "house": RECORDS - 2}
    assert "left out: the unnamed namespace" in run("migrate", "house.db", "again").stdout
    assert outcome("verify", "copy")["sound"]
    with lmdb.open(str(folder / "house.db"), max_dbs=8) as env:
        for name in names:
            with env.begin(db=env.open_db(name, create=False)) as transaction:
                assert transaction.get(b"theirs") == b"value"


def test_a_record_in_the_unnamed_namespace_is_no_database(folder: Path) -> None:
    """It is told by its bytes: as long as the description of one is not enough."""
    value = b"\x80\x05}\x8c\x01a\x8c\x26" + b"x" * 38 + b"s."
    assert len(value) == 48
    with LMDBDatabase(folder / "house.db") as db:
        db._store.save(None, [(at(START).encode(), value)], False)
    assert outcome("verify", "house.db")["records"] == {"": 1, "house": RECORDS}


STRANGE: Final = """
    INSERT INTO records SELECT 'house', CAST(key AS TEXT), value FROM records LIMIT 7;
    INSERT INTO records SELECT 'LONG', key, value FROM records
        WHERE typeof(key) = 'blob' LIMIT 5;
    INSERT INTO records SELECT x'ff', key, value FROM records
        WHERE namespace = 'house' AND typeof(key) = 'blob' LIMIT 3;
    INSERT INTO metadata VALUES ('20260101T000000Z', x'80');
"""


def test_rows_of_sqlite_that_no_namespace_has_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_house(tmp_path / "sqlite")
    (tmp_path / "sqlite").rename("house.db")
    connection = sqlite3.connect("house.db/data.db")
    connection.executescript(STRANGE.replace("LONG", "x" * 600))
    connection.close()
    damage = failed("verify", "house.db")["damage"]
    told = {each["namespace"]: (each["key"], each["cause"]) for each in damage}
    assert set(told) == {"house", "x" * 64, "\\xff", "20260101T000000Z"}
    assert told["house"][0] == at(START)
    assert "such keys: 7" in told["house"][1]
    assert "longer than 511 bytes; records: 5" in told["x" * 64][1]
    assert "no text; records: 3" in told["\\xff"][1]
    assert "mistaken for a key; it has metadata only" in told["20260101T000000Z"][1]
    assert [
        each["namespace"] for each in failed("verify", "house.db", "-n", "house")["damage"]
    ] == ["house"]
    migrated = failed("migrate", "house.db", "copy")
    assert migrated["left_out"] == damage
    assert migrated["records"] == {"house": RECORDS}
    assert failed("repair", "house.db")["left"] == damage
    assert findings()["records"] == ["problem"]


MALFORMED: Final = {
    b"1 no line": b"anything",
    b"2 no key": b"686f757365\nvalue",
    b"3 no digits": b"house key\nvalue",
    b"4 no text": b"ff 6b6579\nvalue",
    b"5 bytes \xff": b"\xff\xff \xff\nvalue",
}


def test_what_no_repair_wrote_into_the_quarantine_is_damage(house_db: str) -> None:
    spoil(house_db)
    outcome("repair", "house.db")
    with KINDS[house_db]("house.db") as db:
        db._store.save("eosdb_quarantine", list(MALFORMED.items()), True)
        assert len(eosdb.quarantined(db)) == 3
    verified = failed("verify", "house.db")
    assert [(damage["namespace"], damage["key"]) for damage in verified["damage"]] == [
        ("eosdb_quarantine", key.decode(errors="backslashreplace")) for key in MALFORMED
    ]
    assert verified["quarantined"] == {"house": 3}
    assert failed("repair", "house.db")["left"] == verified["damage"]
    assert findings()["records"] == ["problem"]


# ---- the doctor ---------------------------------------------------------------------------------


def add(seconds: Iterable[int], *, since_now: bool = True) -> None:
    """Add records at so many seconds from now."""
    now = int(eosdb.to_datetime().timestamp()) if since_now else START
    with LMDBDatabase("house.db") as db:
        house = House(database=db)
        for second in seconds:
            house.update_value(when(now + second), power_w=1.0)
        house.save()


HOUR: Final = 3600
DAY: Final = 24 * HOUR


def test_a_forecast_is_no_reason_for_mail(folder: Path) -> None:
    add(range(0, 5 * DAY, 3 * HOUR))
    assert findings()["clock"] == ["note"]
    assert "a forecast" in run("doctor", "house.db").stdout
    assert folder.exists()


@pytest.mark.parametrize(
    "seconds",
    [
        [400 * DAY],
        range(400 * DAY, 401 * DAY, 300),
        [*range(0, 5 * DAY, HOUR), 60 * DAY],
        [3 * DAY],
    ],
    ids=["one", "a day of them", "one behind a forecast", "one in three days"],
)
def test_a_clock_that_was_wrong_is(seconds: Iterable[int], folder: Path) -> None:
    add(seconds)
    assert findings()["clock"] == ["warning"]
    told = run("doctor", "house.db").stdout
    assert "the clock was wrong" in told
    assert folder.exists()


def test_daily_values_of_a_forecast_are_no_leaps(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with LMDBDatabase("house.db"):
        pass
    add([n * DAY for n in range(-30, 15)])
    assert findings()["clock"] == ["note"]


def test_a_daily_counter_is_a_note(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with LMDBDatabase("house.db") as db:
        house = House(database=db)
        for hour in range(24 * 10):
            house.update_value(when(START + hour * HOUR), grid_kwh=0.1 + hour % 24)
        house.save()
    assert findings()["meters"] == ["note"]
    assert "begins anew 9 times" in run("doctor", "house.db").stdout
