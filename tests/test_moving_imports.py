"""Files of others are taken in, or refused with the line that is wrong."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any, Final

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from moving_support import START, content, put
from pyarrow import parquet
from support import House, at, when

from eosdb import (
    DamagedRecordError,
    InvalidArgumentError,
    LMDBDatabase,
    NaiveDatetimeError,
    ReadOnlyError,
    moving,
)
from eosdb.native_database import NativeDatabase

GOLDEN: Final = Path(__file__).parent / "golden" / "upstream"


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


@pytest.mark.parametrize(
    ("micros", "zone", "expected"),
    [
        (-62_135_596_800_000_000, "UTC", "0001-01-01T00:00:00+00:00"),
        (253_402_300_799_999_999, "UTC", "9999-12-31T23:59:59.999999+00:00"),
        (START * 10**6 + 5, "+05:30", "2026-01-01T00:00:00.000005+00:00"),
        (START * 10**6, None, "2026-01-01T00:00:00+01:00"),
        (2**62, "UTC", "years 1 to 9999"),
        (253_402_300_799_999_999, "Asia/Tokyo", "years 1 to 9999"),
        (START * 10**6, "Moon/Crater", "Moon/Crater"),
    ],
)
def test_instants_of_parquet(
    micros: int, zone: str | None, expected: str, db: NativeDatabase, tmp_path: Path
) -> None:
    times = pa.array([micros], pa.int64()).cast(pa.timestamp("us", tz=zone))
    parquet.write_table(pa.table({"date_time": times}), tmp_path / "file.parquet")

    def take() -> None:
        berlin = None if zone else "Europe/Berlin"
        moving.import_records(db, "house", tmp_path / "file.parquet", timezone=berlin)

    if "T" not in expected:
        with pytest.raises(InvalidArgumentError, match=expected):
            take()
        return
    take()
    (record,) = House(database=db)
    assert record.date_time.isoformat() == expected


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
