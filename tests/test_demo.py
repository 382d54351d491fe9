"""The demonstration tells the truth about files it reads and databases it writes."""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import Field

import eosdb

EXAMPLES = Path(__file__).parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))

from measurements import MeasurementsError, read  # noqa: E402 - found by the line above

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
ROWS = 100


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def utc(*parts: int) -> datetime.datetime:
    return datetime.datetime(*parts, tzinfo=datetime.UTC)  # type: ignore[misc,arg-type]


def minute(number: int) -> datetime.datetime:
    return NOON + datetime.timedelta(minutes=number)


@pytest.fixture
def roof(tmp_path: Path) -> Path:
    rows = [
        f"{minute(number).isoformat()},{number * 0.1},{'' if number % 10 else number}"
        for number in range(ROWS)
    ]
    return write(tmp_path / "roof.csv", "measured_on,AC power [W],GHI", *rows)


def demo(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(EXAMPLES / "demo.py"), *map(str, arguments)]
    environment = {**os.environ, "TZ": "Europe/Berlin"}
    return subprocess.run(  # noqa: S603 - this interpreter, this file
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def told(output: str, label: str) -> str:
    """Return what the account says behind a label, without the time it took."""
    match = re.search(rf"^  {re.escape(label)} +(.*?)(?: {{2,}}[\d,.]+ ms)?$", output, re.MULTILINE)
    assert match, f"no line {label!r} in:\n{output}"
    return match[1]


def stored(path: Path) -> list[tuple[datetime.datetime, float | None, float | None]]:
    class Roof(eosdb.DataRecord):
        AC_power_W: float | None = None
        GHI: float | None = None

    class House(eosdb.DataSequence):
        records: list[Roof] = Field(default_factory=list)

        def db_namespace(self) -> str:
            return "house"

    with eosdb.LMDBDatabase(path) as database:
        house = House(database=database)
        return [
            (record.date_time.astimezone(datetime.UTC), record["AC_power_W"], record["GHI"])
            for record in house.db_iterate_records()
            if record.date_time is not None
        ]


def test_the_account_is_right_and_so_is_the_database(roof: Path, tmp_path: Path) -> None:
    result = demo(roof, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    output = result.stdout
    assert len(output.splitlines()) <= 30
    assert told(output, "roof.csv") == "100 rows: AC_power_W, GHI"
    assert told(output, "together") == "100 records of up to 2 values"
    assert told(output, "saved") == "100 records, synced to disk"
    assert told(output, "how many records") == "100"
    assert told(output, "2026-01-01 13:39") == "AC_power_W 9.9"
    assert told(output, "nearest 13:39:17") == "the record of 2026-01-01 13:39"
    assert told(output, "the day 2026-01-01") == "100 records, AC_power_W from 0 to 9.9"
    assert told(output, "changed") == "100 values: AC_power_W of 2026-01-01 times 1.02"
    assert told(output, "deleted") == "10 records: 2026-01-01 12:00 to 2026-01-01 12:09"
    assert told(output, "records as in the files") == "90 of 90"
    hint = output.splitlines()[-1].split()
    info = subprocess.run(  # noqa: S603  what it says to run
        hint, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert re.search(r"^house +90 ", info.stdout, re.MULTILINE), info.stdout
    assert told(output, "values equal to the last bit") == "180 of 180"

    database = tmp_path / "build/demo/house.db"
    size = int(told(output, "build/demo/house.db/data.mdb").split()[0].replace(",", ""))
    assert size == (database / "data.mdb").stat().st_blocks * 512
    assert stored(database) == [
        (minute(number), number * 0.1 * 1.02, None if number % 10 else float(number))
        for number in range(10, ROWS)
    ]


def test_each_run_starts_anew_unless_told_to_keep(roof: Path, tmp_path: Path) -> None:
    database = tmp_path / "kept.db"
    other = write(tmp_path / "other.csv", "time,GHI", "2026-02-01T00:00:00Z,1", "2026-02-02,2")
    assert demo(other, "--database", database, cwd=tmp_path).returncode == 0
    assert demo(roof, "--database", database, cwd=tmp_path).returncode == 0
    assert len(stored(database)) == 90
    result = demo(other, "--database", database, "--keep", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert told(result.stdout, "records as in the files") == "1 of 1"
    assert told(result.stdout, "records in no file") == "90"


def test_only_the_database_is_cleared(roof: Path, tmp_path: Path) -> None:
    precious = write(tmp_path / "letters.txt", "Dear Ada,")
    assert demo(roof, "--database", tmp_path, cwd=tmp_path).returncode == 0
    assert precious.read_text() == "Dear Ada,\n"
    assert roof.exists()


def test_package_data_is_found_in_a_folder_and_on_the_import_path(
    roof: Path, tmp_path: Path
) -> None:
    data = tmp_path / "site" / "pvanalytics" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").touch()
    for name in ("serf_east_15min_ac_power.csv", "serf_east_psm3_data.csv"):
        (data / name).write_text(roof.read_text().replace("GHI", name[5:9]))
    found = demo("--data", tmp_path / "site", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert told(found.stdout, "together") == "100 records of up to 2 values"
    missing = demo("--data", tmp_path, cwd=tmp_path)
    assert missing.returncode == 2
    assert "pvanalytics==0.2.2" in missing.stderr


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["time,power"], "no rows"),
        (["time", "2026-01-01"], "only one column"),
        (["time,state", "2026-01-01,on"], "no column of numbers"),
        (["time,power", "yesterday,1"], "no row has a time"),
    ],
)
def test_a_file_without_measurements_is_refused(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    path = write(tmp_path / "bad.csv", *lines)
    with pytest.raises(MeasurementsError, match=message):
        read(path, datetime.UTC)
    result = demo(path, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert not (tmp_path / "build").exists()


def test_an_unknown_zone_or_file_is_refused(roof: Path, tmp_path: Path) -> None:
    assert demo(roof, "--timezone", "Europe/Berlim", cwd=tmp_path).returncode == 2
    assert demo(tmp_path / "none.csv", cwd=tmp_path).returncode == 2


def test_times_that_clocks_skip_are_left_out_and_told(tmp_path: Path) -> None:
    path = write(
        tmp_path / "spring.csv",
        "time,power",
        "2026-03-29 01:30,1",
        "2026-03-29 02:30,2",
        "2026-03-29 03:30,3",
    )
    table = read(path, BERLIN)
    assert [point.moment for point in table.points] == [
        utc(2026, 3, 29, 0, 30),
        utc(2026, 3, 29, 1, 30),
    ]
    assert "rows at a time that clocks skipped, left out: 1" in table.notes


def test_times_that_clocks_show_twice_are_told_apart_by_their_order(tmp_path: Path) -> None:
    shown = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    path = write(tmp_path / "autumn.csv", "time,power", *(f"2026-10-25 {time},1" for time in shown))
    table = read(path, BERLIN)
    start = utc(2026, 10, 24, 23, 30)
    assert [point.moment for point in table.points] == [
        start + datetime.timedelta(minutes=30 * number) for number in range(6)
    ]
    assert "times that clocks showed twice, told apart by order: 4" in table.notes


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["13/1/2026 0:05", "14/1/2026 0:05"], utc(2026, 1, 13, 0, 5)),
        (["1/13/2026 0:05", "1/14/2026 0:05"], utc(2026, 1, 13, 0, 5)),
        (["1/2/2026 0:05", "1/3/2026 0:05"], utc(2026, 1, 2, 0, 5)),
        (["2.1.2026 0:05:30", "3.1.2026 0:05"], utc(2026, 1, 2, 0, 5, 30)),
        (["1/13/2026 12:05 AM", "1/14/2026 1:05 PM"], utc(2026, 1, 13, 0, 5)),
        (["1/13/2026 1:05 PM", "1/14/2026 1:05 PM"], utc(2026, 1, 13, 13, 5)),
        (["2026-01-13T00:05:00.750+02:00"], utc(2026, 1, 12, 22, 5)),
        (["2026-01-13T00:05Z"], utc(2026, 1, 13, 0, 5)),
        (["1768262700"], utc(2026, 1, 13, 0, 5)),
        (["1768262700000"], utc(2026, 1, 13, 0, 5)),
    ],
)
def test_times_are_read_as_they_are_written(
    tmp_path: Path, cells: list[str], expected: datetime.datetime
) -> None:
    path = write(tmp_path / "times.csv", "time,power", *(f"{cell},1" for cell in cells))
    assert read(path, datetime.UTC).points[0].moment == expected


def test_a_spreadsheet_with_semicolons_and_decimal_commas_is_read(tmp_path: Path) -> None:
    path = tmp_path / "german.csv"
    path.write_bytes("Zähler;Datum;Außen °C\n1,5;1.1.2026;-2,25\n;2.1.2026;?\n".encode("cp1252"))
    table = read(path, BERLIN)
    assert table.keys == ["Zähler", "Außen_C"]
    assert [point.values for point in table.points] == [{"Zähler": 1.5, "Außen_C": -2.25}, {}]


def test_columns_become_distinct_names_that_are_free(tmp_path: Path) -> None:
    path = write(
        tmp_path / "names.csv", "time,copy,a b,a-b,1st,Hour,state", "2026-01-01,1,2,3,4,5,on"
    )
    table = read(path, datetime.UTC, reserved={"copy"})
    assert table.keys == ["value_copy", "a_b", "a_b_2", "value_1st"]
    assert "not measured numbers, left out: Hour, state" in table.notes


def test_bad_and_repeated_rows_are_counted(tmp_path: Path) -> None:
    path = write(
        tmp_path / "untidy.csv",
        "time,power",
        "2026-01-01T00:00:00Z,1",
        "2026-01-01T00:00:00.5Z,2",
        "",
        "total,3",
    )
    table = read(path, datetime.UTC)
    assert [point.values["power"] for point in table.points] == [1.0, 2.0]
    assert set(table.notes) == {
        "rows at a second that was there before, whose values count: 1",
        "rows whose time cannot be read, left out: 1",
        "times cut to the second: 1",
    }
