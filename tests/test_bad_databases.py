"""Databases refuse bad namespaces, keys, places and options, and changes while they may not."""

from __future__ import annotations

import itertools
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from support import WITH_TESTS, House, house, when

import eosdb
from eosdb import (
    UNBOUND_END,
    UNBOUND_START,
    DatabaseClosedError,
    InvalidArgumentError,
    InvalidKeyError,
    InvalidNamespaceError,
    LMDBDatabase,
    MemoryDatabase,
    ReadOnlyError,
    StorageError,
    _core,
)

KEY: Final = b"20260101T000000Z"


@pytest.fixture(params=["memory", "lmdb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with MemoryDatabase() if request.param == "memory" else LMDBDatabase(tmp_path) as opened:
        yield opened


NAMESPACES: Final[dict[str, tuple[str, str]]] = {
    "empty": ("", "it is empty"),
    "too long": ("x" * 512, "longer than 511 bytes"),
    "too long in UTF-8": ("ü" * 256, "longer than 511 bytes"),
    "NUL": ("a\0b", "NUL"),
    "metadata": ("__metadata__", "mistaken for a key"),
    "timestamp": ("20260101T000000Z", "mistaken for a key"),
    "ISO 8601": ("2026-01-01T00:00:00Z", "mistaken for a key"),
    "surrogate": ("a\ud800", "a"),
}

USES: Final[dict[str, Callable[[Any, Any], object]]] = {
    "save_records": lambda d, n: d.save_records([(KEY, b"value")], n),
    "delete_records": lambda d, n: d.delete_records([KEY], n),
    "iterate_records": lambda d, n: list(d.iterate_records(namespace=n)),
    "count_records": lambda d, n: d.count_records(namespace=n),
    "get_key_range": lambda d, n: d.get_key_range(n),
    "set_metadata": lambda d, n: d.set_metadata(b"value", namespace=n),
    "get_metadata": lambda d, n: d.get_metadata(n),
}


@pytest.mark.parametrize("name", NAMESPACES)
@pytest.mark.parametrize("use", [*USES, "get_backend_stats", "sequence"])
def test_bad_namespaces_are_refused_everywhere(use: str, name: str, database: Any) -> None:
    namespace, reason = NAMESPACES[name]

    class Anywhere(House):
        def db_namespace(self) -> str:
            return namespace

    uses: dict[str, Callable[[Any, Any], object]] = {
        **USES,
        "get_backend_stats": lambda d, n: d.get_backend_stats(n),
        "sequence": lambda d, _: Anywhere(database=d).update_value(when(0), power_w=1.0),
    }
    with pytest.raises(InvalidNamespaceError) as caught:
        uses[use](database, namespace)
    assert reason in str(caught.value)
    assert database.namespaces() == []


@pytest.mark.parametrize("namespace", [5, b"house", object()])
@pytest.mark.parametrize("use", USES)
def test_namespaces_are_text(use: str, namespace: Any, database: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(repr(namespace))):
        USES[use](database, namespace)
    assert database.namespaces() == []


@pytest.mark.parametrize(
    "key", [b"", b"x", b"\xff", KEY + b"\0", b"20261301T000000Z", b"20260101T000060Z", b"k" * 999]
)
def test_one_key_that_is_no_timestamp_and_nothing_is_stored(key: bytes, database: Any) -> None:
    with pytest.raises(InvalidKeyError, match="is no timestamp: expected UTC text such as"):
        database.save_records([(KEY, b"1"), (key, b"2")], "house")
    assert database.namespaces() == []
    assert database.delete_records([key], "house") == 0


def test_the_metadata_are_out_of_the_reach_of_records(database: Any) -> None:
    database.set_metadata(b"metadata", namespace="house")
    with pytest.raises(InvalidKeyError, match="__metadata__"):
        database.save_records([(b"__metadata__", b"1")], "house")
    assert database.delete_records([b"__metadata__"], "house") == 0
    assert list(database.iterate_records(namespace="house")) == []
    assert database.count_records(namespace="house") == 0
    assert database.get_metadata("house") == b"metadata"


@pytest.mark.parametrize(
    "records", [5, None, [5], [(KEY,)], [(KEY, "text")], [(KEY.decode(), b"1")], [(KEY, None)]]
)
def test_records_that_are_no_pairs_of_bytes(records: Any, database: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        database.save_records(itertools.chain([(KEY, b"1")], records or [records]), "house")
    assert database.namespaces() == []


def test_a_closed_database(database: Any) -> None:
    for close in (True, True, False):
        if close:
            database.close()
        else:
            # Never opened at all.
            database = type(database)("never opened")
        for use in USES.values():
            with pytest.raises(DatabaseClosedError, match="is closed: open it before you use it"):
                use(database, "house")
        for call in (database.namespaces, database.flush):
            with pytest.raises(RuntimeError, match="is closed: open it before you use it"):
                call()
        assert database.get_backend_stats("house") == {}
        assert not database.is_open
        assert "(closed)" in repr(database)
    if isinstance(database, LMDBDatabase):
        with pytest.raises(ValueError, match="is closed"):
            database.flush()
        for change in (database.compact, lambda: database.copy_to("copy")):
            with pytest.raises(DatabaseClosedError):
                change()
    assert not Path("never opened").exists()


def test_a_record_that_was_not_read_before_the_database_was_closed(database: Any) -> None:
    loaded = house(database, 3)
    assert loaded.load()
    database.close()
    with pytest.raises(DatabaseClosedError, match="open it again"):
        loaded.get_by_datetime(when(0))
    assert loaded.save() is False
    assert loaded.db_get_stats() == {"enabled": False}


def test_a_read_only_database_is_not_changed(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path) as database:
        house(database, 3)
        content = list(database.iterate_records(namespace="house"))
    bytes_before = (tmp_path / "data.mdb").read_bytes()
    with LMDBDatabase(tmp_path, read_only=True) as database:
        held: Any = House(database=database)
        held.update_value(when(0), note="cannot be saved")
        for change in (
            held.save,
            held.db_autosave,
            lambda: database.save_records([(KEY, b"1")], "house"),
            lambda: database.save_records([(KEY, b"1")], "new"),
            lambda: database.delete_records([KEY], "house"),
            lambda: database.set_metadata(b"1", namespace="house"),
            lambda: database.set_metadata(None, namespace="house"),
            database.compact,
        ):
            with pytest.raises(ReadOnlyError, match=f"'{tmp_path}' was opened read-only"):
                change()
        assert held._db_dirty_timestamps == {"19700101T000000Z"}
        assert held.get_by_datetime(when(0)).note == "cannot be saved"
        assert list(database.iterate_records(namespace="house")) == content
    assert (tmp_path / "data.mdb").read_bytes() == bytes_before


def test_places_that_are_no_database(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory")
    junk = tmp_path / "junk"
    junk.mkdir()
    (junk / "data.mdb").write_bytes(b"not LMDB" * 4096)
    cases: list[tuple[Path, bool, type[eosdb.EosdbError], str]] = [
        (file, False, InvalidArgumentError, "is a file: name the directory"),
        (file, True, InvalidArgumentError, "is a file: name the directory"),
        (file / "below", False, StorageError, "Not a directory"),
        (tmp_path / "missing", True, StorageError, "there is no database to read here"),
        (tmp_path, True, StorageError, "there is no database to read here"),
        (junk, False, StorageError, "no LMDB database, or a damaged one"),
        (junk, True, StorageError, "no LMDB database, or a damaged one"),
    ]
    for path, read_only, error, message in cases:
        database = LMDBDatabase(path, read_only=read_only)
        with pytest.raises(error, match=f"{re.escape(str(path))}.*{message}"):
            database.open()
        assert not database.is_open
    assert file.read_text() == "not a directory"
    assert (junk / "data.mdb").read_bytes() == b"not LMDB" * 4096
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"map_size": 0}, "0"),
        ({"map_size": -1}, "-1"),
        ({"map_size": 4096}, "4096"),
        ({"map_size": 2**80}, str(2**80)),
        ({"durability": "never"}, "'commit', 'interval' or 'none'"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], shown: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=shown):
        LMDBDatabase(tmp_path / "new", **options).open()
    assert not (tmp_path / "new").exists()


def test_sentinels_are_bounds_as_good_as_keys(database: Any) -> None:
    """Upstream's mixin may hand them to a backend."""
    house(database, 3)
    rows = list(database.iterate_records(namespace="house"))
    assert list(database.iterate_records(UNBOUND_START, UNBOUND_END, "house")) == rows
    assert list(database.iterate_records(rows[1][0], UNBOUND_END, "house")) == rows[1:]
    assert list(database.iterate_records(UNBOUND_END, None, "house")) == []
    assert database.count_records(UNBOUND_START, rows[1][0], namespace="house") == 1


# ---- file systems -------------------------------------------------------------------------------


class StoreOnNfs:
    """The native stores on a file system that pretends to be another one."""

    lmdb = staticmethod(_core.Store.lmdb)
    network_file_system = staticmethod(lambda _path: "NFS")


def test_a_network_file_system_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="eosdb"):
        with LMDBDatabase(tmp_path):
            pass
        assert not caplog.records
        monkeypatch.setattr("eosdb.native_database.Store", StoreOnNfs)
        with LMDBDatabase(tmp_path) as database:
            database.save_records([(b"20260101T000000Z", b"value")], "house")
    (record,) = caplog.records
    for text in (str(tmp_path), "(NFS)", "local disk"):
        assert text in record.getMessage()


