"""Compact a year of one house, minute by minute, and see what is left of it.

The house is a real one: thirteen days of it are repeated until the span is full. A week has no
records, and on one day the meter is replaced. Printed is the table in docs/retention.md.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import gzip
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import eosdb

MEASUREMENTS = Path(__file__).parent.parent / "tests" / "data" / "household_power_1min.csv.gz"
PARIS = ZoneInfo("Europe/Paris")
MINUTE, QUARTER, HOUR, DAY = 60, 900, 3600, 86_400

KEY = "grid_import_kwh"
METER_KWH = 12_055.8
"""What the meter shows at first."""

FIRST_REPEAT = 7
"""The span begins on 17 March 2007, so that clocks change to summer time on its ninth day."""

REPLACED = int(datetime.datetime(2007, 3, 20, 10, 17, tzinfo=PARIS).timestamp())
"""When the meter begins again at 0."""

OUTAGE_FROM = int(datetime.datetime(2007, 3, 26, 6, 7, tzinfo=PARIS).timestamp())
OUTAGE_UNTIL = OUTAGE_FROM + 7 * DAY
"""No record lies in between."""

SAVED_AT_ONCE = 50_000

Floats: TypeAlias = NDArray[np.float64]
Times: TypeAlias = NDArray[np.int64]


class Power(eosdb.DataRecord):
    """What is measured in a minute."""

    power_w: float | None = None
    voltage_v: float | None = None
    grid_import_kwh: float | None = None


class House(eosdb.DataSequence):
    """The records of one house."""

    records: list[Power] = Field(default_factory=list)

    def db_namespace(self) -> str:
        """Return the name under which a database keeps these records."""
        return "house"

    def db_compact_aggregations(self) -> Mapping[str, str]:
        """Return how old values become one; those of the voltage become their mean."""
        return {"power_w": "time_weighted_mean", KEY: "meter"}


@dataclass(frozen=True)
class Measured:
    """What is measured, as columns; times are UTC seconds since 1970."""

    times: Times
    power_w: Floats
    voltage_v: Floats
    meter_kwh: Floats

    @property
    def hours(self) -> tuple[int, int]:
        """The start of the first hour and the end of the last one."""
        first, last = int(self.times[0]), int(self.times[-1])
        return first // HOUR * HOUR, last // HOUR * HOUR + HOUR


@dataclass(frozen=True)
class State:
    """What a database holds at a time."""

    records: int
    stored_bytes: int
    file_bytes: int
    energy: Floats
    """What each hour used, in kWh; nan where it is unknown."""


def tile() -> tuple[Times, Floats, Floats]:
    """Return time, power in kW and voltage of the minutes of thirteen whole days."""
    rows: list[tuple[int, float, float]] = []
    with gzip.open(MEASUREMENTS, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["Voltage"] in {"", "?"}:
                continue  # nothing was measured in this minute
            wall_time = datetime.datetime.strptime(row["Datetime"], "%d/%m/%Y %H:%M:%S")  # noqa: DTZ007
            second = int(wall_time.replace(tzinfo=PARIS).timestamp())
            rows.append((second, float(row["Global_active_power"]), float(row["Voltage"])))
    times = np.array([second for second, _, _ in rows], np.int64)
    inside = times < times[0] + (times[-1] - times[0]) // DAY * DAY
    values = np.array([row[1:] for row in rows])[inside]
    return times[inside], values[:, 0], values[:, 1]


def measured(days: int) -> Measured:
    """Return what is measured in a span of so many days."""
    times, power_kw, voltage_v = tile()
    length = (times[-1] - times[0]) // DAY * DAY + DAY
    repeats = -(-days * DAY // length)
    shifts = (np.arange(repeats) + FIRST_REPEAT) * length
    all_times = (times + shifts[:, np.newaxis]).ravel()
    kw, volts = np.tile(power_kw, repeats), np.tile(voltage_v, repeats)
    meter = METER_KWH + np.concatenate(([0.0], np.cumsum(kw[:-1] / 60)))
    replaced = np.searchsorted(all_times, REPLACED)
    meter[replaced:] -= meter[replaced]
    is_recorded = all_times < all_times[0] + days * DAY
    is_recorded &= (all_times < OUTAGE_FROM) | (all_times >= OUTAGE_UNTIL)
    return Measured(
        all_times[is_recorded],
        (kw * 1000).round()[is_recorded],
        volts[is_recorded],
        meter.round(3)[is_recorded],
    )


def store(house: House, data: Measured) -> None:
    """Put it all into the house's database."""
    columns = (data.times, data.power_w, data.voltage_v, data.meter_kwh)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for number, (second, power, voltage, reading) in enumerate(rows, start=1):
        moment = datetime.datetime.fromtimestamp(second, PARIS)
        record = Power(
            date_time=moment,  # type: ignore[arg-type]  # any datetime with a zone will do
            power_w=power,
            voltage_v=voltage,
            grid_import_kwh=reading,
        )
        house.db_insert_record(record)
        if number % SAVED_AT_ONCE == 0:
            house.save()
    house.save()


