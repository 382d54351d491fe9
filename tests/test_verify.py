"""What cannot be read is found, and put aside without loss."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from aio_support import CoroutineDatabase
from support import WITH_TESTS, ForeignDatabase, House, house, when
from test_damaged_values import DAMAGED, FOREIGN_KEYS, KEY, MARK, METADATA, READABLE, STORED, fields
from upstream_format import pack

import eosdb
from eosdb import (
    Damage,
    DamagedDatabaseError,
    InvalidArgumentError,
    LMDBDatabase,
    MemoryDatabase,
    RepairReport,
    SQLiteDatabase,
    _core,
    aio,
    quarantined,
    repair,
    verify,
)

QUARANTINE: Final = "eosdb_quarantine"
PAGE: Final = 4096

OF_THE_CLASS: Final = ("text for a number", "a list for a number", "a number for a dictionary")
"""What only a record class refuses."""


class ListingDatabase(ForeignDatabase):
    """A foreign database that can list its namespaces."""

    def namespaces(self) -> list[str]:
        return sorted(name for name in self.rows if name is not None)


ENGINES: Final[dict[str, Any]] = {
    "lmdb": lambda path: LMDBDatabase(path / "db"),
    "sqlite": lambda path: SQLiteDatabase(path / "db"),
    "memory": lambda _: MemoryDatabase(),
    "foreign": lambda _: ListingDatabase(),
}


@pytest.fixture(params=ENGINES)
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    monkeypatch.chdir(tmp_path)  # where a command would leave its file
    database = ENGINES[request.param](tmp_path)
    if isinstance(database, ForeignDatabase):
        yield database
    else:
        with database:
            yield database


def save(database: Any, rows: dict[bytes, bytes], namespace: str = "house") -> None:
    """Store values as they are."""
    if isinstance(database, ForeignDatabase):
        rows = {key: database.serialize_data(value) for key, value in rows.items()}
        database.save_records(rows.items(), namespace)
    else:
        database._store.save(namespace, list(rows.items()), True)


def content(database: Any, namespace: str = "house") -> dict[bytes, bytes]:
    rows = database.iterate_records(namespace=namespace)
    return {key: database.deserialize_data(value) for key, value in rows}


def raw(database: Any, namespace: str = "house") -> dict[bytes, bytes]:
    return dict(database.iterate_records(namespace=namespace))


def put_aside(database: Any) -> list[tuple[str | None, bytes | None, bytes]]:
    values = quarantined(database)
    return [(value.namespace, value.key, value.value) for value in values]


GOOD: Final = {f"19700101T00000{n}Z".encode(): pack(fields(n), 0) for n in (1, 5)}


@pytest.mark.parametrize("case", [case for case in DAMAGED if case not in OF_THE_CLASS])
def test_a_damaged_value_is_found_and_put_aside(case: str, database: Any) -> None:
    save(database, {**GOOD, KEY: DAMAGED[case]})
    before = raw(database)
    report = verify(database)
    (damage,) = report.damage
    assert (damage.namespace, damage.key, damage.page) == ("house", KEY.decode(), None)
    assert damage.cause in str(report)
    assert report.records == {"house": 3}
    assert not report.is_sound
    assert raw(database) == before
    done = repair(database)
    assert done == RepairReport({"house": 2}, [damage], [])
    assert raw(database) == {key: before[key] for key in GOOD}
    assert put_aside(database) == [("house", KEY, before[KEY])]
    after = verify(database)
    assert after.is_sound
    assert after.records == {"house": 2}
    assert after.quarantined == {"house": 1}
    assert repair(database).quarantined == []
    assert [record.power_w for record in House(database=database)] == [1.0, 5.0]
    assert not Path(MARK).exists()


@pytest.mark.parametrize("case", [*READABLE, *OF_THE_CLASS])
def test_what_can_be_decoded_is_left_alone(case: str, database: Any) -> None:
    save(database, {**GOOD, KEY: READABLE[case][0] if case in READABLE else DAMAGED[case]})
    before = raw(database)
    if isinstance(database, ForeignDatabase) and READABLE.get(case, (b"",))[0][:2] == b"\x1f\x8b":
        pytest.skip("this backend does not compress")
    assert verify(database).is_sound
    assert repair(database).quarantined == []
    assert raw(database) == before


@pytest.mark.parametrize("case", METADATA)
def test_metadata_that_cannot_be_read_are_put_aside(case: str, database: Any) -> None:
    save(database, GOOD)
    database.set_metadata(METADATA[case], namespace="house")
    report = verify(database)
    (damage,) = report.damage
    assert (damage.namespace, damage.key) == ("house", None)
    assert repair(database).quarantined == [damage]
    assert database.get_metadata(namespace="house") is None
    assert put_aside(database) == [("house", None, METADATA[case])]
    assert verify(database).is_sound
    assert House(database=database).save() is False
    assert not Path(MARK).exists()


def test_keys_that_are_no_timestamps_are_put_aside(database: Any) -> None:
    save(database, {**GOOD, **dict.fromkeys(FOREIGN_KEYS, STORED)})
    before = raw(database)
    report = verify(database)
    assert [damage.key for damage in report.damage] == [
        key.decode(errors="backslashreplace") for key in sorted(FOREIGN_KEYS)
    ]
    assert report.records == {"house": 2 + len(FOREIGN_KEYS)}
    repair(database)
    assert raw(database).keys() == GOOD.keys()
    assert put_aside(database) == [("house", key, before[key]) for key in sorted(FOREIGN_KEYS)]
    assert len(House(database=database)) == 2


def test_a_second_damage_at_the_same_key_is_kept_too(database: Any) -> None:
    for value in (b"one", b"two", b"two", b"three"):
        save(database, {KEY: value})
        repair(database)
    kept = [value.removeprefix(b"\x00") for _, _, value in put_aside(database)]
    assert kept == [b"one", b"two", b"three"]


def test_a_key_that_is_called_metadata_is_none(database: Any) -> None:
    save(database, {b"metadata": b"a record's"})
    database.set_metadata(b"junk", namespace="house")
    before = raw(database)[b"metadata"]
    assert len(repair(database).quarantined) == 2
    assert set(put_aside(database)) == {
        ("house", None, b"junk"),
        ("house", b"metadata", before),
    }


@pytest.mark.parametrize("name", ["x" * 511, "eosdb_quarantine/house", "ä\n "])
def test_any_name_of_a_namespace(name: str, database: Any) -> None:
    save(database, {**GOOD, KEY: b"damaged", b"\xff" * 511: b"long"}, name)
    save(database, {KEY: b"damaged"}, "zz")
    assert len(repair(database).quarantined) == 3
    places = [(namespace, key) for namespace, key, _ in put_aside(database)]
    assert set(places) == {(name, KEY), (name, b"\xff" * 511), ("zz", KEY)}
    assert len(places) == 3
    assert raw(database, name).keys() == GOOD.keys()
    assert verify(database).quarantined == {name: 2, "zz": 1}
    assert verify(database, ["zz"]).quarantined == {"zz": 1}


def test_a_repair_goes_on_where_another_stopped(database: Any) -> None:
    """The copy is made before the original is deleted; in between the process was killed."""
    save(database, {KEY: b"damaged", **GOOD})
    before = raw(database)
    repair(database)
    # It is there again, as if it had not been deleted.
    if isinstance(database, ForeignDatabase):
        database.save_records([(KEY, before[KEY])], "house")
    else:
        save(database, {KEY: before[KEY]})
    repair(database)
    assert raw(database).keys() == GOOD.keys()
    assert put_aside(database) == [("house", KEY, before[KEY])]


def test_many_rows_are_looked_at_piece_by_piece(database: Any) -> None:
    """More than one piece, with damage at the ends of pieces."""
    good = pack(fields(0), 0)
    keys = [eosdb.DatabaseTimestamp.from_datetime(when(n)).encode() for n in range(20_000)]
    rows = dict.fromkeys(keys, good)
    bad = [0, 1, 8191, 8192, 8193, 16_383, 16_384, 19_999]
    rows |= {keys[number]: b"bad" for number in bad}
    save(database, rows)
    steps: list[tuple[int, int]] = []
    report = verify(database, progress=lambda done, total: steps.append((done, total)))
    assert [damage.key for damage in report.damage] == [keys[number].decode() for number in bad]
    assert steps == [(8192, 20_000), (16_384, 20_000), (20_000, 20_000)]
    assert len(repair(database).quarantined) == len(bad)
    assert len(raw(database)) == 20_000 - len(bad)
    assert [key for _, key, _ in put_aside(database)] == [keys[number] for number in bad]

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(database, progress=stop)


def test_namespaces_can_be_chosen(database: Any) -> None:
    for name in ("house", "weather"):
        save(database, {**GOOD, KEY: b"damaged"}, name)
    report = verify(database, ["weather"])
    assert report.records == {"weather": 3}
    assert [damage.namespace for damage in report.damage] == ["weather"]
    repair(database, namespaces=["weather"])
    assert [damage.namespace for damage in verify(database).damage] == ["house"]


def test_a_database_that_cannot_list_its_namespaces() -> None:
    database = ForeignDatabase()
    save(database, {**GOOD, KEY: b"damaged"})
    with pytest.raises(InvalidArgumentError, match="cannot list its namespaces: name those"):
        verify(database)
    assert len(verify(database, ["house"]).damage) == 1


def test_a_view_is_no_database_but_has_one(tmp_path: Path) -> None:
    with eosdb.LMDBDatabase(tmp_path) as database:
        save(database, GOOD)
    with eosdb.open(tmp_path) as view:
        with pytest.raises(InvalidArgumentError, match=r"DatabaseView cannot .*'database'"):
            verify(view)
        assert verify(view.database).is_sound


def test_types_that_the_application_registered_are_read(database: Any) -> None:
    save(database, {**GOOD, KEY: b"\x80\x05}\x8c\x01acnumbers\nNumber\ns."})
    assert len(verify(database).damage) == 1


def test_a_closed_database() -> None:
    with pytest.raises(eosdb.DatabaseClosedError):
        verify(MemoryDatabase())


# ---- LMDB ---------------------------------------------------------------------------------------


def test_a_directory_is_opened_to_be_read(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path) as database:
        save(database, {**GOOD, KEY: b"damaged"})
    assert len(verify(tmp_path).damage) == 1
    assert len(repair(os.fspath(tmp_path)).quarantined) == 1
    assert verify(tmp_path).is_sound
    with pytest.raises(eosdb.StorageError, match="no database"):
        verify(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_the_unnamed_database_is_looked_at_where_it_holds_records(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path) as database:
        save(database, GOOD)
        assert verify(database).records == {"house": 2}
        database._store.save(None, [(KEY, b"damaged"), *GOOD.items()], True)
        report = verify(database)
        assert report.records == {None: 3, "house": 2}
        assert "the unnamed namespace" in str(report)
        repair(database)
        assert verify(database).records == {None: 2, "house": 2}
        assert put_aside(database) == [(None, KEY, b"damaged")]


def test_a_copy_is_repaired_and_the_original_left_alone(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "db") as database:
        save(database, {**GOOD, KEY: b"damaged"})
        before = raw(database)
        report = repair(database, tmp_path / "copy")
        assert len(report.quarantined) == 1
        assert raw(database) == before
    assert verify(tmp_path / "copy").is_sound
    assert len(verify(tmp_path / "db").damage) == 1
    with pytest.raises(InvalidArgumentError, match="not empty"):
        repair(tmp_path / "db", tmp_path / "copy")


def meanwhile(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> list[Any]:
    """Have something happen between what a repair sees first and what it does about it."""
    quarantine = _core.quarantine
    calls: list[tuple[Any, ...]] = []

    def meddling(*arguments: Any) -> int:
        calls.append(arguments)
        if len(calls) == 1:
            work()
        return quarantine(*arguments)

    monkeypatch.setattr("eosdb.damage.quarantine", meddling)
    return calls


def test_who_changes_the_namespace_meanwhile_keeps_what_he_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody replaces the damaged value after it was found and before it is moved."""
    with LMDBDatabase(tmp_path) as database:
        save(database, {**GOOD, KEY: b"damaged"})
        calls = meanwhile(monkeypatch, lambda: save(database, {KEY: STORED}))
        assert repair(database).quarantined == []
        assert len(calls) == 1
        assert raw(database)[KEY] == STORED


