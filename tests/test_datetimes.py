"""What users write becomes the instant and the duration they meant, or a clear error."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pendulum
import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel

from eosdb._core import timestamp_of
from eosdb.datetimes import DateTime, Duration, to_datetime, to_duration
from eosdb.errors import ArgumentTypeError, InvalidArgumentError, TimestampRangeError

UTC = datetime.UTC


@pytest.fixture(autouse=True)
def _berlin() -> Iterator[None]:
    """Let the local zone be one with summer time."""
    with pendulum.test_local_timezone(pendulum.timezone("Europe/Berlin")):
        yield


# Instants


@pytest.mark.parametrize(
    "value",
    [
        "2024-10-13T15:30:00+02:00",
        "2024-10-13T13:30:00Z",
        "20241013T133000Z",
        "2024-10-13 15:30",
        " 2024-10-13 15:30:00 ",
        "2024-10-13T15:30:00.000000",
        1_728_826_200,
        1_728_826_200.0,
        np.int64(1_728_826_200),
        datetime.datetime(2024, 10, 13, 15, 30),
        pendulum.naive(2024, 10, 13, 15, 30),
        pd.Timestamp("2024-10-13T15:30:00"),
    ],
    ids=repr,
)
def test_one_instant_written_in_many_ways(value: object) -> None:
    result = to_datetime(value)
    assert type(result) is DateTime
    assert result.isoformat() == "2024-10-13T15:30:00+02:00"
    assert result.timezone_name == "Europe/Berlin"


@pytest.mark.parametrize(
    ("value", "wall"),
    [
        (datetime.datetime(2024, 10, 13, 13, 30, tzinfo=UTC), "2024-10-13T13:30:00+00:00"),
        (
            datetime.datetime(2024, 10, 13, 9, 30, tzinfo=ZoneInfo("America/New_York")),
            "2024-10-13T09:30:00-04:00",
        ),
        (pendulum.datetime(2024, 10, 13, 13, 30), "2024-10-13T13:30:00+00:00"),
        (DateTime(2024, 10, 13, 13, 30, tzinfo=pendulum.UTC), "2024-10-13T13:30:00+00:00"),
        (pd.Timestamp("2024-10-13T15:30:00+02:00"), "2024-10-13T15:30:00+02:00"),
    ],
    ids=repr,
)
def test_an_aware_datetime_keeps_its_zone(value: object, wall: str) -> None:
    result = to_datetime(value)
    assert type(result) is DateTime
    assert result.isoformat() == wall
    assert (
        to_datetime(value, in_timezone="Europe/Berlin").isoformat() == "2024-10-13T15:30:00+02:00"
    )


@pytest.mark.parametrize(
    "value", ["2024-10-13", datetime.date(2024, 10, 13), pendulum.date(2024, 10, 13)]
)
def test_a_date_is_its_first_instant(value: object) -> None:
    assert to_datetime(value).isoformat() == "2024-10-13T00:00:00+02:00"
    in_tokyo = to_datetime(value, in_timezone="Asia/Tokyo")
    assert in_tokyo.isoformat() == "2024-10-13T00:00:00+09:00"


def test_a_midnight_that_is_skipped() -> None:
    result = to_datetime("2018-11-04", in_timezone="America/Sao_Paulo")
    assert result.isoformat() == "2018-11-04T01:00:00-02:00"


def test_none_is_now() -> None:
    before = datetime.datetime.now(UTC)
    now = to_datetime()
    assert before <= now <= datetime.datetime.now(UTC)
    assert type(now) is DateTime
    assert now.timezone_name == "Europe/Berlin"


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("America/New_York", "America/New_York"),
        (ZoneInfo("America/New_York"), "America/New_York"),
        (pendulum.timezone("America/New_York"), "America/New_York"),
        (UTC, "UTC"),
        ("UTC", "UTC"),
        (datetime.timezone(datetime.timedelta(hours=1)), "+01:00"),
        (pendulum.FixedTimezone(3600), "+01:00"),
    ],
)
def test_target_zone(zone: str | datetime.tzinfo, name: str) -> None:
    result = to_datetime("2024-10-13T15:30:00+02:00", in_timezone=zone)
    assert result == datetime.datetime(2024, 10, 13, 13, 30, tzinfo=UTC)
    assert result.timezone_name == name
    assert to_datetime("2024-10-13T15:30", in_timezone=zone).hour == 15


@pytest.mark.parametrize(
    ("value", "wall"),
    [
        ("2024-10-27T00:30:00Z", "2024-10-27T02:30:00+02:00"),
        ("2024-10-27T01:30:00Z", "2024-10-27T02:30:00+01:00"),
        ("2024-10-27 02:30", "2024-10-27T02:30:00+02:00"),
        (datetime.datetime(2024, 10, 27, 2, 30, fold=0), "2024-10-27T02:30:00+02:00"),
        (datetime.datetime(2024, 10, 27, 2, 30, fold=1), "2024-10-27T02:30:00+01:00"),
        (
            datetime.datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
            "2024-10-27T02:30:00+01:00",
        ),
        ("2024-03-31 01:30", "2024-03-31T01:30:00+01:00"),
        ("2024-03-31 02:30", "2024-03-31T03:30:00+02:00"),
        ("2024-03-31 03:30", "2024-03-31T03:30:00+02:00"),
    ],
)
def test_nights_when_the_clock_changes(value: object, wall: str) -> None:
    result = to_datetime(value)
    assert result.isoformat() == wall
    # Once more, by the result's own zone and fold.
    assert to_datetime(result, in_timezone="UTC") == datetime.datetime.fromisoformat(wall)


@given(
    st.datetimes(
        min_value=datetime.datetime(1, 1, 3),
        max_value=datetime.datetime(9999, 12, 29),
        timezones=st.timezones(),
    )
)
def test_the_instant_is_kept(dt: datetime.datetime) -> None:
    assert to_datetime(dt).astimezone(UTC) == dt.astimezone(UTC)


def test_what_is_right_already_is_handed_back() -> None:
    dt = to_datetime("2024-10-13")
    assert to_datetime(dt) is dt


def test_seconds_before_1970() -> None:
    assert to_datetime(-1.5, in_timezone="UTC").isoformat() == "1969-12-31T23:59:58.500000+00:00"


@pytest.mark.parametrize("year", [1, 9999])
def test_the_ends_of_the_calendar(year: int) -> None:
    assert to_datetime(f"{year:04d}-06-01T00:00:00Z", in_timezone="UTC").year == year


@pytest.mark.parametrize(
    "value", ["", "garbage", "infinity", "2024-13-01", "13.10.2024", math.nan, math.inf, pd.NaT]
)
def test_values_that_are_no_instant(value: object) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        to_datetime(value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    "value", [b"2024-01-01", True, object(), [2024], datetime.time(), np.timedelta64(1, "h")]
)
def test_types_that_are_no_instant(value: object) -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        to_datetime(value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    "value", [1e18, -(10**30), 1_728_826_200_000_000, "9999-12-31T23:59:59-01:00"]
)
def test_instants_outside_the_calendar(value: object) -> None:
    with pytest.raises(TimestampRangeError):
        to_datetime(value)


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd"])
def test_unknown_zones(zone: str) -> None:
    with pytest.raises(InvalidArgumentError, match="time zone"):
        to_datetime(0, in_timezone=zone)


def test_unusable_zones() -> None:
    class Odd(datetime.tzinfo):
        """A zone without a name to find it by."""

        def utcoffset(self, _: datetime.datetime | None) -> datetime.timedelta:
            return datetime.timedelta(hours=1)

        def dst(self, _: datetime.datetime | None) -> None:
            return None

        def tzname(self, _: datetime.datetime | None) -> None:
            return None

    with pytest.raises(ArgumentTypeError, match="time zone"):
        to_datetime(0, in_timezone=Odd())


def test_the_classes_work_as_pydantic_fields() -> None:
    class Model(BaseModel):
        at: DateTime
        every: Duration

    model = Model(at=to_datetime("2024-10-13"), every=to_duration("15 minutes"))
    assert type(model.at) is DateTime
    assert type(model.every) is Duration
    assert Model.model_validate_json(model.model_dump_json()) == model


# Durations


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1 hour", 3_600),
        ("15 minutes", 900),
        ("2 weeks", 1_209_600),
        ("1 day 3 hours", 97_200),
        ("1 day, 3 hours and 2 minutes", 97_320),
        ("2 Hours", 7_200),
        ("1.5 hours", 5_400),
        ("15min", 900),
        ("1h30m", 5_400),
        ("90 s", 90),
        ("PT15M", 900),
        ("P1DT2H", 93_600),
        ("P2W", 1_209_600),
        ("PT0.25S", 0.25),
        (90, 90),
        (1.5, 1.5),
        (-60, -60),
        (np.int64(60), 60),
        ((1, 2, 3, 4), 93_784),
        ([0, 0, 15, 0], 900),
        (datetime.timedelta(days=1, hours=6), 108_000),
        (pendulum.duration(days=2, hours=2), 180_000),
        (pd.Timedelta("15min"), 900),
    ],
)
def test_durations(value: object, seconds: float) -> None:
    result = to_duration(value)
    assert type(result) is Duration
    assert result.total_seconds() == seconds


@given(st.timedeltas(datetime.timedelta(days=-90_000), datetime.timedelta(days=90_000)))
def test_a_duration_is_kept_to_the_microsecond(delta: datetime.timedelta) -> None:
    assert to_duration(delta) == delta


def test_a_duration_is_handed_back() -> None:
    duration = Duration(hours=2)
    assert to_duration(duration) is duration


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "15",
        "hour",
        "-5 minutes",
        "1 month",
        "P1Y",
        "P",
        "PT",
        "P1DT",
        "3 parsecs and 2 hours",
        "2 hours later",
        "1 hand 2 minutes",
        "15:30",
        "1 hour " * 100,
        math.nan,
        -math.inf,
        1e300,
        (1, 2, 3),
        (0, 0, 0, math.nan),
        pytest.param(10**400, id="10**400"),
    ],
)
def test_values_that_are_no_duration(value: object) -> None:
    with pytest.raises(InvalidArgumentError):
        to_duration(value)


@pytest.mark.parametrize("value", [None, True, b"1 hour", {}, (0, 0, None, 0), np.float32])
def test_types_that_are_no_duration(value: object) -> None:
    with pytest.raises(ArgumentTypeError):
        to_duration(value)


# The second of a datetime

ZONES = [
    "UTC",
    "Europe/Berlin",
    "Australia/Lord_Howe",  # summer time of half an hour
    "America/Sao_Paulo",  # which began at midnight
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "Pacific/Apia",  # has no 30 December 2011
    "Europe/Dublin",
    "America/St_Johns",  # changed at one minute past midnight
    "Africa/Monrovia",  # 44 minutes and 30 seconds behind UTC until 1972
]


def walls_around_changes(name: str) -> Iterator[datetime.datetime]:
    """Yield wall times around every change of a zone's offset, and on ordinary days."""
    zone = ZoneInfo(name)
    offset = None
    for hour in range(0, 60 * 366 * 24, 6):
        instant = datetime.datetime(1966, 1, 1, tzinfo=UTC) + datetime.timedelta(hours=hour)
        found = instant.astimezone(zone).utcoffset()
        if found != offset or hour % 5001 == 0:
            offset = found
            wall = instant.replace(tzinfo=None)
            for minute in range(-3 * 24 * 60, 3 * 24 * 60, 37):
                yield wall + datetime.timedelta(minutes=minute, seconds=minute % 60)


