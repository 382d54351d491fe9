"""Compaction of a real house, and what docs/retention.md shows of it."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from test_docs import SHOWN_OUTPUT, python_blocks, run

import eosdb

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))

import household_year as example  # noqa: E402 - found by the line above

DOCUMENT: Final = (ROOT / "docs" / "retention.md").read_text(encoding="utf-8")
DAYS: Final = 30


@dataclass(frozen=True)
class Compacted:
    """The house of thirty days, compacted."""

    house: Any
    data: example.Measured
    before: example.State
    after: example.State

    def records(self) -> dict[int, Any]:
        return {int(record.date_time.timestamp()): record for record in self.house}


@pytest.fixture(scope="module")
def compacted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compacted]:
    data = example.measured(DAYS)
    with eosdb.LMDBDatabase(tmp_path_factory.mktemp("house")) as database:
        example.store(example.House(database=database), data)
        house = example.House(database=database)
        before = example.look_at(house, data)
        house.db_compact()
        yield Compacted(house, data, before, example.look_at(house, data))


def test_the_span_has_everything_in_it(compacted: Compacted) -> None:
    data = compacted.data
    first, last = (
        datetime.datetime.fromtimestamp(second, example.PARIS) for second in data.times[[0, -1]]
    )
    assert first.utcoffset() != last.utcoffset()
    coarse_until = int(data.times[-1]) - 14 * example.DAY
    assert data.times[0] < example.REPLACED < example.OUTAGE_FROM
    assert coarse_until > example.OUTAGE_UNTIL
    assert np.isnan(compacted.before.energy).sum() > 6 * 24
    assert compacted.before.records == len(data.times)


def test_every_hour_has_the_energy_it_had(compacted: Compacted) -> None:
    before, after = compacted.before.energy, compacted.after.energy
    assert np.array_equal(np.isnan(before), np.isnan(after))
    assert np.nanmax(np.abs(after - before)) <= 1e-9


def test_there_is_much_less(compacted: Compacted) -> None:
    before, after = compacted.before, compacted.after
    assert after.records * 15 < before.records
    assert after.stored_bytes * 15 < before.stored_bytes
    assert after.file_bytes * 10 < before.file_bytes


def test_the_outage_stays_empty(compacted: Compacted) -> None:
    times = compacted.records()
    inside = [time for time in times if example.OUTAGE_FROM <= time < example.OUTAGE_UNTIL]
    # The records of the hour in which it ends stand at the start of that hour.
    assert inside == [example.OUTAGE_UNTIL // example.HOUR * example.HOUR]
    assert times[inside[0]].grid_import_kwh is None


@pytest.mark.parametrize("second", [example.REPLACED, example.OUTAGE_UNTIL])
def test_the_readings_around_what_is_no_rise_survive(compacted: Compacted, second: int) -> None:
    data, records = compacted.data, compacted.records()
    after = int(np.searchsorted(data.times, second))
    for row in (after - 1, after):
        assert records[int(data.times[row])].grid_import_kwh == data.meter_kwh[row]


def test_means_are_of_the_values_they_replace(compacted: Compacted) -> None:
    data = compacted.data
    coarse_until = (int(data.times[-1]) - 14 * example.DAY) // example.HOUR * example.HOUR
    old = {time: record for time, record in compacted.records().items() if time < coarse_until}
    hours = data.times // example.HOUR * example.HOUR
    for time, record in old.items():
        if record.voltage_v is None:
            continue
        voltages = data.voltage_v[hours == time]
        # The finer tier comes first: it is the mean of the means of the quarters.
        quarters = data.times[hours == time] // example.QUARTER
        means = [voltages[quarters == quarter].mean() for quarter in np.unique(quarters)]
        assert record.voltage_v == pytest.approx(np.mean(means), abs=1e-9)
        assert voltages.min() <= record.voltage_v <= voltages.max()
        powers = data.power_w[hours == time]
        assert powers.min() <= record.power_w <= powers.max()
    assert {time for time, record in old.items() if record.voltage_v is not None} == {
        int(hour) for hour in hours if hour < coarse_until
    }


def test_a_second_compaction_changes_nothing(compacted: Compacted) -> None:
    before = [(record.date_time, record.model_dump()) for record in compacted.house]
    assert compacted.house.db_compact() == 0
    fresh = example.House(database=compacted.house.database)
    assert fresh.db_compact() == 0
    assert [(record.date_time, record.model_dump()) for record in fresh] == before


def test_means_of_meter_readings_are_far_from_it(compacted: Compacted) -> None:
    by_means = example.by_means(compacted.data, example.HOUR)
    assert np.nanmax(np.abs(by_means - compacted.before.energy)) > 1


def test_the_code_of_the_document_does_what_it_shows(tmp_path: Path) -> None:
    code = "\n".join(python_blocks(DOCUMENT))
    (report,) = re.findall(r"^```text\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    shown = SHOWN_OUTPUT.findall(code)
    assert shown
    assert run(code, tmp_path).splitlines() == [*shown, *report.splitlines()]


@pytest.mark.soak
def test_the_table_is_what_the_example_prints(tmp_path: Path) -> None:
    result = subprocess.run(  # noqa: S603 - this interpreter, this file
        [sys.executable, "-W", "error", str(ROOT / "examples" / "household_year.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    _, year = DOCUMENT.split("## A year of a house")
    rows = [line for line in year.splitlines() if line.startswith("|")]
    assert rows == result.stdout.splitlines()
