"""Timestamps sort as instants do, and the sentinels stand outside all of them."""

from __future__ import annotations

import bisect
import copy
import datetime
import itertools
import operator
import pickle
import random
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pendulum
import pytest
from hypothesis import given, strategies as st

from eosdb import errors, timestamps
from eosdb.datetimes import DateTime
from eosdb.timestamps import (
    UNBOUND_END,
    UNBOUND_START,
    UNBOUND_WINDOW,
    DatabaseRecordProtocolLoadPhase,
    DatabaseTimestamp,
)

UTC = datetime.UTC
BERLIN = ZoneInfo("Europe/Berlin")
SENTINELS = [UNBOUND_START, UNBOUND_END, UNBOUND_WINDOW]

aware = st.datetimes(
    min_value=datetime.datetime(1, 1, 3),
    max_value=datetime.datetime(9999, 12, 29),
    timezones=st.timezones() | st.just(UTC),
)


def test_text() -> None:
    dt = pendulum.datetime(2024, 10, 27, 12, 34, 56, tz="Europe/Berlin")
    assert DatabaseTimestamp.from_datetime(dt) == "20241027T113456Z"


@pytest.mark.parametrize(
    ("year", "text"),
    [(1, "00010101T000000Z"), (999, "09990101T000000Z"), (9999, "99990101T000000Z")],
)
def test_years_are_padded(year: int, text: str) -> None:
    dt = datetime.datetime(year, 1, 1, tzinfo=UTC)
    assert DatabaseTimestamp.from_datetime(dt) == text
    assert DatabaseTimestamp(text).to_datetime() == dt


def test_the_last_microsecond_of_time_is_in_its_own_second() -> None:
    dt = datetime.datetime.max.replace(tzinfo=UTC)
    assert DatabaseTimestamp.from_datetime(dt) == "99991231T235959Z"


@pytest.mark.parametrize("year", [1969, 1970, 2024])
def test_microseconds_are_dropped_before_and_after_1970(year: int) -> None:
    dt = datetime.datetime(year, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert DatabaseTimestamp.from_datetime(dt) == f"{year}1231T235959Z"


@pytest.mark.parametrize("make", [datetime.datetime, DateTime, pendulum.naive])
def test_naive_is_refused(make: Callable[..., datetime.datetime]) -> None:
    with pytest.raises(errors.NaiveDatetimeError, match=r"^Timezone-aware datetime required"):
        DatabaseTimestamp.from_datetime(make(2024, 1, 1))


@pytest.mark.parametrize(
    "dt",
    [
        datetime.datetime(1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
        datetime.datetime(9999, 12, 31, 23, tzinfo=datetime.timezone(datetime.timedelta(hours=-1))),
    ],
)
def test_an_instant_outside_the_calendar_is_refused(dt: datetime.datetime) -> None:
    with pytest.raises(errors.TimestampRangeError):
        DatabaseTimestamp.from_datetime(dt)


@pytest.mark.parametrize("zone", [BERLIN, pendulum.timezone("Europe/Berlin")])
def test_both_hours_of_the_autumn_night(zone: datetime.tzinfo) -> None:
    for make in (datetime.datetime, DateTime):
        first = make(2024, 10, 27, 2, 30, tzinfo=zone, fold=0)
        second = make(2024, 10, 27, 2, 30, tzinfo=zone, fold=1)
        assert DatabaseTimestamp.from_datetime(first) == "20241027T003000Z"
        assert DatabaseTimestamp.from_datetime(second) == "20241027T013000Z"


def test_the_spring_night_has_no_gap() -> None:
    texts = [
        DatabaseTimestamp.from_datetime(
            datetime.datetime(2024, 3, 31, 0, 45, tzinfo=UTC).astimezone(BERLIN)
            + datetime.timedelta(0)
        ),
        DatabaseTimestamp.from_datetime(datetime.datetime(2024, 3, 31, 3, 0, tzinfo=BERLIN)),
    ]
    assert texts == ["20240331T004500Z", "20240331T010000Z"]


def test_pandas_timestamp() -> None:
    moment = pd.Timestamp("2024-10-27T02:30:00.999999999+01:00")
    assert DatabaseTimestamp.from_datetime(moment) == "20241027T013000Z"


@given(aware)
def test_round_trip(dt: datetime.datetime) -> None:
    back = DatabaseTimestamp.from_datetime(dt).to_datetime()
    whole = dt.astimezone(UTC).replace(microsecond=0)
    assert back == whole
    assert isinstance(back, pendulum.DateTime)
    assert back.timezone_name == "UTC"


@given(aware, aware)
def test_order_is_the_order_of_seconds(a: datetime.datetime, b: datetime.datetime) -> None:
    seconds = [dt.astimezone(UTC).replace(microsecond=0) for dt in (a, b)]
    keys = [DatabaseTimestamp.from_datetime(dt) for dt in (a, b)]
    for compare in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq):
        assert compare(*keys) == compare(*seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "20241301T000000Z",
        "20240230T000000Z",
        "20240101T240000Z",
        "00000101T000000Z",
        "20240101T000000",
        "20240101 000000Z",
        "2024_101T000000Z",
        " 0240101T000000Z",
        "+0240101T000000Z",
        "\u0662\u0660\u0662\u06640101T000000Z",
        "20240101T000000Z ",
        "__metadata__",
    ],
)
def test_text_that_is_no_timestamp(text: str) -> None:
    with pytest.raises(errors.InvalidKeyError):
        DatabaseTimestamp(text).to_datetime()


