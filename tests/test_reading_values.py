"""Values as they are: lists, dictionaries, series, frames and single values."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pendulum
import pytest
from pydantic import Field, computed_field
from reading_support import START, Row, Rows, fill, minute
from support import second_of, when

import eosdb
from eosdb import InvalidArgumentError, NaiveDatetimeError, UnknownKeyError

BERLIN = ZoneInfo("Europe/Berlin")
NAN = math.nan

BETWEEN = [(0, 40, [0, 10, 20, 30]), (10, None, [10, 20, 30, 40]), (40, 0, []), (10, 10, [])]
"""Bounds in minutes, and which of the minutes 0, 10, …, 40 lie between them."""


def bounds(*minutes: float | None) -> list[datetime | None]:
    return [None if number is None else minute(number) for number in minutes]


# Lists


def test_lists_have_no_none(make: Callable[..., Any]) -> None:
    sequence = make({0: 1.0, 10: None, 20: "x", 30: NAN, 40: 5})
    for options in ({}, {"dropna": True}, {"dropna": None}):
        times, values = sequence.key_to_lists("v", **options)
        assert times == bounds(0, 20, 30, 40)
        assert [type(value) for value in values] == [float, str, float, int]
        assert values[::3] == [1.0, 5]
        assert math.isnan(values[2])


def test_lists_have_none_if_asked_to(make: Callable[..., Any]) -> None:
    sequence = make({0: 1.0, 10: None, 20: True})
    sequence.update_value(minute(30), w="another key")
    times, values = sequence.key_to_lists("v", dropna=False)
    assert times == bounds(0, 10, 20, 30)
    assert values == [1.0, None, True, None]
    assert values[2] is True


def test_lists_of_nothing(make: Callable[..., Any]) -> None:
    assert make({}).key_to_lists("v") == ([], [])
    assert make({0: None}).key_to_lists("v") == ([], [])


@pytest.mark.parametrize(("start", "end", "inside"), BETWEEN)
def test_lists_are_half_open(
    make: Callable[..., Any], start: float | None, end: float | None, inside: list[int]
) -> None:
    sequence = make({n: n for n in range(0, 50, 10)})
    assert sequence.key_to_lists("v", *bounds(start, end)) == (bounds(*inside), inside)


def test_bounds_count_by_their_second(make: Callable[..., Any]) -> None:
    sequence = make({0.005: 1.0, 1.005: 2.0})
    times, values = sequence.key_to_lists("v", minute(0.01), minute(1.01))
    assert times == bounds(0.005)
    assert times[0].microsecond == 300_000
    assert values == [1.0]


def test_values_of_all_kinds_come_back_as_they_are(make: Callable[..., Any]) -> None:
    kinds = [1.5, -(2**63), 2**80, True, "text", b"bytes", [1, None], {"a": {"b": 2.0}}, (1, "b")]
    _, values = make(dict(enumerate(kinds))).key_to_lists("v")
    assert values == kinds
    assert [type(value) for value in values] == [type(kind) for kind in kinds]


def test_lists_keep_the_zone_of_each_record(make: Callable[..., Any]) -> None:
    # The last two are the two half past two of the night in which summer time ends.
    seconds = [0, 60, 120, 1_729_989_000, 1_729_992_600]
    zones: list[Any] = ["Europe/Berlin", "UTC", pendulum.FixedTimezone(19_800), *[BERLIN.key] * 2]
    sequence = make({})
    for second, zone in zip(seconds, zones, strict=True):
        sequence.update_value(when(second).in_timezone(zone), v=1.0)
    times, _ = sequence.key_to_lists("v")
    assert [second_of(time) for time in times] == seconds
    assert all(isinstance(time, pendulum.DateTime) for time in times)
    names = ["Europe/Berlin", "UTC", "+05:30", "Europe/Berlin", "Europe/Berlin"]
    assert [time.timezone_name for time in times] == names
    assert [(time.hour, time.minute, time.fold) for time in times[3:]] == [(2, 30, 0), (2, 30, 1)]


def test_lists_of_the_times_themselves(make: Callable[..., Any]) -> None:
    times, values = make({0: 1.0, 0.02: 2.0}).key_to_lists("date_time")
    assert times == values == bounds(0, 0.02)


# Dictionaries


@pytest.mark.parametrize(
    ("zone", "hour", "offset"),
    [("UTC", "00", "Z"), ("Europe/London", "00", "+00:00"), ("Europe/Berlin", "01", "+01:00")],
)
def test_a_dictionary_has_iso_8601_in_the_local_zone(
    make: Callable[..., Any], zone: str, hour: str, offset: str
) -> None:
    sequence = make({0: 1.0, 0.025: None, 10: 2.0})
    with pendulum.test_local_timezone(pendulum.timezone(zone)):
        found = sequence.key_to_dict("v", dropna=False)
        assert list(found.items()) == [
            (f"2024-01-01T{hour}:00:00{offset}", 1.0),
            (f"2024-01-01T{hour}:00:01.500000{offset}", None),
            (f"2024-01-01T{hour}:10:00{offset}", 2.0),
        ]
        assert list(sequence.key_to_dict("v").values()) == [1.0, 2.0]
        assert list(sequence.key_to_dict("v", dropna=None).values()) == [1.0, 2.0]


@pytest.mark.parametrize(("start", "end", "inside"), BETWEEN)
def test_a_dictionary_is_half_open(
    make: Callable[..., Any], start: float | None, end: float | None, inside: list[int]
) -> None:
    sequence = make({n: n for n in range(0, 50, 10)})
    assert list(sequence.key_to_dict("v", *bounds(start, end)).values()) == inside


# Single values


def test_the_value_at_an_instant(make: Callable[..., Any]) -> None:
    sequence = make({0: 1.5, 10: None, 20: "x"})
    assert sequence.key_to_value("v", minute(0)) == 1.5
    assert sequence.key_to_value("v", minute(0.01)) == 1.5
    assert sequence.key_to_value("v", "2024-01-01T01:20:00+01:00") == "x"
    assert sequence.key_to_value("v", minute(10)) is None
    assert sequence.key_to_value("v", minute(5)) is None
    assert sequence.key_to_value("w", minute(0)) is None


def test_the_value_nearest_to_an_instant(make: Callable[..., Any]) -> None:
    sequence = make({0: 1.0, 10: 2.0})
    half = timedelta(minutes=8)
    assert sequence.key_to_value("v", minute(4), half) == 1.0
    assert sequence.key_to_value("v", minute(5), 2 * half) == 2.0
    assert sequence.key_to_value("v", minute(15), half) is None
    assert sequence.key_to_value("v", minute(99), eosdb.UNBOUND_WINDOW) == 2.0
    with pytest.raises(InvalidArgumentError):
        sequence.key_to_value("v", minute(0), -half)


# Series


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1.5, 2.5], "float64"),
        ([1, 2], "int64"),
        ([1, 2.5], "float64"),
        ([True, False], "bool"),
        (["a", "b"], str(pd.Series(["a"]).dtype)),
        (["a", 1], "object"),
        ([True, 1.5], "object"),
        ([{"x": 1}, [2]], "object"),
    ],
)
def test_the_dtype_of_a_series(make: Callable[..., Any], values: list[Any], dtype: str) -> None:
    series = make(dict(enumerate(values))).key_to_series("v")
    assert series.name == "v"
    assert series.dtype == dtype
    assert series.tolist() == values
    assert [type(value) for value in series.tolist()] == [
        float if dtype == "float64" else type(value) for value in values
    ]
    assert series.index.dtype == "datetime64[us, UTC]"
    assert list(series.index) == bounds(*range(len(values)))


@pytest.mark.parametrize(("values", "dtype"), [([1, None], "float64"), ([None, None], "object")])
def test_a_series_with_none(make: Callable[..., Any], values: list[Any], dtype: str) -> None:
    sequence = make(dict(enumerate(values)))
    series = sequence.key_to_series("v", dropna=False)
    assert series.dtype == dtype
    assert series.isna().tolist() == [value is None for value in values]
    assert len(sequence.key_to_series("v")) == len([v for v in values if v is not None])


def test_an_empty_series(make: Callable[..., Any]) -> None:
    series = make({}).key_to_series("v")
    assert (len(series), series.name, series.dtype) == (0, "v", object)
    assert isinstance(series.index, pd.DatetimeIndex)


@pytest.mark.parametrize(("start", "end", "inside"), BETWEEN)
def test_a_series_is_half_open(
    make: Callable[..., Any], start: float | None, end: float | None, inside: list[int]
) -> None:
    sequence = make({n: n for n in range(0, 50, 10)})
    assert sequence.key_to_series("v", *bounds(start, end)).tolist() == inside


@pytest.mark.parametrize("base", [datetime(2024, 10, 27, 2, tzinfo=BERLIN), START])
def test_the_index_of_a_series_is_in_the_zone_of_the_records(
    make: Callable[..., Any], base: datetime
) -> None:
    series = make({0: 1.0, 30.01: 2.0, 90: 3.0}, base=base).key_to_series("v")
    assert str(series.index.tz) == str(base.tzinfo)
    assert list(series.index) == [minute(number, base) for number in (0, 30.01, 90)]


def test_the_index_of_mixed_zones_is_in_utc(make: Callable[..., Any]) -> None:
    sequence = make({0: 1.0})
    sequence.update_value(minute(60).in_timezone("Europe/Berlin"), v=2.0)
    for index in (sequence.key_to_series("v").index, sequence.to_dataframe().index):
        assert index.dtype == "datetime64[us, UTC]"
        assert list(index) == bounds(0, 60)


# Frames

COLUMNS = ["date_time", "configured_data", "power_w", "count", "note"]
TEXT = str(pd.Series(["a"]).dtype)


def test_a_frame_has_a_column_for_each_field(make: Callable[..., Any]) -> None:
    sequence = make({0: 1.0, 60: None, 120: "x"})
    sequence.update_value(minute(0), power_w=1.5, count=3, note="a")
    sequence.update_value(minute(60), power_w=2.5, note="b")
    frame = sequence.to_dataframe()
    assert list(frame.columns) == COLUMNS
    assert frame.index.name == "date_time"
    assert list(frame.index) == list(frame["date_time"]) == bounds(0, 60, 120)
    assert frame["configured_data"].tolist() == [{"v": 1.0}, {"v": None}, {"v": "x"}]
    assert [str(dtype) for dtype in frame.dtypes] == [
        *("datetime64[us, UTC]", "object", "float64", "float64", TEXT)
    ]
    assert frame["power_w"].tolist()[:2] == [1.5, 2.5]
    assert frame["count"].tolist()[:1] == [3.0]
    assert frame.isna().iloc[2].tolist() == [False, False, True, True, True]
    assert frame["note"].tolist()[:2] == ["a", "b"]


def test_a_frame_is_what_pandas_makes_of_the_dumps(make: Callable[..., Any]) -> None:
    base = datetime(2024, 10, 27, tzinfo=BERLIN)
    sequence = make({0: 1.0, 0.02: [1, 2], 180: {"a": 1}}, base=base)
    sequence.update_value(minute(999, base), power_w=NAN, count=2, note="ü")
    expected = pd.DataFrame([record.model_dump() for record in copy.deepcopy(sequence)])
    expected["date_time"] = pd.to_datetime(expected["date_time"], utc=True).dt.tz_convert(BERLIN)
    expected.index = pd.DatetimeIndex(expected["date_time"])
    pd.testing.assert_frame_equal(sequence.to_dataframe(), expected)


def test_columns_without_values_are_of_objects(make: Callable[..., Any]) -> None:
    frame = make({0: None}).to_dataframe()
    for key in ("power_w", "count", "note"):
        assert frame[key].dtype == object
        assert frame[key].tolist() == [None]


def test_integers_without_none_stay_integers(make: Callable[..., Any]) -> None:
    frame = make({0: 1, 1: 2}, key="count").to_dataframe()
    assert frame["count"].dtype == np.int64


def test_a_frame_of_nothing(make: Callable[..., Any]) -> None:
    for frame in (make({}).to_dataframe(), make({0: 1}).to_dataframe(minute(1), minute(2))):
        assert frame.empty
        assert list(frame.columns) == []


@pytest.mark.parametrize(("start", "end", "inside"), BETWEEN)
def test_a_frame_is_half_open(
    make: Callable[..., Any], start: float | None, end: float | None, inside: list[int]
) -> None:
    frame = make({n: n for n in range(0, 50, 10)}, key="count").to_dataframe(*bounds(start, end))
    assert frame.empty if not inside else frame["count"].tolist() == inside


def test_changing_a_frame_changes_no_record(make: Callable[..., Any]) -> None:
    sequence = make({0: [1]})
    held = sequence.get_by_datetime(minute(0))
    for _ in range(2):
        configured = sequence.to_dataframe()["configured_data"].iloc[0]
        assert configured == {"v": [1]}
        configured["v"].append(2)
        configured["w"] = 3
    assert held.configured_data == {"v": [1]}


class Named(Row):
    """A record with a key that is computed."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def doubled(self) -> float:
        return 2 * (self.power_w or 0.0)


