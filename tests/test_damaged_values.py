"""A damaged or foreign value is named, can be replaced, executes nothing and spoils no other."""

from __future__ import annotations

import datetime
import gzip
import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from pydantic import Field
from support import House, Reading, when
from upstream_format import METADATA_KEY, pack, put, read_records, read_values

import eosdb
from eosdb import DamagedRecordError, DatabaseTimestamp, DuplicateRecordError, LMDBDatabase

MARK: Final = "executed"


class Command:
    """Pickles as a call that leaves a file behind."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {MARK}",)


def fields(second: int, **changes: Any) -> dict[str, Any]:
    return {**Reading(date_time=when(second), power_w=float(second)).model_dump(), **changes}


def plain(value: object) -> bytes:
    return pickle.dumps(value, protocol=5)


KEY: Final = b"19700101T000003Z"
STORED: Final = pack(fields(3), 9)
PICKLE: Final = plain(fields(3))

DAMAGED: Final[dict[str, bytes]] = {
    "nothing": b"",
    "gzip: magic only": STORED[:2],
    "gzip: header only": STORED[:10],
    "gzip: half": STORED[: len(STORED) // 2],
    "gzip: no trailer": STORED[:-8],
    "gzip: one byte short": STORED[:-1],
    "gzip: wrong checksum": STORED[:-8] + bytes([STORED[-8] ^ 1]) + STORED[-7:],
    "gzip: wrong byte": STORED[:30] + bytes([STORED[30] ^ 0x55]) + STORED[31:],
    "gzip: twice": gzip.compress(STORED),
    "gzip: junk behind": STORED + b"junk",
    "gzip: 65 MiB": gzip.compress(bytes(65 * 1024**2), 9),
    "pickle: one byte": PICKLE[:1],
    "pickle: half": PICKLE[: len(PICKLE) // 2],
    "pickle: one byte short": PICKLE[:-1],
    "pickle: missing memo": b"\x80\x05h\xff.",
    "pickle: huge length": b"\x80\x05\x8d" + b"\xff" * 7 + b"\x7fabc.",
    "pickle: newer protocol": b"\x80\x63N.",
    "pickle: persistent id": b"\x80\x05\x8c\x01aQ.",
    "pickle: deep": b"\x80\x05" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "pickle: holds itself": b"\x80\x05}\x94\x8c\x01ah\x00s.",
    "text": b"not a pickle",
    "int": plain(5),
    "list": plain([fields(3)]),
    "keys that are no text": plain({1: 2}),
    "a class that does not exist": b"\x80\x05cno_such_module\nNoSuchClass\n)\x81.",
    "a command": plain(Command()),
    "a command in a field": plain(fields(3, power_w=Command())),
    "a command as a key": plain({Command: 1}),
    "a command, compressed": pack(fields(3, note=Command()), 9),
    "an array": plain(fields(3, power_w=np.array([1.0]))),
    "text for a number": plain(fields(3, power_w="abc")),
    "a list for a number": plain(fields(3, power_w=[1.0])),
    "a number for a dictionary": plain(fields(3, configured_data=5)),
    "an unknown zone": PICKLE.replace(b"\x03UTC", b"\x03XYZ"),
}

READABLE: Final[dict[str, tuple[bytes, float | None]]] = {
    "protocol 0": (pickle.dumps(fields(3), 0), 3.0),
    "protocol 2": (pickle.dumps(fields(3), 2), 3.0),
    "an unknown field": (plain(fields(3, colour="red")), 3.0),
    "a missing field": (plain({k: v for k, v in fields(3).items() if k != "count"}), 3.0),
    "a number as text": (plain(fields(3, power_w="5.5")), 5.5),
    "a NumPy float": (plain(fields(3, power_w=np.float64(2.5))), 2.5),
    "junk behind the pickle": (PICKLE + b"junk", 3.0),
    "gzip in two members": (gzip.compress(PICKLE[:50]) + gzip.compress(PICKLE[50:]), 3.0),
}

WITHOUT_TIME: Final[dict[str, bytes]] = {
    "no fields": plain({}),
    "no time": plain({"power_w": 3.0}),
    "None": plain(fields(3, date_time=None)),
    "text": plain(fields(3, date_time="2026-01-01")),
    "number": plain(fields(3, date_time=5)),
    "naive": plain(fields(3, date_time=datetime.datetime(2026, 1, 1))),
    "date": plain(fields(3, date_time=datetime.date(2026, 1, 1))),
    "another second": plain(fields(999)),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, where a command would leave its file."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_value(folder: Path, value: bytes) -> Path:
    """A database with this value at second 3, and good ones at 1 and 5."""
    path = folder / "db"
    path.mkdir()
    good = {f"19700101T00000{n}Z".encode(): pack(fields(n), 9 * (n % 5)) for n in (1, 5)}
    put(path, "house", {**good, KEY: value})
    return path


@pytest.fixture(params=DAMAGED)
def damaged(request: pytest.FixtureRequest, folder: Path) -> Path:
    return with_value(folder, DAMAGED[request.param])


def test_an_exact_lookup_says_where_and_why(damaged: Path, folder: Path) -> None:
    with LMDBDatabase(damaged) as database:
        house = House(database=database)
        for _ in range(2):
            with pytest.raises(DamagedRecordError) as caught:
                house.get_by_datetime(when(3))
            error = caught.value
            assert (error.namespace, error.key) == ("house", KEY.decode())
            assert error.cause
            for text in ("house", KEY.decode(), error.cause, "delete this one to replace it"):
                assert text in str(error)
    assert not (folder / MARK).exists()


def test_everything_else_is_read(
    damaged: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with LMDBDatabase(damaged) as database:
        house = House(database=database)
        with caplog.at_level(logging.WARNING, logger="eosdb"):
            assert [record.power_w for record in house] == [1.0, 5.0]
        assert [record.getMessage() for record in caplog.records if KEY.decode() in record.message]
        ((key, cause),) = house.db_damaged_records()
        assert key == KEY.decode()
        assert cause
        assert [record.power_w for record in house.db_iterate_records(None, None)] == [1.0, 5.0]
        assert house.get_by_datetime(when(1)).power_w == 1.0
        assert house.get_nearest_by_datetime(when(3)).power_w == 5.0
        assert house.db_timestamp_range() == ("19700101T000001Z", "19700101T000005Z")
        assert [record.power_w for record in house.records] == [1.0, 5.0]
        assert len(house.to_dict()["records"]) == 2
    assert not (folder / MARK).exists()


def test_the_value_is_left_alone_until_it_is_replaced(damaged: Path) -> None:
    before = read_values(damaged, "house")
    with LMDBDatabase(damaged) as database:
        house = House(database=database)
        assert len(list(house)) == 2
        house.update_value(when(5), note="changed")
        house.update_value(when(7), power_w=7.0)
        assert house.save()
        with pytest.raises((DamagedRecordError, DuplicateRecordError), match=KEY.decode()):
            house.db_insert_record(Reading(date_time=when(3)))
        with pytest.raises(DamagedRecordError):
            house.update_value(when(3), power_w=3.0)
        assert not house.save()
    after = read_values(damaged, "house")
    assert after[KEY.decode()] == before[KEY.decode()]
    assert after["19700101T000001Z"] == before["19700101T000001Z"]


@pytest.mark.parametrize("save_between", [False, True])
def test_deleting_and_inserting_replaces_it(save_between: bool, damaged: Path) -> None:
    with LMDBDatabase(damaged) as database:
        house = House(database=database)
        assert len(list(house)) == 2
        assert house.delete_by_datetime(when(3), when(4)) <= 1
        assert house.db_damaged_records() == []
        assert house.get_by_datetime(when(3)) is None
        if save_between:
            assert house.save()
            assert database.count_records(namespace="house") == 2
        house.insert_by_datetime(Reading(date_time=when(3), power_w=33.0))
        assert house.save()
        assert [record.power_w for record in house] == [1.0, 33.0, 5.0]
    with LMDBDatabase(damaged) as database:
        house = House(database=database)
        assert [record.power_w for record in house] == [1.0, 33.0, 5.0]
        assert house.db_damaged_records() == []
    assert read_records(damaged, "house")[KEY.decode()]["power_w"] == 33.0


def test_deleting_it_without_having_met_it(damaged: Path) -> None:
    with LMDBDatabase(damaged) as database:
        house = House(database=database)
        assert house.delete_by_datetime(when(2), when(4)) == 1
        assert house.save()
    assert read_values(damaged, "house").keys() - {METADATA_KEY.decode()} == {
        "19700101T000001Z",
        "19700101T000005Z",
    }


def test_the_count_does_not_depend_on_what_was_met(folder: Path) -> None:
    with LMDBDatabase(with_value(folder, b"damaged")) as database:
        house = House(database=database)
        before = len(house)
        assert len(list(house)) == 2
        assert len(house) == before


def test_a_value_that_another_process_repaired_is_read(folder: Path) -> None:
    path = with_value(folder, b"damaged")
    with LMDBDatabase(path) as database:
        house = House(database=database)
        with pytest.raises(DamagedRecordError):
            house.get_by_datetime(when(3))
        database.save_records([(KEY, STORED)], "house")
        assert house.get_by_datetime(when(3)).power_w == 3.0
        assert house.db_damaged_records() == []


@pytest.mark.parametrize("case", READABLE)
def test_values_of_another_form_are_read(case: str, folder: Path) -> None:
    value, power_w = READABLE[case]
    with LMDBDatabase(with_value(folder, value)) as database:
        house = House(database=database)
        assert [record.power_w for record in house] == [1.0, power_w, 5.0]
        assert house.db_damaged_records() == []


@pytest.mark.parametrize("case", WITHOUT_TIME)
def test_a_records_time_is_that_of_its_key(case: str, folder: Path) -> None:
    path = with_value(folder, WITHOUT_TIME[case])
    with LMDBDatabase(path) as database:
        house = House(database=database)
        times = [DatabaseTimestamp.from_datetime(r.date_time) for r in house]
        if not house.db_damaged_records():
            assert times == ["19700101T000001Z", KEY.decode(), "19700101T000005Z"]
            house.update_value(when(3), note="changed")
            assert house.save()
            stored = pickle.loads(gzip.decompress(read_one(database)))
            assert stored["date_time"] == when(3)
            assert stored["note"] == "changed"
        else:
            assert times == ["19700101T000001Z", "19700101T000005Z"]


def read_one(database: LMDBDatabase) -> bytes:
    ((_, value),) = database.iterate_records(KEY, KEY + b"\0", "house")
    return value


# ---- keys that are no timestamps ----------------------------------------------------------------

FOREIGN_KEYS: Final = [b"!", b"junk", b"\xff\xfe", b"20261301T000000Z", b"19700101T000003z", b"zz"]


@pytest.fixture
def with_foreign_keys(folder: Path) -> Path:
    path = with_value(folder, STORED)
    put(path, "house", dict.fromkeys(FOREIGN_KEYS, STORED))
    return path


def test_keys_that_are_no_timestamps_are_counted_but_no_records(with_foreign_keys: Path) -> None:
    with LMDBDatabase(with_foreign_keys) as database:
        house = House(database=database)
        assert len(house) == 3 + len(FOREIGN_KEYS)
        assert [record.power_w for record in house] == [1.0, 3.0, 5.0]
        assert len(house) == 3 + len(FOREIGN_KEYS)
        assert house.db_timestamp_range() == ("19700101T000001Z", "19700101T000005Z")
        assert house.db_next_timestamp(DatabaseTimestamp("19700101T000005Z")) is None
        assert house.db_previous_timestamp(DatabaseTimestamp("19700101T000001Z")) is None


def test_keys_that_are_no_timestamps_are_named(with_foreign_keys: Path) -> None:
    with LMDBDatabase(with_foreign_keys) as database:
        house = House(database=database)
        assert len(list(house)) == 3
        named = " ".join(f"{key} {cause}" for key, cause in house.db_damaged_records())
        for text in ("!", "junk", "20261301T000000Z", "19700101T000003z"):
            assert text in named


def test_keys_that_are_no_timestamps_are_left_alone(with_foreign_keys: Path) -> None:
    with LMDBDatabase(with_foreign_keys) as database:
        house = House(database=database)
        assert house.db_delete_records() == 3
        house.update_value(when(9), power_w=9.0)
        assert house.save()
        assert [record.power_w for record in house] == [9.0]
        assert {key for key, _ in database.iterate_records(namespace="house")} >= set(FOREIGN_KEYS)


# ---- metadata -----------------------------------------------------------------------------------

METADATA: Final[dict[str, bytes]] = {
    "a command": pickle.dumps(Command(), 4),
    "a command inside": pickle.dumps({"version": 1, "created": Command()}, 4),
    "junk": b"junk",
    "nothing": b"",
    "a list": pickle.dumps([1], 4),
    "cut short": pickle.dumps({"version": 1}, 4)[:-4],
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_that_cannot_be_read_are_replaced(
    case: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = with_value(folder, STORED)
    put(path, "house", {METADATA_KEY: METADATA[case]})
    with LMDBDatabase(path) as database:
        house = House(database=database)
        with caplog.at_level(logging.WARNING, logger="eosdb"):
            assert [record.power_w for record in house] == [1.0, 3.0, 5.0]
        assert "house" in caplog.text
        house.update_value(when(3), note="changed")
        assert house.save()
        stored = pickle.loads(database.get_metadata("house") or b"")
        assert stored["version"] == 1
    assert not (folder / MARK).exists()


def test_metadata_in_the_unnamed_database_are_never_read(folder: Path) -> None:
    path = with_value(folder, STORED)
    put(path, None, {METADATA_KEY: pickle.dumps(Command(), 4)})
    with LMDBDatabase(path) as database:
        house = House(database=database)
        house.update_value(when(3), note="changed")
        assert house.save()
    assert read_values(path, None)[METADATA_KEY.decode()] == pickle.dumps(Command(), 4)
    assert not (folder / MARK).exists()


# ---- what cannot be read is not written ---------------------------------------------------------


class Anything(eosdb.DataRecord):
    value: Any = None


class Things(eosdb.DataSequence):
    records: list[Anything] = Field(default_factory=list)

    def db_namespace(self) -> str:
        return "things"


def holding_itself() -> dict[str, Any]:
    itself: dict[str, Any] = {}
    itself["itself"] = itself
    return itself


UNREADABLE: Final[dict[str, Callable[[], Any]]] = {
    "path": lambda: Path("house"),
    "class": lambda: Path,
    "function": lambda: len,
    "array": lambda: np.array([1.0]),
    "own class": Command,
    "holding itself": holding_itself,
    "deep": lambda: eval("[" * 90 + "]" * 90),  # noqa: S307  a literal
    "lone surrogate": lambda: "\ud800",
    "timestamp": lambda: DatabaseTimestamp(KEY.decode()),
}


@pytest.mark.parametrize("where", ["field", "configured"])
@pytest.mark.parametrize("case", UNREADABLE)
def test_a_value_is_refused_or_read_again(case: str, where: str, folder: Path) -> None:
    value = UNREADABLE[case]()
    record = Anything(date_time=when(0))
    if where == "field":
        record.__dict__["value"] = value
    else:
        record.configured_data["key"] = value
    path = folder / "db"
    with LMDBDatabase(path) as database:
        things = Things(database=database)
        things.db_insert_record(Anything(date_time=when(1), value=1))
        things.db_insert_record(record)
        try:
            saved = things.save()
        except (eosdb.EosdbError, ValueError):
            # All of it or nothing, and everything to be saved again once the cause is gone.
            assert database.count_records(namespace="things") == 0
            record.__dict__["value"] = 0
            record.configured_data.clear()
            saved = things.save()
        assert saved
    with LMDBDatabase(path) as database:
        assert len(list(Things(database=database))) == 2
    assert not (folder / MARK).exists()