def test_two_repairs_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LMDBDatabase(tmp_path) as database:
        save(database, {**GOOD, KEY: b"damaged"})
        meanwhile(monkeypatch, lambda: repair(database))
        repair(database)
        assert put_aside(database) == [("house", KEY, b"damaged")]
        assert raw(database).keys() == GOOD.keys()


def test_rows_that_come_meanwhile_do_not_push_damage_out_of_sight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [eosdb.DatabaseTimestamp.from_datetime(when(n)).encode() for n in range(8300)]
    with LMDBDatabase(tmp_path) as database:
        save(database, dict.fromkeys(keys[100:], b"bad"))
        meanwhile(monkeypatch, lambda: save(database, dict.fromkeys(keys[:100], GOOD[min(GOOD)])))
        assert len(repair(database).quarantined) == 8200
        assert verify(database).is_sound
        assert verify(database).records == {"house": 100}


REPAIRING: Final = """
import sys, eosdb
with eosdb.LMDBDatabase(sys.argv[1]) as database:
    print("open", flush=True)
    sys.stdin.readline()
    eosdb.repair(database)
"""


def test_two_processes_repair_at_once(tmp_path: Path) -> None:
    names = [f"n{number:02}" for number in range(20)]
    with LMDBDatabase(tmp_path) as database:
        for name in names:
            save(database, {**GOOD, KEY: name.encode()}, name)
    command = [sys.executable, "-c", REPAIRING, str(tmp_path)]
    pipe = subprocess.PIPE
    children = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, env=WITH_TESTS, text=True)  # noqa: S603  our own interpreter
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
    assert [child.communicate("\n")[0] for child in children] == ["", ""]
    assert [child.returncode for child in children] == [0, 0]
    with LMDBDatabase(tmp_path) as database:
        assert {(name, KEY, name.encode()) for name in names} == set(put_aside(database))
        assert verify(database).is_sound


