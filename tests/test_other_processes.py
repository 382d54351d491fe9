"""Several processes at one database: with another LMDB, with eosdb, and after a fork."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import lmdb
import pytest
from support import PROGRAM, WITH_TESTS, House, Reading, reader_slots, when
from upstream_format import FLAGS, environment, put, read_values

import eosdb
from eosdb import LMDBDatabase, SQLiteDatabase

NAMESPACE: Final = "house"
NO_TRANSACTION: Final = 2**64 - 1


@contextmanager
def process(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a script that answers every line it reads with one that it prints."""
    with subprocess.Popen(  # noqa: S603  our own interpreter
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=WITH_TESTS,
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def ask(child: subprocess.Popen[str], line: object) -> str:
    """Send a line to the process and return its answer."""
    assert child.stdin is not None
    assert child.stdout is not None
    print(line, file=child.stdin, flush=True)
    return child.stdout.readline().strip()


def end(child: subprocess.Popen[str]) -> str:
    """Have the process end by itself, and return what it says then."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    said = child.stdout.read()
    assert child.wait(20) == 0
    return said


def key(second: int) -> bytes:
    return eosdb.DatabaseTimestamp.from_datetime(when(second)).encode()


PY_LMDB: Final = f"""
import sys, lmdb
with lmdb.open(sys.argv[1], **{FLAGS!r}) as env:
    db = env.open_db(b"{NAMESPACE}")
    for line in sys.stdin:
        with env.begin(write=True, db=db) as transaction:
            transaction.put(line.strip().encode(), b"by py-lmdb")
        print("done", flush=True)
"""

EOSDB: Final = f"""
import sys, eosdb
with eosdb.LMDBDatabase(sys.argv[1]) as db:
    for line in sys.stdin:
        print(db.save_records([(line.strip().encode(), b"by eosdb")], "{NAMESPACE}"), flush=True)
"""


@pytest.mark.parametrize("read_only", [False, True])
def test_beside_a_process_with_another_lmdb(read_only: bool, tmp_path: Path) -> None:
    """Either both work at once, or the error says what to do; nothing is damaged either way."""
    put(tmp_path, NAMESPACE, {key(0): b"before"})
    database = LMDBDatabase(tmp_path, read_only=read_only)
    with process(PY_LMDB, tmp_path) as child:
        assert ask(child, key(1).decode()) == "done"
        message = f"'{tmp_path}' is in use by another process: close it there"
        try:
            database.open()
        except eosdb.ForeignProcessError as error:
            message = str(error)
        assert str(tmp_path) in message
        assert "another process" in message
        assert "close it there" in message
        database.close()
        assert not database.is_open
        assert ask(child, key(2).decode()) == "done"
        end(child)
    with database:
        assert database.count_records(namespace=NAMESPACE) == 3
    with LMDBDatabase(tmp_path) as database:
        assert database.save_records([(key(3), b"by eosdb")], NAMESPACE) == 1
    values = read_values(tmp_path, NAMESPACE)
    assert list(values.values()) == [b"before", b"by py-lmdb", b"by py-lmdb", b"by eosdb"]


def test_py_lmdb_beside_a_process_with_eosdb_damages_nothing(tmp_path: Path) -> None:
    with process(EOSDB, tmp_path) as child:
        assert ask(child, key(0).decode()) == "1"
        written = 1
        try:
            put(tmp_path, NAMESPACE, {key(1): b"by py-lmdb"})
        except lmdb.VersionMismatchError:
            written = 0
        assert ask(child, key(2).decode()) == "1"
        assert ask(child, key(3).decode()) == "1"
        end(child)
    with LMDBDatabase(tmp_path) as database:
        assert database.count_records(namespace=NAMESPACE) == 3 + written
    with environment(tmp_path) as opened, opened.begin() as transaction:
        house = opened.open_db(NAMESPACE.encode(), transaction, create=False)
        assert transaction.stat(house)["entries"] == 3 + written


def test_after_a_process_with_another_lmdb_was_killed_it_opens(tmp_path: Path) -> None:
    with process(PY_LMDB, tmp_path) as child:
        assert ask(child, key(0).decode()) == "done"
        child.kill()
        child.wait(20)
    with LMDBDatabase(tmp_path) as database:
        assert database.count_records(namespace=NAMESPACE) == 1


# ---- eosdb beside eosdb -------------------------------------------------------------------------

WRITER: Final = """
import sys
from support import PROGRAM, WITH_TESTS, House, Reading, reader_slots, when
import eosdb
with eosdb.LMDBDatabase(sys.argv[1]) as db:
    house = House(database=db)
    for line in sys.stdin:
        command, second, value = line.split()
        if command == "update":
            house.update_value(when(int(second)), power_w=float(value))
        elif command == "delete":
            house.delete_by_datetime(when(int(second)), when(int(second) + 1))
        elif command == "fill":
            for extra in range(int(value)):
                record = Reading(date_time=when(int(second) + extra), note="x" * 2000)
                house.insert_by_datetime(record)
        house.save()
        print("done", flush=True)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that changes the house on request, and saves."""
    with process(WRITER, tmp_path) as child:
        for second in range(10):
            assert ask(child, f"update {second} {second}.0") == "done"
        yield child


@pytest.mark.parametrize("read_only", [False, True])
def test_a_reader_sees_what_another_process_commits(
    read_only: bool, writer: subprocess.Popen[str], tmp_path: Path
) -> None:
    with LMDBDatabase(tmp_path, read_only=read_only) as database:
        house = House(database=database)
        assert house.load()
        assert len(house) == 10
        # Rows are loaded, but no object was made of them: they are what they are now.
        assert ask(writer, "update 3 33.0") == "done"
        assert [record.power_w for record in house][:5] == [0.0, 1.0, 2.0, 33.0, 4.0]
        assert ask(writer, "update 100 100.0") == "done"
        assert ask(writer, "delete 4 -") == "done"
        assert len(house) == 10
        assert house.get_by_datetime(when(100)).power_w == 100.0
        assert house.get_by_datetime(when(4)) is None
        assert house.db_timestamp_range()[1] == key(100).decode()
        assert [record.power_w for record in house] == [0, 1, 2, 33, 5, 6, 7, 8, 9, 100]


def test_a_reader_follows_when_another_process_enlarges_the_file(
    writer: subprocess.Popen[str], tmp_path: Path
) -> None:
    with LMDBDatabase(tmp_path, read_only=True) as database:
        house = House(database=database)
        assert len(house) == 10
        before = database.get_backend_stats(NAMESPACE)["map_size"]
        assert ask(writer, "fill 1000 20000") == "done"
        assert (tmp_path / "data.mdb").stat().st_size > before
        assert len(house) == 20_010
        assert house.get_by_datetime(when(20_999)).note == "x" * 2000


def test_two_processes_write_in_turns(writer: subprocess.Popen[str], tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path) as database:
        house = House(database=database)
        for second in range(10):
            house.update_value(when(second), note="by the parent")
            assert house.save()
            assert ask(writer, f"update {second + 100} 1.0") == "done"
        assert len(house) == 20
        assert house.get_by_datetime(when(5)).power_w == 5.0
    with LMDBDatabase(tmp_path) as database:
        assert len(House(database=database)) == 20


def test_a_record_that_both_insert_is_refused_to_the_second(
    writer: subprocess.Popen[str], tmp_path: Path
) -> None:
    with LMDBDatabase(tmp_path) as database:
        house = House(database=database)
        assert len(house) == 10
        assert ask(writer, "update 50 50.0") == "done"
        with pytest.raises(eosdb.DuplicateRecordError, match="19700101T000050Z"):
            house.db_insert_record(Reading(date_time=when(50)))


# ---- four processes -----------------------------------------------------------------------------

READERS: Final = ["read", "read_in_a_child", "read_asynchronously"]


@contextmanager
def program(name: str, path: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a program of `torn_reads` that has started."""
    with process(PROGRAM, f"torn_reads:{name}", path, *arguments) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "start\n"
        yield started


def read_and_write(path: Path, seconds: float) -> list[dict[str, Any]]:
    """Let a writer and three readers work for so long; return what the readers have seen."""
    with ExitStack() as stack:
        writer = stack.enter_context(program("write", path, seconds))
        readers = [stack.enter_context(program(name, path)) for name in READERS]
        last = int(ask(writer, "begin"))
        end(writer)
        seen = [json.loads(end(reader)) for reader in readers]
    # The map has grown under the readers.
    assert (path / "data.mdb").stat().st_size > 1024**2
    for reader in seen:
        assert reader["last"] == last
        assert len(reader["reads"]) == 7
    return seen


def test_a_writer_and_three_readers(tmp_path: Path) -> None:
    for reader in read_and_write(tmp_path, 1.5):
        # The first of them when it started, the last when the writer had ended.
        assert reader["numbers"] >= 2


@pytest.mark.soak
def test_a_writer_and_three_readers_for_a_minute(tmp_path: Path) -> None:
    for name, reader in zip(READERS, read_and_write(tmp_path, 60), strict=True):
        print(name, reader)  # noqa: T201  for whoever asks
        assert reader["numbers"] >= 60


def stop_while_it_reads(process: int, path: Path) -> None:
    """Stop a process that reads and reads, now and then, until that is in the middle of it."""
    chosen = random.Random(1)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        os.kill(process, signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(process, os.WUNTRACED)[1])
        if reader_slots(path).get(process, NO_TRANSACTION) != NO_TRANSACTION:
            return
        os.kill(process, signal.SIGCONT)
        time.sleep(chosen.uniform(0, 0.003))
    pytest.fail("it never reads")


def test_a_reader_that_is_killed_does_not_keep_old_pages(tmp_path: Path) -> None:
    """Its slot in the table of readers stays; the writer gives it up before the file grows on."""
    with program("overwrite", tmp_path) as writer:
        size = int(ask(writer, 100))
        with program("scan", tmp_path) as reader:
            stop_while_it_reads(reader.pid, tmp_path)
            reader.kill()
            reader.wait(20)
        assert reader.pid in reader_slots(tmp_path)
        # 200 KiB each, in pages that are not used again while somebody may read those before.
        sizes = [int(ask(writer, 50)) for _ in range(4)]
        assert reader.pid not in reader_slots(tmp_path)
        assert sizes[-1] == sizes[-2] <= 4 * size
        end(writer)


# ---- a fork -------------------------------------------------------------------------------------


def in_child(path: Path, database: LMDBDatabase | SQLiteDatabase, house: House) -> str:
    """What a forked process finds; an empty text if all is well."""
    if database.is_open:
        try:
            database.count_records(namespace=NAMESPACE)
        except eosdb.ForkedError as error:
            if str(path) not in str(error) or "open it again" not in str(error):
                return f"poor message: {error}"
        else:
            return "a database from before the fork was used"
    uses: list[Callable[[], object]] = [
        lambda: len(house),
        house.save,
        house.load,
        house.db_compact,
    ]
    for use in uses:
        try:
            use()
        except eosdb.ForkedError:
            continue
        return "a sequence on a database from before the fork was used"
    database.close()
    with type(database)(path) as again:
        count = again.count_records(namespace=NAMESPACE)
        if count != 1:
            return f"{count} records"
        again.save_records([(key(1), b"by the child")], "other")
    return ""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking beside threads
@pytest.mark.parametrize("engine", [LMDBDatabase, SQLiteDatabase])
def test_a_forked_process_must_open_the_database_again(
    engine: type[LMDBDatabase] | type[SQLiteDatabase], tmp_path: Path
) -> None:
    with engine(tmp_path) as database:
        house = House(database=database)
        house.update_value(when(0), power_w=1.0)
        assert house.save()
        house.update_value(when(0), power_w=2.0)
        reader, sender = os.pipe()
        child = os.fork()
        if child == 0:
            finding = "an exception"
            try:
                finding = in_child(tmp_path, database, house)
            except BaseException as error:  # noqa: BLE001  no exception may leave the child
                finding = repr(error)
            finally:
                os.write(sender, finding.encode())
                os._exit(0)
        os.close(sender)
        with os.fdopen(reader) as answer:
            assert answer.read() == ""
        assert os.waitpid(child, 0)[1] == 0
        # The parent goes on as if nothing had happened.
        assert house.save()
        assert database.count_records(namespace="other") == 1
        assert House(database=database).get_by_datetime(when(0)).power_w == 2.0
