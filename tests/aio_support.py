"""What the tests of `eosdb.aio` share: sequences, databases that wait, and a way to run."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import faulthandler
import threading
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from support import (
    ForeignDatabase,
    House as SyncHouse,
    PlainHouse as SyncPlainHouse,
    PlainReading,
    Reading,
    at,
    when,
)

import eosdb
from eosdb import UNBOUND_WINDOW, aio
from eosdb.aio import threads

T = TypeVar("T")

START = 1_704_067_200  # 2024-01-01T00:00:00Z
HOUR = 3600
NOON, LATER = when(START + 12 * HOUR), when(START + 30 * HOUR + 60)
TIER = (eosdb.to_duration("1 hour"), eosdb.to_duration("2 hours"))
TIMEOUT = 60
"""Seconds after which a test is taken for stuck."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of its own; end the run, with all stacks, if the loop is stuck."""
    faulthandler.dump_traceback_later(2 * TIMEOUT, exit=True, file=2)
    try:
        return asyncio.run(asyncio.wait_for(main, TIMEOUT))
    finally:
        faulthandler.cancel_dump_traceback_later()


class House(aio.DataSequence):
    """A sequence as a user of the package writes it."""

    records: list[Reading] = []  # noqa: RUF012  as with any model, every sequence gets its own

    def db_namespace(self) -> str:
        return "house"


class PlainHouse(aio.DatabaseRecordProtocolMixin[PlainReading]):
    """A sequence that is no model and sets the mixin's state itself, without calling it."""

    __init__ = SyncPlainHouse.__init__

    @classmethod
    def record_class(cls) -> type[PlainReading]:
        return PlainReading

    def db_namespace(self) -> str:
        return "house"


class Gate:
    """A place where calls of a database wait.

    Attributes:
        reached: Set once as many calls have come as were asked for.
        opened: Set when calls may go on.
    """

    def __init__(self, calls: int = 1) -> None:
        self._missing = calls
        self._counting = threading.Lock()
        self.reached = threading.Event()
        self.opened = threading.Event()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        """Let everybody go on."""
        self.opened.set()
        for loop, event in self._waiting:
            with contextlib.suppress(RuntimeError):  # of a loop that has gone
                loop.call_soon_threadsafe(event.set)

    def _come(self) -> None:
        with self._counting:
            self._missing -= 1
            if self._missing <= 0:
                self.reached.set()

    def wait(self) -> None:
        """Wait, blocking the thread."""
        self._come()
        assert self.opened.wait(TIMEOUT)

    async def wait_in_loop(self) -> None:
        """Wait until another task of the loop opens the gate."""
        event = asyncio.Event()
        self._waiting.append((asyncio.get_running_loop(), event))
        self._come()
        if not self.opened.is_set():
            await event.wait()

    async def until_reached(self) -> None:
        """Wait in the loop for a call to come."""
        assert await asyncio.to_thread(self.reached.wait, TIMEOUT)


class Gates:
    """A database whose calls may be held up.

    Attributes:
        gates: The gates by the names of the methods.
    """

    gates: dict[str, Gate]

    def gate(self, method: str, calls: int = 1) -> Gate:
        """Have the calls of a method wait from now on; the gate is reached by so many."""
        self.gates[method] = gate = Gate(calls)
        return gate

    def free(self) -> None:
        """Open all gates, and have no call wait from now on."""
        for gate in self.gates.values():
            gate.open()
        self.gates.clear()


