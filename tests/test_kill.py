"""A process that is killed has lost nothing that it committed, and left nothing half done."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from support import WITH_TESTS, House, house, when

import eosdb
from eosdb import DatabaseSettings, LMDBDatabase

STEPS: Final = 10_000

SAVING: Final = """
import sys
from test_kill import steps
import eosdb

with eosdb.LMDBDatabase(sys.argv[1]) as database:
    for number in steps(database, int(sys.argv[2]), int(sys.argv[3])):
        print("committed", number, flush=True)
"""
"""A process that saves, and reports every commit."""

Content = dict[int, tuple[float | None, str | None]]


def changes(seed: int, number: int) -> Content:
    """What the save of this number writes; `(None, None)` deletes."""
    chosen = random.Random(seed * STEPS + number)
    rows: Content = {}
    for second in chosen.sample(range(400), chosen.randint(1, 40)):
        text = "x" * chosen.choice([0, 10, 3000])
        rows[second] = (None, None) if chosen.random() < 0.3 else (float(number), text)
    # At a second of its own, so that no two states are equal.
    rows[1_000_000 + number % 2] = (float(number), "last")
    return rows


def applied(content: Content, seed: int, number: int) -> Content:
    """The content after this save."""
    after = content | changes(seed, number)
    return {second: row for second, row in after.items() if row != (None, None)}


def steps(database: LMDBDatabase, seed: int, start: int) -> Iterator[int]:
    """Save on and on, and yield the number of each save that is done."""
    sequence = House(database=database)
    for number in range(start, STEPS):
        for second, (power_w, note) in changes(seed, number).items():
            if power_w is None:
                sequence.delete_by_datetime(when(second), when(second + 1))
            else:
                sequence.update_value(when(second), power_w=power_w, note=note)
        sequence.save()
        yield number


def read(path: Path) -> Content:
    with LMDBDatabase(path) as database:
        sequence = House(database=database)
        content = {int(r.date_time.timestamp()): (r.power_w, r.note) for r in sequence}
        assert len(content) == len(sequence) == database.count_records(namespace="house")
        assert sequence.db_damaged_records() == []
        return content


def kill_while_saving(path: Path, seed: int, start: int, seconds: float) -> list[int]:
    """Kill a saving process after a while; return the saves it reported."""
    with subprocess.Popen(  # noqa: S603  our own interpreter
        [sys.executable, "-c", SAVING, str(path), str(seed), str(start)],
        stdout=subprocess.PIPE,
        text=True,
        env=WITH_TESTS,
    ) as child:
        assert child.stdout is not None
        # The clock starts with the first save: before it Python is starting.
        reported = child.stdout.readline()
        time.sleep(seconds)
        child.kill()
        reported += child.stdout.read()
    assert child.returncode == -signal.SIGKILL
    # A last line that is cut short was no report.
    lines = [line for line in reported.splitlines(keepends=True) if line.endswith("\n")]
    return [int(line.split()[1]) for line in lines]


def survive(path: Path, seed: int, kills: int, longest: float) -> int:
    """Kill again and again, and compare; return how many saves there were."""
    content: Content = {}
    chosen = random.Random(seed)
    done = 0
    for _ in range(kills):
        reported = kill_while_saving(path, seed, done, chosen.uniform(0, longest))
        assert reported == list(range(done, done + len(reported)))
        for number in reported:
            content = applied(content, seed, number)
        done += len(reported)
        found = read(path)
        if found != content:
            # The save that was under way was whole, and not yet reported.
            content = applied(content, seed, done)
            done += 1
        assert found == content
    return done


def test_kill_while_saving_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    assert survive(tmp_path, seed=1, kills=6, longest=0.15) >= 6


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 6))
def test_hundreds_of_kills_lose_nothing_that_was_committed(seed: int, tmp_path: Path) -> None:
    assert survive(tmp_path, seed, kills=100, longest=0.3) >= 100


COMPACTING: Final = """
import sys
from support import House
import eosdb

with eosdb.LMDBDatabase(sys.argv[1]) as database:
    print("start", flush=True)
    print(House(database=database).db_compact(), flush=True)
"""


def compacted_or_not(path: Path) -> tuple[int, object]:
    with LMDBDatabase(path) as database:
        sequence = House(database=database)
        return len(sequence), sequence._db_get_compact_state(eosdb.to_duration("15 minutes"))


@pytest.mark.parametrize("seed", range(5))
def test_kill_while_compacting_leaves_all_or_nothing_done(seed: int, tmp_path: Path) -> None:
    """Of each tier, that is: it is one transaction."""
    with LMDBDatabase(tmp_path, settings=DatabaseSettings(compression_level=0)) as database:
        house(database, 4000, step=60)
    delay = 0.02 * seed
    with subprocess.Popen(  # noqa: S603  our own interpreter
        [sys.executable, "-c", COMPACTING, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=WITH_TESTS,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "start\n"
        try:
            child.wait(delay)
        except subprocess.TimeoutExpired:
            child.kill()
    # 3999 minutes, of which the last 120 stay as they are.
    count, cutoff = compacted_or_not(tmp_path)
    if cutoff is None:
        assert count == 4000
    else:
        assert cutoff == "19700103T163000Z"
        assert count == 3870 // 15 + 130
