"""Help for tests of what is built on eosdb: pytest fixtures, faults, and a clock that stands still.

pytest finds the fixtures by itself where eosdb is installed:

- `eosdb_store`: an open, empty database, on every engine in turn (`eosdb_engine`), with settings
  that can be overridden (`eosdb_settings`); `eosdb_aio_store` is the same for `eosdb.aio`;
- `eosdb_faults`: makes it fail, run out of space or lose its power, see :class:`Faults`;
- `eosdb_clock`: what time it is, see :class:`FrozenClock`.

Importing this needs pytest. Without pytest finding the fixtures by itself, `-p eosdb.testing` does.
"""

from __future__ import annotations

from _eosdb_pytest import (
    eosdb_aio_store,
    eosdb_clock,
    eosdb_engine,
    eosdb_faults,
    eosdb_settings,
    eosdb_store,
)

from .faults import Faults
from .frozen_clock import FrozenClock

__all__ = [
    "Faults",
    "FrozenClock",
    "eosdb_aio_store",
    "eosdb_clock",
    "eosdb_engine",
    "eosdb_faults",
    "eosdb_settings",
    "eosdb_store",
]
