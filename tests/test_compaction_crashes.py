"""A compaction that is interrupted, however that happens, is as one that was not or never began."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args

import pytest
from compaction_support import (
    DAY,
    HOUR,
    MINUTE,
    START,
    Home,
    Sample,
    fill,
    rows_of,
    stored_rows,
)
from kill_support import all_or_nothing
from support import ForeignDatabase, engine_for, when

import eosdb
from eosdb import ConflictError, DatabaseSettings, LMDBDatabase

INTERVALS: Final = ("15 minutes", "1 hour")
"""Those of both default tiers."""

Rows = dict[bytes, bytes]
Way = Literal["before", "half", "after"]
WAYS: Final = get_args(Way)
T = TypeVar("T")
R = TypeVar("R")


def samples(seconds: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return rows with keys of every kind; not all of them have all keys."""
    rows: dict[int, dict[str, Any]] = {}
    for second in seconds:
        n = second // MINUTE
        rows[second] = {"power_w": n * 7 % 500 + 0.25, "meter_kwh": second / HOUR, "count": n % 13}
        rows[second] |= {"is_on": n % 25 > 10, "extra": n % 3 + 0.5} if n % 2 else {}
        rows[second] |= {"note": f"note {n}"} if n % 3 else {}
    return rows


def hours_of_two_ages() -> dict[int, dict[str, Any]]:
    """Rows for both tiers: some older than 14 days, some than two hours, some younger."""
    old, young = range(0, 4 * HOUR, 5 * MINUTE), range(15 * DAY, 15 * DAY + 4 * HOUR, 5 * MINUTE)
    return samples([*old, *young])


def cutoffs_of(sequence: Any) -> list[str | None]:
    return [sequence._db_get_compact_state(eosdb.to_duration(interval)) for interval in INTERVALS]


def is_whole(database: Any, after: Rows) -> None:
    """Check that a compaction is done, with all that belongs to it."""
    assert stored_rows(database) == after
    metadata = Home(database=database)._db_load_metadata()
    assert metadata is not None
    assert {key for key in metadata if "compact" in key} == {
        "last_compact_cutoff_900",
        "last_compact_cutoff_3600",
    }
    assert None not in cutoffs_of(Home(database=database))


# ---- databases without transactions -------------------------------------------------------------


class CrashError(OSError):
    """What ends a write."""


