"""Arrays of even intervals, case by case."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pendulum
import pytest
from reading_support import Rows, fill, minute

from eosdb import InvalidArgumentError, NaiveDatetimeError, UnknownKeyError

BERLIN = ZoneInfo("Europe/Berlin")
NAN = math.nan
HOURS = timedelta(hours=1)


def check(array: Any, expected: list[Any]) -> None:
    """Check an array: floats to 1e-12 and `float64` if all are, anything else exactly."""
    assert isinstance(array, np.ndarray)
    assert array.shape == (len(expected),)
    numbers = all(type(value) is float for value in expected)
    assert array.dtype == (np.float64 if numbers else object)
    for mine, value in zip(array.tolist(), expected, strict=True):
        assert type(mine) is type(value)
        assert mine == (
            pytest.approx(value, rel=1e-12, abs=0, nan_ok=True) if type(value) is float else value
        )


# Arrays: values by minute, the minutes asked for, what else is asked, and the answer

SPREAD = {-10: 100, 0: 0, 60: 60, 120: 120, 180: 180}
STEEP = {0: 0, 60: 10, 80: 1000, 120: 20}
SPARSE = {0: 0, 180: 30}
TEXT = {0: "a", 20: "b", 120: "c"}
MIXED = {0: "a", 120: 5}
QUARTERS = {0: 0, 15: 1, 30: 2, 45: 3, 60: 4}

STRICT = {"boundary": "strict"}
ALIGNED = {"align_to_interval": True}
KEEP = {"dropna": False}


def filled(method: str) -> dict[str, Any]:
    return {"fill_method": method}


def every(**length: float) -> dict[str, Any]:
    return {"interval": timedelta(**length)}


TABLE: list[Any] = [
    # Which records count, and where buckets begin
    (QUARTERS, 0, 60, {}, [1.5]),
    (QUARTERS, 30, 90, {}, [4.0]),
    (QUARTERS, 30, 90, STRICT, [3.0]),
    (QUARTERS, 30, 90, ALIGNED, [4.0]),
    (QUARTERS, 0, 60, every(minutes=15), [0.0, 1.0, 2.0, 3.0]),
    (QUARTERS, None, None, {}, [1.5, 4.0]),
    (QUARTERS, None, None, every(hours=2), [2.0]),
    (QUARTERS, 7, 60, {**STRICT, **every(minutes=15)}, [1.0, 2.0, 3.0, 3.0]),
    (SPREAD, 0, 180, {}, [60.0, 120.0, 180.0]),
    (SPREAD, 0, 180, STRICT, [0.0, 60.0, 120.0]),
    (SPREAD, 0, 180, ALIGNED, [0.0, 60.0, 120.0]),
    ({-10: None, 0: 0, 60: 60, 120: 120}, 0, 120, {}, [60.0, 120.0]),
    ({90: 1, 150: 2}, 0, 240, {}, [1.0, 1.0, 2.0, 2.0]),
    ({200: 5}, 0, 120, {}, [5.0, 5.0]),
    (STEEP, 0, 75, {}, [0.0, 670.0]),
    (STEEP, 0, 75, STRICT, [0.0, 10.0]),
    ({0: 0, 60: 10, 70: 30}, 0, 90, {}, [0.0, 70 / 3]),
    ({1500: 1, 1530: 3}, None, None, {}, [2.0]),
    ({1500: 1, 1530: 3}, None, None, every(days=1), [2.0]),
    ({1499: 1, 1530: 3}, None, None, every(hours=7), [2.0]),
    ({1441: 1, 1859: 2, 1861: 3}, None, None, every(hours=7), [1.5, 3.0]),
    ({1441: 1, 1859: 2, 1861: 3}, None, None, {**every(hours=7), **ALIGNED}, [1.5, 3.0]),
    # Nothing to count
    ({}, 0, 180, {}, [None, None, None]),
    ({0: None, 240: None}, 60, 180, {}, [None, None]),
    ({0: None, 240: None}, 60, 180, STRICT, [None, None]),
    ({}, 0, None, {}, []),
    ({}, None, 180, {}, []),
    ({}, None, None, {}, [None]),
    ({0: 1}, 60, 0, {}, []),
    ({0: 1, 60: 2, 120: 3}, 90, 30, {}, []),
    ({0: 1}, 60, 60, {}, []),
    ({0: 1}, 600, None, {}, []),
    # Gaps
    (SPARSE, 0, 240, {}, [0.0, 10.0, 20.0, 30.0]),
    (SPARSE, 0, 240, filled("time"), [0.0, 10.0, 20.0, 30.0]),
    (SPARSE, 0, 240, filled("linear"), [0.0, 10.0, 20.0, 30.0]),
    (SPARSE, 0, 240, filled("ffill"), [0.0, 0.0, 0.0, 30.0]),
    (SPARSE, 0, 240, filled("bfill"), [0.0, 30.0, 30.0, 30.0]),
    (SPARSE, 0, 240, filled("none"), [0.0, None, None, 30.0]),
    ({0: None, 60: 5}, 0, 180, KEEP, [None, 5.0, 5.0]),
    ({0: None, 60: 5}, 0, 180, {}, [5.0, 5.0, 5.0]),
    ({0: None, 60: 5}, 0, 180, {"dropna": None}, [5.0, 5.0, 5.0]),
    ({0: 1, 60: NAN, 120: 3}, 0, 180, {}, [1.0, 2.0, 3.0]),
    ({0: 1, 20: NAN, 40: 5}, 0, 60, {}, [3.0]),
    ({0: NAN}, 0, 120, {}, [None, None]),
    ({0: 1.0, 60: math.inf}, 0, 120, filled("none"), [1.0, math.inf]),
    ({0: math.inf, 20: -math.inf, 60: 1.0}, 0, 120, filled("none"), [None, 1.0]),
    # What is no number
    (TEXT, 0, 240, {}, ["a", "a", "c", "c"]),
    (TEXT, 0, 240, filled("bfill"), ["a", "c", "c", "c"]),
    (TEXT, 0, 240, filled("linear"), ["a", NAN, "c", NAN]),
    (TEXT, 0, 240, filled("time"), ["a", NAN, "c", NAN]),
    (TEXT, 0, 240, filled("none"), ["a", NAN, "c", NAN]),
    (MIXED, 0, 240, {}, ["a", "a", 5, 5]),
    (MIXED, 0, 240, filled("none"), ["a", None, 5, None]),
    ({0: NAN, 20: "b", 120: None}, 0, 180, {**KEEP, **filled("none")}, ["b", NAN, NAN]),
    ({0: True, 20: False, 120: True}, 0, 240, {}, [0.5, 0.75, 1.0, 1.0]),
    ({0: True, 20: None, 120: 3}, 0, 180, KEEP, [1.0, 2.0, 3.0]),
    ({0: True, 60: "b"}, 0, 120, {}, [True, "b"]),
    ({0: 1.0, 20: "unavailable", 60: 3.0, 120: 5.0}, 0, 180, {}, [1.0, 3.0, 5.0]),
    ({0: [1, 2], 60: {"x": 1}}, 0, 120, {}, [[1, 2], {"x": 1}]),
    ({0: "1", 60: "nan"}, 0, 120, {}, ["1", "nan"]),
    # Fractions of a second
    ({0: 0, 60: 4}, 1 / 120, 120 + 1 / 120, every(hours=2), [4.0]),
    ({0: 0, 60: 4}, 1 / 120, 240 + 1 / 120, every(hours=2), [4.0, 4.0]),
    ({0: 1, 1 / 60 * 1.9: 3}, 0, 1 / 20, {**STRICT, **every(seconds=1.9)}, [1.0, 3.0, 3.0]),
    ({0.005: 1, 0.02: 2}, 0.01, 1 / 20, {**STRICT, **every(seconds=1)}, [2.0, 2.0]),
    ({0.5: "a", 60.005: "b", 110: "c"}, 0.001, None, STRICT, ["a", "b"]),
    ({0.5: 1, 60.005: 2, 110: 4}, 0.001, None, STRICT, [1.0, 3.0]),
    ({0.5: 1, 60.005: 2, 110: 4}, 0.01, None, STRICT, [1.5, 4.0]),
]
OBJECTS = [{0: 1.0, 20: "unavailable", 60: 3.0, 120: 5.0}]
"""Values whose answer is of objects although it could be of floats."""


@pytest.mark.parametrize("case", TABLE)
def test_the_array_of_a_table(make: Callable[..., Any], case: Any) -> None:
    values, start, end, options, expected = case
    bounds = [None if number is None else minute(number) for number in (start, end)]
    array = make(values).key_to_array("v", *bounds, **{"interval": HOURS, **options})
    if values in OBJECTS:
        assert array.dtype == object
        array = np.array(array, dtype=float)
    check(array, expected)


def test_a_record_without_the_key_still_bounds_the_window(make: Callable[..., Any]) -> None:
    sequence = make({0: 0, 60: 60, 120: 120})
    sequence.update_value(minute(-10), w=1)
    check(sequence.key_to_array("v", minute(0), minute(120), HOURS), [60.0, 120.0])


def test_without_records_the_array_runs_from_now_to_an_end_in_the_future() -> None:
    now = pendulum.now("UTC")
    array = Rows().key_to_array("v", None, now.add(hours=5))
    assert array.tolist() in ([None] * 5, [None] * 6)


@pytest.mark.parametrize("texts", [["1", "2"], [" -1.5e3 ", ".5"], ["inf", "+7"], ["1", 2.0]])
def test_numbers_written_as_text_are_refused(make: Callable[..., Any], texts: list[Any]) -> None:
    sequence = make(dict(zip((0, 20), texts, strict=True)))
    # Even where nothing is left of them in the end.
    for start, end in ((0, 120), (10, 11)):
        with pytest.raises(TypeError):
            sequence.key_to_array("v", minute(start), minute(end))


@pytest.mark.parametrize("text", ["", "nan", "None", "True", "1_000", "0x1A", "1,5", "1e", "٣"])
def test_text_that_is_no_number(make: Callable[..., Any], text: str) -> None:
    check(make({0: text, 20: "1"}).key_to_array("v", minute(0), minute(60)), [text])


def test_a_day_has_as_many_hours_as_the_clock_gives_it(make: Callable[..., Any]) -> None:
    spring, autumn = datetime(2024, 3, 31, tzinfo=BERLIN), datetime(2024, 10, 27, tzinfo=BERLIN)
    for day, hours in ((spring, 23), (autumn, 25)):
        sequence = make({60 * n: float(n) for n in range(hours + 1)}, base=day)
        end = (day + timedelta(days=1)).replace(tzinfo=BERLIN)
        array = sequence.key_to_array("v", day, end, boundary="strict")
        check(array, [float(n) for n in range(hours)])


def test_buckets_of_a_day_have_24_hours_across_a_change_of_summer_time(
    make: Callable[..., Any],
) -> None:
    first = datetime(2024, 3, 30, tzinfo=BERLIN)
    sequence = make({60 * n: float(n) for n in range(72)}, base=first)
    end = datetime(2024, 4, 2, tzinfo=BERLIN)
    array = sequence.key_to_array("v", first, end, timedelta(days=1))
    # The record at the end counts, twice.
    check(array, [11.5, 35.5, (sum(range(48, 72)) + 71) / 25])


def test_the_mean_makes_up_for_what_rounding_loses(make: Callable[..., Any]) -> None:
    sequence = make(dict.fromkeys(range(10), 0.1))
    # Added one after the other they make 0.9999999999999999.
    array = sequence.key_to_array("v", minute(0), minute(60), boundary="strict")
    assert array.tolist() == [0.1]


@pytest.mark.parametrize(
    "interval", [7200, 7200.9, "2 hours", "PT2H", timedelta(hours=2), pendulum.duration(hours=2)]
)
def test_every_way_to_write_an_interval(make: Callable[..., Any], interval: Any) -> None:
    sequence = make({0: 0.0, 60: 60.0, 120: 120.0, 180: 180.0})
    array = sequence.key_to_array("v", minute(0), minute(240), interval, boundary="strict")
    check(array, [30.0, 150.0])


def test_bounds_of_any_zone_and_as_text(make: Callable[..., Any]) -> None:
    sequence = make({0: 0.0, 60: 60.0, 120: 120.0})
    for start, end in [
        (minute(0).astimezone(BERLIN), minute(120).in_timezone("America/St_Johns")),
        ("2024-01-01T00:00:00Z", "2024-01-01T03:00:00+01:00"),
    ]:
        check(sequence.key_to_array("v", start, end), [0.0, 60.0])


# What cannot be asked

READERS: dict[str, Callable[[Any, str], object]] = {
    "array": lambda s, key: s.key_to_array(key),
    "arrays": lambda s, key: s.keys_to_arrays(["v", key]),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("values", [{}, {0: 1.0}])
def test_an_unknown_key(make: Callable[..., Any], reader: str, values: dict[float, Any]) -> None:
    sequence = make(values)
    for key in ("unknown", "configured_data", ""):
        with pytest.raises(KeyError, match="is not in record keys") as caught:
            READERS[reader](sequence, key)
        assert isinstance(caught.value, UnknownKeyError)


ASKED: dict[str, Any] = {"key_to_array": "v", "keys_to_arrays": ["v"]}


@pytest.mark.parametrize("method", ["key_to_array", "keys_to_arrays"])
@pytest.mark.parametrize("values", [{}, {0: 1.0}])
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"fill_method": "cubic"}, "^Unsupported fill method: cubic"),
        ({"fill_method": ""}, "^Unsupported fill method: "),
        ({"boundary": "open"}, "^Unsupported boundary mode: open"),
        *(
            ({"interval": interval}, None)
            for interval in (0, -3600, 0.9, NAN, math.inf, "", "1 parsec", timedelta(-1))
        ),
    ],
)
def test_an_unsupported_option(
    make: Callable[..., Any], method: str, values: Any, option: dict[str, Any], message: str | None
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        getattr(make(values), method)(ASKED[method], **option)
    assert isinstance(caught.value, InvalidArgumentError)


def test_more_values_than_anybody_can_want_are_refused(make: Callable[..., Any]) -> None:
    first, last = datetime(1, 1, 2, tzinfo=BERLIN), datetime(9999, 12, 30, tzinfo=BERLIN)
    with pytest.raises(InvalidArgumentError, match="longer interval or a shorter window"):
        make({0: 1.0}).key_to_array("v", first, last, timedelta(seconds=1))


@pytest.mark.parametrize("method", ["key_to_array", "keys_to_arrays"])
@pytest.mark.parametrize("bound", ["start_datetime", "end_datetime"])
def test_a_bound_without_a_zone(make: Callable[..., Any], method: str, bound: str) -> None:
    with pytest.raises(NaiveDatetimeError):
        getattr(make({0: 1.0}), method)(ASKED[method], **{bound: datetime(2024, 1, 1)})


# Several keys


def test_arrays_of_several_keys_are_those_of_each(make: Callable[..., Any]) -> None:
    sequence = make({0: 1.0, 60: 2.0, 120: 4.0})
    sequence.update_value(minute(30), power_w=5.0, note="on", count=7)
    options: dict[str, Any] = {"interval": 1800, "fill_method": "none", "boundary": "strict"}
    keys = ["note", "v", "count", "w", "power_w", "v"]
    arrays = sequence.keys_to_arrays(iter(keys), minute(0), minute(120), **options)
    assert list(arrays) == ["note", "v", "count", "w", "power_w"]
    for key, array in arrays.items():
        check(array, sequence.key_to_array(key, minute(0), minute(120), **options).tolist())
    check(arrays["v"], [1.0, None, 2.0, None])
    check(arrays["count"], [None, 7.0, None, None])
    check(arrays["note"], [NAN, "on", NAN, NAN])
    assert sequence.keys_to_arrays([]) == {}


class Doubled(Rows):
    """A sequence that makes its arrays itself."""

    def key_to_array(self, key: str, *args: Any, **options: Any) -> Any:
        return 2 * super().key_to_array(key, *args, **options)


def test_an_override_makes_the_arrays_of_several_keys_too() -> None:
    sequence = fill(Doubled(), {0: 1.0, 60: 3.0})
    check(sequence.keys_to_arrays(["v"], minute(0), boundary="strict")["v"], [2.0, 6.0])
