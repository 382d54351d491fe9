"""`eosdb.open`: what there is, in which zone, beside other processes, without loading it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from open_support import ANY, by_class, household, key, store, zone_of
from reading_support import START, Rows, fill, minute
from support import PROGRAM, WITH_TESTS, when
from upstream_format import pack, put

import eosdb
from eosdb import LMDBDatabase, NamespaceView
from eosdb._core import Store

BERLIN: Final = ZoneInfo("Europe/Berlin")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return store(tmp_path / "db", household)


# ---- what there is ------------------------------------------------------------------------------


def test_it_is_a_mapping_of_namespaces(path: Path) -> None:
    with LMDBDatabase(path) as database:
        database.save_records([(b"20260101T000000Z", b"not read")], "other")
        database.save_records([(b"20260101T000000Z", b"put aside")], "eosdb_quarantine")
        database.save_records([(b"20260101T000000Z", b"deleted")], "empty")
        database.delete_records([b"20260101T000000Z"], "empty")
    with eosdb.open(path) as view:
        assert isinstance(view, Mapping)
        assert list(view) == view._ipython_key_completions_() == ["empty", "house", "other"]
        assert [len(namespace) for namespace in view.values()] == [0, 500, 1]
        assert "house" in view
        assert "home" not in view
        assert view.get("home") is None
        house, empty = view["house"], view["empty"]
        assert isinstance(house, NamespaceView)
        assert house.keys == ANY
        assert house.min_datetime == by_class(path, lambda rows: rows.min_datetime)
        assert house.max_datetime == by_class(path, lambda rows: rows.max_datetime)
        assert empty.keys == []
        assert empty.min_datetime is empty.max_datetime is None
        assert empty.to_dataframe().shape == (0, 0)
        assert str(zone_of(empty.to_dataframe())) == "UTC"
        assert pa.table(empty).num_rows == 0


def test_what_is_no_name_is_no_namespace(path: Path) -> None:
    with eosdb.open(path) as view:
        assert "house" in view
        assert not view.__contains__(5)
        with pytest.raises(eosdb.ArgumentTypeError, match="must be a str, not 5"):
            view[5]  # type: ignore[index]


def test_an_empty_database_can_be_looked_at(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path):
        pass
    with eosdb.open(tmp_path) as view:
        assert list(view) == []
        assert view
        with pytest.raises(KeyError, match="has no namespace 'house': there are none yet"):
            view["house"]


def test_what_is_not_there_is_named_with_what_there_is(path: Path) -> None:
    with eosdb.open(path) as view:
        with pytest.raises(eosdb.UnknownKeyError) as caught:
            view["hose"]
        assert "did you mean 'house'? there are ['house']" in str(caught.value)
        house = view["house"]
        reads: list[Callable[[str], object]] = [
            house.key_to_array,
            house.key_to_lists,
            house.key_to_series,
            house.key_to_energy,
            lambda key: house.key_to_value(key, minute(0)),
            lambda key: house.keys_to_arrays(["v", key]),
            lambda key: house.to_dataframe(keys=[key]),
            lambda key: house.to_arrow(keys=[key]),
            lambda key: house.plot([key]),
            lambda key: house.plot_energy([key]),
        ]
        for read in reads:
            with pytest.raises(eosdb.UnknownKeyError) as caught:
                read("power_kw")
            assert f"did you mean 'power_w'? there are {ANY}" in str(caught.value)
        with pytest.raises(eosdb.ArgumentTypeError, match=r"several keys, .*: try \['power_w'\]"):
            house.to_dataframe(keys="power_w")


def test_the_view_only_reads(path: Path) -> None:
    with eosdb.open(path) as view:
        house: Any = view["house"]
        for name in dir(eosdb.DataSequence):
            if name.startswith(("db_", "save", "update", "insert", "delete", "key_delete")):
                assert not hasattr(house, name), name
        assert not hasattr(house, "key_from_lists")
        rows = Rows(database=view.database)
        rows.update_value(minute(9999), power_w=1.0)
        with pytest.raises(eosdb.ReadOnlyError):
            rows.save()
        assert len(house) == 500


def test_the_database_can_be_written_if_asked_for(path: Path) -> None:
    with eosdb.open(path, readonly=False) as view:
        rows = Rows(database=view.database)
        rows.update_value(minute(9999), power_w=1.0)
        assert rows.save()
        assert len(view["house"]) == 501
        assert view["house"].max_datetime == minute(9999)


# ---- times --------------------------------------------------------------------------------------


def test_times_are_shown_in_the_zone_that_is_asked_for(tmp_path: Path) -> None:
    def berlin(database: Any) -> Any:
        rows = household(database, base=datetime(2024, 3, 30, tzinfo=BERLIN))
        rows.update_value(minute(3000, datetime(2024, 3, 30, tzinfo=BERLIN)), w=["a list"])
        return rows

    path = store(tmp_path, berlin)
    with eosdb.open(path) as view:
        stored = view["house"].to_dataframe()
        assert str(zone_of(stored)) == "Europe/Berlin"
        assert str(view["house"].key_to_lists("v")[0][0].tzinfo) == "Europe/Berlin"
    for zone in ("America/New_York", ZoneInfo("America/New_York")):
        with eosdb.open(path, timezone=zone) as view:
            house = view["house"]
            frame = house.to_dataframe()
            assert str(zone_of(frame)) == "America/New_York"
            pd.testing.assert_frame_equal(frame.tz_convert(zone_of(stored)), stored)
            assert pa.table(house)["date_time"].type.tz == "America/New_York"
            dates, _ = house.key_to_lists("date_time")
            assert {str(date.tzinfo) for date in dates} == {"America/New_York"}
            assert str(house.key_to_series("v").index.dtype) == "datetime64[us, America/New_York]"
            assert house.min_datetime is not None
            assert house.min_datetime.timezone_name == "America/New_York"
            # Text is in that zone, too.
            part = house.to_dataframe("2024-03-30", "2024-03-30 12:00")
            edges = [
                eosdb.to_datetime(text, in_timezone=zone)
                for text in ("2024-03-30", "2024-03-30 12:00")
            ]
            expected = frame[(frame.index >= edges[0]) & (frame.index < edges[1])]
            # A single list makes objects of all numbers of its column.
            assert list(part) == list(expected)
            pd.testing.assert_frame_equal(part.drop(columns="w"), expected.drop(columns="w"))
            assert len(part) > 10
            assert zone_of(house.to_dataframe("2030-01-01")) is not None
    for utc in ("UTC", UTC):
        with eosdb.open(path, timezone=utc) as view:
            assert str(zone_of(view["house"].to_dataframe())) == "UTC"


def test_records_of_several_zones_are_shown_in_that_of_the_newest(tmp_path: Path) -> None:
    def travelled(database: Any) -> Any:
        rows = fill(Rows(database=database), {0: 1.0})
        return fill(rows, {1: 2.0}, base=START.astimezone(BERLIN))

    with eosdb.open(store(tmp_path, travelled)) as view:
        house = view["house"]
        assert str(zone_of(house.to_dataframe())) == "Europe/Berlin"
        assert str(zone_of(house.to_dataframe(end_datetime=minute(1)))) == "Europe/Berlin"
        assert pa.table(house)["date_time"].type.tz == "Europe/Berlin"
        assert house.min_datetime is not None
        assert house.min_datetime.timezone_name == "Europe/Berlin"
        assert [date.timezone_name for date in house.key_to_lists("v")[0]] == ["Europe/Berlin"] * 2
        # Text is in that zone, too.
        assert len(house.to_dataframe("2024-01-01 01:00", "2024-01-01 01:01")) == 1


def test_without_a_record_that_tells_the_zone_there_is_none_yet(tmp_path: Path) -> None:
    put(tmp_path, "house", {key(0): b"rubbish"})
    with eosdb.open(tmp_path) as view:
        assert view["house"].timezone is None
        assert str(zone_of(view["house"].to_dataframe())) == "UTC"


def test_times_that_make_no_sense_are_refused(path: Path) -> None:
    with pytest.raises(eosdb.InvalidArgumentError, match="no known time zone"):
        eosdb.open(path, timezone="Europe/Atlantis")
    with pytest.raises(eosdb.InvalidArgumentError, match="fixed offset"):
        eosdb.open(path, timezone=timezone(timedelta(hours=1)))
    with eosdb.open(path) as view:
        house = view["house"]
        naive = datetime(2024, 1, 1)
        for read in (house.to_dataframe, house.to_arrow, house.keys_between, house.plot):
            with pytest.raises(eosdb.NaiveDatetimeError):
                read(start_datetime=naive)
        with pytest.raises(eosdb.InvalidArgumentError, match="no date and time"):
            house.to_dataframe("yesterday")


# ---- cost ---------------------------------------------------------------------------------------


def test_a_window_costs_the_window(path: Path) -> None:
    with eosdb.open(path) as view:
        house = view["house"]
        frame = house.to_dataframe(minute(2900))
        known = len(house._sequence._db_enter())
        assert known == len(frame) < 60
        assert len(house) == 500
        assert house.key_to_array("v", minute(2900)) is not None
        # The record before the window takes part.
        assert len(house._sequence._db_enter()) <= known + 1


def test_importing_and_opening_need_no_other_library(path: Path) -> None:
    script = """
