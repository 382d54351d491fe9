"""A process that is killed has lost nothing that it committed, and left nothing half done.

Compactions are killed in `test_compaction_crashes`.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from kill_support import all_or_nothing, delay, kill, works
from killed_programs import CHANGES, UNCOMPRESSED, Content, applied, small_changes
from support import House, engine_for, house, when

from eosdb import StorageError

MIB: Final = 1024**2


def read(path: Path) -> Content:
    with engine_for(path)(path) as database:
        sequence = House(database=database)
        content = {int(r.date_time.timestamp()): (r.power_w, r.note) for r in sequence}
        assert len(content) == len(sequence) == database.count_records(namespace="house")
        assert sequence.db_damaged_records() == []
        return content


# ---- saves one after the other ------------------------------------------------------------------


class Saved:
    """What a database that processes save to must hold.

    Attributes:
        path: The database.
        changes: What the save of a number changes.
        content: What it holds.
        done: How many saves were done.
    """

    def __init__(self, path: Path, changes: Callable[[int], Content]) -> None:
        self.path = path
        self.changes = changes
        self.content: Content = {}
        self.done = 0

    def holds(self, lines: list[str]) -> None:
        """Check that it holds the saves that were reported, and at most one that was not yet."""
        assert lines == [str(n) for n in range(self.done, self.done + len(lines))]
        for _ in lines:
            self._follow()
        found = read(self.path)
        if found != self.content:
            # The save that was under way was whole, and not yet reported.
            self._follow()
        assert found == self.content
        works(self.path)

    def _follow(self) -> None:
        self.content = applied(self.content, self.changes(self.done))
        self.done += 1


def kill_savers(path: Path, seed: int, kills: int, longest: float) -> int:
    """Kill again and again, each going on where the last ended; return how many saves were done."""
    saved = Saved(path, lambda number: small_changes(seed, number))
    chosen = random.Random(seed)
    for _ in range(kills):
        arguments = (path, "small", seed, saved.done)
        killed = kill("killed_programs:saving", *arguments, after=delay(chosen, longest))
        saved.holds(killed.lines)
    return saved.done


every_engine = pytest.mark.parametrize("engine", ["lmdb", "sqlite"])
one_engine = pytest.mark.parametrize("engine", ["lmdb"])
"""Where the long run has the other one too."""


@every_engine
def test_kill_while_saving_loses_nothing_that_was_committed(engine: str, tmp_path: Path) -> None:
    assert kill_savers(tmp_path / engine, seed=1, kills=5, longest=0.15) >= 5


@pytest.mark.soak
@every_engine
@pytest.mark.parametrize("seed", range(2, 6))
def test_hundreds_of_kills_lose_nothing_that_was_committed(
    seed: int, engine: str, tmp_path: Path
) -> None:
    assert kill_savers(tmp_path / engine, seed, kills=100, longest=0.3) >= 100


def kill_where_the_map_grows(path: Path, seed: int, kills: int, longest: float) -> int:
    """Kill again and again, each time a process that began anew; return the largest file."""
    chosen = random.Random(seed)
    largest = 0
    for turn in range(kills):
        saved = Saved(path, lambda number, turn=turn: CHANGES["large"](turn, number))  # type: ignore[misc]
        arguments = (path, "large", turn, 0)
        killed = kill("killed_programs:saving", *arguments, after=delay(chosen, longest))
        saved.holds(killed.lines)
        largest = max(largest, (path / "data.mdb").stat().st_size)
        if largest <= 2 * MIB:  # the machine is busy: it has not grown yet
            longest *= 4
        shutil.rmtree(path)
    return largest


def test_kill_while_the_map_grows_loses_nothing(tmp_path: Path) -> None:
    assert kill_where_the_map_grows(tmp_path / "db", seed=3, kills=3, longest=0.2) > 2 * MIB


@pytest.mark.soak
def test_hundreds_of_kills_while_the_map_grows(tmp_path: Path) -> None:
    largest = kill_where_the_map_grows(tmp_path / "db", seed=2, kills=300, longest=0.3)
    print(f"the largest file: {largest} bytes")  # noqa: T201  for whoever asks
    assert largest > 8 * MIB


def kill_closers(path: Path, durability: str, seed: int, kills: int) -> int:
    """Kill again and again while databases are opened, saved to and closed."""
    saved = Saved(path, lambda number: small_changes(seed, number))
    chosen = random.Random(seed)
    for _ in range(kills):
        arguments = (path, durability, seed, saved.done)
        killed = kill("killed_programs:closing", *arguments, after=delay(chosen, 0.1))
        saved.holds(killed.lines)
    return saved.done


every_durability = pytest.mark.parametrize(
    ("engine", "durability"), [("lmdb", "commit"), ("lmdb", "interval"), ("sqlite", "none")]
)


@every_durability
def test_kill_while_closing_loses_nothing_that_was_committed(
    engine: str, durability: str, tmp_path: Path
) -> None:
    assert kill_closers(tmp_path / engine, durability, seed=1, kills=2) >= 2


@pytest.mark.soak
@every_durability
def test_hundreds_of_kills_while_closing(engine: str, durability: str, tmp_path: Path) -> None:
    assert kill_closers(tmp_path / engine, durability, seed=2, kills=300) >= 300


# ---- new databases ------------------------------------------------------------------------------


def begun(path: Path, number: int) -> bool:
    """Check that a database can be used however far its first opening came; tell whether it was."""
    # To read, there may be nothing yet, and it says so.
    with contextlib.suppress(StorageError), engine_for(path)(path, read_only=True) as database:
        assert House(database=database).db_count_records() in {0, 1}
    content = read(path)
    assert content in ({}, {number: (1.0, "new")})
    works(path)
    return bool(content)


def kill_beginners(folder: Path, seed: int, kills: int) -> int:
    """Kill again and again while new databases are made; return how many were complete."""
    chosen = random.Random(seed)
    complete = 0
    within = 0.02
    for _ in range(kills):
        folder.mkdir()
        killed = kill("killed_programs:beginning", folder, after=delay(chosen, within))
        assert killed.lines == [str(n) for n in range(len(killed.lines))]
        made = sorted((int(path.name.split()[1]), path) for path in folder.iterdir())
        assert len(made) - len(killed.lines) in {0, 1}
        for number, path in made:
            assert begun(path, number) or number >= len(killed.lines)
        complete += len(killed.lines)
        if not complete:  # the machine is busy: this is about databases half made, not about none
            within *= 4
        shutil.rmtree(folder)
    return complete


@every_engine
def test_kill_while_a_new_database_is_made_leaves_one_that_opens(
    engine: str, tmp_path: Path
) -> None:
    assert kill_beginners(tmp_path / engine, seed=1, kills=4) > 0


@pytest.mark.soak
@every_engine
def test_hundreds_of_kills_while_new_databases_are_made(engine: str, tmp_path: Path) -> None:
    complete = kill_beginners(tmp_path / engine, seed=2, kills=400)
    print(f"{complete} databases were complete")  # noqa: T201  for whoever asks
    assert complete > 100


# ---- one change, done or not --------------------------------------------------------------------


@pytest.fixture
def original(engine: str, tmp_path: Path) -> Path:
    """A database of ten thousand hours."""
    path = tmp_path / "databases" / engine
    with engine_for(path)(path, settings=UNCOMPRESSED, durability="none") as database:
        house(database, 10_000)
    return path


REMOVALS: Final = ["vacuuming", "deleting"]


@one_engine
@pytest.mark.parametrize("program", REMOVALS)
def test_kill_while_rows_are_deleted_leaves_all_or_none(program: str, original: Path) -> None:
    assert sum(all_or_nothing(original, f"killed_programs:{program}", read, seed=1, kills=2)) == 2


@pytest.mark.soak
@every_engine
@pytest.mark.parametrize("program", REMOVALS)
def test_hundreds_of_kills_while_rows_are_deleted(program: str, original: Path) -> None:
    before, after = all_or_nothing(original, f"killed_programs:{program}", read, seed=2, kills=300)
    print(f"{before} kills before the commit, {after} after it")  # noqa: T201  for whoever asks
    assert min(before, after) > 10


def file_and_content(path: Path) -> tuple[int, Content]:
    content = read(path)
    with engine_for(path)(path) as database:
        stats = database.get_backend_stats("house")
    return stats.get("page_count", stats.get("last_pgno")), content


def can_be_compacted(path: Path) -> None:
    """Check that what an interrupted `compact()` leaves behind does not disturb the next one."""
    original = path.name.removesuffix(" copy")
    beside = {entry.name for entry in path.parent.iterdir()}
    assert beside - {f"{path.name}_compact_tmp"} == {original, path.name}
    files = {"lmdb": {"data.mdb", "lock.mdb"}, "sqlite": {"data.db"}}[original]
    assert {entry.name for entry in path.iterdir()} <= files
    content = read(path)
    with engine_for(path)(path) as database:
        file = path / "data.mdb"
        before = file.stat().st_ino if original == "lmdb" else None
        database.compact()
        assert database.is_open
        # In one step: there is no moment at which the file is neither the old nor the new one.
        assert original != "lmdb" or file.stat().st_ino != before
    assert read(path) == content
    assert {entry.name for entry in path.parent.iterdir()} == {original, path.name}


@pytest.fixture
def loose(original: Path) -> Path:
    """A database with many free pages."""
    with engine_for(original)(original) as database:
        sequence = House(database=database)
        sequence.delete_by_datetime(when(2000 * 3600), when(9000 * 3600))
        sequence.save()
    return original


@one_engine
def test_kill_while_the_file_is_compacted_leaves_the_old_or_the_new_one(loose: Path) -> None:
    program = "killed_programs:compacting_the_file"
    counts = all_or_nothing(
        loose, program, file_and_content, seed=4, kills=3, afterwards=can_be_compacted
    )
    assert sum(counts) == 3


@pytest.mark.soak
@every_engine
def test_hundreds_of_kills_while_the_file_is_compacted(loose: Path) -> None:
    program = "killed_programs:compacting_the_file"
    before, after = all_or_nothing(
        loose, program, file_and_content, seed=5, kills=400, afterwards=can_be_compacted
    )
    print(f"{before} times the old file, {after} times the new one")  # noqa: T201  for whoever asks
    assert min(before, after) > 10
