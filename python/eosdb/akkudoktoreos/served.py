"""What stands in for the module `akkudoktoreos.core.databaseabc`.

Its classes are ours, tied to the configuration and the database that EOS has one of per process.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Generic

import eosdb

from .. import aio
from ..protocols import T_Record
from .flavour import Flavour

__all__ = ["fill"]

_NAMES = (
    "DATABASE_METADATA_KEY",
    "DataRecordProtocol",
    "DatabaseRecordProtocol",
    "DatabaseRecordProtocolLoadPhase",
    "DatabaseTimeWindowType",
    "DatabaseTimestamp",
    "DatabaseTimestampType",
    "T_DatabaseRecordProtocol",
    "T_Record",
    "UNBOUND_END",
    "UNBOUND_START",
    "UNBOUND_WINDOW",
    "_DatabaseTimeWindowUnbound",
    "_DatabaseTimestampUnbound",
)


def fill(flavour: Flavour) -> Callable[[ModuleType], None]:
    """Return what fills the module for a flavour of EOS.

    Args:
        flavour: The EOS that will import it.
    """

    def fill_module(module: ModuleType) -> None:
        for name in _NAMES:
            setattr(module, name, getattr(eosdb, name))
        core = importlib.import_module("akkudoktoreos.core.coreabc")
        for made in (
            _database_abc(core),
            _backend_abc(core),
            _mixin(core, flavour),
        ):
            made.__module__ = module.__name__
            setattr(module, made.__name__, made)

    return fill_module


def _settings(database: Any) -> Any:
    return database.config.database


def _data_folder(database: Any) -> Path:
    return Path(database.config.general.data_folder_path)


def _leave(_database: Any, _value: Any) -> None:
    """Leave it to the configuration."""


def _database_abc(core: ModuleType) -> type[Any]:
    config: Any = core.ConfigMixin

    class DatabaseABC(config, eosdb.DatabaseABC):  # type: ignore[misc]
        """The interface of a database of EOS."""

        settings = property(_settings, _leave)
        data_folder = property(_data_folder, _leave)

    return DatabaseABC


def _backend_abc(core: ModuleType) -> type[Any]:
    config: Any = core.ConfigMixin
    singleton: Any = core.SingletonMixin

    class DatabaseBackendABC(config, singleton, eosdb.DatabaseBackendABC):  # type: ignore[misc]
        """A storage of EOS: one per process, which finds its place and settings in the config."""

        def __init__(self, **_options: Any) -> None:
            eosdb.DatabaseBackendABC.__init__(self)

        settings = property(_settings, _leave)
        data_folder = property(_data_folder, _leave)

    return DatabaseBackendABC


def _mixin(core: ModuleType, flavour: Flavour) -> type[Any]:
    ours = flavour.mixin
    if flavour.is_asynchronous:
        ours = _Opening
    config: Any = core.ConfigMixin
    database: Any = core.DatabaseMixin
    base: Any = ours[T_Record]

    class DatabaseRecordProtocolMixin(config, database, base, Generic[T_Record]):  # type: ignore[misc]
        """Our mixin, on EOS's one configuration and one database."""

        db_compact_sparse_first: ClassVar[bool] = True

        def db_compact_aggregations(self) -> Mapping[str, str]:
            """Return that the keys which EOS's configuration names as meter readings are meters."""
            return dict.fromkeys(_meter_keys(self.config), "meter")

    return DatabaseRecordProtocolMixin


class _Opening(aio.DatabaseRecordProtocolMixin[T_Record]):
    """Opens the database that is configured, as nothing in the asynchronous EOS does.

    There a sequence asks whether the database is open, and only what is asked of it then would
    open it.
    """

    @property
    def _db_must_open(self) -> bool:
        return _is_configured(self) and not self.database.is_open

    async def _db_open(self) -> None:
        await self.database.open()

    @property
    def db_enabled(self) -> bool:
        """Whether there is a database: open, or to be opened when it is used."""
        return super().db_enabled or _is_configured(self)


def _is_configured(sequence: Any) -> bool:
    provider = getattr(sequence.config.database, "provider", None)
    return provider not in {None, "NoDB"} and sequence.database is not None


def _meter_keys(config: Any) -> list[str]:
    """Return the keys of all settings `measurement.*_emr_keys`."""
    measurement = getattr(config, "measurement", None)
    settings = getattr(type(measurement), "model_fields", {})
    lists = [getattr(measurement, name) for name in settings if name.endswith("_emr_keys")]
    return list(dict.fromkeys(key for keys in lists for key in keys or ()))
