"""Count the energy of each hour of a day in three ways, beside the truth.

The house is a real one, read minute by minute on 20 December 2006. A car that charges with 11 kW
from 18:20 to 20:05 is added, and a meter that is read every nine minutes, never quite on time.
What is printed is the table in docs/energy.md.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import itertools
from collections.abc import Iterable
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import Field

import eosdb

MEASUREMENTS = Path(__file__).parent.parent / "tests" / "data" / "household_power_1min.csv.gz"
PARIS = ZoneInfo("Europe/Paris")
MIDNIGHT = datetime.datetime(2006, 12, 20, tzinfo=PARIS)
MINUTE = datetime.timedelta(minutes=1)
HOUR = datetime.timedelta(hours=1)
HOURS = 24

BEFORE = 4 * HOUR
"""How long before and after the day the meter is read as well."""

CAR_KW = 11.0
CAR_FROM = MIDNIGHT + datetime.timedelta(hours=18, minutes=20)
CAR_UNTIL = MIDNIGHT + datetime.timedelta(hours=20, minutes=5)

METER_KWH = 12_055.8
"""What the meter shows at first."""

KEY = "grid_import_kwh"


class Reading(eosdb.DataRecord):
    """What a meter shows at an instant."""

    grid_import_kwh: float | None = None


class House(eosdb.DataSequence):
    """The readings of the meter of one house."""

    records: list[Reading] = Field(default_factory=list)

    def db_namespace(self) -> str:
        """Return the name under which a database keeps these records."""
        return "house"


def power_by_minute() -> dict[datetime.datetime, float]:
    """Return the mean power of each minute in kW, car included, by the start of the minute."""
    power: dict[datetime.datetime, float] = {}
    with gzip.open(MEASUREMENTS, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            wall_time = datetime.datetime.strptime(row["Datetime"], "%d/%m/%Y %H:%M:%S")  # noqa: DTZ007
            minute = wall_time.replace(tzinfo=PARIS)
            if MIDNIGHT - BEFORE <= minute < MIDNIGHT + HOURS * HOUR + BEFORE:
                car = CAR_KW if CAR_FROM <= minute < CAR_UNTIL else 0.0
                power[minute] = float(row["Global_active_power"]) + car
    return power


def used(power: dict[datetime.datetime, float], hour: datetime.datetime) -> float:
    """Return the energy of an hour in kWh, from its minutes."""
    return sum(power[hour + number * MINUTE] for number in range(60)) / 60


def readings(power: dict[datetime.datetime, float]) -> dict[datetime.datetime, float]:
    """Return what the meter shows, to the Wh, every nine minutes and up to ten seconds late."""
    total = METER_KWH
    shown: dict[datetime.datetime, float] = {}
    for number, (minute, kw) in enumerate(power.items()):
        if number % 9 == 0:
            late = datetime.timedelta(seconds=number * 7 % 11)
            shown[minute + late] = round(total + kw * (late / HOUR), 3)
        total += kw / 60
    return shown


def differences(values: Iterable[float]) -> list[float]:
    """Return by how much each value exceeds the one before."""
    return [after - before for before, after in itertools.pairwise(values)]


def ways(house: House) -> list[list[float]]:
    """Return the energy of each hour of the day in the three ways; the last one is final."""
    end = MIDNIGHT + HOURS * HOUR
    energy = house.key_to_energy(KEY, MIDNIGHT, end, HOUR)
    # As Akkudoktor-EOS does it with the readings of a meter.
    array = house.key_to_array(
        KEY, MIDNIGHT, end + HOUR, HOUR, fill_method="time", boundary="context"
    )
    # As it is a fortnight later, when compaction has kept the mean of each hour.
    house.db_compact([(eosdb.to_duration("0 seconds"), eosdb.to_duration("1 hour"))])
    hours = (eosdb.to_datetime(MIDNIGHT + number * HOUR) for number in range(HOURS + 1))
    stored = [house.get_by_datetime(hour).grid_import_kwh for hour in hours]
    return [list(energy), differences(array), differences(stored)]


def row(label: str, cells: Iterable[str]) -> str:
    """Return a row of the table."""
    return f"| {' | '.join([label, *cells])} |"


def main() -> None:
    """Print the table."""
    power = power_by_minute()
    house = House()
    for moment, reading in readings(power).items():
        house.update_value(eosdb.to_datetime(moment), grid_import_kwh=reading)
    truth = [used(power, MIDNIGHT + number * HOUR) for number in range(HOURS)]
    columns = [truth, *ways(house)]

    heads = ["truth", "`key_to_energy`", "`key_to_array`", "stored means"]
    print(row("hour", heads))
    print(row("---", ["---:"] * len(heads)))
    for number, values in enumerate(zip(*columns, strict=True)):
        print(row(f"{number:02}:00", (f"{value:.2f}" for value in values)))
    print(row("the day", (f"{sum(column):.2f}" for column in columns)))
    errors = [max(map(abs, map(float.__sub__, column, truth))) for column in columns]
    print(row("largest error of an hour", (f"{error:.2f}" for error in errors)))


if __name__ == "__main__":
    main()
