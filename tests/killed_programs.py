"""The programs that are killed: each prints `start` before the work that is to be interrupted."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from compaction_support import Home
from support import House, engine_for, when

from eosdb import DatabaseSettings

STEPS: Final = 10_000

Content = dict[int, tuple[float | None, str | None]]
Changes = Callable[[int, int], Content]

UNCOMPRESSED: Final = DatabaseSettings(compression_level=0)


# ---- saves --------------------------------------------------------------------------------------


def small_changes(seed: int, number: int) -> Content:
    """What the save of this number writes; `(None, None)` deletes."""
    chosen = random.Random(seed * STEPS + number)
    rows: Content = {}
    for second in chosen.sample(range(400), chosen.randint(1, 40)):
        text = "x" * chosen.choice([0, 10, 3000])
        rows[second] = (None, None) if chosen.random() < 0.3 else (float(number), text)
    # At a second of its own, so that no two states are equal.
    rows[1_000_000 + number % 2] = (float(number), "last")
    return rows


def large_values(seed: int, number: int) -> Content:
    """What the save of this number writes where the map is to grow: it begins with 1 MiB."""
    chosen = random.Random(seed * STEPS + number)
    return {
        number * 10 + n: (float(number), chosen.randbytes(chosen.randrange(40_000)).hex())
        for n in range(chosen.randint(1, 10))
    }


CHANGES: Final[dict[str, Changes]] = {"small": small_changes, "large": large_values}


def applied(content: Content, changes: Content) -> Content:
    """The content after a save."""
    after = content | changes
    return {second: row for second, row in after.items() if row != (None, None)}


def change(sequence: Any, changes: Content) -> None:
    """Make changes and save them."""
    for second, (power_w, note) in changes.items():
        if power_w is None:
            sequence.delete_by_datetime(when(second), when(second + 1))
        else:
            sequence.update_value(when(second), power_w=power_w, note=note)
    sequence.save()


def committed(numbers: Iterator[int]) -> None:
    """Report every save that is done."""
    for count, number in enumerate(numbers):
        if not count:
            # The clock starts with the first save: before it Python is starting.
            print("start", flush=True)  # noqa: T201  the report
        print(number, flush=True)  # noqa: T201  the report


def saving(path: str, kind: str, seed: str, start: str) -> None:
    """Save on and on."""

    def numbers() -> Iterator[int]:
        with engine_for(path)(path, settings=UNCOMPRESSED) as database:
            sequence = House(database=database)
            for number in range(int(start), STEPS):
                change(sequence, CHANGES[kind](int(seed), number))
                yield number

    committed(numbers())


def closing(path: str, durability: str, seed: str, start: str) -> None:
    """Open, save and close on and on."""

    def numbers() -> Iterator[int]:
        for number in range(int(start), STEPS):
            with engine_for(path)(path, durability=durability) as database:
                change(House(database=database), small_changes(int(seed), number))
                yield number

    committed(numbers())


def beginning(folder: str) -> None:
    """Make one new database after the other, each with one record.

    The folder is named after the engine.
    """
    print("start", flush=True)  # noqa: T201  the report
    for number in range(STEPS):
        path = Path(folder, f"{Path(folder).name} {number}")
        with engine_for(path)(path) as database:
            change(House(database=database), {number: (1.0, "new")})
            print(number, flush=True)  # noqa: T201  the report


# ---- one change ---------------------------------------------------------------------------------


def _in(path: str, work: Callable[[Any], object]) -> None:
    with engine_for(path)(path) as database:
        print("start", flush=True)  # noqa: T201  the report
        work(database)


def vacuuming(path: str) -> None:
    """Delete the older half."""
    _in(path, lambda database: House(database=database).db_vacuum(keep_hours=5000))


def deleting(path: str) -> None:
    """Delete all but the first and the last few, for which the namespace is written anew."""

    def delete(database: Any) -> None:
        sequence = House(database=database)
        sequence.delete_by_datetime(when(100 * 3600), when(9900 * 3600))
        sequence.save()

    _in(path, delete)


def compacting(path: str) -> None:
    """Compact the records of a household."""
    _in(path, lambda database: Home(database=database).db_compact())


def compacting_the_file(path: str) -> None:
    """Give back the free pages of the file."""
    _in(path, lambda database: database.compact())