def damaged_file(path: Path) -> tuple[dict[bytes, bytes], int]:
    """Make a database of two namespaces and wipe one leaf of the larger; return rows and page."""
    with LMDBDatabase(path) as database:
        house(database, 2000)
        save(database, GOOD, "weather")
        rows = raw(database)
    data = bytearray((path / "data.mdb").read_bytes())
    key = eosdb.DatabaseTimestamp.from_datetime(when(1000 * 3600)).encode()
    page = data.rindex(key) // PAGE
    data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    (path / "data.mdb").write_bytes(data)
    return rows, page


def test_a_damaged_file_is_refused_before_it_does_harm(tmp_path: Path) -> None:
    _, page = damaged_file(tmp_path)
    before = (tmp_path / "data.mdb").read_bytes()
    with pytest.raises(DamagedDatabaseError, match=rf"page {page}: .*backup.*eosdb\.repair"):
        LMDBDatabase(tmp_path).open()
    report = verify(tmp_path)
    (damage,) = report.damage
    assert damage.page == page
    assert "in namespace 'house'" in damage.cause
    assert f"page {page}: " in str(report)
    with pytest.raises(InvalidArgumentError, match="name a target"):
        repair(tmp_path)
    assert (tmp_path / "data.mdb").read_bytes() == before


