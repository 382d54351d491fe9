"""Processes that are killed at any moment, for several tests."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, TypeVar

from forked import FORKED
from support import House, engine_for, when

T = TypeVar("T")

AT_ONCE: Final = 0.002
"""Seconds that a quarter of the processes live at most: what is short must be hit too."""


@dataclass(frozen=True)
class Killed:
    """A process that was killed.

    Attributes:
        lines: What it printed after `start`; a line that was cut short is none.
        seconds: How long it lived after that.
    """

    lines: list[str]
    seconds: float


def kill(program: str, *arguments: object, after: float | None) -> Killed:
    """Start a program and kill it.

    Args:
        program: `module:function`. It prints `start` as soon as its work begins.
        *arguments: What the function is given, as text.
        after: Seconds after its start; `None` waits until the function has returned.

    Returns:
        What is known of it.
    """
    output, its_output = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=_run_and_stay, args=(its_output, program, *map(str, arguments)))
    process.start()
    its_output.close()
    with open(output.fileno(), closefd=False) as printed, output:
        assert printed.readline() == "start\n"
        started = time.perf_counter()
        lines = []
        if after is None:
            while (line := printed.readline()) != "done\n":
                assert line, "the program failed"
                lines.append(line)
        else:
            time.sleep(after)
        seconds = time.perf_counter() - started
        process.kill()
        lines += printed.readlines()
    process.join()
    # Whatever ended it otherwise is an error of its own.
    assert process.exitcode == -signal.SIGKILL
    whole = [line[:-1] for line in lines if line.endswith("\n")]
    return Killed([line for line in whole if line != "done"], seconds)


def _run_and_stay(output: Connection, program: str, *arguments: str) -> None:
    """Run a program, and live on when its work is done, until the process is killed."""
    os.dup2(output.fileno(), 1)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  until the end of the process
    module, name = program.split(":")
    getattr(importlib.import_module(module), name)(*arguments)
    print("done", flush=True)  # noqa: T201  that is what is waited for
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()


def delay(chosen: random.Random, longest: float) -> float:
    """Return after how many seconds to kill, at random."""
    return chosen.uniform(0, AT_ONCE if chosen.random() < 0.25 else longest)


def all_or_nothing(
    original: Path,
    program: str,
    content: Callable[[Path], T],
    *,
    seed: int,
    kills: int,
    afterwards: Callable[[Path], object] | None = None,
) -> tuple[int, int]:
    """Kill a program that changes a database again and again, each time at a copy of its own.

    Args:
        original: The database.
        program: `module:function`. It gets the path of the copy, and makes one change.
        content: Returns what a database holds.
        seed: The seed of the delays.
        kills: How often.
        afterwards: What else is to be checked of a database that was left behind.

    Returns:
        How many kills came before the change, and how many after it.
    """
    copy = original.with_name(f"{original.name} copy")
    before = content(original)
    shutil.copytree(original, copy)
    duration = kill(program, copy, after=None).seconds
    after = content(copy)
    assert after != before
    chosen = random.Random(seed)
    found = []
    for _ in range(kills):
        shutil.rmtree(copy)
        shutil.copytree(original, copy)
        kill(program, copy, after=delay(chosen, duration))
        found.append(content(copy))
        assert found[-1] in (before, after)
        if afterwards is not None:
            afterwards(copy)
        works(copy)
    return found.count(before), found.count(after)


def works(path: Path) -> None:
    """Check that a database that was left behind is sound: it is changed, read and copied."""
    engine = engine_for(path)
    copy = path.with_name(f"{path.name} for reading")
    far = when(2_000_000_000)
    with engine(path) as database:
        house = House(database=database)
        before = house.db_count_records()
        house.update_value(far, note="y" * 10_000)
        assert house.save()
        # LMDB compares the pages it has copied with those that are in use: none is lost.
        database.copy_to(copy)
        assert house.delete_by_datetime(far, None) == 1
        assert house.save()
        assert House(database=database).db_count_records() == before
    with engine(copy, read_only=True) as database:
        assert House(database=database).db_count_records() == before + 1
        assert House(database=database).get_by_datetime(far).note == "y" * 10_000
    shutil.rmtree(copy)
