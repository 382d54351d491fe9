"""Threads may share a sequence and a database: nothing is lost, doubled or stuck."""

from __future__ import annotations

import faulthandler
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from pydantic import Field
from support import ForeignDatabase, House, Reading, at, house, second_of, seconds, when

import eosdb
from eosdb import UNBOUND_START

START = 1_704_067_200
THREADS = 4
TIMEOUT = 60
"""Seconds after which threads are taken for stuck."""

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _ends() -> Iterator[None]:
    """Switch threads often; end the run, with all stacks, if one keeps Python's lock for ever."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    faulthandler.dump_traceback_later(2 * TIMEOUT, exit=True, file=2)
    yield
    faulthandler.cancel_dump_traceback_later()
    sys.setswitchinterval(interval)


@pytest.fixture(params=["memory", "lmdb", "foreign"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A database of each kind."""
    if request.param == "foreign":
        yield ForeignDatabase()
        return
    settings = eosdb.DatabaseSettings(compression_level=1)
    native: Any = (
        eosdb.MemoryDatabase(settings=settings)
        if request.param == "memory"
        else eosdb.LMDBDatabase(tmp_path / "db", settings=settings, durability="none")
    )
    with native:
        yield native


def together(work: Callable[[int], T], threads: int = THREADS) -> list[T]:
    """Run `work` in several threads that start at once.

    Args:
        work: What to run, given the number of its thread.
        threads: How many.

    Returns:
        What each returned. What any of them raised is raised.
    """
    barrier = threading.Barrier(threads)
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = work(number)
        except BaseException as error:  # noqa: BLE001  raised below, in the test's own thread
            errors.append(error)

    started = [
        threading.Thread(target=run, args=(number,), daemon=True) for number in range(threads)
    ]
    for thread in started:
        thread.start()
    end = time.monotonic() + TIMEOUT
    for thread in started:
        thread.join(max(0.0, end - time.monotonic()))
    if errors:
        raise errors[0]
    if any(thread.is_alive() for thread in started):
        faulthandler.dump_traceback(file=2)
        pytest.fail("a thread is stuck")
    return [results[number] for number in range(threads)]


def stored(database: Any) -> dict[int, float | None]:
    """Return the values in storage by second, as a new reader finds them."""
    return {
        second_of(record.date_time): record.power_w
        for record in House(database=database).db_iterate_records()
    }


def test_inserts_of_distinct_seconds_all_arrive(database: Any) -> None:
    sequence = House(database=database)

    def insert(number: int) -> None:
        for n in range(number, 800, THREADS):
            sequence.db_insert_record(Reading(date_time=when(START + n), power_w=float(n)))
            if n % 100 == number:
                sequence.save()

    together(insert)
    assert sequence.db_count_records() == 800
    sequence.save()
    assert stored(database) == {START + n: float(n) for n in range(800)}


def test_of_inserts_of_one_second_one_wins(database: Any) -> None:
    sequence = House(database=database)

    def insert(number: int) -> list[int]:
        won = []
        for n in range(200):
            record = Reading(date_time=when(START + n), power_w=float(number))
            try:
                sequence.db_insert_record(record)
            except eosdb.DuplicateRecordError:
                continue
            won.append(n)
        return won

    winners = together(insert)
    assert sorted(n for won in winners for n in won) == list(range(200))
    sequence.save()
    expected = {START + n: float(number) for number, won in enumerate(winners) for n in won}
    assert stored(database) == expected


def while_saving(sequence: House, work: Callable[[int], None]) -> None:
    """Run `work` in several threads while another one saves all the time, and save the rest."""
    working = threading.Semaphore(0)

    def run(number: int) -> None:
        if number > 0:
            try:
                work(number - 1)
            finally:
                working.release()
            return
        for _ in range(THREADS - 1):
            while not working.acquire(blocking=False):
                sequence.save()

    together(run)
    sequence.save()
    assert sequence.db_save_records() == 0


def test_no_update_is_lost_while_another_thread_saves(database: Any) -> None:
    sequence = house(database, 30, start=START, step=1)

    def update(number: int) -> None:
        for turn in range(100):
            for n in range(number, 30, THREADS - 1):
                sequence.update_value(when(START + n), power_w=float(turn * 100 + n))

    while_saving(sequence, update)
    expected = {START + n: float(99 * 100 + n) for n in range(30)}
    in_memory = {second_of(r.date_time): r.power_w for r in sequence.db_iterate_records()}
    assert in_memory == expected
    assert stored(database) == expected


def test_what_comes_and_goes_during_saves_ends_as_it_was_left(database: Any) -> None:
    sequence = house(database, 18, start=START, step=1)

    def change(number: int) -> None:
        for turn in range(60):
            for n in range(number, 18, THREADS - 1):
                assert sequence.db_delete_records(at(START + n), at(START + n + 1)) == 1
                if turn < 59 or n % 2:
                    record = Reading(date_time=when(START + n), power_w=float(turn))
                    sequence.db_insert_record(record)

    while_saving(sequence, change)
    expected = {START + n: 59.0 for n in range(1, 18, 2)}
    assert sequence.db_count_records() == len(expected)
    assert stored(database) == expected


def test_one_row_is_one_object(database: Any) -> None:
    sequence = house(database, 300, start=START, step=1)

    def look(number: int) -> list[Any]:
        if number % 2:
            return [sequence.db_get_record(at(START + n)) for n in range(300)]
        return list(sequence.db_iterate_records())

    first, *others = together(look)
    for other in others:
        assert all(mine is theirs for mine, theirs in zip(first, other, strict=True))
    assert all(mine is theirs for mine, theirs in zip(first, sequence.records, strict=True))