ON_READ_ONLY_MOUNT: Final = """
set -e
mount -t tmpfs none "$1"
"$0" -c "import eosdb, sys
with eosdb.LMDBDatabase(sys.argv[1]) as database:
    database.save_records([(b'20260101T000000Z', b'value')], 'house')
" "$1/db"
rm "$1/db/lock.mdb"
mount -o remount,ro "$1"
"$0" -c "import eosdb, sys
for name in ('db', 'other'):
    try:
        eosdb.LMDBDatabase(sys.argv[1] + '/' + name).open()
    except eosdb.StorageError as error:
        print(error)
with eosdb.LMDBDatabase(sys.argv[1] + '/db', read_only=True) as database:
    print(list(database.iterate_records(namespace='house')))
    print(eosdb.verify(database).records)
" "$1"
"""


def test_a_file_system_that_is_mounted_read_only(tmp_path: Path) -> None:
    """In a mount namespace of its own, where the system lets an ordinary user have one."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is not there")
    child = subprocess.run(  # noqa: S603  a fixed command
        [unshare, "-rm", "sh", "-c", ON_READ_ONLY_MOUNT, sys.executable, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=WITH_TESTS,
    )
    if "unshare:" in child.stderr or "mount:" in child.stderr:
        pytest.skip("this process may not mount anything")
    assert child.returncode == 0, child.stderr
    first, second, *read = child.stdout.splitlines()
    for line in (first, second):
        assert "mounted read-only: open the database read-only, or mount it writable" in line
    assert read == ["[(b'20260101T000000Z', b'value')]", "{'house': 1}"]
