"""Records moved between databases and files come out as they went in."""

from __future__ import annotations

import json
import math
import pickle
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from moving_support import START, TEXTS, content, interrupted, meaning, put, random_household
from pendulum.tz.timezone import FixedTimezone
from pyarrow import parquet  # type: ignore[import-untyped]
from support import WITH_TESTS, at, house, when

import eosdb
from eosdb import (
    InvalidArgumentError,
    LMDBDatabase,
    StorageError,
    moving,
)
from eosdb.moving import csv_files, tagged_json
from eosdb.native_database import NativeDatabase

GOLDEN: Final = Path(__file__).parent / "golden" / "upstream"

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


@pytest.fixture(params=moving.FORMATS)
def format_(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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


# ---- targets appear as a whole, or not at all ----------------------------------------------------


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


PARQUET: Final = """
import sys
import eosdb
from eosdb import moving
with eosdb.LMDBDatabase(sys.argv[1]) as db:
    moving.export_records(db, "house", sys.argv[2])
    moving.import_records(db, "copy", sys.argv[2])
assert "pandas" not in sys.modules
"""


def test_parquet_does_not_take_the_memory_of_pandas(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    with LMDBDatabase(tmp_path / "db") as db:
        house(db, 3, start=START)
    command = [sys.executable, "-c", PARQUET, f"{tmp_path}/db", f"{tmp_path}/file.parquet"]
    subprocess.run(command, env=WITH_TESTS, check=True)  # noqa: S603  our own program
