"""What verbs of `eosdb`, and a save, do where there is no space, and when there is some again."""

from __future__ import annotations

import os
import random
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
from command_line_support import START, House, assert_is_one_line, lay_out, run
from support import at, engine_for, when

import eosdb

RECORDS: Final = 1_500
FREE: Final = {"lmdb": 8_192, "sqlite": 45_000}
"""How many bytes may still be written. SQLite needs 32 KiB to read."""

Full = Callable[[str], AbstractContextManager[None]]
"""Has the disk be full, as far as it must be for a kind of database."""


@contextmanager
def limited(kind: str) -> Iterator[None]:
    """Have no file grow beyond a size. Python ignores the signal; the write fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FREE[kind], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def filled(kind: str, free: int | None = None) -> Iterator[None]:
    """Fill the file system of the current folder, but for what may still be written."""
    filler = Path("filler")
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4_096))
    free = FREE[kind] if free is None else free
    os.truncate(filler, filler.stat().st_size - free // 4_096 * 4_096)
    try:
        yield
    finally:
        filler.unlink()


def make_house(path: Path) -> None:
    """Make a database whose values cannot be compressed much."""
    chance = random.Random(1)
    with engine_for(path)(path) as db:
        sequence = House(database=db)
        for number in range(RECORDS):
            meter = number + chance.random()
            sequence.update_value(
                when(START + number * 300), power_w=chance.random(), grid_kwh=meter
            )
        sequence.save()


def _rubbish(database: Path) -> None:
    rows = [(at(START + number * 300).encode(), bytes(2_000)) for number in range(60)]
    with engine_for(database)(database) as db:
        db.save_records(rows, "house")


CASES: Final[dict[str, list[str]]] = {
    "export CSV": ["export", "DB", "out", "--format", "csv"],
    "export JSON lines": ["export", "DB", "out", "--format", "jsonl"],
    "export Parquet": ["export", "DB", "out", "--format", "parquet"],
    "plot": ["plot", "DB", "out.svg", "-k", "power_w"],
    "backup": ["backup", "DB", "out"],
    "backup --compact": ["backup", "DB", "out", "--compact"],
    "migrate to LMDB": ["migrate", "DB", "out", "--to", "lmdb"],
    "migrate to SQLite": ["migrate", "DB", "out", "--to", "sqlite"],
    "migrate level": ["migrate", "DB", "out", "--level", "1"],
    "repair into a target": ["repair", "DB", "out"],
    "repair": ["repair", "DB"],
    "import": ["import", "DB", "in.csv", "-n", "house"],
    "import into a new one": ["import", "out", "in.csv", "-n", "house"],
    "compact": ["compact", "DB", "-n", "house", "--aggregation", "grid_kwh=meter"],
    "vacuum": ["vacuum", "DB", "--keep", "1 hour"],
}


ALSO_FROM_SQLITE: Final = {
    "backup", "migrate to LMDB", "migrate to SQLite", "repair into a target", "repair", "import",
    "compact", "vacuum",
}  # fmt: skip
"""The cases in which the kind of database makes a difference."""

PAIRS: Final = [("lmdb", case) for case in CASES] + [
    ("sqlite", case) for case in CASES if case in ALSO_FROM_SQLITE
]
"""The kinds of databases and cases that are checked."""


def check(case: str, kind: str, house: Path, full: Full) -> None:
    """Run a verb in the current, empty folder while the disk is full, and again when it is not.

    Args:
        case: A name in :data:`CASES`.
        kind: The kind of database.
        house: A database of this kind, of :func:`make_house`.
        full: What fills the disk.
    """
    folder = Path.cwd()
    lay_out(folder, house)
    database = (folder / "house.db").rename(folder / kind)
    rows = "".join(f"{START + number * 60},{number / 7},{number}\n" for number in range(600))
    (folder / "in.csv").write_text(f"date_time,power_w,note\n{rows}")
    if case.startswith("repair"):
        _rubbish(database)
    arguments = [kind if word == "DB" else word for word in CASES[case]]
    before = _content(database)
    names = {path.name for path in folder.iterdir()}
    with full(kind):
        result = run(*arguments)
    assert result.exit_code == 1, f"{case}: {result.stdout}"
    assert_is_one_line(result.stderr)
    assert "no space" in result.stderr, result.stderr
    assert ".part" not in result.stderr, result.stderr
    left = {path.name for path in folder.iterdir()} - names
    assert not left or case == "import into a new one", left
    for path in (database, folder / "out"):
        if path.exists():
            assert {file.name for file in path.iterdir()} <= _FILES
    assert _content(database) == before
    assert run("verify", kind).exit_code == case.startswith("repair")
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    assert run("verify", kind).exit_code == (case == "repair into a target")


def check_save(kind: str, full: Full) -> None:
    """Save a sequence in the current, empty folder while the disk is full, and when it is not."""
    with engine_for(kind)(kind) as db:
        sequence = House(database=db)
        sequence.update_value(when(START), power_w=1.0)
        sequence.save()
        for number in range(RECORDS):
            sequence.update_value(when(START + number * 300), power_w=number / 7)
        with full(kind):
            for _ in range(2):
                with pytest.raises(eosdb.DiskFullError, match="free some space"):
                    sequence.save()
        assert House(database=db).key_to_lists("power_w")[1] == [1.0]
        assert sequence.save()
        assert len(House(database=db)) == RECORDS
    assert {file.name for file in Path(kind).iterdir()} <= _FILES


def check_without_lock_file(house: Path) -> None:
    """Open a database in the current folder where there is no room for the table of readers."""
    shutil.copytree(house, "lmdb")
    Path("lmdb", "lock.mdb").unlink()
    Path("in.csv").write_text(f"date_time,power_w\n{START},1.5\n")
    with filled("lmdb", free=0):
        for arguments in (["info", "lmdb"], ["import", "new", "in.csv", "-n", "house"]):
            result = run(*arguments)
            assert result.exit_code == 1
            assert_is_one_line(result.stderr)
            assert "no space left for" in result.stderr
    assert run("info", "lmdb").exit_code == 0


def check_on(place: str, *cases: str) -> None:
    """Check some verbs, and saves, on a small file system, which is really full.

    Args:
        place: Where it is mounted; beside it are databases.
        *cases: Names in :data:`CASES`.
    """
    houses = {kind: Path(place).parent / kind for kind in FREE}
    for kind, house in houses.items():
        for case in cases:
            with _folder_in(place):
                check(case, kind, house, filled)
        with _folder_in(place):
            check_save(kind, filled)
    with _folder_in(place):
        check_without_lock_file(houses["lmdb"])


@contextmanager
def _folder_in(place: str) -> Iterator[None]:
    folder = Path(place, "folder")
    folder.mkdir()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(place)
        shutil.rmtree(folder)


_FILES: Final = {"data.mdb", "lock.mdb", "data.db", "data.db-wal", "data.db-shm"}


def _content(database: Path) -> dict[bytes, bytes]:
    with engine_for(database)(database, read_only=True) as db:
        return dict(db.iterate_records(namespace="house"))