import sys
import eosdb
with eosdb.open(sys.argv[1]) as view:
    house = view["house"]
    house.key_to_array("power_w"), house.to_arrow(), house.keys, repr(house), view._repr_html_()
heavy = {"pandas", "pyarrow", "matplotlib", "polars", "IPython"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    command = [sys.executable, "-W", "error", "-c", script, str(path)]
    subprocess.run(command, check=True, env=WITH_TESTS)  # noqa: S603


# ---- open and closed ----------------------------------------------------------------------------


def is_open(path: Path) -> bool:
    return Store.lmdb_is_open(path)


def test_it_closes_with_its_last_reference(path: Path) -> None:
    house = eosdb.open(path)["house"]
    assert len(house) == 500  # a namespace keeps its view
    assert is_open(path)
    gc.disable()
    try:
        del house
        assert not is_open(path)
    finally:
        gc.enable()


def test_closed_is_closed(path: Path) -> None:
    view = eosdb.open(path)
    house = view["house"]
    view.close()
    view.close()
    assert not is_open(path)
    assert not view.is_open
    for use in (lambda: list(view), lambda: len(house), house.to_dataframe, lambda: view.database):
        with pytest.raises(eosdb.DatabaseClosedError, match="is closed: open it again"):
            use()
    assert "closed" in repr(view)
    assert "closed" in view._repr_html_()
    assert repr(house).endswith("(closed)>")
    assert house._repr_html_() is None  # then a notebook shows the other one


def test_a_path_without_a_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(eosdb.StorageError, match="does not exist"):
        eosdb.open(tmp_path / "missing")
    with pytest.raises(eosdb.StorageError, match="is no database"):
        eosdb.open(tmp_path)


# ---- other processes ----------------------------------------------------------------------------


def write_when_told(path: str) -> None:
    """Commit a record for each line that is read: its minute, its namespace and a key."""
    with LMDBDatabase(path) as database:
        print("ready", flush=True)  # noqa: T201
        for line in sys.stdin:
            number, namespace, name = line.split()
            values = {"date_time": minute(int(number)), name: float(number)}
            database.save_records([(key(int(number)), pack(values, 9))], namespace)
            print("saved", flush=True)  # noqa: T201


@pytest.fixture
def writer(path: Path) -> Iterator[Callable[..., None]]:
    """Has another process commit a record."""
    command = [sys.executable, "-c", PROGRAM, "test_open:write_when_told", str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=WITH_TESTS) as process:  # noqa: S603
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        def save(number: int, namespace: str, name: str) -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            print(number, namespace, name, file=process.stdin, flush=True)
            assert process.stdout.readline() == "saved\n"

        yield save
        process.stdin.close()
        assert process.wait() == 0


def test_what_the_writer_commits_is_seen_at_the_next_call(
    path: Path, writer: Callable[..., None]
) -> None:
    with eosdb.open(path) as view:
        house = view["house"]
        everything = house.to_dataframe()
        for number in range(4000, 4010):
            writer(number, "house", "power_w")
            frame = house.to_dataframe(minute(4000))
            assert frame["power_w"].tolist() == list(range(4000, number + 1))
            assert house.max_datetime == minute(number)
            assert len(house) == 500 + number - 3999
            # What was read once and has changed since is not kept up to date, but forgotten.
            assert len(house._sequence._db_enter()) == len(frame)
        writer(4000, "house", "something_new")
        assert house.key_to_lists("something_new")[1] == [4000.0]
        assert "something_new" in house.keys
        writer(1, "second_house", "power_w")
        assert list(view) == ["house", "second_house"]
        assert view["second_house"].keys == ["power_w"]
        later = house.to_dataframe(None, minute(4000))
        pd.testing.assert_frame_equal(later, everything)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking beside threads
def test_a_forked_child_opens_it_anew_by_itself(path: Path, writer: Callable[..., None]) -> None:
    with eosdb.open(path) as view:
        house = view["house"]
        expected = house.key_to_array("power_w")
        reader, sender = os.pipe()
        child = os.fork()
        if child == 0:
            finding = "an exception"
            try:
                same = np.array_equal(house.key_to_array("power_w"), expected)
                facts = (same, len(house), list(view), house.keys == ANY)
                finding = str(facts)
            except BaseException as error:  # noqa: BLE001  no exception may leave the child
                finding = repr(error)
            finally:
                os.write(sender, finding.encode())
                os._exit(0)
        os.close(sender)
        with os.fdopen(reader) as answer:
            assert answer.read() == "(True, 500, ['house'], True)"
        os.waitpid(child, 0)
        writer(4000, "house", "power_w")
        assert len(house) == 501


def read_and_wait(path: str) -> None:
    """Read, and hold the view until killed."""
    house = eosdb.open(path)["house"]
    house.to_dataframe()
    print(house, flush=True)  # noqa: T201
    sys.stdin.read()


def test_a_killed_kernel_leaves_nothing_locked(path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "test_open:read_and_wait", str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=WITH_TESTS) as kernel:  # noqa: S603
        assert kernel.stdout is not None
        assert "500 records" in kernel.stdout.readline()
        kernel.send_signal(signal.SIGKILL)
    with LMDBDatabase(path) as database:
        rows = Rows(database=database)
        rows.update_value(when(0), power_w=1.0)
        assert rows.save()
        database.compact()  # which nobody else may be using
    assert len(eosdb.open(path)["house"]) == 501
