"""A commit is on disk, and what fails leaves everything as it was."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

import pytest
from support import WITH_TESTS, ForeignDatabase, House, Reading, house, when
from system_calls import CANNOT_FILTER, are_known

import eosdb
from eosdb import DiskFullError, LMDBDatabase, StorageError

# ---- a save that fails --------------------------------------------------------------------------


class FailingDatabase(ForeignDatabase):
    """A database written in Python that fails on demand."""

    failing: str | None = None

    def _count(self, method: str) -> None:
        super()._count(method)
        if method == self.failing:
            raise OSError(28, f"no space in {method}")


def pending_in(sequence: Any) -> list[Any]:
    marks = ("dirty", "new", "deleted")
    return [
        *(set(sequence._db_enter().timestamps_marked(mark)) for mark in marks),
        [record.model_dump() for record in sequence],
        len(sequence),
    ]


def with_pending(database: Any) -> Any:
    """Ten saved records, and a change, an insertion, a deletion and a replacement not saved."""
    sequence = house(database, 10)
    sequence.update_value(when(0), note="changed")
    sequence.update_value(when(50_000), note="new")
    sequence.delete_by_datetime(when(3600), when(3601))
    sequence.delete_by_datetime(when(7200), when(7201))
    sequence.update_value(when(7200), note="replaced")
    return sequence


def expected_content(sequence: Any) -> list[dict[str, Any]]:
    return [record.model_dump() for record in sequence]


@pytest.mark.parametrize("method", ["save_records", "delete_records", "set_metadata"])
def test_a_save_that_a_backend_fails_can_be_repeated(method: str) -> None:
    database = FailingDatabase()
    sequence = with_pending(database)
    pending = pending_in(sequence)
    database.failing = method
    if method == "set_metadata":
        database.set_metadata = _no_metadata  # type: ignore[method-assign]
        sequence._db_enter().metadata_saved = False
    for _ in range(2):
        with pytest.raises(OSError, match="no space"):
            sequence.save()
        assert pending_in(sequence) == pending
    database.failing = None
    database.__dict__.pop("set_metadata", None)
    assert sequence.save()
    assert pending_in(sequence)[:3] == [set(), set(), set()]
    assert expected_content(House(database=database)) == pending[3]
    assert not sequence.save()


def _no_metadata(metadata: bytes | None, *, namespace: str | None = None) -> None:
    raise OSError(28, f"no space for metadata of {namespace}: {metadata!r}")


def test_what_changes_after_a_failed_save_is_saved_with_the_rest() -> None:
    database = FailingDatabase()
    sequence = with_pending(database)
    database.failing = "save_records"
    with pytest.raises(OSError, match="no space"):
        sequence.save()
    sequence.update_value(when(0), note="changed again")
    sequence.delete_by_datetime(when(50_000), when(50_001))
    sequence.update_value(when(3600), note="back")
    content = expected_content(sequence)
    database.failing = None
    assert sequence.save()
    assert expected_content(House(database=database)) == content


def test_a_compaction_that_a_backend_fails_changes_nothing() -> None:
    database = FailingDatabase()
    sequence = house(database, 400, step=60)
    before = pending_in(sequence)
    rows = dict(database.rows["house"])
    metadata = dict(database.metadata)
    database.failing = "save_records"
    with pytest.raises(OSError, match="no space"):
        sequence.db_compact()
    assert pending_in(sequence) == before
    assert (database.rows["house"], database.metadata) == (rows, metadata)
    # Such a backend has no transactions: the new rows are there already, and no old one is lost.
    database.failing = "delete_records"
    with pytest.raises(OSError, match="no space"):
        sequence.db_compact()
    assert pending_in(sequence)[:3] == [set(), set(), set()]
    assert len(sequence) == 400
    assert sequence._db_get_compact_state(eosdb.to_duration("15 minutes")) is None
    database.failing = None
    assert sequence.db_compact() > 0
    assert len(sequence) < 160


def test_a_compaction_that_cannot_be_committed_changes_nothing(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path) as database:
        house(database, 400, step=60)
    with LMDBDatabase(tmp_path, read_only=True) as database:
        sequence = House(database=database)
        before = pending_in(sequence)
        with pytest.raises(eosdb.ReadOnlyError):
            sequence.db_compact()
        assert pending_in(sequence) == before
        assert sequence._db_get_compact_state(eosdb.to_duration("15 minutes")) is None
        assert not sequence.save()
    with LMDBDatabase(tmp_path) as database:
        assert House(database=database).db_compact() > 0


# ---- no room ------------------------------------------------------------------------------------

MIB: Final = 1024**2


def fill(sequence: Any, start: int, count: int = 100) -> None:
    noise = random.Random(start)
    for second in range(start, start + count):
        note = noise.randbytes(1000).hex()
        sequence.db_insert_record(Reading(date_time=when(second), note=note))


def fill_up(sequence: Any) -> int:
    """Save until there is no room; return how many records were saved."""
    for saved in range(0, 5000, 100):
        fill(sequence, saved)
        try:
            sequence.save()
        except DiskFullError:
            return saved
    pytest.fail("there is no limit")


@pytest.mark.parametrize("limit", [MIB, 2 * MIB])
def test_a_full_map_is_an_error_that_more_room_ends(limit: int, tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path, map_size=limit) as database:
        sequence = House(database=database)
        saved = fill_up(sequence)
        assert saved >= 200
        pending = pending_in(sequence)
        assert len(pending[0]) == 100
        message = f"{tmp_path}.*{limit}.*free some space or raise the limit"
        with pytest.raises(DiskFullError, match=message):
            sequence.save()
        assert pending_in(sequence) == pending
        assert database.count_records(namespace="house") == saved
        assert [r.power_w for r in House(database=database)] == [None] * saved
        database.close()
        database.map_size = 64 * MIB
        database.open()
        assert pending_in(sequence) == pending
        assert sequence.save()
        assert database.count_records(namespace="house") == saved + 100
        assert expected_content(House(database=database)) == pending[3]
    assert (tmp_path / "data.mdb").stat().st_size < 16 * MIB


def test_a_full_map_has_room_again_where_records_were_deleted(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path, map_size=2 * MIB) as database:
        sequence = House(database=database)
        saved = fill_up(sequence)
        pending = pending_in(sequence)
        other = House(database=database)
        other.delete_by_datetime(when(0), when(saved // 2))
        assert other.save()
        assert sequence.save()
        left = [row for row in pending[3] if row["date_time"] >= when(saved // 2)]
        assert expected_content(House(database=database)) == left
    assert (tmp_path / "data.mdb").stat().st_size <= 2 * MIB


def test_records_can_be_deleted_where_the_map_is_full(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path, map_size=MIB) as database:
        saved = fill_up(House(database=database))
        sequence = House(database=database)
        assert sequence.delete_by_datetime(when(0), when(saved)) == saved
        assert sequence.save()
        assert database.count_records(namespace="house") == 0


FULL_DISK: Final = """
import resource, signal, sys
from support import House, Reading, when
from test_durability import expected_content, fill, pending_in
import eosdb

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with eosdb.LMDBDatabase(sys.argv[1]) as database:
    sequence = House(database=database)
    fill(sequence, 0)
    assert sequence.save()
    content = expected_content(sequence)
    size = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    fill(sequence, 1000, 2000)
    pending = pending_in(sequence)
    for _ in range(2):
        try:
            sequence.save()
        except eosdb.StorageError as error:
            print(type(error).__name__, error)
        else:
            raise SystemExit("saved beyond the limit")
        assert pending_in(sequence) == pending
        assert expected_content(House(database=database)) == content
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    try:
        sequence.save()
    except eosdb.StorageError as error:
        # The error may have left the environment unusable, if it says so.
        assert "open it again" in str(error), error
        database.close()
        database.open()
        sequence.save()
    assert database.count_records(namespace="house") == 2100
