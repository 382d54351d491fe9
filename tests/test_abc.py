"""The base classes of databases: values are compressed and read back whatever the level."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eosdb.abc import DatabaseABC, DatabaseBackendABC
from eosdb.errors import DamagedRecordError
from eosdb.settings import DatabaseSettings

PICKLE = b"\x80\x05" + b"a record " * 50


class DictDatabase(DatabaseBackendABC):
    """A backend as somebody outside this package would write it."""

    def provider_id(self) -> str:
        return "Dict"

    def open(self, namespace: str | None = None) -> None:
        self.connection: dict[str | None, dict[bytes, bytes]] = {}
        self.default_namespace = namespace
        self._is_open = True

    def close(self) -> None:
        self.connection = {}
        self._is_open = False

    def flush(self, namespace: str | None = None) -> None:
        pass

    def set_metadata(self, metadata: bytes | None, *, namespace: str | None = None) -> None:
        pass

    def get_metadata(self, namespace: str | None = None) -> bytes | None:
        return None

    def save_records(
        self, records: Iterable[tuple[bytes, bytes]], namespace: str | None = None
    ) -> int:
        rows = dict(records)
        self.connection.setdefault(namespace, {}).update(rows)
        return len(rows)

    def delete_records(self, keys: Iterable[bytes], namespace: str | None = None) -> int:
        return 0

    def iterate_records(
        self,
        start_key: bytes | None = None,
        end_key: bytes | None = None,
        namespace: str | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.connection.get(namespace, {}).items())

    def count_records(
        self,
        start_key: bytes | None = None,
        end_key: bytes | None = None,
        *,
        namespace: str | None = None,
    ) -> int:
        return len(self.connection.get(namespace, {}))

    def get_key_range(self, namespace: str | None = None) -> tuple[bytes | None, bytes | None]:
        return None, None

    def get_backend_stats(self, namespace: str | None = None) -> dict[str, Any]:
        return {}


def test_abstract_methods_are_upstreams() -> None:
    assert DatabaseABC.__abstractmethods__ == {
        "close",
        "count_records",
        "delete_records",
        "flush",
        "get_backend_stats",
        "get_key_range",
        "get_metadata",
        "is_open",
        "iterate_records",
        "open",
        "provider_id",
        "save_records",
        "set_metadata",
    }
    assert DatabaseABC.__abstractmethods__ - DatabaseBackendABC.__abstractmethods__ == {"is_open"}


def test_context_manager_opens_and_closes() -> None:
    database = DictDatabase()
    with database as entered:
        assert entered is database
        assert database.is_open
        assert database.save_records([(b"k", b"v")], "house") == 1
        assert list(database.iterate_records(None, None, "house")) == [(b"k", b"v")]
        assert database.count_records(namespace="house") == 1
    assert not database.is_open


def test_context_manager_leaves_an_open_database_as_it_is() -> None:
    database = DictDatabase()
    database.open("house")
    with database:
        assert database.default_namespace == "house"


def test_context_manager_closes_after_an_error() -> None:
    database = DictDatabase()
    with pytest.raises(ZeroDivisionError), database:
        _ = 1 / 0
    assert not database.is_open


def test_storage_path() -> None:
    assert DictDatabase("house.db").storage_path == Path("house.db")
    assert DictDatabase(data_folder="eos").storage_path == Path("eos/db/dictdatabase")


def test_every_database_has_settings_of_its_own() -> None:
    one, other = DictDatabase(), DictDatabase()
    one.settings.compression_level = 0
    assert other.compression_level == 9


@pytest.mark.parametrize("level", range(10))
def test_values_are_read_back_at_any_level(level: int) -> None:
    database = DictDatabase(settings=DatabaseSettings(compression_level=level))
    stored = database.serialize_data(PICKLE)
    assert database.compression_level == level
    assert database.compression is (level > 0)
    assert stored.startswith(b"\x1f\x8b") is (level > 0)
    assert (len(stored) < len(PICKLE)) is (level > 0)
    assert DictDatabase().deserialize_data(stored) == PICKLE


def test_a_changed_level_holds_from_then_on() -> None:
    database = DictDatabase()
    database.settings.compression_level = 0
    assert database.serialize_data(PICKLE) == PICKLE


@pytest.mark.parametrize("data", [b"", b"\x1f", PICKLE])
def test_plain_values_are_handed_back(data: bytes) -> None:
    assert DictDatabase().deserialize_data(data) == data


@pytest.mark.parametrize("length", [2, 9, 20, -1])
def test_a_value_that_is_cut_short(length: int) -> None:
    with pytest.raises(DamagedRecordError):
        DictDatabase().deserialize_data(gzip.compress(os.urandom(64))[:length])


def test_a_value_with_a_wrong_byte() -> None:
    stored = bytearray(gzip.compress(PICKLE))
    stored[-8] ^= 1
    with pytest.raises(DamagedRecordError):
        DictDatabase().deserialize_data(bytes(stored))


def test_inflating_is_bounded() -> None:
    limit = 64 * 1024 * 1024
    database = DictDatabase()
    assert len(database.deserialize_data(gzip.compress(bytes(limit), 1))) == limit
    with pytest.raises(DamagedRecordError):
        database.deserialize_data(gzip.compress(bytes(limit + 1), 1))