def test_what_can_be_read_of_a_damaged_file_is_saved(tmp_path: Path) -> None:
    rows, page = damaged_file(tmp_path / "db")
    before = (tmp_path / "db" / "data.mdb").read_bytes()
    report = repair(tmp_path / "db", tmp_path / "saved")
    assert [damage.page for damage in report.lost] == [page]
    assert f"lost: page {page}" in str(report)
    assert (tmp_path / "db" / "data.mdb").read_bytes() == before
    with LMDBDatabase(tmp_path / "saved") as database:
        found = raw(database)
        assert rows.items() > found.items()
        assert len(rows) - 40 < len(found) < len(rows)
        # What is missing is what the report says.
        missing = sorted(rows.keys() - found.keys())
        assert f"the keys from {missing[0].decode()} to " in report.lost[0].cause
        assert raw(database, "weather") == GOOD
        assert database.get_metadata(namespace="house") is not None
        assert verify(database).is_sound
        assert len(list(House(database=database))) == len(found)


@pytest.mark.parametrize("page", [0, 1])
def test_a_page_that_describes_the_file_is_wiped(page: int, tmp_path: Path) -> None:
    path = tmp_path / "db"
    with LMDBDatabase(path) as database:
        for number in range(5):
            house(database, 100, start=number * 1_000_000)
    data = bytearray((path / "data.mdb").read_bytes())
    data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    (path / "data.mdb").write_bytes(data)
    assert [damage.page for damage in verify(path).damage] == [0]
    report = repair(path, tmp_path / "saved")
    # By the one that is left, what the last commit changed may be missing.
    assert report.records["house"] in (400, 500)
    assert "may be missing" in str(report)


