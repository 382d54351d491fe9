"""Read the last day of a long history while another process commits to it every second.

    python benches/live_notebook.py --records 1000000 --seconds 600

Printed is how long it takes to have the frame of the last day: from nothing (a fresh Python that
imports, opens and reads), from opening, and in a notebook that has the database open. Every frame
is compared with what was written. The database is built first, and kept where `--database` says.
"""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import eosdb

FIRST = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
DAY = datetime.timedelta(days=1)
SAVED_AT_ONCE = 50_000
KEYS = ("grid_kwh", "power_w", "solar_w", "voltage_v")

FRESH = """
import sys
import eosdb
with eosdb.open(sys.argv[1]) as view:
    frame = view["house"].to_dataframe(eosdb.to_datetime(sys.argv[2]))
print(len(frame))
"""


class Measurement(eosdb.DataRecord):
    """Four numbers."""

    power_w: float | None = None
    grid_kwh: float | None = None
    solar_w: float | None = None
    voltage_v: float | None = None


class House(eosdb.DataSequence):
    """The records of one house."""

    records: list[Measurement] = []  # noqa: RUF012  as with any model, every sequence gets its own

    def db_namespace(self) -> str:
        """Return the name under which a database keeps these records."""
        return "house"


def values_at(number: Any) -> dict[str, Any]:
    """Return the values of the record of this number, or of many."""
    return {
        "power_w": 300.0 + number * 7919 % 5000 / 10,
        "grid_kwh": 12_055.8 + number * 0.005,
        "solar_w": number * 104_729 % 90_000 / 10,
        "voltage_v": 230.0 + number * 31 % 100 / 10,
    }


def build(path: Path, records: int) -> None:
    """Fill a database."""
    settings = eosdb.DatabaseSettings(compression_level=9)
    with eosdb.LMDBDatabase(path, settings=settings) as database:
        for begin in range(0, records, SAVED_AT_ONCE):
            house = House(database=database)
            for number in range(begin, min(begin + SAVED_AT_ONCE, records)):
                moment = eosdb.to_datetime(FIRST + number * MINUTE, in_timezone="Europe/Berlin")
                house.db_insert_record(Measurement(date_time=moment, **values_at(number)))
            house.save()


def write(path: Path, number: int, stop: Any) -> None:
    """Commit a record every second until told to stop."""
    settings = eosdb.DatabaseSettings(compression_level=9)
    with eosdb.LMDBDatabase(path, settings=settings) as database:
        house = House(database=database)
        while not stop.wait(1):
            moment = eosdb.to_datetime(FIRST + number * MINUTE, in_timezone="Europe/Berlin")
            house.db_insert_record(Measurement(date_time=moment, **values_at(number)))
            house.save()
            number += 1


def check(frame: Any, last_before: int) -> None:
    """Compare the frame of the last day with what was written.

    Raises:
        AssertionError: If anything differs.
    """
    seconds = frame.index.as_unit("s").asi8
    numbers = (seconds - int(FIRST.timestamp())) // 60
    if not (np.diff(numbers) == 1).all() or numbers[-1] < last_before:
        raise AssertionError("records are missing")
    for key, expected in values_at(numbers).items():
        if not np.array_equal(frame[key], expected):
            raise AssertionError(f"{key} differs")


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Return how long something takes in milliseconds, and its result."""
    begin = time.perf_counter()
    result = work(*arguments)
    return (time.perf_counter() - begin) * 1000, result


def read_fresh(path: Path, start: datetime.datetime) -> None:
    """Read the last day in a Python of its own."""
    command = [sys.executable, "-c", FRESH, str(path), start.isoformat()]
    result = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    if int(result.stdout) < 1440:
        raise AssertionError("records are missing")


def read(path: Path, seconds: float) -> tuple[dict[str, list[float]], list[str]]:
    """Read again and again; return the times by what was done, and the errors."""
    took: dict[str, list[float]] = {
        "fresh process: start, import, open, last day": [],
        "open, last day": [],
        "last day, held open": [],
        "count and last time, held open": [],
        "hourly mean of the last day, held open": [],
    }
    fresh, opened, held, count, mean = took
    errors = []
    end = time.monotonic() + seconds
    last = 0
    with eosdb.open(path) as view:
        house = view["house"]
        while time.monotonic() < end:
            try:
                milliseconds, ends = timed(lambda: (len(house), house.max_datetime))
                took[count].append(milliseconds)
                start = ends[1] - DAY + MINUTE
                milliseconds, frame = timed(house.to_dataframe, start)
                took[held].append(milliseconds)
                check(frame, last)
                last = len(house) - 1
                milliseconds, array = timed(house.key_to_array, "power_w", start)
                took[mean].append(milliseconds)
                if len(array) < 24:
                    errors.append("hours are missing")
                milliseconds, _ = timed(read_fresh, path, start)
                took[fresh].append(milliseconds)
            except (AssertionError, eosdb.EosdbError, subprocess.SubprocessError) as error:
                errors.append(repr(error))
            time.sleep(0.3)
    while len(took[opened]) < 10:
        milliseconds, frame = timed(open_and_read, path, last - 1439)
        took[opened].append(milliseconds)
        check(frame, last)
    return took, errors


def open_and_read(path: Path, number: int) -> Any:
    """Open the database and return the frame of the records from this number on."""
    with eosdb.open(path) as view:
        return view["house"].to_dataframe(FIRST + number * MINUTE)


def main() -> None:
    """Build, write and read at once, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--database", type=Path, help="where it is, or is to be kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.database or Path(folder) / "house.db"
        if not (path / "data.mdb").exists():
            milliseconds, _ = timed(build, path, options.records)
            print(f"built {options.records:,} records in {milliseconds / 1000:.0f} s")
        with eosdb.open(path) as view:
            number = len(view["house"])
            size = (path / "data.mdb").stat().st_size
            milliseconds, keys = timed(lambda: view["house"].keys)
            print(f"{number:,} records, {size / 1e6:.0f} MB; keys in {milliseconds:.0f} ms: {keys}")
        context = multiprocessing.get_context("spawn")
        stop = context.Event()
        writer = context.Process(target=write, args=(path, number, stop))
        writer.start()
        try:
            took, errors = read(path, options.seconds)
        finally:
            stop.set()
            writer.join()
    print(f"{'':46} {'times':>6} {'median':>9} {'most':>9}")
    for name, times in took.items():
        print(f"{name:46} {len(times):6} {np.median(times):6.1f} ms {max(times):6.1f} ms")
    print(f"writer exited with {writer.exitcode}; {len(errors)} errors", *errors[:5], sep="\n  ")


if __name__ == "__main__":
    main()