class NamedRows(Rows):
    records: list[Named] = Field(default_factory=list)  # type: ignore[assignment]


def test_computed_keys_are_read_too() -> None:
    sequence = fill(NamedRows(), {0: 1.0, 60: 2.5}, key="power_w")
    assert sequence.key_to_lists("doubled") == (bounds(0, 60), [2.0, 5.0])
    assert sequence.key_to_value("doubled", minute(60)) == 5.0
    array = sequence.key_to_array("doubled", minute(0), minute(120))
    assert array.tolist() == [2.0, 5.0]
    assert sequence.to_dataframe()["doubled"].tolist() == [2.0, 5.0]


def test_a_frame_of_records_of_mixed_shapes(make: Callable[..., Any]) -> None:
    sequence = make({0: 1.0})
    sequence.db_insert_record(Row(date_time=minute(1), configured_data={"v": 2.0, "gone": 3.0}))
    assert sequence.to_dataframe()["configured_data"].tolist() == [
        {"v": 1.0},
        {"v": 2.0, "gone": 3.0},
    ]
    with pytest.raises(UnknownKeyError):
        sequence.key_to_lists("gone")


# What cannot be asked

READERS: dict[str, Callable[[Any, str], object]] = {
    "lists": lambda s, key: s.key_to_lists(key),
    "dict": lambda s, key: s.key_to_dict(key),
    "series": lambda s, key: s.key_to_series(key),
    "value": lambda s, key: s.key_to_value(key, minute(0)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("values", [{}, {0: 1.0}])
def test_an_unknown_key(make: Callable[..., Any], reader: str, values: dict[float, Any]) -> None:
    for key in ("unknown", "configured_data", ""):
        with pytest.raises(KeyError, match="is not in record keys") as caught:
            READERS[reader](make(values), key)
        assert isinstance(caught.value, UnknownKeyError)


@pytest.mark.parametrize("name", ["key_to_lists", "key_to_dict", "key_to_series", "to_dataframe"])
@pytest.mark.parametrize("bound", ["start_datetime", "end_datetime"])
def test_a_bound_without_a_zone(make: Callable[..., Any], name: str, bound: str) -> None:
    keys = [] if name == "to_dataframe" else ["v"]
    with pytest.raises(NaiveDatetimeError):
        getattr(make({0: 1.0}), name)(*keys, **{bound: datetime(2024, 1, 1)})


def test_times_in_utc_of_the_standard_library(make: Callable[..., Any]) -> None:
    sequence = make({0: 1.0, 60: 2.0})
    for zone in (UTC, BERLIN):
        bound = datetime(2024, 1, 1, tzinfo=UTC).astimezone(zone)
        assert sequence.key_to_lists("v", bound, bound + timedelta(hours=1))[1] == [1.0]