def test_both_pages_that_describe_the_file_are_wiped(tmp_path: Path) -> None:
    damaged_file(tmp_path / "db")
    data = (tmp_path / "db" / "data.mdb").read_bytes()
    (tmp_path / "db" / "data.mdb").write_bytes(bytes(2 * PAGE) + data[2 * PAGE :])
    with pytest.raises(DamagedDatabaseError, match="no page of LMDB's"):
        repair(tmp_path / "db", tmp_path / "saved")


def test_long_values_on_damaged_pages_are_lost_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "db"
    keys = [eosdb.DatabaseTimestamp.from_datetime(when(n)).encode() for n in range(1200)]
    marker = b"the value of a record"
    with LMDBDatabase(path) as database:
        save(database, dict.fromkeys(keys, marker * 300))
    data = bytearray((path / "data.mdb").read_bytes())
    for page in range(2, len(data) // PAGE):
        if data[page * PAGE + 16 :].startswith(marker):
            data[page * PAGE : page * PAGE + 8] = bytes(8)
    (path / "data.mdb").write_bytes(data)
    report = repair(path, tmp_path / "saved")
    assert report.quarantined == []
    assert len(report.lost) == 1001
    assert "and 200 more places" in report.lost[-1].cause


@pytest.mark.parametrize("size", [0, 1, 4095, 8191, 8192, PAGE * 5, PAGE * 5 + 100])
def test_a_file_that_was_cut_short(size: int, tmp_path: Path) -> None:
    damaged_file(tmp_path)
    with (tmp_path / "data.mdb").open("r+b") as file:
        file.truncate(size)
    if size == 0:  # which LMDB takes for a new database
        with pytest.raises(eosdb.StorageError, match=r"data\.mdb is empty"):
            verify(tmp_path)
        with LMDBDatabase(tmp_path) as database:
            assert verify(database).records == {}
        return
    with pytest.raises(eosdb.StorageError, match="damaged"):
        LMDBDatabase(tmp_path).open()


# ---- asynchronously -----------------------------------------------------------------------------


def test_asynchronously(tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.LMDBDatabase(tmp_path / "db") as database:
            save(database.blocking, {**GOOD, KEY: b"damaged"})
            assert [damage.key for damage in (await aio.verify(database)).damage] == [KEY.decode()]
            assert len((await aio.repair(database)).quarantined) == 1
            assert (await aio.verify(database)).is_sound
            assert (await aio.verify(database, ["house"])).records == {"house": 2}
        assert (await aio.verify(tmp_path / "db")).is_sound
        coroutines = CoroutineDatabase()
        save(coroutines.inner, {**GOOD, KEY: b"damaged"})
        assert len((await aio.verify(coroutines, ["house"])).damage) == 1
        assert len((await aio.repair(coroutines, namespaces=["house"])).quarantined) == 1
        assert (await aio.verify(coroutines, ["house"])).is_sound

    asyncio.run(main())


def test_damage_reads_as_a_line() -> None:
    assert str(Damage("no end", "house", "k")) == "'house', k: no end"
    assert str(Damage("no end", "house")) == "'house', metadata: no end"
    assert str(Damage("zeros", page=7)) == "page 7: zeros"
