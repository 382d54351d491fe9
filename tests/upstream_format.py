"""The database files of Akkudoktor-EOS as it reads and writes them: py-lmdb, gzip, pickle."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb

METADATA_KEY = b"__metadata__"

FLAGS: dict[str, Any] = {
    "map_size": 10 * 1024**3,
    "max_dbs": 128,
    "writemap": True,
    "map_async": True,
    "metasync": False,
    "sync": False,
}
"""How EOS opens its environment."""


@contextmanager
def environment(path: Path) -> Iterator[lmdb.Environment]:
    """Open the environment in a directory as EOS does, and close it.

    Args:
        path: The directory.

    Yields:
        The environment.
    """
    with lmdb.open(str(path), **FLAGS) as opened:
        yield opened
        opened.sync()


def pack(fields: Mapping[str, Any], level: int) -> bytes:
    """Return the value that EOS stores for the fields of a record.

    Args:
        fields: What `model_dump()` returns.
        level: Level of gzip; 0 for none.

    Returns:
        The value.
    """
    value = pickle.dumps(dict(fields), protocol=5)
    return gzip.compress(value, compresslevel=level) if level else value


def unpack(value: bytes) -> bytes:
    """Return the pickle in a stored value.

    Args:
        value: The value.

    Returns:
        The pickle.
    """
    return gzip.decompress(value) if value[:2] == b"\x1f\x8b" else value


def read_values(path: Path, namespace: str | None) -> dict[str, bytes]:
    """Return everything that lies in a namespace, byte for byte.

    Args:
        path: The directory of the environment.
        namespace: The namespace; `None` is the unnamed database.

    Returns:
        The values by key, the metadata among them.
    """
    with environment(path) as opened:
        name = None if namespace is None else namespace.encode()
        database = opened.open_db(name, create=False)
        with opened.begin(db=database) as transaction:
            return {key.decode(): value for key, value in transaction.cursor()}


def read_records(path: Path, namespace: str) -> dict[str, dict[str, Any]]:
    """Return the records of a namespace.

    Args:
        path: The directory of the environment.
        namespace: The namespace.

    Returns:
        The fields of the records by key.
    """
    values = read_values(path, namespace)
    values.pop(METADATA_KEY.decode(), None)
    return {key: pickle.loads(unpack(value)) for key, value in values.items()}


def read_metadata(path: Path, namespace: str | None) -> dict[str, Any] | None:
    """Return the metadata in a namespace's own database.

    Args:
        path: The directory of the environment.
        namespace: The namespace; `None` is the unnamed database.

    Returns:
        The metadata, `None` if there is none.
    """
    value = read_values(path, namespace).get(METADATA_KEY.decode())
    if value is None:
        return None
    metadata: dict[str, Any] = pickle.loads(value)
    return metadata


def put(path: Path, namespace: str | None, values: Mapping[bytes, bytes | None]) -> None:
    """Write values into a namespace.

    Args:
        path: The directory of the environment.
        namespace: The namespace; `None` is the unnamed database.
        values: The values by key; `None` deletes the key.
    """
    with environment(path) as opened:
        database = opened.open_db(None if namespace is None else namespace.encode())
        with opened.begin(write=True, db=database) as transaction:
            for key, value in values.items():
                if value is None:
                    transaction.delete(key)
                else:
                    transaction.put(key, value)