def test_timestamp_is_nothing_but_text() -> None:
    timestamp = DatabaseTimestamp("20240101T000000Z")
    assert not hasattr(timestamp, "__dict__")
    assert timestamp in {"20240101T000000Z", "20240101T000001Z"}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        back = pickle.loads(pickle.dumps(timestamp, protocol))
        assert back == timestamp
        assert type(back) is DatabaseTimestamp


# Sentinels


@given(st.text() | aware.map(DatabaseTimestamp.from_datetime))
def test_sentinels_stand_outside_all_text(text: str) -> None:
    ordered = [UNBOUND_START, text, UNBOUND_END]
    if text in {UNBOUND_START, UNBOUND_END}:
        return
    for (i, a), (j, b) in itertools.product(enumerate(ordered), repeat=2):
        assert (a < b, a <= b, a > b, a >= b, a == b) == (i < j, i <= j, i > j, i >= j, i == j)


def test_sentinels_stand_outside_bytes() -> None:
    key = b"20240101T000000Z"
    assert UNBOUND_START < key < UNBOUND_END
    assert not key < UNBOUND_START
    assert not key > UNBOUND_END


@pytest.mark.parametrize("sentinel", [UNBOUND_START, UNBOUND_END])
def test_sentinel_equals_its_text(sentinel: str) -> None:
    text = "".join(sentinel)
    assert type(text) is str
    assert sentinel == text
    assert hash(sentinel) == hash(text)
    assert sentinel in {text, "another"}
    assert sentinel <= text <= sentinel
    assert not sentinel < text
    assert not sentinel > text
    assert sentinel
    assert not isinstance(sentinel, DatabaseTimestamp)
    assert repr(sentinel) == text


def test_sorted_and_bisected() -> None:
    hours = [DatabaseTimestamp(f"20240101T{hour:02d}0000Z") for hour in range(24)]
    bounds: list[Any] = [UNBOUND_START, *hours, UNBOUND_END]
    shuffled = random.Random(7).sample(bounds, len(bounds))
    assert sorted(shuffled) == bounds
    assert min(shuffled) is UNBOUND_START
    assert max(shuffled) is UNBOUND_END
    for find in (bisect.bisect_left, bisect.bisect_right):
        assert find(hours, UNBOUND_START) == 0
        assert find(hours, UNBOUND_END) == len(hours)
    positions = {bound: position for position, bound in enumerate(bounds)}
    assert positions[UNBOUND_START] == 0
    assert positions[UNBOUND_END] == len(bounds) - 1


@pytest.mark.parametrize("sentinel", SENTINELS, ids=repr)
def test_copies_are_the_same_object(sentinel: object) -> None:
    assert copy.copy(sentinel) is sentinel
    assert copy.deepcopy(sentinel) is sentinel
    assert copy.deepcopy([sentinel])[0] is sentinel


@pytest.mark.parametrize("sentinel", SENTINELS, ids=repr)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dumps", [pickle.dumps, pickle._dumps])  # type: ignore[attr-defined]  # both implementations
def test_pickles_are_the_same_object(
    sentinel: object, protocol: int, dumps: Callable[..., bytes]
) -> None:
    data = dumps({"bounds": [sentinel, sentinel]}, protocol)
    assert pickle.loads(data)["bounds"][0] is sentinel
    assert pickle._loads(data)["bounds"][1] is sentinel  # type: ignore[attr-defined]


def test_window() -> None:
    assert repr(UNBOUND_WINDOW) == "UNBOUND_WINDOW"
    others: list[object] = ["UNBOUND_WINDOW", None, 0]
    assert UNBOUND_WINDOW not in others
    assert {UNBOUND_WINDOW: 1}[UNBOUND_WINDOW] == 1
    assert pickle.dumps(UNBOUND_WINDOW, 0) == b"ceosdb.timestamps\nUNBOUND_WINDOW\np0\n."


def test_load_phases() -> None:
    assert [phase.name for phase in DatabaseRecordProtocolLoadPhase] == ["NONE", "INITIAL", "FULL"]


def test_metadata_key() -> None:
    assert timestamps.DATABASE_METADATA_KEY == b"__metadata__"