def energy(house: House, data: Measured) -> Floats:
    """Return what the meter of the house counted in each hour."""
    start, end = (datetime.datetime.fromtimestamp(second, datetime.UTC) for second in data.hours)
    return np.asarray(house.key_to_energy(KEY, start, end, interval="1 hour"))


def look_at(house: House, data: Measured) -> State:
    """Return what the house's database holds now."""
    records, stored_bytes = house._db_enter().extent(None, None)
    with tempfile.TemporaryDirectory() as folder:
        house.database.copy_to(folder, compact=True)
        file_bytes = (Path(folder) / "data.mdb").stat().st_size
    return State(records, stored_bytes, file_bytes, energy(house, data))


def by_means(data: Measured, width: int) -> Floats:
    """Return each hour's energy as Akkudoktor-EOS has it, which stores means of meter readings.

    The mean of each `width` seconds stands at their start, and an hour's energy is the difference
    of the means at its end and at its start. Where one of these lacks readings, or the two are of
    different meters, it is nan.
    """
    start, end = data.hours
    buckets = (data.times - start) // width
    count = np.bincount(buckets, minlength=(end - start) // width)
    total = np.bincount(buckets, data.meter_kwh, minlength=(end - start) // width)
    means = np.where(count == width // MINUTE, total / np.maximum(count, 1), np.nan)
    means[(REPLACED - start) // width] = np.nan
    differences = np.append(np.diff(means[:: HOUR // width]), np.nan)
    differences[(REPLACED - start) // HOUR] = np.nan
    return differences


def largest_error(energy: Floats, truth: Floats) -> str:
    """Return the largest error of an hour in kWh, of hours that are known."""
    error = float(np.nanmax(np.abs(energy - truth)))
    return "below 1e-9" if error < 1e-9 else f"{error:.2f}"


def row(*cells: str) -> str:
    """Return a row of the table."""
    return f"| {' | '.join(cells)} |"


def table(data: Measured, before: State, after: State) -> Iterator[str]:
    """Return the rows of the table."""
    yield row("", "before", "after")
    yield row("---", "---:", "---:")
    yield row("records", f"{before.records:,}", f"{after.records:,}")
    yield row("stored values, bytes", f"{before.stored_bytes:,}", f"{after.stored_bytes:,}")
    yield row(
        "`data.mdb` copied compactly, bytes", f"{before.file_bytes:,}", f"{after.file_bytes:,}"
    )
    known = [~np.isnan(state.energy) for state in (before, after)]
    yield row("hours of known energy", *(f"{hours.sum():,}" for hours in known))
    yield row("hours that became known or unknown", "", f"{(known[0] != known[1]).sum():,}")
    totals = (float(np.nansum(state.energy)) for state in (before, after))
    yield row("energy of all known hours, kWh", *(f"{total:,.3f}" for total in totals))

    truth = before.energy
    yield row("largest error of an hour, `meter`, kWh", "", largest_error(after.energy, truth))
    start = data.hours[0]
    young = (int(data.times[-1]) - 14 * DAY) // HOUR - start // HOUR
    old_means, young_means = by_means(data, HOUR)[:young], by_means(data, QUARTER)[young:]
    yield row(
        "the same, means of 1 hour, beyond 14 days", "", largest_error(old_means, truth[:young])
    )
    yield row("the same, means of 15 minutes, later", "", largest_error(young_means, truth[young:]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=365, help="the length of the span")
    days = parser.parse_args().days
    data = measured(days)
    settings = eosdb.DatabaseSettings(compression_level=9)
    with (
        tempfile.TemporaryDirectory() as folder,
        eosdb.LMDBDatabase(folder, settings=settings) as database,
    ):
        store(House(database=database), data)
        house = House(database=database)
        before = look_at(house, data)
        house.db_compact()
        for line in table(data, before, look_at(house, data)):
            print(line)


if __name__ == "__main__":
    main()
