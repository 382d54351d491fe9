"""Records moved between databases and files come out as they went in."""

from __future__ import annotations

import json
import math
import pickle
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import lmdb
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pendulum.tz.timezone import FixedTimezone
from pyarrow import parquet
from support import WITH_TESTS, House, at, house, when

import eosdb
from eosdb import (
    DamagedRecordError,
    DiskFullError,
    InvalidArgumentError,
    LMDBDatabase,
    NaiveDatetimeError,
    ReadOnlyError,
    StorageError,
    moving,
)
from eosdb._core import gzip_decode, gzip_encode
from eosdb.moving import csv_files, tagged_json
from eosdb.moving.copying import names_of
from eosdb.native_database import NativeDatabase

GOLDEN: Final = Path(__file__).parent / "golden" / "upstream"

START: Final = 1_767_225_600

TEXTS: Final = (
    "plain", "", " ", "1", " 1", "1.5", "-0", "007", "null", "true", "NaN", "nan", "Infinity",
    '"quoted"', "[1]", "{}", '{"$float":"nan"}', "a,b", "a;b", "line\nend", "car\rriage", "\r\n",
    "nul\0", "none",
    "ümläut", "😀", "'", "\\", "1e5", "2026-01-01T00:00:00Z", "-", "=1+1",
)  # fmt: skip
"""Texts that are easily taken for something else."""

ODD: Final[dict[str, dict[str, Any]]] = {
    "none and missing": {"a": None},
    "not a number": {"a": math.nan, "b": math.inf, "c": -math.inf, "d": -0.0},
    "integers": {"a": 1, "b": 2**63 - 1, "c": -(2**63), "d": 2**70},
    "booleans": {"a": True, "b": False},
    "configured None": {"configured_data": {"a": None, "b": 1.0}},
    "configured text": {"configured_data": dict.fromkeys(TEXTS[:5], "x")},
    "configured nothing": {"configured_data": {}},
    "configured no dictionary": {"configured_data": None},
    "configured list": {"configured_data": [1]},
    "other keys": {"configured_data": {1: 2.0, "$float": "nan", "$x": 1}},
    "numpy": {"a": np.float64(1.5), "b": np.float64("nan"), "c": np.int32(3)},
    "containers": {"a": [1, [2.5, None]], "b": {"c": {"d": math.nan}}, "t": (1, "x"), "s": {1}},
    "times": {"a": datetime(2026, 1, 1, tzinfo=UTC), "b": timedelta(hours=1), "c": Decimal("1.10")},
    "bytes": {"a": b"\x00\xff"},
    "names": {"record_json": 1, "date_time_zone": "x", "configured_data.x": 2.0, "": 3, "$a": 4},
}
"""What a record may hold that few do."""

TIMES: Final[dict[str, Any]] = {
    "local": when(START + 0.123456, "Europe/Berlin"),
    "other zone": when(START, "America/St_Johns"),
    "fixed": eosdb.to_datetime(START, in_timezone=FixedTimezone(19_800)),
    "odd fixed": eosdb.to_datetime(START, in_timezone=FixedTimezone(3_661)),
    "named fixed": eosdb.to_datetime(START, in_timezone=FixedTimezone(3_600, "mine")),
    "standard library": datetime.fromtimestamp(START, UTC),
    "naive": datetime(2026, 1, 1),
    "none": None,
    "text": "2026-01-01",
    "another instant": when(START + 86_400),
}
"""What may be stored as the time of the record at :data:`START`."""


def put(db: NativeDatabase, fields: dict[Any, Any], second: int = START, level: int = 9) -> None:
    value = gzip_encode(pickle.dumps(fields, protocol=5), level)
    db.save_records([(at(second).encode(), value)], "house")


def content(db: NativeDatabase, namespace: str | None = "house") -> list[tuple[bytes, bytes]]:
    """Return keys and pickles."""
    rows = db._store.scan(namespace, None, None, False)
    return [(key, gzip_decode(value)) for key, value in rows]


