"""Bad input is refused with an error that says what it is, and leaves everything as it was."""

from __future__ import annotations

import contextlib
import datetime
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pytest
from support import House, Reading, when

import eosdb
from eosdb import (
    UNBOUND_END,
    UNBOUND_START,
    ArgumentTypeError,
    DatabaseTimestamp,
    DuplicateRecordError,
    InvalidArgumentError,
    InvalidKeyError,
    LMDBDatabase,
    MemoryDatabase,
    NaiveDatetimeError,
    TimestampRangeError,
    UnknownKeyError,
)

KEY: Final = b"20260101T000000Z"


class WithoutOffset(datetime.tzinfo):
    """A zone that does not know its offset, which makes a datetime naive."""

    def utcoffset(self, dt: datetime.datetime | None, /) -> None:
        return None

    def dst(self, dt: datetime.datetime | None, /) -> None:
        return None

    def tzname(self, dt: datetime.datetime | None, /) -> None:
        return None


NAIVE: Final[dict[str, Any]] = {
    "datetime": datetime.datetime(2026, 1, 1),
    "pandas": pd.Timestamp("2026-01-01"),
    "zone": datetime.datetime(2026, 1, 1, tzinfo=WithoutOffset()),
}


@pytest.fixture(params=["memory", "lmdb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with MemoryDatabase() if request.param == "memory" else LMDBDatabase(tmp_path) as opened:
        yield opened


def house_in(database: Any) -> Any:
    """Ten saved records, an hour apart, and a change, an insertion and a deletion not saved."""
    house: Any = House(database=database)
    for hour in range(10):
        house.update_value(when(3600 * hour), power_w=float(hour), note="saved")
    house.save()
    house.update_value(when(0), note="changed")
    house.update_value(when(36_000), note="new")
    house.delete_by_datetime(when(3600), when(3601))
    return house


@pytest.fixture
def house() -> Iterator[Any]:
    with MemoryDatabase() as opened:
        yield house_in(opened)


def state_of(house: Any) -> list[Any]:
    """Everything that a call that is refused must leave alone."""
    return [
        [record.model_dump() for record in house],
        len(house),
        *(set(house._db_enter().timestamps_marked(mark)) for mark in ("dirty", "new", "deleted")),
        list(house.database.iterate_records(namespace="house")),
        house.database.get_metadata("house"),
        house._db_metadata,
    ]


@contextlib.contextmanager
def refused(house: Any, error: type[eosdb.EosdbError], *shown: str) -> Iterator[None]:
    """The block raises this error, whose message shows these texts, and changes nothing."""
    before = state_of(house)
    with pytest.raises(error) as caught:
        yield
    for text in shown:
        assert text in str(caught.value)
    assert state_of(house) == before


# ---- naive datetimes ----------------------------------------------------------------------------


def naive_record(value: Any) -> Reading:
    record = Reading(date_time=when(0))
    record.__dict__["date_time"] = value  # past the validation, as model_construct() does
    return record


TAKING_INSTANTS: Final[dict[str, Callable[[Any, Any], object]]] = {
    "get_by_datetime": lambda h, t: h.get_by_datetime(t),
    "get_by_datetime in a window": lambda h, t: h.get_by_datetime(
        t, time_window=datetime.timedelta(hours=1)
    ),
    "get_nearest_by_datetime": lambda h, t: h.get_nearest_by_datetime(t),
    "update_value": lambda h, t: h.update_value(t, power_w=1.0),
    "key_from_lists": lambda h, t: h.key_from_lists("power_w", [when(5), t], [1.0, 2.0]),
    "delete_by_datetime from": lambda h, t: h.delete_by_datetime(t),
    "delete_by_datetime to": lambda h, t: h.delete_by_datetime(None, t),
    "key_delete_by_datetime from": lambda h, t: h.key_delete_by_datetime("power_w", t),
    "key_delete_by_datetime to": lambda h, t: h.key_delete_by_datetime("power_w", when(0), t),
    "insert_by_datetime": lambda h, t: h.insert_by_datetime(naive_record(t)),
    "db_insert_record": lambda h, t: h.db_insert_record(naive_record(t)),
    "db_mark_dirty_record": lambda h, t: h.db_mark_dirty_record(naive_record(t)),
    "db_get_record": lambda h, t: h.db_get_record(t),
    "db_get_record nearest": lambda h, t: h.db_get_record(t, time_window=eosdb.UNBOUND_WINDOW),
    "db_previous_timestamp": lambda h, t: h.db_previous_timestamp(t),
    "db_next_timestamp": lambda h, t: h.db_next_timestamp(t),
    "db_iterate_records from": lambda h, t: h.db_iterate_records(t),
    "db_iterate_records to": lambda h, t: h.db_iterate_records(None, t),
    "db_load_records from": lambda h, t: h.db_load_records(t),
    "db_load_records to": lambda h, t: h.db_load_records(when(0), t),
    "db_delete_records from": lambda h, t: h.db_delete_records(t),
    "db_delete_records to": lambda h, t: h.db_delete_records(None, t),
    "db_vacuum": lambda h, t: h.db_vacuum(keep_timestamp=t),
    "records.append": lambda h, t: h.records.append(naive_record(t)),
    "records[]": lambda h, t: h.records.__setitem__(0, naive_record(t)),
    "DatabaseTimestamp": lambda _, t: DatabaseTimestamp.from_datetime(t),
}


@pytest.mark.parametrize("naive", NAIVE)
@pytest.mark.parametrize("call", TAKING_INSTANTS)
def test_naive_datetimes_are_refused_everywhere(call: str, naive: str, house: Any) -> None:
    with refused(house, NaiveDatetimeError, "Timezone-aware datetime required", "2026"):
        TAKING_INSTANTS[call](house, NAIVE[naive])


@pytest.mark.parametrize("key", ["", "2026", "20261301T000000Z", "00000101T000000Z", "x" * 999])
@pytest.mark.parametrize("call", [c for c in TAKING_INSTANTS if c != "DatabaseTimestamp"])
def test_text_that_is_no_timestamp_is_refused_everywhere(call: str, key: str, house: Any) -> None:
    with refused(house, eosdb.EosdbError, key[:60], "expected"):
        TAKING_INSTANTS[call](house, DatabaseTimestamp(key))


@pytest.mark.parametrize("junk", [5, 1.5, KEY, datetime.date(2026, 1, 1), object()])
@pytest.mark.parametrize("call", TAKING_INSTANTS)
def test_what_is_no_instant_is_refused_everywhere(call: str, junk: Any, house: Any) -> None:
    with refused(house, ArgumentTypeError, repr(junk)):
        TAKING_INSTANTS[call](house, junk)


def test_nat_is_refused(house: Any) -> None:
    with refused(house, eosdb.EosdbError, "NaT"):
        house.get_by_datetime(pd.NaT)


@pytest.mark.parametrize("sentinel", [UNBOUND_START, UNBOUND_END, "UNBOUND_START"])
def test_a_sentinel_is_no_instant(sentinel: Any, house: Any) -> None:
    with refused(house, ArgumentTypeError, str(sentinel)):
        house.get_by_datetime(sentinel)
    with refused(house, ArgumentTypeError, "center_timestamp cannot be of unbounded"):
        house._search_window(UNBOUND_END, datetime.timedelta(hours=1))


# ---- instants at the ends of the calendar -------------------------------------------------------


def test_the_first_and_the_last_second_of_the_calendar(database: Any) -> None:
    house: Any = House(database=database)
    first = eosdb.to_datetime("0001-01-01T00:00:00+00:00", in_timezone="UTC")
    last = eosdb.to_datetime("9999-12-31T23:59:59+00:00", in_timezone="UTC")
    year_999 = eosdb.to_datetime("0999-12-31T23:59:59+00:00", in_timezone="UTC")
    for instant in (last, first, year_999):
        house.update_value(instant, power_w=float(instant.year))
    house.save()
    keys = [key for key, _ in database.iterate_records(namespace="house")]
    assert keys == [b"00010101T000000Z", b"09991231T235959Z", b"99991231T235959Z"]
    again: Any = House(database=database)
    assert [record.power_w for record in again] == [1.0, 999.0, 9999.0]
    assert again.db_timestamp_range() == ("00010101T000000Z", "99991231T235959Z")
    assert again.db_previous_timestamp(DatabaseTimestamp("00010101T000000Z")) is None
    assert again.db_next_timestamp(DatabaseTimestamp("99991231T235959Z")) is None
    hour = datetime.timedelta(hours=1)
    assert again.get_nearest_by_datetime(first, hour).power_w == 1.0
    assert again.get_nearest_by_datetime(last, hour).power_w == 9999.0
    assert again.db_vacuum(keep_timestamp=DatabaseTimestamp("99991231T235959Z")) == 2


@pytest.mark.parametrize(
    "beyond",
    [
        datetime.datetime.max.replace(tzinfo=datetime.timezone(-datetime.timedelta(hours=1))),
        datetime.datetime.min.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
    ],
)
@pytest.mark.parametrize("call", TAKING_INSTANTS)
def test_instants_that_no_key_can_hold_are_refused(call: str, beyond: Any, house: Any) -> None:
    with refused(house, TimestampRangeError, "outside the years 1 to 9999"):
        TAKING_INSTANTS[call](house, beyond)


def test_timestamps_beyond_the_calendar_are_not_generated(house: Any) -> None:
    last = DatabaseTimestamp("99991231T235959Z")
    with refused(house, TimestampRangeError, "9999"):
        list(house.db_generate_timestamps(last, 3))
    with refused(house, TimestampRangeError, "9999"):
        house._db_timestamp_after(last)


# ---- durations, numbers and keys ----------------------------------------------------------------

HOUR: Final = datetime.timedelta(hours=1)

REFUSED: Final[dict[str, tuple[Callable[[Any], object], type[eosdb.EosdbError], str]]] = {
    "window -1 s": (
        lambda h: h.get_by_datetime(when(0), time_window=-1),
        InvalidArgumentError,
        "-1",
    ),
    "window -1 h": (
        lambda h: h.get_nearest_by_datetime(when(0), -HOUR),
        InvalidArgumentError,
        "time_window must be non-negative",
    ),
    "window NaN": (
        lambda h: h.get_nearest_by_datetime(when(0), math.nan),
        InvalidArgumentError,
        "nan",
    ),
    "window inf": (
        lambda h: h.get_nearest_by_datetime(when(0), math.inf),
        InvalidArgumentError,
        "inf",
    ),
    "window text": (
        lambda h: h.get_nearest_by_datetime(when(0), "an hour"),
        InvalidArgumentError,
        "'an hour'",
    ),
    "window object": (
        lambda h: h.get_nearest_by_datetime(when(0), [HOUR]),
        eosdb.EosdbError,
        "datetime.timedelta",
    ),
    "values_count -1": (
        lambda h: list(h.db_generate_timestamps(DatabaseTimestamp(KEY.decode()), -1)),
        InvalidArgumentError,
        "values_count must be non-negative",
    ),
    "vacuum -1 h": (lambda h: h.db_vacuum(keep_hours=-1), InvalidArgumentError, "-1"),
    "vacuum NaN": (lambda h: h.db_vacuum(keep_hours=math.nan), InvalidArgumentError, "nan"),
    "vacuum text": (lambda h: h.db_vacuum(keep_hours="x"), ArgumentTypeError, "'x'"),
    "compact to 0 s": (
        lambda h: h.db_compact([(HOUR, datetime.timedelta())]),
        InvalidArgumentError,
        "interval of whole seconds",
    ),
    "compact to -1 h": (
        lambda h: h.db_compact([(HOUR, -HOUR)]),
        InvalidArgumentError,
        "non-negative",
    ),
    "compact from -1 h": (
        lambda h: h.db_compact([(-HOUR, HOUR)]),
        InvalidArgumentError,
        "non-negative",
    ),
    "compact by numbers": (lambda h: h.db_compact([5]), ArgumentTypeError, "5"),
    "unknown key": (
        lambda h: h.update_value(when(0), power_w=1.0, watts=1.0),
        UnknownKeyError,
        "'watts'",
    ),
    "unknown key of lists": (
        lambda h: h.key_from_lists("watts", [when(0)], [1.0]),
        UnknownKeyError,
        "'watts'",
    ),
    "unknown key to delete": (
        lambda h: h.key_delete_by_datetime("watts"),
        UnknownKeyError,
        "'watts'",
    ),
    "lists of two lengths": (
        lambda h: h.key_from_lists("power_w", [when(5), when(6)], [1.0]),
        InvalidArgumentError,
        "2",
    ),
    "key without value": (
        lambda h: h.update_value(when(0), "power_w"),
        InvalidArgumentError,
        "'power_w'",
    ),
    "another time": (
        lambda h: h.update_value(when(0), date_time=when(9)),
        InvalidArgumentError,
        "date_time",
    ),
    "duplicate": (
        lambda h: h.db_insert_record(Reading(date_time=when(7200))),
        DuplicateRecordError,
        "Duplicate timestamp",
    ),
    "not a record": (lambda h: h.insert_by_datetime(5), ArgumentTypeError, "`Reading`, not 5"),
    "not a record (db)": (lambda h: h.db_insert_record(5), ArgumentTypeError, "5"),
    "not a record (list)": (lambda h: h.records.append(5), ArgumentTypeError, "5"),
    "not a record (item)": (lambda h: h.records.__setitem__(0, 5), ArgumentTypeError, "5"),
    "not a record (dirty)": (lambda h: h.db_mark_dirty_record(5), ArgumentTypeError, "5"),
    "unknown record (dirty)": (
        lambda h: h.db_mark_dirty_record(Reading(date_time=when(9))),
        InvalidArgumentError,
        "there is no record of this sequence at",
    ),
    "record without time": (lambda h: h.db_insert_record(Reading()), ArgumentTypeError, "None"),
    "key bytes": (
        lambda h: h._db_key_to_timestamp(b"junk"),
        InvalidKeyError,
        "junk",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, house: Any) -> None:
    call, error, shown = REFUSED[case]
    with refused(house, error, shown):
        call(house)


def test_a_negative_keep_duration_deletes_nothing(house: Any) -> None:
    class Careless(House):
        def db_keep_duration(self) -> Any:
            return -HOUR

    careless: Any = Careless(database=house.database)
    with refused(house, InvalidArgumentError, "must be non-negative"):
        careless.db_vacuum()


@pytest.mark.parametrize("values", [{"power_w": 9.0, "count": "x"}, {"count": "x", "power_w": 9.0}])
@pytest.mark.parametrize("second", [0, 3600, 5])
def test_values_of_which_one_is_refused_change_nothing(
    second: int, values: dict[str, Any], house: Any
) -> None:
    before = state_of(house)
    with pytest.raises(ValueError, match="count"):
        house.update_value(when(second), **values)
    assert state_of(house) == before


@pytest.mark.parametrize("junk", [5, None, [5], "text", [naive_record(NAIVE["datetime"])]])
def test_junk_assigned_to_the_records_is_refused(junk: Any, house: Any) -> None:
    def assign_and_use() -> None:
        house.records = junk
        len(house)

    before = state_of(house)
    with pytest.raises(eosdb.EosdbError):
        assign_and_use()
    assert state_of(house) == before


def test_what_is_no_database_is_refused() -> None:
    def assign_and_use() -> None:
        house: Any = House()
        house.database = 5
        len(house)

    with pytest.raises(ArgumentTypeError, match="5"):
        assign_and_use()