def test_iteration_goes_on_while_rows_come_and_go(database: Any) -> None:
    """What is there all the time is met exactly once and in order."""
    sequence = house(database, 400, start=START, step=10)
    iterating = threading.Event()
    iterating.set()

    def work(number: int) -> None:
        if number == 0:
            try:
                for _ in range(60):
                    met = seconds(sequence.db_iterate_records())
                    assert met == sorted(set(met))
                    assert [s for s in met if s % 10 == START % 10] == [
                        START + n * 10 for n in range(400)
                    ]
            finally:
                iterating.clear()
            return
        second = START + number
        while iterating.is_set():
            for n in range(0, 400, 50):
                sequence.db_insert_record(Reading(date_time=when(second + n * 10)))
            sequence.save()
            for n in range(0, 400, 50):
                sequence.db_delete_records(at(second + n * 10), at(second + n * 10 + 1))

    together(work, 3)


def test_the_list_of_records_can_be_read_while_rows_come_and_go() -> None:
    with eosdb.MemoryDatabase() as database:
        sequence = house(database, 200, start=START, step=10)
        sequence.load()
        reading = threading.Event()
        reading.set()

        def work(number: int) -> None:
            if number == 0:
                try:
                    for _ in range(30):
                        assert len(list(sequence.records)) >= 200
                        dumped = sequence.model_dump()["records"]
                        assert len(dumped) >= 200
                finally:
                    reading.clear()
                return
            while reading.is_set():
                sequence.db_insert_record(Reading(date_time=when(START + 5)))
                sequence.db_delete_records(at(START + 5), at(START + 6))

        together(work, 2)


@pytest.mark.parametrize("database", ["memory", "lmdb"], indirect=True)
def test_two_sequences_share_one_database(database: Any) -> None:
    """Each sees what the other has saved, and neither overwrites the other's rows."""

    def work(number: int) -> None:
        sequence = House(database=database)
        for turn in range(40):
            for n in range(5):
                second = START + (turn * 5 + n) * THREADS + number
                sequence.db_insert_record(Reading(date_time=when(second), power_w=float(number)))
            assert sequence.db_save_records() == 5
            mine = [r for r in sequence.db_iterate_records() if r.power_w == float(number)]
            assert len(mine) == (turn + 1) * 5

    together(work)
    watcher = House(database=database)
    assert watcher.db_count_records() == 200 * THREADS
    assert stored(database) == {START + n: float(n % THREADS) for n in range(200 * THREADS)}


@pytest.mark.parametrize("database", ["memory", "lmdb"], indirect=True)
def test_nobody_sees_half_a_save(database: Any) -> None:
    """A save is one transaction: whoever reads meanwhile finds all of it or nothing."""
    writer = house(database, 50, start=START, step=1)
    writing = threading.Event()
    writing.set()

    def save() -> None:
        try:
            for turn in range(40):
                for n in range(50):
                    writer.update_value(when(START + n), power_w=-float(turn))
                writer.db_delete_records(at(START + 100), at(START + 200))
                for n in range(turn % 7):
                    record = Reading(date_time=when(START + 100 + n), power_w=-float(turn))
                    writer.db_insert_record(record)
                writer.save()
        finally:
            writing.clear()

    def read() -> None:
        while writing.is_set():
            values = [
                pickle.loads(database.deserialize_data(value))["power_w"]
                for _, value in database.iterate_records(namespace="house")
            ]
            turn = int(-values[-1])
            assert turn <= 0 or values == [-float(turn)] * (50 + turn % 7)

    together(lambda number: save() if number == 0 else read(), 3)


class Curious(Reading):
    """A record that asks its sequence things when it is made and when it is dumped."""

    sequence: ClassVar[Any] = None

    def ask(self) -> None:
        if self.sequence is not None:
            self.sequence.db_count_records()
            self.sequence.db_next_timestamp(UNBOUND_START)

    def model_post_init(self, context: Any, /) -> None:
        self.ask()

    def model_dump(self, **options: Any) -> dict[str, Any]:
        self.ask()
        return super().model_dump(**options)


class CuriousHouse(House):
    records: list[Curious] = Field(default_factory=list)  # type: ignore[assignment]


def test_a_record_may_ask_its_sequence_while_it_is_made_or_saved(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is locked while foreign code runs: it would wait for itself."""
    writer = CuriousHouse(database=database)
    for n in range(20):
        writer.db_insert_record(Curious(date_time=when(START + n)))
    monkeypatch.setattr(Curious, "sequence", writer)
    assert together(lambda _: writer.save(), 1) == [True]
    reader = CuriousHouse(database=database)
    monkeypatch.setattr(Curious, "sequence", reader)
    assert together(lambda _: len(list(reader.db_iterate_records()))) == [20] * THREADS


class WaitingDatabase(ForeignDatabase):
    """A database whose saving waits until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go_on = threading.Event(), threading.Event()

    def save_records(self, records: Any, namespace: str | None = None) -> int:
        self.entered.set()
        assert self.go_on.wait(TIMEOUT)
        return super().save_records(records, namespace)


def test_a_slow_save_stops_nobody() -> None:
    """While a backend writes, the same sequence is read and changed."""
    database = WaitingDatabase()
    database.go_on.set()
    sequence = house(database, 10, start=START, step=1)
    sequence.load()
    sequence.update_value(when(START), power_w=9.0)
    database.go_on.clear()
    database.entered.clear()

    def work(number: int) -> None:
        if number == 0:
            assert sequence.db_save_records() == 1
            return
        assert database.entered.wait(TIMEOUT)
        assert sequence.db_count_records() == 10
        assert len(list(sequence.db_iterate_records())) == 10
        sequence.update_value(when(START + 1), power_w=8.0)
        database.go_on.set()

    together(work, 2)
    assert sequence.db_save_records() == 1
    assert stored(database)[START + 1] == 8.0