class BlockingDatabase(ForeignDatabase, Gates):
    """A synchronous database whose calls block their thread."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = {}

    def _pass(self, method: str) -> None:
        if gate := self.gates.get(method):
            gate.wait()

    def get_metadata(self, namespace: str | None = None) -> bytes | None:
        self._pass("get_metadata")
        return super().get_metadata(namespace)

    def set_metadata(self, metadata: bytes | None, *, namespace: str | None = None) -> None:
        self._pass("set_metadata")
        super().set_metadata(metadata, namespace=namespace)

    def save_records(
        self, records: Iterable[tuple[bytes, bytes]], namespace: str | None = None
    ) -> int:
        self._pass("save_records")
        return super().save_records(records, namespace)

    def delete_records(self, keys: Iterable[bytes], namespace: str | None = None) -> int:
        self._pass("delete_records")
        return super().delete_records(keys, namespace)

    def iterate_records(
        self,
        start_key: bytes | None = None,
        end_key: bytes | None = None,
        namespace: str | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        self._pass("iterate_records")
        yield from super().iterate_records(start_key, end_key, namespace, reverse)


class CoroutineDatabase(Gates):
    """A database in dictionaries whose methods are coroutines, which need the loop.

    Attributes:
        inner: The dictionaries.
    """

    def __init__(self) -> None:
        self.inner = ForeignDatabase()
        self.gates = {}
        self.settings = self.inner.settings
        self.is_open = True
        self.compression = False
        self.compression_level = 0
        self.storage_path = "/nowhere"

    def serialize_data(self, data: bytes) -> bytes:
        return self.inner.serialize_data(data)

    def deserialize_data(self, data: bytes) -> bytes:
        return self.inner.deserialize_data(data)

    async def _pass(self, method: str) -> None:
        await asyncio.sleep(0)
        if gate := self.gates.get(method):
            await gate.wait_in_loop()

    async def set_metadata(self, metadata: bytes | None, *, namespace: str | None = None) -> None:
        await self._pass("set_metadata")
        self.inner.set_metadata(metadata, namespace=namespace)

    async def get_metadata(self, *, namespace: str | None = None) -> bytes | None:
        await self._pass("get_metadata")
        return self.inner.get_metadata(namespace)

    async def save_records(
        self, records: Iterable[tuple[bytes, bytes]], *, namespace: str | None = None
    ) -> int:
        await self._pass("save_records")
        return self.inner.save_records(records, namespace)

    async def delete_records(self, keys: Iterable[bytes], *, namespace: str | None = None) -> int:
        await self._pass("delete_records")
        return self.inner.delete_records(keys, namespace)

    async def iterate_records(
        self,
        start_key: bytes | None = None,
        end_key: bytes | None = None,
        *,
        namespace: str | None = None,
        reverse: bool = False,
    ) -> AsyncIterator[tuple[bytes, bytes]]:
        await self._pass("iterate_records")
        for row in self.inner.iterate_records(start_key, end_key, namespace, reverse):
            yield row

    async def count_records(
        self,
        start_key: bytes | None = None,
        end_key: bytes | None = None,
        *,
        namespace: str | None = None,
    ) -> int:
        await self._pass("count_records")
        return self.inner.count_records(start_key, end_key, namespace=namespace)

    async def get_key_range(
        self, namespace: str | None = None
    ) -> tuple[bytes | None, bytes | None]:
        await self._pass("get_key_range")
        return self.inner.get_key_range(namespace)

    async def get_backend_stats(self, *, namespace: str | None = None) -> dict[str, Any]:
        await self._pass("get_backend_stats")
        return self.inner.get_backend_stats(namespace)

    async def flush(self, *, namespace: str | None = None) -> None:
        await self._pass("flush")


KINDS = ["aio lmdb", "aio memory", "aio sqlite", "sync lmdb", "coroutines"]
GATED = ["coroutines", "blocking"]


@asynccontextmanager
async def opened(kind: str, path: Path, settings: Any = None) -> AsyncIterator[Any]:
    """Open a database of a kind."""
    options: dict[str, Any] = {"settings": settings or eosdb.DatabaseSettings(compression_level=0)}
    if kind == "aio lmdb":
        async with aio.LMDBDatabase(path / "db", durability="none", **options) as lmdb:
            yield lmdb
    elif kind == "aio sqlite":
        async with aio.SQLiteDatabase(path / "db", durability="none", **options) as sqlite:
            yield sqlite
    elif kind == "aio memory":
        async with aio.MemoryDatabase(**options) as memory:
            yield memory
    elif kind == "sync lmdb":
        with eosdb.LMDBDatabase(path / "db", durability="none", **options) as blocking:
            yield blocking
    else:
        gated = CoroutineDatabase() if kind == "coroutines" else BlockingDatabase()
        if settings is not None:
            gated.settings = settings
        try:
            yield gated
        finally:
            gated.free()


def gated(kind: str) -> Any:
    """Return a database of a kind whose calls may be held up."""
    return CoroutineDatabase() if kind == "coroutines" else BlockingDatabase()


def inner(database: Any) -> ForeignDatabase:
    """Return the dictionaries of a database whose calls may be held up."""
    return database.inner if isinstance(database, CoroutineDatabase) else database


def reading(number: int, **values: Any) -> Reading:
    """Return the record of the hour of a number; its power is the number unless it is told."""
    return Reading(date_time=when(START + number * HOUR), **{"power_w": float(number), **values})


async def filled(database: Any, hours: int, house: type[Any] = House) -> Any:
    """Return a sequence that knows nothing yet of the rows that are saved in its database."""
    writer = house(database=database)
    for number in range(hours):
        await writer.db_insert_record(reading(number))
    assert await writer.db_save_records() == hours
    return house(database=database)


async def content(sequence: Any) -> list[tuple[int, float | None]]:
    """Return the hours and powers of all records, in the order in which they come."""
    return [
        ((int(record.date_time.timestamp()) - START) // HOUR, record.power_w)
        async for record in sequence.db_iterate_records()
    ]


class Threads(ThreadPoolExecutor):
    """The threads of `eosdb.aio`, of which one can tell when they are done."""

    def __init__(self) -> None:
        super().__init__(max_workers=1024)
        self._started: list[concurrent.futures.Future[Any]] = []

    def submit(self, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        future = super().submit(*args, **kwargs)
        self._started.append(future)
        return future

    async def done(self) -> None:
        """Wait for what cancelled tasks have left running."""
        started, self._started = self._started, []
        await asyncio.to_thread(concurrent.futures.wait, started, TIMEOUT)


def watched_threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    """Have `eosdb.aio` use threads of which one can tell when they are done."""
    pool = Threads()
    monkeypatch.setattr(threads._THREADS, "pool", pool)
    return pool


def words(text: str) -> set[str]:
    """Return the words of a text."""
    return set(text.split())


async def left_in_the_middle(work: str, sequence: Any = None, database: Any = None) -> None:
    """Return while a save or a compaction of hours waits for its database."""
    if sequence is None:
        database = CoroutineDatabase()
        sequence = House(database=database)
    for number in range(24):
        await sequence.update_value(when(START + number * HOUR), power_w=float(number))
    if work == "compact":
        await sequence.save()
    gate = database.gate("save_records")
    call = sequence.save() if work == "save" else sequence.db_compact([TIER])
    _TASKS.append(asyncio.create_task(call))
    await gate.until_reached()


_TASKS: list[asyncio.Task[Any]] = []
"""Whoever starts a task must hold it."""


class Own(House):
    """A sequence that overrides every hook."""

    asked: list[str] = []  # noqa: RUF012  every sequence gets its own

    def db_namespace(self) -> str:
        return "own"

    def db_initial_time_window(self) -> eosdb.Duration | None:
        return eosdb.to_duration("4 hours")

    def db_keep_duration(self) -> eosdb.Duration | None:
        return eosdb.to_duration("10 hours")

    def db_compact_tiers(self) -> list[tuple[eosdb.Duration, eosdb.Duration]]:
        return [TIER]

    def db_compact_aggregations(self) -> Mapping[str, str]:
        return {"count": "max"}

    async def key_to_array(self, key: str, *args: Any, **options: Any) -> Any:
        self.asked.append(key)
        await asyncio.sleep(0)
        return 100 + await super().key_to_array(key, *args, **options)


CALLS: dict[str, Callable[[Any], Any]] = {
    "get": lambda s: s.db_get_record(at(START + HOUR)),
    "get none": lambda s: s.db_get_record(at(START + 1)),
    "get near": lambda s: s.db_get_record(at(START + 1), time_window=UNBOUND_WINDOW),
    "get by datetime": lambda s: s.get_by_datetime(NOON),
    "get nearest": lambda s: s.get_nearest_by_datetime(LATER),
    "get nearest within": lambda s: s.get_nearest_by_datetime(LATER, eosdb.to_duration(60)),
    "previous": lambda s: s.db_previous_timestamp(at(START + HOUR)),
    "next": lambda s: s.db_next_timestamp(at(START + HOUR)),
    "range": lambda s: s.db_timestamp_range(),
    "count": lambda s: s.db_count_records(),
    "load": lambda s: s.db_load_records(at(START), at(START + 5 * HOUR)),
    "load all": lambda s: s.load(),
    "array": lambda s: s.key_to_array("power_w", NOON, LATER),
    "arrays": lambda s: s.keys_to_arrays(["power_w", "note"], NOON, LATER, aggregation="last"),
    "energy": lambda s: s.key_to_energy("power_w", NOON, LATER),
    "lists": lambda s: s.key_to_lists("power_w", NOON, LATER),
    "dict": lambda s: s.key_to_dict("power_w", NOON, LATER),
    "value": lambda s: s.key_to_value("power_w", NOON),
    "series": lambda s: s.key_to_series("power_w", NOON),
    "frame": lambda s: s.to_dataframe(None, NOON),
    "update": lambda s: s.update_value(NOON, power_w=1.5),
    "update new": lambda s: s.update_value(LATER, "note", "new"),
    "update by dictionary": lambda s: s.update_value(LATER, {"note": "new"}, count=3),
    "insert": lambda s: s.db_insert_record(reading(70)),
    "insert or merge": lambda s: s.insert_by_datetime(reading(12, power_w=None, note="merged")),
    "from lists": lambda s: s.key_from_lists("count", [NOON, LATER], [1, 2]),
    "delete": lambda s: s.db_delete_records(at(START), at(START + 3 * HOUR)),
    "delete by datetime": lambda s: s.delete_by_datetime(LATER, None),
    "delete key": lambda s: s.key_delete_by_datetime("power_w", NOON, LATER),
    "vacuum": lambda s: s.db_vacuum(keep_hours=10),
    "dry compact": lambda s: s.db_compact([TIER], dry_run=True),
    "compact": lambda s: s.db_compact([TIER]),
    "compact tier": lambda s: s._db_compact_tier(*TIER),
    "save": lambda s: s.save(),
    "autosave": lambda s: s.db_autosave(),
    # Errors
    "naive": lambda s: s.get_by_datetime(NOON.naive()),
    "naive update": lambda s: s.update_value(NOON.naive(), power_w=1.0),
    "naive array": lambda s: s.key_to_array("power_w", NOON.naive()),
    "naive insertion": lambda s: s.db_insert_record(PlainReading.model_construct()),
    "duplicate": lambda s: s.db_insert_record(reading(12)),
    "negative window": lambda s: s.get_nearest_by_datetime(NOON, eosdb.to_duration(-60)),
    "negative window of a record": lambda s: s.db_get_record(at(START), time_window=-TIER[0]),
    "negative keep": lambda s: s.db_vacuum(keep_hours=-1),
    "bad tier": lambda s: s.db_compact([(TIER[0], eosdb.to_duration(0))]),
    "unknown key": lambda s: s.key_to_array("watts"),
    "unknown keys": lambda s: s.keys_to_arrays(["watts"]),
    "unwritable": lambda s: s.update_value(NOON, watts=1),
    "moved": lambda s: s.update_value(NOON, date_time=LATER),
    "invalid value": lambda s: s.update_value(LATER, power_w="much"),
    "odd arguments": lambda s: s.update_value(NOON, "power_w"),
    "one text": lambda s: s.keys_to_arrays("power_w"),
    "bad interval": lambda s: s.key_to_array("power_w", interval=0),
    "not its record": lambda s: s.db_mark_dirty_record(reading(99)),
    "no record": lambda s: s.insert_by_datetime("record"),
    "uneven lists": lambda s: s.key_from_lists("count", [NOON], []),
    "missing argument": lambda s: s.key_to_array(),
    "full": lambda s: s._db_load_full(),
}


def comparable(value: Any) -> Any:
    """Return what shows all of a value, for values of which some do not compare as a whole."""
    if isinstance(value, int):
        return int(value)  # a report also tells of bytes, which databases need more or less of
    return str(value.to_dict()) if hasattr(value, "to_dict") else repr(value)


def outcome_of(call: Callable[[Any], Any], sequence: SyncHouse) -> Any:
    try:
        return comparable(call(sequence))
    except Exception as error:  # noqa: BLE001  whatever it is, both must raise it
        return type(error), str(error)


async def awaited_outcome_of(call: Callable[[Any], Awaitable[Any]], sequence: House) -> Any:
    try:
        return comparable(await call(sequence))
    except Exception as error:  # noqa: BLE001  whatever it is, both must raise it
        return type(error), str(error)
