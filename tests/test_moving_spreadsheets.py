"""CSV of spreadsheets and of pandas: delimiters, decimal commas, truth values, and text."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from moving_support import START, content, put
from support import when

import eosdb
from eosdb import InvalidArgumentError, moving
from eosdb.native_database import NativeDatabase


def taken(db: NativeDatabase, tmp_path: Path, text: str, **options: Any) -> Any:
    """Import CSV; return the report, and the fields of each record."""
    file = tmp_path / "file.csv"
    file.write_text(text)
    report = moving.import_records(db, "house", file, timezone="UTC", **options)
    records = [pickle.loads(value) for _, value in content(db)]
    return report, [
        {k: v for k, v in each.items() if k not in {"date_time", "configured_data"}}
        for each in records
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("date_time;a;b\n2026-01-01;310,5;-0,25\n", {"a": 310.5, "b": -0.25}),
        ("date_time;a;b\n2026-01-01;3;1,5e3\n", {"a": 3, "b": 1500.0}),
        ("date_time\ta\tb\n2026-01-01\t310.5\tx\n", {"a": 310.5, "b": "x"}),
        ('"date_time";"a";"b, in W"\n"2026-01-01";"1,5";"2"\n', {"a": 1.5, "b, in W": 2}),
        ('date_time,"a;b",c\n2026-01-01,"1,5",2\n', {"a;b": "1,5", "c": 2}),
        ("date_time,a;b\n2026-01-01,1\n", {"a;b": 1}),
        ("date_time;a, b\n2026-01-01;1\n", {"a, b": 1}),
        ("\ufeffdate_time;a\r\n2026-01-01;1,5\r\n", {"a": 1.5}),
        ("date_time;a\n2026-01-01;1.234,5\n", {"a": "1.234,5"}),
        ("date_time,a,b\n2026-01-01,True,False\n", {"a": True, "b": False}),
        ("date_time,a,b\n2026-01-01,true,FALSE\n", {"a": True, "b": "FALSE"}),
        ("date_time\n2026-01-01\n", {}),
    ],
)
def test_a_line_of_a_spreadsheet(
    text: str, expected: dict[str, Any], db: NativeDatabase, tmp_path: Path
) -> None:
    _, (record,) = taken(db, tmp_path, text)
    assert record == expected
    assert {name: type(value) for name, value in record.items()} == {
        name: type(value) for name, value in expected.items()
    }


def test_columns_with_text_are_told(db: NativeDatabase, tmp_path: Path) -> None:
    text = 'Zeit,P,b,c\n2026-01-01,1.5,on,2\n2026-01-02,"310,5",off,\n2026-01-03,,,"[1]"\n'
    columns = {"Zeit": "date_time", "P": "power_w", "b": "configured_data.b", "c": "c"}
    report, _ = taken(db, tmp_path, text, columns=columns)
    assert report.texts == {"power_w": "310,5", "configured_data.b": "on"}


def test_in_files_of_eosdb_everything_is_what_it_says(db: NativeDatabase, tmp_path: Path) -> None:
    fields = {"a;b": "1,5", "c;d;e": "True", "t": "310,5", "configured_data": {"x;y": "False"}}
    put(db, {"date_time": when(START), **fields})
    expected = content(db)
    moving.export_records(db, "house", tmp_path / "file.csv")
    with eosdb.MemoryDatabase() as other:
        report = moving.import_records(other, "house", tmp_path / "file.csv")
        assert content(other) == expected
    assert report.texts == {}


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("number", ["20260102", "2026", "99999999", "0", "-3600.5"])
def test_numbers_that_are_hardly_seconds_are_refused(
    number: str, suffix: str, db: NativeDatabase, tmp_path: Path
) -> None:
    file = tmp_path / f"file.{suffix}"
    file.write_text(f"date_time\n{number}\n" if suffix == "csv" else f'{{"date_time": {number}}}\n')
    with pytest.raises(InvalidArgumentError, match=rf"{number} .*ISO 8601 such as '2026-01-02'"):
        moving.import_records(db, "house", file, timezone="UTC")
    file.write_text(f'{{"date_time": {number}, "date_time_zone": "UTC"}}\n')
    assert moving.import_records(db, "house", file, format="jsonl").added == 1