"""


@pytest.mark.parametrize("size", [512 * 1024, MIB, 3 * MIB])
def test_a_full_disk_loses_nothing(size: int, tmp_path: Path) -> None:
    """The limit on the size of a file stands for a full disk: a write fails half-way."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    child = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", FULL_DISK, str(tmp_path), str(size)],
        capture_output=True,
        text=True,
        check=False,
        env=WITH_TESTS,
    )
    assert child.returncode == 0, child.stderr
    first, _ = child.stdout.splitlines()
    assert first.startswith("DiskFullError")
    assert str(tmp_path) in first
    with LMDBDatabase(tmp_path) as database:
        assert len(list(House(database=database))) == 2100


def test_a_database_without_permission_to_write(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    with LMDBDatabase(tmp_path) as database:
        house(database, 3)
    (tmp_path / "data.mdb").chmod(0o444)
    with pytest.raises(StorageError, match="Permission denied"):
        LMDBDatabase(tmp_path).open()


# ---- on disk ------------------------------------------------------------------------------------

WITHOUT_SYNC: Final = """
import sys
from support import House, house, when
from system_calls import forbid_syncing
from test_durability import pending_in
import eosdb

with eosdb.LMDBDatabase(sys.argv[1], durability=sys.argv[2]) as database:
    sequence = house(database, 10)
    forbid_syncing()
    sequence.update_value(when(0), note="not on disk")
    pending = pending_in(sequence)
    try:
        sequence.save()
        print("saved", flush=True)
    except eosdb.StorageError as error:
        print(error, flush=True)
        assert pending_in(sequence) == pending
        assert House(database=database).get_by_datetime(when(0)).note is None
"""


@pytest.mark.parametrize(("durability", "syncs"), [("commit", True), ("none", False)])
def test_a_commit_is_synchronised_before_it_returns(
    durability: str, syncs: bool, tmp_path: Path
) -> None:
    """Where the system refuses to synchronise, a commit fails: so it does synchronise."""
    if not are_known():
        pytest.skip("system calls are filtered on Linux only")
    child = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", WITHOUT_SYNC, str(tmp_path), durability],
        capture_output=True,
        text=True,
        check=False,
        env=WITH_TESTS,
    )
    if child.returncode == CANNOT_FILTER:
        pytest.skip("this process may not filter system calls")
    assert child.returncode == 0, child.stderr
    assert child.stdout == "saved\n" if not syncs else "Input/output error" in child.stdout
    with LMDBDatabase(tmp_path) as database:
        note = House(database=database).get_by_datetime(when(0)).note
        assert note == (None if syncs else "not on disk")


