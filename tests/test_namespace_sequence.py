"""Namespaces are compacted without the record class of whoever wrote them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import at, when
from upstream_format import pack, put

import eosdb
from eosdb.namespace_sequence import sequence_of
from eosdb.survey import survey

START = 1_767_225_600


def whole_numbers(path: Path) -> None:
    """Write a power that is 3 kW for three minutes of each quarter, and the meter it drives."""
    rows, meter = {}, 0
    for minute in range(240):
        power = 3000 if minute % 15 < 3 else 100
        second = START + 60 * minute
        fields = {"date_time": when(second), "power_w": power, "meter_wh": meter, "mode": "auto"}
        rows[at(second).encode()] = pack(fields, 9)
        meter += power // 60
    put(path, "house", rows)


def quarters(path: Path) -> list[float]:
    """Return what the meter counted in each quarter."""
    with eosdb.open(path) as view:
        return list(view["house"].key_to_energy("meter_wh", interval="15 minutes"))


@pytest.mark.parametrize("power", [{}, {"power_w": "mean"}, {"power_w": "time_weighted_mean"}])
def test_whole_numbers_have_means_and_meters(power: dict[str, str], tmp_path: Path) -> None:
    whole_numbers(tmp_path)
    before = quarters(tmp_path)
    with eosdb.LMDBDatabase(tmp_path) as database:
        house = sequence_of(
            database,
            "house",
            survey(database, "house"),
            aggregations={"meter_wh": "meter", **power},
        )
        tier = (eosdb.to_duration("1 hour"), eosdb.to_duration("15 minutes"))
        assert house.db_compact([tier]) > 0
    with eosdb.open(tmp_path) as view:
        frame = view["house"].to_dataframe(
            eosdb.to_datetime(START + 900), eosdb.to_datetime(START + 7200)
        )
        assert frame["power_w"].tolist() == pytest.approx([680.0] * 7)
        assert frame["mode"].tolist() == ["auto"] * 7
    assert quarters(tmp_path) == pytest.approx(before)
