"""The pytest fixtures of `eosdb.testing`, which tells what they are for.

This is a package of its own, because pytest imports it whenever eosdb is installed, for test suites
that have nothing to do with eosdb too. Importing `eosdb.testing` would import eosdb and all that it
needs; here that is left to the fixtures, when a test uses one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import eosdb
    import eosdb.testing

__all__ = [
    "ENGINES",
    "eosdb_aio_store",
    "eosdb_clock",
    "eosdb_engine",
    "eosdb_faults",
    "eosdb_settings",
    "eosdb_store",
]

ENGINES = {
    "lmdb": "LMDBDatabase",
    "memory": "MemoryDatabase",
    "sqlite": "SQLiteDatabase",
}
"""The engines by name, each with its class in `eosdb` and in `eosdb.aio`."""


@pytest.fixture(params=list(ENGINES))
def eosdb_engine(request: pytest.FixtureRequest) -> str:
    """The engine of :func:`eosdb_store`: every test that uses it runs once with each.

    Override it, or parametrise it by `@pytest.mark.parametrize("eosdb_engine", ["lmdb"])`, where
    one will do.
    """
    engine: str = request.param
    return engine


@pytest.fixture
def eosdb_settings() -> eosdb.DatabaseSettings:
    """The settings of :func:`eosdb_store`, the defaults of eosdb; override it to have others."""
    import eosdb  # noqa: PLC0415  not before it is needed

    return eosdb.DatabaseSettings()


@pytest.fixture
def eosdb_store(
    eosdb_engine: str, eosdb_settings: eosdb.DatabaseSettings, tmp_path: Path
) -> Iterator[eosdb.DatabaseBackendABC]:
    """An open, empty database below `tmp_path`, which is closed after the test."""
    import eosdb  # noqa: PLC0415

    if eosdb_engine not in ENGINES:
        pytest.fail(f"eosdb_engine is {eosdb_engine!r}: expected one of {list(ENGINES)}")
    class_ = getattr(eosdb, ENGINES[eosdb_engine])
    with class_(tmp_path / "eosdb", settings=eosdb_settings) as database:
        yield database


@pytest.fixture
def eosdb_aio_store(eosdb_engine: str, eosdb_store: eosdb.DatabaseBackendABC) -> Any:
    """The database of :func:`eosdb_store`, open, for asynchronous sequences.

    It is an object of `eosdb.aio`. It needs no event loop to be opened or closed, so that it goes
    with any plugin for asynchronous tests, and with :func:`eosdb_faults`.
    """
    from eosdb import aio  # noqa: PLC0415

    database = getattr(aio, ENGINES[eosdb_engine])(settings=eosdb_store.settings)
    database.blocking = eosdb_store
    return database


@pytest.fixture
def eosdb_faults(eosdb_store: eosdb.DatabaseBackendABC) -> eosdb.testing.Faults:
    """The faults of :func:`eosdb_store`, none at first; see `eosdb.testing.Faults`."""
    from eosdb.testing import Faults  # noqa: PLC0415

    return Faults(eosdb_store)


@pytest.fixture
def eosdb_clock() -> Iterator[eosdb.testing.FrozenClock]:
    """A clock that stands still, for all of eosdb; see `eosdb.testing.FrozenClock`."""
    from eosdb.testing import FrozenClock  # noqa: PLC0415

    with FrozenClock() as clock:
        yield clock
