"""`eosdb.open`: its values are those that a sequence with the right record class reads."""

from __future__ import annotations

import decimal
import logging
import subprocess
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from open_support import ANY, by_class, household, key, store, zone_of
from pydantic import Field
from reading_support import Row, Rows, fill, minute
from support import House
from upstream_format import pack, put

import eosdb
from eosdb import LMDBDatabase

MIXED: Final = (
    1,
    2.5,
    "text",
    None,
    True,
    [1, 2],
    {"a": 1},
    2**70,
    np.float32(1.5),
    decimal.Decimal("1.5"),
)


class Wide(Row):
    """A record class that came later and has more fields."""

    later: Any = None


class WideRows(House):
    records: list[Wide] = Field(default_factory=list)  # type: ignore[assignment]


@pytest.fixture(params=[0, 9], ids=["plain", "compressed"])
def any_path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return store(tmp_path / "db", household, level=request.param)


WINDOWS: Final[list[tuple[Any, Any]]] = [
    (None, None),
    (minute(500), minute(1700)),
    (None, minute(3)),
    (minute(10_000), None),
    ("2024-01-01T12:00:00Z", "2024-01-02T00:00:00+00:00"),
]


# ---- the same as with the class -----------------------------------------------------------------


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    "read",
    [
        lambda rows, key, window: rows.key_to_array(key, *window, interval="15 minutes"),
        lambda rows, key, window: rows.key_to_array(
            key, *window, interval="1 hour", boundary="strict", fill_method="none", dropna=False
        ),
        lambda rows, key, window: rows.keys_to_arrays([key, "power_w"], *window)[key],
        lambda rows, key, window: np.array(rows.key_to_lists(key, *window)[1], dtype=object),
        lambda rows, key, window: np.array(rows.key_to_lists(key, *window, dropna=False)[0]),
    ],
    ids=["quarters", "strict", "several", "values", "dates"],
)
def test_arrays_and_lists_are_those_of_the_class(any_path: Path, window: Any, read: Any) -> None:
    expected = by_class(any_path, lambda rows: {key: read(rows, key, window) for key in ANY})
    with eosdb.open(any_path) as view:
        for key in ANY:
            np.testing.assert_array_equal(read(view["house"], key, window), expected[key])


@pytest.mark.parametrize("window", WINDOWS)
def test_frames_are_those_of_the_class(any_path: Path, window: Any) -> None:
    frame, series = by_class(
        any_path, lambda rows: (rows.to_dataframe(*window), rows.key_to_series("note", *window))
    )
    with eosdb.open(any_path) as view:
        house = view["house"]
        found = house.to_dataframe(*window)
        assert list(found) == house.keys_between(*window)
        assert zone_of(found) is not None
        assert len(found) == len(frame)
        for key in found if len(frame) else ():
            configured = frame["configured_data"].map(lambda data, key=key: data.get(key))
            expected = frame.get(key, configured)
            assert found[key].tolist() == pytest.approx(expected.tolist(), nan_ok=True)
        if len(frame):
            pd.testing.assert_index_equal(found.index, frame.index)
        pd.testing.assert_series_equal(house.key_to_series("note", *window), series)


def test_energy_and_arrow_tables_are_those_of_the_class(any_path: Path) -> None:
    energy, table = by_class(
        any_path, lambda rows: (rows.key_to_energy("count", max_gap="3 hours"), pa.table(rows))
    )
    with eosdb.open(any_path) as view:
        house = view["house"]
        np.testing.assert_array_equal(house.key_to_energy("count", max_gap="3 hours"), energy)
        found = pa.table(house)
        assert found.column_names == ["date_time", *ANY]
        for key in found.column_names:
            assert found[key].to_pylist() == table[key].to_pylist()
        assert pl.DataFrame(house.to_arrow(keys=["v"])).columns == ["date_time", "v"]


def test_values_of_any_type_are_read_as_they_are_stored(tmp_path: Path) -> None:
    def mixed(database: Any) -> Any:
        return fill(Rows(database=database), dict(enumerate(MIXED)))

    with eosdb.open(store(tmp_path, mixed)) as view:
        house = view["house"]
        _, values = house.key_to_lists("v", dropna=False)
        assert values == [*MIXED]
        assert house.to_dataframe(keys=["v"])["v"].tolist() == [*MIXED]
        assert house.key_to_value("v", minute(5)) == [1, 2]
        assert house.key_to_value("v", "2024-01-01T00:00:00Z") == 1
        assert house.key_to_dict("v", minute(6), minute(7)).popitem()[1] == {"a": 1}


def test_records_of_several_classes_are_read_together(tmp_path: Path) -> None:
    def later(database: Any) -> Any:
        rows = WideRows(database=database)
        rows.update_value(minute(5000), later=[1], power_w=2.0)
        rows.update_value(minute(5001), later=3.5)
        return rows

    path = store(tmp_path, household, later)
    with eosdb.open(path) as view:
        house = view["house"]
        assert house.keys == sorted([*ANY, "later"])
        assert house.keys_between(None, minute(4000)) == ANY
        assert house.key_to_lists("later")[1] == [[1], 3.5]
        assert len(house.key_to_lists("later", dropna=False)[1]) == len(house) == 502
        frame = house.to_dataframe(minute(4000))
        assert frame["power_w"].tolist() == [2.0, pytest.approx(np.nan, nan_ok=True)]
        # A key that only old records have is found, too.
        assert house.key_to_lists("v")[1]


HOSTILE: Final = ("__class__", "get", "self", "items", "_x", "a b", "x" * 300, "zone", "öäü", "")


def test_names_mean_nothing_but_themselves(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path) as database:
        fill(Rows(database=database), {0: 1.0}).save()
    values: dict[str, Any] = {name: float(number) for number, name in enumerate(HOSTILE)}
    one = {"date_time": minute(1), **values}
    other = {"date_time": minute(2), "configured_data": {**values, "date_time": 7}, "list": [1]}
    put(tmp_path, "house", {key(1): pack(one, 9), key(2): pack(other, 0)})
    with eosdb.open(tmp_path) as view:
        house = view["house"]
        assert set(HOSTILE) <= set(house.keys)
        assert "date_time" not in house.keys
        for name, value in values.items():
            assert house.key_to_lists(name)[1] == [value, value]
        assert house.key_to_lists("date_time")[1] == [minute(0), minute(1), minute(2)]
        assert house.to_dataframe(minute(1))["__class__"].tolist() == [0.0, 0.0]


# ---- damage -------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_reported_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store(tmp_path, lambda database: fill(Rows(database=database), {0: 1.0, 3: 4.0}))
    bad = {
        key(1): b"\x1f\x8b nothing",
        key(2): pack({"date_time": minute(2), "v": subprocess.Popen}, 9),
        b"no timestamp": b"value",
    }
    put(tmp_path, "house", bad)
    with eosdb.open(tmp_path) as view, caplog.at_level(logging.WARNING):
        house = view["house"]
        assert house.key_to_lists("v")[1] == [1.0, 4.0]
        assert house.to_dataframe()["v"].tolist() == [1.0, 4.0]
        assert house.keys == ["count", "note", "power_w", "v"]
        assert len(house) == 5
        assert house.min_datetime == minute(0)
        assert "NamespaceView" in str(house._repr_html_())
    reported = "\n".join(record.getMessage() for record in caplog.records)
    for timestamp in ("20240101T000100Z", "20240101T000200Z"):
        assert timestamp in reported