@pytest.mark.parametrize("durability", ["commit", "interval", "none"])
def test_every_durability_keeps_what_a_process_wrote(durability: Any, tmp_path: Path) -> None:
    script = (
        "import os, sys, eosdb\n"
        "from support import house\n"
        "db = eosdb.LMDBDatabase(sys.argv[1], durability=sys.argv[2])\n"
        "db.open()\n"
        "house(db, 50)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    child = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", script, str(tmp_path), durability],
        check=False,
        env=WITH_TESTS,
    )
    assert child.returncode == -signal.SIGKILL
    with LMDBDatabase(tmp_path) as database:
        assert len(list(House(database=database))) == 50


def test_a_copy_is_complete_while_another_thread_saves(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "db") as database:
        sequence = house(database, 10)
        for number in range(5):
            sequence.update_value(when(number), note="x")
            sequence.save()
            database.copy_to(tmp_path / str(number), compact=bool(number % 2))
        content = expected_content(sequence)
        with pytest.raises(eosdb.InvalidArgumentError, match="not empty"):
            database.copy_to(tmp_path / "0")
    with LMDBDatabase(tmp_path / "4") as copy:
        assert expected_content(House(database=copy)) == content


def test_saves_of_one_sequence_by_many_threads(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path) as database:
        sequence = House(database=database)
        errors: list[BaseException] = []

        def work(first: int) -> None:
            try:
                for second in range(first, first + 50):
                    sequence.update_value(when(second), power_w=float(second))
                    sequence.save()
            except BaseException as error:  # noqa: BLE001  a panic is none of the others
                errors.append(error)

        threads = [threading.Thread(target=work, args=(n * 100,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        sequence.save()
        assert len(sequence) == 200
    with LMDBDatabase(tmp_path) as database:
        records = list(House(database=database))
        assert all(r.power_w == r.date_time.timestamp() for r in records)
        assert len(records) == 200
