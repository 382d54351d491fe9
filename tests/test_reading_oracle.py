"""Arrays are what pandas makes of the logical content, wherever that lies and whatever it is.

Hypothesis makes up records and windows; the same content is laid down in every way that there is,
and the arrays are compared with those of :mod:`pandas_oracle`.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas_oracle
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from oracle import FIELDS, Place, inside
from pydantic import Field, field_validator
from support import EPOCH, ForeignDatabase, House, at, second_of
from test_model import PROFILE, SequenceMachine, places, who

import eosdb

DATA = Path(__file__).parent / "data"
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [UTC, BERLIN, ZoneInfo("America/St_Johns")]


class Metered(eosdb.DataRecord):
    """A record that is stored as it is."""

    power_w: float | None = None
    count: int | None = None
    flag: bool | None = None
    note: str | None = None

    @classmethod
    def configured_data_keys(cls) -> list[str]:
        return ["meter"]


class Checked(Metered):
    """A record that has to be validated to know its values."""

    @field_validator("power_w")
    @classmethod
    def _as_it_is(cls, value: float | None) -> float | None:
        return value


class MeteredHouse(House):
    records: list[Metered] = Field(default_factory=list)  # type: ignore[assignment]


class CheckedHouse(House):
    records: list[Checked] = Field(default_factory=list)  # type: ignore[assignment]


HOUSES: list[type[House]] = [MeteredHouse, CheckedHouse]

# What records hold

numbers = st.floats(-1e6, 1e6)
NUMBERS = numbers | st.integers(-9, 9).map(float) | st.just(math.nan)
UNUSUAL = st.sampled_from([math.inf, -math.inf, 1e308, -1.7e308, 5e-324, -0.0])
INTEGERS = st.integers(-9, 9) | st.integers(-(2**63), 2**63 - 1)
TEXTS = st.sampled_from(["", "a", "b", "auto", "nan", "True", "1_000", "0x1A"])
NUMERALS = st.sampled_from(["1", " 2.5 ", "-1e3", ".5", "+7", "inf"])
SCALARS = st.builds(np.float64, numbers) | st.builds(np.int64, st.integers(-9, 9))

KINDS: list[tuple[list[str], st.SearchStrategy[Any]]] = [
    (["power_w", "meter"], NUMBERS),
    (["power_w", "meter"], NUMBERS | UNUSUAL),
    (["count", "meter"], INTEGERS),
    (["flag", "meter"], st.booleans()),
    (["note", "meter"], TEXTS),
    (["note", "meter"], NUMERALS),
    (["meter"], NUMERALS | NUMBERS),
    (["meter"], TEXTS | NUMERALS),
    (["meter"], NUMBERS | INTEGERS | st.booleans()),
    (["meter"], NUMBERS | INTEGERS | st.booleans() | TEXTS),
    (["meter"], SCALARS | NUMBERS),
    (["meter"], TEXTS | st.lists(st.integers(0, 2), max_size=2) | st.just({}) | st.just(b"x")),
]
"""The keys that can hold values of a kind, and the kind."""


@dataclass
class Case:
    """Records and what is asked of them.

    Attributes:
        key: The key that is asked for.
        rows: The instants of all records, and the value of the key: `None` where it has none.
        questions: What is asked, as :func:`pandas_oracle.key_to_array` takes it.
        others: Seconds at which there are no records, but may have been.
    """

    key: str
    rows: list[tuple[datetime, Any]]
    questions: list[dict[str, Any]]
    others: set[int] = field(default_factory=set)


def instant(second: int, microsecond: int, zone: Any) -> datetime:
    moment = EPOCH + timedelta(seconds=second, microseconds=microsecond)
    return eosdb.to_datetime(moment, in_timezone=zone)


STARTS = [
    *(second_of(datetime(2024, 1, 1, hour, tzinfo=UTC)) for hour in (0, 23)),
    second_of(datetime(2024, 3, 31, 0, 30, tzinfo=BERLIN)),
    second_of(datetime(2024, 10, 27, 0, 30, tzinfo=BERLIN)),
    second_of(datetime(1969, 12, 31, 20, tzinfo=UTC)),
]
INTERVALS = [1, 7, 60, 900, 3599, 3600, 5400, 86_400, 90_000, 604_800]
FRACTIONS = st.sampled_from([0, 0, 0, 1, 250_000, 999_999])
NEAR = st.sampled_from([0, 0, 0, -1, 1, 2])
FILLS = [None, "time", "linear", "ffill", "bfill", "none"]
MOST = st.builds(
    lambda fraction, zone: lambda second: instant(second, fraction, zone),
    FRACTIONS,
    st.sampled_from(ZONES),
)
"""Functions from a second to an instant in it."""


@st.composite
def questions(draw: st.DrawFn, first: int, width: int) -> dict[str, Any]:
    """Draw what is asked of records that begin at a second and lie some intervals apart."""
    begin = first + width * draw(st.integers(-2, 4)) + draw(NEAR)
    finish = begin + width * draw(st.integers(-1, 9)) + draw(NEAR)
    return {
        "start": draw(st.none() | MOST.map(lambda moment: moment(begin))),
        "end": draw(st.none() | MOST.map(lambda moment: moment(finish))),
        "interval": timedelta(seconds=width, microseconds=draw(FRACTIONS)),
        "fill_method": draw(st.sampled_from(FILLS)),
        "dropna": draw(st.sampled_from([True, True, None, False])),
        "boundary": draw(st.sampled_from(["context", "strict"])),
        "align_to_interval": draw(st.booleans()),
    }


@st.composite
def cases(draw: st.DrawFn) -> Case:
    first = draw(st.sampled_from(STARTS))
    width = draw(st.sampled_from(INTERVALS) | st.integers(1, 200_000))
    # Records lie at the boundaries of intervals, between them, and beside one another.
    offsets = st.integers(0, 8 * width) | st.builds(
        lambda number, beside: max(0, number * width + beside), st.integers(0, 8), NEAR
    )
    keys, values = draw(st.sampled_from(KINDS))
    zones = draw(st.sampled_from([st.just(zone) for zone in ZONES] + [st.sampled_from(ZONES)]))
    fractions = draw(st.sampled_from([st.just(0), FRACTIONS]))
    column = draw(st.sampled_from([values, values | st.none()]))
    places = draw(st.sets(offsets, min_size=draw(st.sampled_from([0, 3, 8])), max_size=12))
    rows = [
        (instant(first + offset, draw(fractions), draw(zones)), draw(column))
        for offset in sorted(places)
    ]
    return Case(
        key=draw(st.sampled_from(keys)),
        rows=rows,
        questions=draw(st.lists(questions(first, width), min_size=4, max_size=4)),
        others={first + offset for offset in draw(st.sets(offsets, max_size=4)) - places},
    )


# Where records lie

Lay = Callable[[type[House], Case, Any], Any]


def fill(sequence: House, case: Case) -> House:
    make = sequence.record_class()
    for time, value in case.rows:
        sequence.db_insert_record(make(date_time=time, **{case.key: value}))
    return sequence


def in_memory(house: type[House], case: Case, _: Any) -> Any:
    return fill(house(), case)


def unsaved(house: type[House], case: Case, database: Any) -> Any:
    return fill(house(database=database), case)


def stored(house: type[House], case: Case, database: Any) -> Any:
    fill(house(database=database), case).save()
    return house(database=database)


def loaded(house: type[House], case: Case, database: Any) -> Any:
    sequence = stored(house, case, database)
    sequence.load()
    return sequence


def partly_loaded(house: type[House], case: Case, database: Any) -> Any:
    sequence = stored(house, case, database)
    for time, _ in case.rows[::3]:
        sequence.db_load_records(at(second_of(time)), at(second_of(time) + 1))
    return sequence


def partly_live(house: type[House], case: Case, database: Any) -> Any:
    """Every other record is held as an object."""
    sequence = stored(house, case, database)
    sequence.__dict__["held"] = [sequence.get_by_datetime(time) for time, _ in case.rows[::2]]
    return sequence


def changed(house: type[House], case: Case, database: Any) -> Any:
    """Every other record was stored with another value, which was read before it was changed."""
    sequence = stored(house, case, database)
    values = sequence.key_to_lists(case.key, dropna=False)[1]
    for (time, _), value in zip(case.rows[::2], values[1::2], strict=False):
        sequence.update_value(time, case.key, value)
    sequence.save()
    fresh = house(database=database)
    fresh.key_to_lists(case.key)
    for time, value in case.rows[::2]:
        fresh.update_value(time, case.key, value)
    return fresh


def partly_deleted(house: type[House], case: Case, database: Any) -> Any:
    """There were more records, and all were read before these were deleted."""
    more = house(database=database)
    for second in case.others:
        more.update_value(instant(second, 0, UTC), "power_w", 1e3)
    more.save()
    sequence = stored(house, case, database)
    sequence.key_to_lists(case.key)
    for second in case.others:
        assert sequence.db_delete_records(at(second), at(second + 1)) == 1
    return sequence


def from_another(house: type[House], case: Case, database: Any) -> Any:
    """All was stored, and some deleted, by another sequence after this one had read."""
    sequence = house(database=database)
    for second in case.others:
        sequence.update_value(instant(second, 0, UTC), "power_w", 1e3)
    sequence.save()
    sequence.key_to_lists(case.key)
    other = house(database=database)
    other.db_delete_records()
    fill(other, case).save()
    return sequence


WAYS = [
    in_memory,
    unsaved,
    stored,
    loaded,
    partly_loaded,
    partly_live,
    changed,
    partly_deleted,
    from_another,
]


@contextmanager
def lmdb(window: int | None = None) -> Iterator[eosdb.LMDBDatabase]:
    settings = eosdb.DatabaseSettings(initial_load_window_h=window, compression_level=1)
    with (
        TemporaryDirectory() as directory,
        eosdb.LMDBDatabase(directory, settings=settings, durability="none") as database,
    ):
        yield database


# What must be equal


def check_equal(actual: Any, expected: Any) -> None:
    """Check that two arrays are the same, values and kinds of values."""
    assert isinstance(actual, np.ndarray)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    for mine, other in zip(actual.tolist(), expected.tolist(), strict=True):
        value = other.item() if isinstance(other, np.generic) else other
        assert type(mine.item() if isinstance(mine, np.generic) else mine) is type(value)
        assert mine == value or (mine != mine and value != value)  # noqa: PLR0124  NaN


def check_array(
    sequence: Any, key: str, rows: list[tuple[datetime, Any]], question: dict[str, Any]
) -> None:
    """Check the array of one key."""
    options = {k: v for k, v in question.items() if k not in {"start", "end"}}
    asked = (question["start"], question["end"])
    try:
        expected = pandas_oracle.key_to_array(rows, **question)
    except TypeError:
        for _ in range(2):
            with pytest.raises(TypeError):
                sequence.key_to_array(key, *asked, **options)
        with pytest.raises(TypeError):
            sequence.keys_to_arrays(["power_w", key], *asked, **options)
        return
    # Twice, for the second time answers from what the first has kept.
    for _ in range(2):
        check_equal(sequence.key_to_array(key, *asked, **options), expected)
    check_equal(sequence.keys_to_arrays(["power_w", key], *asked, **options)[key], expected)


def check(sequence: Any, case: Case) -> None:
    """Check the arrays of a case, and that another key has no values."""
    for question in case.questions:
        check_array(sequence, case.key, case.rows, question)
    other = "count" if case.key != "count" else "note"
    nothing = [(time, None) for time, _ in case.rows]
    check_array(sequence, other, nothing, case.questions[0])


QUICK = settings(
    max_examples=10,
    derandomize=True,
    deadline=None,
    database=None,
    # Shrinking takes minutes: what fails is shown as it was found.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
LONG = settings(QUICK, max_examples=1_500, derandomize=False, phases=list(Phase))
EVERYWHERE = pytest.mark.parametrize("lay", WAYS)
EVERY_CLASS = pytest.mark.parametrize("house", HOUSES)


def arrays_equal(house: type[House], lay: Lay, profile: settings, database: Any) -> None:
    @profile
    @given(case=cases(), window=st.sampled_from([None, None, 0, 1]))
    def run(case: Case, window: int | None) -> None:
        with database(window) as opened:
            check(lay(house, case, opened), case)

    run()


@EVERY_CLASS
@EVERYWHERE
def test_arrays_are_those_of_pandas(house: type[House], lay: Lay) -> None:
    arrays_equal(house, lay, QUICK, lmdb)


@contextmanager
def foreign(window: int | None) -> Iterator[Any]:
    yield ForeignDatabase(eosdb.DatabaseSettings(initial_load_window_h=window, compression_level=0))


# Nobody can tell what others change in such a database.
@EVERY_CLASS
@pytest.mark.parametrize("lay", [lay for lay in WAYS if lay is not from_another])
def test_arrays_from_a_foreign_database_are_those_of_pandas(house: type[House], lay: Lay) -> None:
    arrays_equal(house, lay, QUICK, foreign)


@pytest.mark.soak
@EVERY_CLASS
@EVERYWHERE
def test_arrays_are_those_of_pandas_for_long(house: type[House], lay: Lay) -> None:
    arrays_equal(house, lay, LONG, lmdb)


# Real measurements


def real_columns(name: str) -> tuple[list[datetime], dict[str, list[float | None]]]:
    """Return the instants and columns of a file, one row per second."""
    with gzip.open(DATA / name, "rt", newline="") as file:
        (time, *names), *lines = csv.reader(file)
    rows: dict[datetime, list[float | None]] = {}
    for text, *values in lines:
        moment = (
            datetime.strptime(text, "%d/%m/%Y %H:%M:%S").replace(tzinfo=ZoneInfo("Europe/Paris"))
            if time == "Datetime"
            else datetime.fromisoformat(text)
        )
        rows[moment.astimezone(UTC)] = [float(v) if v not in {"", "?"} else None for v in values]
    times = sorted(rows)
    return times, {key: [rows[t][n] for t in times] for n, key in enumerate(names)}


REAL = pytest.mark.parametrize("name", ["household_power_1min.csv.gz", "pv_ac_power_1min.csv.gz"])


@REAL
def test_arrays_of_real_measurements_are_those_of_pandas(name: str) -> None:
    real_arrays_equal(name, 4_500)  # minutes, more than three days


@REAL
@pytest.mark.soak
def test_arrays_of_all_real_measurements_are_those_of_pandas(name: str) -> None:
    real_arrays_equal(name, None)


def real_arrays_equal(name: str, most: int | None) -> None:
    times, columns = real_columns(name)
    times = times[:most]
    columns = {key: values[:most] for key, values in columns.items()}
    assert len(times) > 2000

    class Row(eosdb.DataRecord):
        @classmethod
        def configured_data_keys(cls) -> list[str]:
            return list(columns)

    class Rows(House):
        records: list[Row] = Field(default_factory=list)  # type: ignore[assignment]

    live = Rows()
    for n, time in enumerate(times):
        live.update_value(time, {key: values[n] for key, values in columns.items()})
    with lmdb() as database:
        live.database = database
        live.save()
        sequences = [live, Rows(database=database)]
        held = list(live)
        for seconds in (60, 900, 3600, 5000, 86_400):
            interval = timedelta(seconds=seconds)
            results = [each.keys_to_arrays(columns, interval=interval) for each in sequences]
            for key, values in columns.items():
                rows = list(zip(times, values, strict=True))
                expected = pandas_oracle.key_to_array(rows, interval=interval)
                for arrays in results:
                    check_equal(arrays[key], expected)
        assert len(held) == len(times)


# Among everything else that is done to a sequence


class ReadingMachine(SequenceMachine):
    """Reads values between all that the model test does, from the sequence itself."""

    plain = False

    @rule(number=who, key=st.sampled_from(FIELDS), start=st.none() | places, end=st.none() | places)
    def read(self, number: int, key: str, start: Place | None, end: Place | None) -> None:
        session, first, last = self.session(number), self.bound(start), self.bound(end)
        rows = [(second, row[FIELDS.index(key)]) for second, row in session.content.items()]
        times, values = session.sequence.key_to_lists(key, first, last, dropna=False)
        assert list(zip(map(second_of, times), values, strict=True)) == [
            row for row in rows if inside(row[0], first, last)
        ]
        if rows and EPOCH < self.pool[0] < self.pool[-1]:
            span = rows[-1][0] - rows[0][0]
            moments = [(instant(second, 0, UTC), value) for second, value in rows]
            width = timedelta(seconds=max(1, span // 20))
            question = {"start": first, "end": last, "interval": width}
            check_array(session.sequence, key, moments, question)


@pytest.mark.parametrize("backend", ["memory", "lmdb", "foreign"])
@pytest.mark.parametrize(
    "profile",
    [
        settings(PROFILE, max_examples=12),
        pytest.param(
            settings(PROFILE, max_examples=400, stateful_step_count=80, derandomize=False),
            marks=pytest.mark.soak,
            id="soak",
        ),
    ],
    ids=["quick", "soak"],
)
def test_values_are_read_whatever_is_done_in_between(backend: str, profile: settings) -> None:
    machine = type("Machine", (ReadingMachine,), {"backend": backend})
    run_state_machine_as_test(machine, settings=profile)