@pytest.mark.parametrize("name", ZONES)
def test_the_second_is_the_one_of_the_standard_library(name: str) -> None:
    kinds = [
        (datetime.datetime, ZoneInfo(name)),
        (pendulum.DateTime, pendulum.timezone(name)),
        (DateTime, pendulum.timezone(name)),
    ]
    for number, wall in enumerate(walls_around_changes(name)):
        class_, zone = kinds[number % 3]
        for fold in (0, 1):
            value = class_(*wall.timetuple()[:6], tzinfo=zone, fold=fold)
            utc = datetime.datetime(*wall.timetuple()[:6], tzinfo=zone, fold=fold)
            expected = (utc - datetime.datetime(1970, 1, 1, tzinfo=UTC)) // datetime.timedelta(0, 1)
            assert timestamp(value) == to_key(expected), (value, fold)


def timestamp(value: datetime.datetime) -> str:
    return timestamp_of(SimpleNamespace(date_time=value))


def to_key(second: int) -> str:
    instant = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=second)
    return instant.strftime("%Y%m%dT%H%M%SZ")


@pytest.mark.parametrize("year", [1, 9999])
def test_the_second_at_the_ends_of_time(year: int) -> None:
    for month, day in ((1, 1), (12, 31)):
        value = datetime.datetime(year, month, day, 12, tzinfo=ZoneInfo("Europe/Berlin"))
        assert timestamp(value)[:4] == f"{year:04}"


class Wandering(datetime.tzinfo):
    """A zone that does not say the same twice."""

    offset = 0

    def utcoffset(self, _: datetime.datetime | None) -> datetime.timedelta:
        self.offset += 1
        return datetime.timedelta(seconds=self.offset)

    def dst(self, _: datetime.datetime | None) -> datetime.timedelta:
        return datetime.timedelta(0)

    def tzname(self, _: datetime.datetime | None) -> str:
        return "wandering"


def test_the_offset_of_an_unknown_zone_is_asked_for_every_time() -> None:
    value = datetime.datetime(2026, 1, 1, tzinfo=Wandering())
    seen = {timestamp(value) for _ in range(3)}
    assert len(seen) == 3


def test_an_offset_with_a_fraction_of_a_second() -> None:
    zone = datetime.timezone(datetime.timedelta(microseconds=500_000))
    for value in (datetime.datetime(2026, 1, 1, tzinfo=zone), DateTime(2026, 1, 1, tzinfo=zone)):
        assert timestamp(value) == "20251231T235959Z"