def there_and_back(db: NativeDatabase, folder: Path, format_: str) -> list[tuple[bytes, bytes]]:
    """Return the content of a new database after it went through a file."""
    file = folder / f"file.{format_}"
    report = moving.export_records(db, "house", file)
    assert report.checked
    assert report.records == db.count_records(namespace="house")
    with eosdb.MemoryDatabase() as other:
        taken = moving.import_records(other, "house", file)
        assert (taken.lines, taken.added, taken.checked) == (report.records, report.records, True)
        again = moving.import_records(other, "house", file)
        assert (again.added, again.changed, again.unchanged) == (0, 0, report.records)
        return content(other)


@pytest.fixture
def db() -> Iterator[NativeDatabase]:
    with eosdb.MemoryDatabase() as opened:
        yield opened


@pytest.fixture(params=moving.FORMATS)
def format_(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def meaning(rows: list[tuple[bytes, bytes]]) -> list[Any]:
    """Return rows such that equal values are equal text, whatever their order in a record."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return "dict", sorted(((repr(k), plain(v)) for k, v in value.items()), key=repr)
        if isinstance(value, list | tuple):
            return type(value).__name__, [plain(item) for item in value]
        return type(value).__name__, repr(value)

    return [(key, plain(pickle.loads(value))) for key, value in rows]


@pytest.mark.parametrize("name", ODD)
def test_whatever_a_record_holds(
    name: str, db: NativeDatabase, format_: str, tmp_path: Path
) -> None:
    put(db, {"date_time": when(START), "configured_data": {}, "power_w": 1.5}, START - 60)
    put(db, {"date_time": when(START), **ODD[name]})
    assert meaning(there_and_back(db, tmp_path, format_)) == meaning(content(db))


@pytest.mark.parametrize("name", ODD)
def test_whatever_all_records_hold(
    name: str, db: NativeDatabase, format_: str, tmp_path: Path
) -> None:
    for second in range(3):
        put(db, {"date_time": when(START + second), **ODD[name]}, START + second)
    assert meaning(there_and_back(db, tmp_path, format_)) == meaning(content(db))


@pytest.mark.parametrize("name", TIMES)
def test_whatever_is_stored_as_time(
    name: str, db: NativeDatabase, format_: str, tmp_path: Path
) -> None:
    put(db, {"date_time": TIMES[name], "power_w": 1.0})
    assert there_and_back(db, tmp_path, format_) == content(db)


def test_no_time_at_all_and_the_ends_of_time(
    db: NativeDatabase, format_: str, tmp_path: Path
) -> None:
    put(db, {"power_w": 1.0})
    for key in (b"00010101T000000Z", b"99991231T235959Z"):
        db.save_records([(key, pickle.dumps({"power_w": 2.0}, 5))], "house")
    assert there_and_back(db, tmp_path, format_) == content(db)


@pytest.mark.parametrize("where", ["field", "configured"])
def test_texts_stay_texts(where: str, db: NativeDatabase, format_: str, tmp_path: Path) -> None:
    for number, text in enumerate(TEXTS):
        fields = {"note": text} if where == "field" else {"configured_data": {"note": text}}
        second = START + number
        put(db, {"date_time": when(second), **fields}, second)
    assert there_and_back(db, tmp_path, format_) == content(db)


@pytest.mark.parametrize("flavour", ["S", "H"])
@pytest.mark.parametrize("namespace", ["Measurement", "WeatherImport", "Devices"])
def test_what_eos_wrote(flavour: str, namespace: str, format_: str, tmp_path: Path) -> None:
    folder = tmp_path / "eos"
    shutil.copytree(GOLDEN / flavour, folder)
    with LMDBDatabase(folder, read_only=True) as db, LMDBDatabase(tmp_path / "new") as other:
        file = tmp_path / f"file.{format_}"
        moving.export_records(db, namespace, file)
        moving.import_records(other, namespace, file)
        assert content(other, namespace) == content(db, namespace)


def random_household(db: NativeDatabase, records: int) -> None:
    """Save records of all kinds of values, in local time, across both changes of the clock."""
    random.seed(1)
    rows = []
    for number in range(records):
        second = START + number * 86_400 * 365 // records
        configured = {
            key: random.choice([1.5, None, "auto", number, math.nan])
            for key in ("load0_emr", "mode")
            if random.random() < 0.5
        }
        fields = {
            "date_time": when(second, "Europe/Berlin"),
            "configured_data": configured,
            "power_w": random.choice([None, math.nan, random.gauss(300, 100)]),
            "note": random.choice([None, *TEXTS]),
            "is_on": random.choice([None, True, False]),
        }
        rows.append((at(second).encode(), gzip_encode(pickle.dumps(fields, 5), 9)))
    db.save_records(rows, "house")


def test_from_lmdb_by_way_of_all_formats_and_back(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "first") as first:
        random_household(first, 500)
        expected = content(first)
        former: NativeDatabase = first
        for format_ in moving.FORMATS:
            file = tmp_path / f"file.{format_}"
            moving.export_records(former, "house", file)
            former = LMDBDatabase(tmp_path / f"from {format_}")
            former.open()
            moving.import_records(former, "house", file)
            assert meaning(content(former)) == meaning(expected)
        report = moving.migrate_database(former, tmp_path / "last", level=0)
        former.close()
        with LMDBDatabase(tmp_path / "last") as last:
            assert meaning(content(last)) == meaning(expected)
        assert report.records == {"house": 500}


def test_a_cell_is_read_as_it_was_written() -> None:
    values: list[Any] = [
        *TEXTS[:1],
        *TEXTS[2:],
        0,
        -1,
        2**70,
        1.0,
        -0.0,
        1e300,
        5e-324,
        True,
        False,
    ]
    values += [[], {}, [None, "a"], {"a": 1.5}]
    for value in values:
        read = csv_files.cell_value(csv_files.cell_text(value))
        assert type(read) is type(value)
        assert repr(read) == repr(value)
    assert csv_files.cell_text(None) == ""
    assert csv_files.cell_value("") is None
    assert csv_files.cell_value(csv_files.cell_text("")) == ""


@pytest.mark.parametrize(
    "text",
    [
        '{"$pickle":"AAAA"}',
        '{"$pickle":1}',
        '{"$pickle":"gASVHQAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAJsc5SFlFKULg=="}',
        '{"$float":"1.0"}',
        '{"$numpy.float64":"x"}',
        "[" * 100_000,
    ],
)
def test_json_with_bad_tags_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        tagged_json.loads(text)


def test_a_span_is_half_open(db: NativeDatabase, format_: str, tmp_path: Path) -> None:
    house(db, 5, start=START, step=60)
    file = tmp_path / f"file.{format_}"
    report = moving.export_records(db, "house", file, start=at(START + 60), end=at(START + 180))
    assert report.records == 2


def test_an_empty_span_gives_a_file_that_can_be_read(
    db: NativeDatabase, format_: str, tmp_path: Path
) -> None:
    house(db, 1, start=START)
    file = tmp_path / f"file.{format_}"
    assert moving.export_records(db, "house", file, end=at(START)).records == 0
    assert moving.import_records(db, "house", file).lines == 0


def test_other_programs_read_numbers_as_numbers(db: NativeDatabase, tmp_path: Path) -> None:
    put(db, {"date_time": when(START), "configured_data": {"a": 1.5}, "b": 2.0, "n": 3, "t": "x"})
    moving.export_records(db, "house", tmp_path / "file.parquet")
    table = parquet.read_table(tmp_path / "file.parquet")
    assert {name: str(table.schema.field(name).type) for name in table.schema.names} == {
        "date_time": "timestamp[us, tz=UTC]",
        "date_time_zone": "string",
        "configured_data.a": "double",
        "b": "double",
        "n": "int64",
        "t": "string",
    }
    moving.export_records(db, "house", tmp_path / "file.csv")
    assert (tmp_path / "file.csv").read_text() == (
        "date_time,date_time_zone,configured_data.a,b,n,t\n2026-01-01T00:00:00+00:00,UTC,1.5,2.0,3,x\n"
    )
    moving.export_records(db, "house", tmp_path / "file.jsonl")
    assert json.loads((tmp_path / "file.jsonl").read_text()) == {
        "date_time": "2026-01-01T00:00:00+00:00",
        "date_time_zone": "UTC",
        "configured_data": {"a": 1.5},
        "b": 2.0,
        "n": 3,
        "t": "x",
    }


def test_damaged_records_are_left_out_and_named(
    db: NativeDatabase, format_: str, tmp_path: Path
) -> None:
    house(db, 3, start=START, step=60)
    db.save_records([(at(START + 60).encode(), b"rubbish")], "house")
    report = moving.export_records(db, "house", tmp_path / f"file.{format_}")
    assert report.records == 2
    assert [damage.key for damage in report.damaged] == [at(START + 60)]


# ---- files of others ---------------------------------------------------------------------------


def imported(db: NativeDatabase, tmp_path: Path, text: str, **options: Any) -> list[Any]:
    """Import CSV, and return the records as the class reads them."""
    file = tmp_path / "file.csv"
    file.write_text(text)
    moving.import_records(db, "house", file, **options)
    return [
        (record.date_time.isoformat(), record.power_w, record.note) for record in House(database=db)
    ]


def test_columns_become_keys_and_times_get_a_zone(db: NativeDatabase, tmp_path: Path) -> None:
    text = "Zeit,Leistung,x\n2026-07-01 12:00,310.5,1\n2026-01-01 12:00:30,,2\n"
    columns = {"Zeit": "date_time", "Leistung": "power_w"}
    assert imported(db, tmp_path, text, columns=columns, timezone="Europe/Berlin") == [
        ("2026-01-01T12:00:30+01:00", None, None),
        ("2026-07-01T12:00:00+02:00", 310.5, None),
    ]


def test_times_may_be_seconds_or_have_an_offset(db: NativeDatabase, tmp_path: Path) -> None:
    text = "date_time,power_w\n1767225600,1.0\n2026-01-01T02:00:00+01:00,2\n"
    assert imported(db, tmp_path, text) == [
        ("2026-01-01T00:00:00+00:00", 1.0, None),
        ("2026-01-01T01:00:00+00:00", 2.0, None),
    ]


def test_a_parquet_file_of_somebody_else(db: NativeDatabase, tmp_path: Path) -> None:
    times = pa.array([START * 10**9 + 1], pa.timestamp("ns", tz="Europe/Berlin"))
    table = pa.table({"t": times, "power_w": [1.5], "note": ["x"], "tags": [[1, 2]]})
    parquet.write_table(table, tmp_path / "file.parquet")
    moving.import_records(
        db, "house", tmp_path / "file.parquet", columns={"t": "date_time", "power_w": "power_w"}
    )
    (record,) = House(database=db)
    assert (str(record.date_time), record.power_w) == ("2026-01-01 01:00:00+01:00", 1.5)


def test_values_are_merged_into_records_that_are_there(db: NativeDatabase, tmp_path: Path) -> None:
    put(db, {"date_time": when(START), "configured_data": {"a": 1.0}, "power_w": 1.0, "note": "n"})
    file = tmp_path / "file.csv"
    file.write_text(f"date_time,power_w,note,configured_data.b\n{START},2.0,,3.0\n")
    trial = moving.import_records(db, "house", file, dry_run=True)
    before = content(db)
    report = moving.import_records(db, "house", file)
    assert (report.added, report.changed, report.unchanged) == (0, 1, 0)
    assert (trial.added, trial.changed, trial.unchanged, trial.checked) == (0, 1, 0, False)
    assert content(db) != before
    assert pickle.loads(content(db)[0][1]) == {
        "date_time": when(START),
        "configured_data": {"a": 1.0, "b": 3.0},
        "power_w": 2.0,
        "note": "n",
    }
    assert moving.import_records(db, "house", file).unchanged == 1


def test_lines_of_the_same_second_are_one_record(db: NativeDatabase, tmp_path: Path) -> None:
    text = f"date_time,power_w,note\n{START},1.0,\n{START}.5,,x\n{START},2.0,\n"
    assert imported(db, tmp_path, text) == [("2026-01-01T00:00:00+00:00", 2.0, "x")]


def test_lines_in_no_order_across_batches(db: NativeDatabase, tmp_path: Path) -> None:
    seconds = [START + 7 * number for number in range(6_000)]
    random.Random(3).shuffle(seconds)
    lines = "".join(f"{second},{second}.5\n" for second in seconds)
    file = tmp_path / "file.csv"
    file.write_text(f"date_time,power_w\n{lines}")
    assert moving.import_records(db, "house", file).added == 6_000
    assert [key for key, _ in content(db)] == [at(second).encode() for second in sorted(seconds)]


BAD_FILES: Final[dict[str, tuple[str, str, type[Exception], str]]] = {
    "empty": ("csv", "", InvalidArgumentError, "is empty"),
    "no time": ("csv", "a,b\n1,2\n", InvalidArgumentError, "line 2: it has no date_time"),
    "naive": ("csv", "date_time\n2026-01-01\n", NaiveDatetimeError, "line 2: .*no time zone"),
    "no time at all": ("csv", "date_time\nsoon\n", InvalidArgumentError, "'soon' is no time"),
    "true": ("csv", "date_time\ntrue\n", InvalidArgumentError, "line 2: True is no time"),
    "too late": ("csv", "date_time\n1767225600000\n", InvalidArgumentError, "line 2: .*seconds"),
    "infinite": ("csv", "date_time\nInfinity\n", InvalidArgumentError, "line 2"),
    "short line": ("csv", "date_time,a\n1,2\n1\n", InvalidArgumentError, "line 3: 1 cells"),
    "two columns": ("csv", "a,a\n1,2\n", InvalidArgumentError, "two columns 'a'"),
    "open quote": ("csv", 'date_time,a\n1,"x\n', InvalidArgumentError, "is no CSV"),
    "bad zone": ("csv", "date_time,date_time_zone\n1,Mars\n", InvalidArgumentError, "Mars"),
    "no UTF-8": ("csv", "date_time\n\udcff\n", InvalidArgumentError, "UTF-8"),
    "no record": ("csv", "date_time,record_json\n1,7\n", InvalidArgumentError, "record_json"),
    "bad json": ("jsonl", '{"date_time": 1}\n{\n', InvalidArgumentError, "line 2"),
    "no object": ("jsonl", "[1]\n", InvalidArgumentError, "line 1: expected an object"),
    "deep": ("jsonl", f'{{"date_time":1,"a":{"[" * 200}1{"]" * 200}}}\n',
             InvalidArgumentError, "19700101T000001Z cannot be stored"),
    "bad parquet": ("parquet", "PAR1 rubbish PAR1", InvalidArgumentError, "Parquet"),
    "other suffix": ("xlsx", "", InvalidArgumentError, "does not tell the format"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_the_line(name: str, db: NativeDatabase, tmp_path: Path) -> None:
    suffix, text, error, message = BAD_FILES[name]
    file = tmp_path / f"file.{suffix}"
    file.write_text(text, errors="surrogateescape")
    with pytest.raises(error, match=message):
        moving.import_records(db, "house", file)
    assert db.count_records(namespace="house") == 0


def test_what_else_an_import_refuses(db: NativeDatabase, tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text(f"date_time,a\n{START},1\n")
    with pytest.raises(InvalidArgumentError, match="Mars"):
        moving.import_records(db, "house", file, timezone="Mars")
    with pytest.raises(InvalidArgumentError, match="no column 'b'"):
        moving.import_records(db, "house", file, columns={"b": "power_w"})
    with pytest.raises(InvalidArgumentError, match="no file"):
        moving.import_records(db, "house", tmp_path / "none.csv")
    db.save_records([(at(START).encode(), b"rubbish")], "house")
    with pytest.raises(DamagedRecordError, match="repair"):
        moving.import_records(db, "house", file)
    house_db = tmp_path / "db"
    with LMDBDatabase(house_db):
        pass
    with LMDBDatabase(house_db, read_only=True) as other, pytest.raises(ReadOnlyError):
        moving.import_records(other, "house", file)


def test_an_interrupted_import_is_finished_by_doing_it_again(
    db: NativeDatabase, tmp_path: Path
) -> None:
    file = tmp_path / "file.csv"
    file.write_text("date_time,a\n" + "".join(f"{START + n},{n}\n" for n in range(10_001)))

    def stop(done: int, total: int) -> None:
        assert total == 10_002  # the lines, that with the names of the columns too
        if done > 5_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moving.import_records(db, "house", file, progress=stop)
    assert db.count_records(namespace="house") == 10_000
    report = moving.import_records(db, "house", file)
    assert (report.added, report.unchanged) == (1, 10_000)


# ---- targets appear as a whole, or not at all ----------------------------------------------------


def interrupted(*_: int) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_export_leaves_no_file(
    db: NativeDatabase, format_: str, tmp_path: Path
) -> None:
    house(db, 3, start=START)
    file = tmp_path / f"file.{format_}"
    file.write_text("former")
    with pytest.raises(KeyboardInterrupt):
        moving.export_records(db, "house", file, overwrite=True, progress=interrupted)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_text() == "former"


def test_an_export_replaces_nothing_by_accident(db: NativeDatabase, tmp_path: Path) -> None:
    house(db, 3, start=START)
    file = tmp_path / "file.csv"
    file.write_text("former")
    with pytest.raises(InvalidArgumentError, match="exists"):
        moving.export_records(db, "house", file)
    with pytest.raises(InvalidArgumentError, match="no directory"):
        moving.export_records(db, "house", tmp_path / "none" / "file.csv")
    with pytest.raises(InvalidArgumentError, match="no namespace 'nope': there are house"):
        moving.export_records(db, "nope", tmp_path / "other.csv")


def test_an_export_that_reads_otherwise_is_no_success(
    db: NativeDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house(db, 3, start=START)
    monkeypatch.setattr(csv_files, "cell_text", lambda _: "7")
    with pytest.raises(StorageError, match="does not read as what was written"):
        moving.export_records(db, "house", tmp_path / "file.csv")
    assert not list(tmp_path.iterdir())


def test_a_copy_is_the_same_in_every_byte(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "db") as db:
        house(db, 10_000, start=START, step=60)
        db.save_records([(at(START + 60).encode(), b"rubbish")], "house")
        db._store.save("house", [(b"a foreign key", b"value")], True)
        db._store.save(None, [(b"20260101T000000Z", b"unnamed")], True)
        db._store.set_metadata(None, b"shared")
        eosdb.repair(db, namespaces=[])
        for level in (None, 1):
            target = tmp_path / f"copy {level}"
            report = moving.migrate_database(db, target, level=level)
            with LMDBDatabase(target, read_only=True) as copy:
                names = names_of(copy)
                assert names == names_of(db) == [None, "house"]
                for name in names:
                    assert copy._store.metadata(name) == db._store.metadata(name)
                    if level is None:
                        rows = db._store.scan(name, None, None, False)
                        assert copy._store.scan(name, None, None, False) == rows
                    assert content(copy, name) == content(db, name)
            assert report.records == {None: 1, "house": 10_001}
            assert report.checked


def test_a_copy_is_of_one_moment(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "db") as db:
        writer = house(db, 3, start=START)
        times = []

        def disturb(done: int, _: int) -> None:
            times.append(done)
            if len(times) < 3:
                writer.update_value(when(START + len(times)), power_w=1.0)
                writer.save()

        moving.migrate_database(db, tmp_path / "copy", progress=disturb)
        assert len(times) == 3
        with LMDBDatabase(tmp_path / "copy") as copy:
            assert content(copy) == content(db)

        def always(*_: int) -> None:
            writer.update_value(when(START), power_w=random.random())
            writer.save()

        with pytest.raises(eosdb.ConflictError, match="keep writing"):
            moving.migrate_database(db, tmp_path / "other", progress=always)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "db"]


def test_copies_go_to_new_places_only(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "db") as db:
        house(db, 3, start=START)
        (tmp_path / "taken").mkdir()
        (tmp_path / "taken" / "file").touch()
        copies: dict[str, Callable[[Path], object]] = {
            "backup": lambda path: moving.backup_database(db, path),
            "migrate": lambda path: moving.migrate_database(db, path),
        }
        for copy in copies.values():
            with pytest.raises(InvalidArgumentError, match="not empty"):
                copy(tmp_path / "taken")
            with pytest.raises(InvalidArgumentError, match="is a file"):
                copy(tmp_path / "taken" / "file")
            with pytest.raises(InvalidArgumentError, match="no directory"):
                copy(tmp_path / "none" / "copy")
        (tmp_path / "empty").mkdir()
        assert moving.backup_database(db, tmp_path / "empty").records == {"house": 3}
        with pytest.raises(KeyboardInterrupt):
            moving.migrate_database(db, tmp_path / "new", progress=interrupted)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["db", "empty", "taken"]
        with pytest.raises(InvalidArgumentError, match="kind 'oracle' is unknown"):
            moving.migrate_database(db, tmp_path / "new", "oracle")
        with pytest.raises(InvalidArgumentError, match="0 to 9, not 10"):
            moving.migrate_database(db, tmp_path / "new", level=10)
    with eosdb.MemoryDatabase() as memory, pytest.raises(InvalidArgumentError, match="no files"):
        moving.backup_database(memory, tmp_path / "new")


FULL_DISK: Final = """
import resource, sys
from pathlib import Path
import eosdb
from eosdb import moving
with eosdb.LMDBDatabase(sys.argv[1], read_only=True) as db:
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
    for name in ("file.csv", "file.jsonl", "file.parquet", "backup", "migrated"):
        target = Path(sys.argv[2]) / name
        try:
            if name == "backup":
                moving.backup_database(db, target)
            elif name == "migrated":
                moving.migrate_database(db, target)
            else:
                moving.export_records(db, "house", target)
        except eosdb.DiskFullError as error:
            print(name)
"""


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "db", settings=eosdb.DatabaseSettings(compression_level=0)) as db:
        rows = []
        for second in range(START, START + 1_500):
            fields = {"date_time": when(second), "note": random.Random(second).randbytes(20).hex()}
            rows.append((at(second).encode(), pickle.dumps(fields, 5)))
        db.save_records(rows, "house")
    (tmp_path / "out").mkdir()
    result = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", FULL_DISK, tmp_path / "db", tmp_path / "out"],
        env=WITH_TESTS, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.split() == ["file.csv", "file.jsonl", "file.parquet", "backup", "migrated"]
    assert not list((tmp_path / "out").iterdir())


def test_py_lmdb_reads_what_was_migrated(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "db") as db:
        house(db, 10, start=START)
        moving.migrate_database(db, tmp_path / "copy")
        expected = content(db)
    with lmdb.open(str(tmp_path / "copy"), max_dbs=8, readonly=True) as env:
        database = env.open_db(b"house", create=False)
        with env.begin(database) as transaction:
            rows = dict(transaction.cursor())
    assert [(key, gzip_decode(rows[key])) for key, _ in expected] == expected
    assert issubclass(DiskFullError, StorageError)