class CrashingDatabase(ForeignDatabase):
    """A database whose n-th write crashes.

    Attributes:
        writes: How many there were.
        crash_at: The number of the write that crashes.
        way: Whether it crashes before, half-way through or after what it is to do.
        stays_down: Whether all later writes fail, as to a process that is no more.
    """

    writes = 0
    crash_at: int | None = None
    way: Way = "before"
    stays_down = False

    def _write(self, items: list[T], write: Callable[[list[T]], R]) -> R:
        self.writes += 1
        if self.crash_at is None or self.writes < self.crash_at:
            return write(items)
        if self.writes == self.crash_at:
            if self.way != "before":
                write(items if self.way == "after" else items[: len(items) // 2])
        elif not self.stays_down:
            return write(items)
        raise CrashError(5, f"write {self.writes} crashed {self.way}")

    def save_records(
        self, records: Iterable[tuple[bytes, bytes]], namespace: str | None = None
    ) -> int:
        save = super().save_records
        return self._write(list(records), lambda some: save(some, namespace))

    def delete_records(self, keys: Iterable[bytes], namespace: str | None = None) -> int:
        delete = super().delete_records
        return self._write(list(keys), lambda some: delete(some, namespace))

    def set_metadata(self, metadata: bytes | None, *, namespace: str | None = None) -> None:
        # One value: half of it is nothing.
        put = super().set_metadata

        def write(some: list[bytes | None]) -> None:
            for value in some:
                put(value, namespace=namespace)

        self._write([metadata], write)

    def crash(self, crash_at: int | None, way: Way = "before", *, stays_down: bool = False) -> None:
        self.writes, self.crash_at, self.way, self.stays_down = 0, crash_at, way, stays_down

    def copied(self) -> CrashingDatabase:
        """Return what another process finds."""
        other = CrashingDatabase()
        other.rows = {namespace: dict(rows) for namespace, rows in self.rows.items()}
        other.metadata = dict(self.metadata)
        return other


FILLED: Final = CrashingDatabase()
BEFORE: Final = stored_rows(fill(Home(database=FILLED), hours_of_two_ages()).database)


def uninterrupted() -> tuple[Rows, int]:
    """Return the rows of a compaction that is not interrupted, and how many writes it takes."""
    database = FILLED.copied()
    report = Home(database=database).db_compact()
    assert [tier.rows_deleted > 0 for tier in report.tiers] == [True, True]
    is_whole(database, stored_rows(database))
    return stored_rows(database), database.writes


AFTER, WRITES = uninterrupted()


def crashed(crash_at: int, way: Way, *, stays_down: bool) -> tuple[CrashingDatabase, Home]:
    database = FILLED.copied()
    sequence = Home(database=database)
    database.crash(crash_at, way, stays_down=stays_down)
    with pytest.raises(CrashError, match=f"write {crash_at} crashed"):
        sequence.db_compact()
    database.crash(None)
    return database, sequence


def nothing_is_lost(rows: Rows) -> None:
    """Check that what a raw row told is there, raw or consolidated."""
    assert rows.items() <= BEFORE.items() | AFTER.items()
    if not BEFORE.keys() <= rows.keys():
        # What replaces the missing rows is complete before the first of them goes.
        assert AFTER.items() <= rows.items()


def test_a_compaction_is_a_few_writes() -> None:
    assert WRITES == 4
    assert len(AFTER) < len(BEFORE)


every_crash = pytest.mark.parametrize("crash_at", range(1, WRITES + 1))
every_way = pytest.mark.parametrize("way", WAYS)
for_good_or_not = pytest.mark.parametrize("stays_down", [True, False])


@every_crash
@every_way
@for_good_or_not
@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("who", ["another process", "the same sequence"])
def test_what_crashed_is_ended(
    crash_at: int, way: Way, stays_down: bool, reads: bool, who: str
) -> None:
    database, sequence = crashed(crash_at, way, stays_down=stays_down)
    nothing_is_lost(stored_rows(database))
    if who == "another process":
        database = database.copied()
        sequence = Home(database=database)
    if reads:
        assert len(rows_of(sequence)) == len(sequence)
        nothing_is_lost(stored_rows(database))
    sequence.db_compact()
    is_whole(database, AFTER)
    assert rows_of(sequence) == rows_of(Home(database=database))
    for later in (sequence, Home(database=database)):
        assert later.db_compact() == 0
        is_whole(database, AFTER)


@every_crash
@every_way
@pytest.mark.parametrize("again_at", range(1, 4))
@pytest.mark.parametrize("again", WAYS)
def test_what_crashes_twice_is_ended_too(
    crash_at: int, way: Way, again_at: int, again: Way
) -> None:
    database = crashed(crash_at, way, stays_down=True)[0].copied()
    database.crash(again_at, again, stays_down=True)
    try:
        Home(database=database).db_compact()
    except CrashError:
        nothing_is_lost(stored_rows(database))
    database.crash(None)
    Home(database=database).db_compact()
    is_whole(database, AFTER)


@every_crash
@every_way
def test_what_crashed_can_be_read_where_nothing_can_be_written(crash_at: int, way: Way) -> None:
    database = crashed(crash_at, way, stays_down=True)[0].copied()
    database.crash(1, stays_down=True)
    sequence = Home(database=database)
    assert len(rows_of(sequence)) == len(sequence) >= len(AFTER)
    database.crash(None)
    sequence.db_compact()
    is_whole(database, AFTER)


BUCKET: Final = [START + 15 * DAY + n * 5 * MINUTE for n in range(3)]
"""The rows of a bucket that is compacted."""


@every_crash
@every_way
@for_good_or_not
def test_what_is_saved_after_a_crash_stays(crash_at: int, way: Way, stays_down: bool) -> None:
    """The sequence lives on where a write failed: what it saves next is not undone later."""
    database, sequence = crashed(crash_at, way, stays_down=stays_down)
    for second in BUCKET:
        sequence.update_value(when(second), note="changed later")
    sequence.db_save_records()
    other = Home(database=database)
    other.db_compact()
    assert other.get_by_datetime(when(BUCKET[0])).note == "changed later"


@every_crash
@every_way
@for_good_or_not
def test_what_is_deleted_after_a_crash_stays_away(
    crash_at: int, way: Way, stays_down: bool
) -> None:
    database, sequence = crashed(crash_at, way, stays_down=stays_down)
    sequence.db_vacuum(keep_hours=0)
    assert stored_rows(database) == {}
    Home(database=database).db_compact()
    assert stored_rows(database) == {}


# ---- kills --------------------------------------------------------------------------------------


def content(path: Path) -> tuple[Rows, list[str | None]]:
    with engine_for(path)(path) as database:
        sequence = Home(database=database)
        assert len(rows_of(sequence)) == len(sequence) == len(stored_rows(database))
        cutoffs = cutoffs_of(sequence)
        assert cutoffs == [None, None] or None not in cutoffs
        return stored_rows(database), cutoffs


def kill_compactions(original: Path, seed: int, kills: int) -> tuple[int, int]:
    """Kill again and again; return how many kills came before and after the commit."""
    settings = DatabaseSettings(compression_level=0)
    with engine_for(original)(original, settings=settings) as database:
        fill(Home(database=database), samples(range(0, 20 * DAY, 5 * MINUTE)))
    return all_or_nothing(original, "killed_programs:compacting", content, seed=seed, kills=kills)


def test_kills_while_compacting_leave_all_tiers_or_none_done(tmp_path: Path) -> None:
    assert sum(kill_compactions(tmp_path / "lmdb", seed=1, kills=3)) == 3


@pytest.mark.soak
@pytest.mark.parametrize("engine", ["lmdb", "sqlite"])
def test_a_hundred_kills_leave_all_tiers_or_none_done(engine: str, tmp_path: Path) -> None:
    before, after = kill_compactions(tmp_path / engine, seed=2, kills=100)
    print(f"{before} kills before the commit, {after} after it")  # noqa: T201  for whoever asks
    assert before + after == 100


# ---- somebody else ------------------------------------------------------------------------------


class Interfering:
    """A second sequence on the same database that saves while a compaction is planned.

    Attributes:
        times: How often it does.
        saved: The seconds of the rows it saved.
    """

    def __init__(self, database: Any, times: int) -> None:
        self.database = database
        self.times = times
        self.saved: list[int] = []

    def __call__(self, done: int, total: int) -> None:
        if len(self.saved) < self.times:
            second = 7 * MINUTE + len(self.saved) * HOUR
            other = Home(database=self.database)
            other.db_insert_record(Sample(date_time=when(START + second), note=f"late {second}"))
            other.db_save_records()
            self.saved.append(second)


@pytest.mark.parametrize("times", [1, 3])
def test_what_others_save_meanwhile_is_compacted_too(times: int, tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "a") as database, LMDBDatabase(tmp_path / "b") as expected:
        other = Interfering(database, times)
        home = fill(Home(database=database), hours_of_two_ages())
        home.db_compact(progress=other)
        assert len(other.saved) == times
        late = {second: {"note": f"late {second}"} for second in other.saved}
        fill(Home(database=expected), dict(sorted((hours_of_two_ages() | late).items())))
        Home(database=expected).db_compact()
        is_whole(database, stored_rows(expected))
        assert rows_of(home) == rows_of(Home(database=database))


def test_others_that_never_stop_are_a_conflict(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path) as database:
        other = Interfering(database, 1000)
        home = fill(Home(database=database), hours_of_two_ages())
        before = stored_rows(database)
        with pytest.raises(ConflictError):
            home.db_compact(progress=other)
        rows = stored_rows(database)
        assert len(rows) == len(before) + len(other.saved)
        assert before.items() <= rows.items()
        assert cutoffs_of(home) == cutoffs_of(Home(database=database)) == [None, None]
        assert home.db_compact() > 0
        assert None not in cutoffs_of(Home(database=database))


# ---- Ctrl-C -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lmdb", "foreign"])
def test_ctrl_c_changes_nothing(kind: str, tmp_path: Path) -> None:
    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with LMDBDatabase(tmp_path, settings=DatabaseSettings(compression_level=0)) as native:
        database: Any = native if kind == "lmdb" else ForeignDatabase()
        home = fill(Home(database=database), hours_of_two_ages())
        before = stored_rows(database)
        with pytest.raises(KeyboardInterrupt):
            home.db_compact(progress=interrupt)
        assert stored_rows(database) == before
        assert cutoffs_of(home) == cutoffs_of(Home(database=database)) == [None, None]
        assert rows_of(home) == rows_of(Home(database=database))
        assert home.db_compact() > 0
        is_whole(database, stored_rows(database))
        assert len(stored_rows(database)) == len(AFTER)
