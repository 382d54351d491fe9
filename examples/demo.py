"""Put measurements into a database, take them out again, and account for every one.

Without a file of your own it takes the power of a solar roof, quarter of an hour by quarter of an
hour, with the sunlight and the temperature there, from the Python package `pvanalytics`.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import math
import os
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from measurements import MeasurementsError, Point, Table, read
from pydantic import create_model

import eosdb

DEMO_FILES = ("serf_east_15min_ac_power.csv", "serf_east_psm3_data.csv")
DATABASE = Path("build/demo/house.db")
DATABASE_FILES = ("data.mdb", "lock.mdb")
LABEL_WIDTH = 30
TEXT_WIDTH = 56
TOOK_WIDTH = 12
SHOWN_VALUES = 3
CALIBRATION = 1.02

Values = dict[str, float | None]
Rows = dict[datetime.datetime, Values]


class House(eosdb.DataSequence):
    """Everything measured at one house, by time."""

    def db_namespace(self) -> str:
        """Return the name under which the database keeps these records."""
        return "house"


def house_class(keys: list[str]) -> Any:
    """Return a class of houses whose records have an optional number for each key.

    Where the keys are known beforehand one writes the record down instead:

        class Measurement(eosdb.DataRecord):
            ac_power: float | None = None

        class House(eosdb.DataSequence):
            records: list[Measurement] = []
    """
    fields: dict[str, Any] = dict.fromkeys(keys, (float | None, None))
    measurement: Any = create_model("Measurement", __base__=eosdb.DataRecord, **fields)
    return create_model("House", __base__=House, records=(list[measurement], []))


class Account:
    """Prints what happened, and how long it took, in aligned lines."""

    def __init__(self, zone: datetime.tzinfo) -> None:
        """Start an account.

        Args:
            zone: The zone to show times in.
        """
        self._zone = zone
        self._seconds = 0.0

    @contextmanager
    def clock(self) -> Iterator[None]:
        """Take the time of a block, for the next line."""
        start = time.perf_counter()
        yield
        self._seconds = time.perf_counter() - start

    def heading(self, text: str) -> None:
        """Print the head of a section."""
        print(f"\n{text}")

    def line(self, label: str, text: str, *, timed: bool = False) -> None:
        """Print a line; `timed` adds how long the last clocked block took."""
        took = f"{self._seconds * 1000:,.2f} ms" if timed else ""
        room = TEXT_WIDTH if timed else TEXT_WIDTH + TOOK_WIDTH
        shown = textwrap.shorten(text, room, placeholder=" ...")
        print(f"  {label:<{LABEL_WIDTH - 1}} {shown:<{TEXT_WIDTH}}{took:>{TOOK_WIDTH}}".rstrip())

    def at(self, moment: datetime.datetime) -> str:
        """Return a time as a reader writes it."""
        local = moment.astimezone(self._zone)
        return f"{local:%Y-%m-%d %H:%M}" + (f":{local:%S}" if local.second else "")

    def day(self, moment: datetime.datetime) -> tuple[datetime.datetime, datetime.datetime]:
        """Return the start of the day of a moment and of the day after."""
        midnight = moment.astimezone(self._zone).replace(hour=0, minute=0, second=0)
        return midnight, midnight + datetime.timedelta(days=1)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def in_words(record: Any, keys: list[str]) -> str:
    """Return the first values of a record."""
    if record is None:
        return "nothing"
    shown = [f"{key} {record[key]:g}" for key in keys if record[key] is not None][:SHOWN_VALUES]
    return ", ".join(shown) or "no values"


def merged(tables: list[Table], keys: list[str]) -> Rows:
    """Return what the database has to hold, worked out without it: all files, by time."""
    rows: Rows = {}
    for table in tables:
        for point in table.points:
            rows.setdefault(point.moment, dict.fromkeys(keys)).update(point.values)
    return dict(sorted(rows.items()))


def store(house: Any, tables: list[Table]) -> None:
    """Put every point in; where a second file has the same time, its values join the record."""
    for table in tables:
        for point in table.points:
            house.update_value(eosdb.to_datetime(point.moment), point.values)


def look_up(house: Any, rows: Rows, keys: list[str], account: Account) -> Point:
    """Ask the freshly opened database four questions; return the point of the largest value."""
    main = keys[0]
    moments = list(rows)
    peak = max(moments, key=lambda moment: _or_lowest(rows[moment][main]))

    with account.clock():
        count = house.db_count_records()
    account.line("how many records", f"{count:,}", timed=True)

    with account.clock():
        record = house.get_by_datetime(eosdb.to_datetime(peak))
    account.line(account.at(peak), in_words(record, keys), timed=True)

    asked = peak + datetime.timedelta(seconds=17)
    with account.clock():
        record = house.get_nearest_by_datetime(eosdb.to_datetime(asked))
    near = "nothing" if record is None else f"the record of {account.at(record.date_time)}"
    account.line(f"nearest {account.at(asked)[11:]}", near, timed=True)

    start, end = account.day(peak)
    with account.clock():
        values = [record[main] for record in records_between(house, start, end)]
    numbers = [value for value in values if value is not None]
    text = f"{counted(len(values), 'record')}, {main} from {min(numbers):g} to {max(numbers):g}"
    account.line(f"the day {start:%Y-%m-%d}", text, timed=True)
    return Point(peak, {main: max(numbers)})


def _or_lowest(value: float | None) -> float:
    return -math.inf if value is None else value


def records_between(house: Any, start: datetime.datetime, end: datetime.datetime) -> Iterator[Any]:
    """Yield the records from `start` to just before `end`."""
    yield from house.db_iterate_records(
        eosdb.DatabaseTimestamp.from_datetime(eosdb.to_datetime(start)),
        eosdb.DatabaseTimestamp.from_datetime(eosdb.to_datetime(end)),
    )


def change(house: Any, rows: Rows, peak: Point, account: Account) -> None:
    """Correct a day, delete the oldest tenth and save, in the database and in `rows` alike."""
    (main,) = peak.values
    start, end = account.day(peak.moment)
    changed = 0
    for record in list(records_between(house, start, end)):
        if record[main] is not None:
            house.update_value(record.date_time, main, record[main] * CALIBRATION)
            changed += 1
    for moment, values in rows.items():
        value = values[main]
        if start <= moment < end and value is not None:
            values[main] = value * CALIBRATION
    text = f"{counted(changed, 'value')}: {main} of {start:%Y-%m-%d} times {CALIBRATION}"
    account.line("changed", text)

    oldest = list(rows)[: max(1, len(rows) // 10)]
    # The end of a range is not part of it.
    after = oldest[-1] + datetime.timedelta(seconds=1)
    deleted = house.delete_by_datetime(eosdb.to_datetime(oldest[0]), eosdb.to_datetime(after))
    for moment in oldest:
        del rows[moment]
    text = f"{counted(deleted, 'record')}: {account.at(oldest[0])} to {account.at(oldest[-1])}"
    account.line("deleted", text)

    with account.clock():
        house.db_save_records()
    account.line("saved", "both at once, and synced to disk", timed=True)


def verify(house: Any, rows: Rows, keep: bool, account: Account) -> bool:
    """Compare every record with the files; return whether all are equal.

    Args:
        house: The house as freshly opened.
        rows: What it has to hold.
        keep: Whether it may hold more, from an earlier run.
        account: Where to tell the result.
    """
    with account.clock():
        found = {
            record.date_time.astimezone(datetime.UTC): record
            for record in house.db_iterate_records()
        }
    account.line("read", counted(len(found), "record"), timed=True)
    present = sum(moment in found for moment in rows)
    account.line("records as in the files", f"{present:,} of {len(rows):,}")
    values = sum(len(point) for point in rows.values())
    equal = sum(
        found[moment][key] == value
        for moment, point in rows.items()
        if moment in found
        for key, value in point.items()
    )
    account.line("values equal to the last bit", f"{equal:,} of {values:,}")
    surplus = len(found) - present
    if surplus:
        account.line("records in no file", f"{surplus:,}")
    return equal == values and (keep or not surplus)


def run(tables: list[Table], path: Path, keep: bool) -> bool:
    """Give the demonstration.

    Args:
        tables: What to store.
        path: The directory of the database.
        keep: Whether the database may hold records of an earlier run.

    Returns:
        Whether everything came back as it had been put in.
    """
    keys = list(dict.fromkeys(key for table in tables for key in table.keys))
    rows = merged(tables, keys)
    account = Account(tables[0].zone)
    settings = eosdb.DatabaseSettings()
    house_type = house_class(keys)
    moments = list(rows)

    print("eosdb demo: measurements into a database and back, every one accounted for")
    account.heading("Read from the files")
    for table in tables:
        account.line(table.name, f"{counted(len(table.points), 'row')}: {', '.join(table.keys)}")
        for note in table.notes:
            account.line("", f"({note})")
    account.line(
        "together", f"{counted(len(rows), 'record')} of up to {counted(len(keys), 'value')}"
    )
    account.line(
        "", f"from {account.at(moments[0])} to {account.at(moments[-1])}, {tables[0].zone}"
    )

    account.heading("Stored")
    with eosdb.LMDBDatabase(path, settings=settings) as database:
        house = house_type(database=database)
        with account.clock():
            store(house, tables)
        account.line("put in", f"{counted(len(rows), 'record')}, in memory so far", timed=True)
        with account.clock():
            saved = house.db_save_records()
        account.line("saved", f"{counted(saved, 'record')}, synced to disk", timed=True)

    account.heading("Opened again; nothing is read before it is asked for")
    with eosdb.LMDBDatabase(path, settings=settings) as database:
        house = house_type(database=database)
        peak = look_up(house, rows, keys, account)
        account.heading("Changed")
        change(house, rows, peak, account)

    account.heading("Opened once more and compared")
    with eosdb.LMDBDatabase(path, settings=settings) as database:
        right = verify(house_type(database=database), rows, keep, account)

    # Counted in blocks: a database file may have holes that take no space.
    size = (path / DATABASE_FILES[0]).stat().st_blocks * 512
    account.heading("Look at it" if right else "NOT EQUAL to the files: please report this")
    account.line(str(path / DATABASE_FILES[0]), f"{size:,} bytes on disk")
    print(f"  {os.path.relpath(sys.executable)} -m eosdb info {path}")
    return right


def demo_files(folder: Path | None) -> list[Path]:
    """Return the files to read where the user names none.

    Args:
        folder: Where `pvanalytics` was installed to; None looks on the import path.

    Raises:
        MeasurementsError: If it is not there.
    """
    if folder is None:
        found = importlib.util.find_spec("pvanalytics")
        places = (
            [Path(place) for place in (found.submodule_search_locations or [])] if found else []
        )
    else:
        places = [folder / "pvanalytics"]
    for place in places:
        files = [place / "data" / name for name in DEMO_FILES]
        if all(file.is_file() for file in files):
            return files
    raise MeasurementsError(
        "the demo data is missing: name a CSV file, or install it with "
        "'pip install --no-deps --target DIR pvanalytics==0.2.2' and pass --data DIR"
    )


def clear(path: Path) -> None:
    """Delete the database of an earlier run, and nothing else."""
    for name in DATABASE_FILES:
        (path / name).unlink(missing_ok=True)
    path.mkdir(parents=True, exist_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the demonstration; return 1 if anything differed, 2 if there was nothing to run on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("csv", nargs="?", type=Path, help="a file of your own measurements")
    parser.add_argument("--timezone", default="UTC", help="zone of times without an offset")
    parser.add_argument("--data", type=Path, help="folder that holds the package pvanalytics")
    parser.add_argument("--database", type=Path, default=DATABASE, help=f"default {DATABASE}")
    parser.add_argument("--keep", action="store_true", help="add to what an earlier run left")
    options = parser.parse_args(arguments)
    try:
        zone = ZoneInfo(options.timezone)
        files = [options.csv] if options.csv else demo_files(options.data)
        reserved = dir(eosdb.DataRecord)
        tables = [read(file, zone, reserved) for file in files]
    except (OSError, ValueError, ZoneInfoNotFoundError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    if not options.keep:
        clear(options.database)
    return 0 if run(tables, options.database, options.keep) else 1


if __name__ == "__main__":
    sys.exit(main())
