"""What stands in for the module `akkudoktoreos.core.databaseabc`.

Its classes are ours, tied to the configuration and the database that EOS has one of per process.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Generic

import eosdb

from .. import aio
from ..protocols import T_Record
from .configuration import NO_DATABASE, provider_of
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


_UNCALLED = ("db_initial_time_window", "db_keep_datetime")
"""Hooks that EOS's classes override, but that EOS alone never calls.

Its predictions' initial window asks for a setting that does not exist, and its measurements cannot
do without `measurement.historic_hours`, which may be `None`.
"""

_logger = logging.getLogger("eosdb")


def fill(flavour: Flavour) -> Callable[[ModuleType], None]:
    """Return what fills the module for a flavour of EOS.

    Args:
        flavour: The EOS that will import it.
    """

    def fill_module(module: ModuleType) -> None:
        module.__doc__ = __doc__
        module.__file__ = __file__
        for name in _NAMES:
            setattr(module, name, getattr(eosdb, name))
        core = importlib.import_module("akkudoktoreos.core.coreabc")
        for made in (
            _database_abc(core),
            _backend_abc(core),
            _mixin(core, flavour),
        ):
            made.__module__ = module.__name__
            made.__qualname__ = made.__name__
            setattr(module, made.__name__, made)

    return fill_module


def _settings(database: Any) -> Any:
    return database.config.database


def _data_folder(database: Any) -> Path:
    return Path(database.config.general.data_folder_path)


def _ignore(_database: Any, _value: Any) -> None:
    """Ignore what is assigned: the configuration decides."""


def _database_abc(core: ModuleType) -> type[Any]:
    config: Any = core.ConfigMixin

    class DatabaseABC(config, eosdb.DatabaseABC):  # type: ignore[misc]
        """The interface of a database of EOS."""

        settings = property(_settings, _ignore)
        data_folder = property(_data_folder, _ignore)

    return DatabaseABC


def _backend_abc(core: ModuleType) -> type[Any]:
    config: Any = core.ConfigMixin
    singleton: Any = core.SingletonMixin

    class DatabaseBackendABC(config, singleton, eosdb.DatabaseBackendABC):  # type: ignore[misc]
        """A storage of EOS: one per process, which finds its place and settings in the config."""

        def __init__(self, **_options: Any) -> None:
            eosdb.DatabaseBackendABC.__init__(self)

        settings = property(_settings, _ignore)
        data_folder = property(_data_folder, _ignore)

    return DatabaseBackendABC


def _mixin(core: ModuleType, flavour: Flavour) -> type[Any]:
    ours = flavour.mixin
    if flavour.is_asynchronous:
        ours = _OpenedWhenUsed
    config: Any = core.ConfigMixin
    database: Any = core.DatabaseMixin
    base: Any = ours[T_Record]

    class DatabaseRecordProtocolMixin(config, database, base, Generic[T_Record]):  # type: ignore[misc]
        """Our mixin, on EOS's one configuration and one database."""

        db_compact_sparse_first: ClassVar[bool] = True

        # It may have been a meter, and as such nothing of it is lost.
        _db_compact_former: ClassVar[str | None] = "meter"

        def __init_subclass__(cls, **options: Any) -> None:
            """Have hooks that EOS itself never calls say nothing where they fail."""
            super().__init_subclass__(**options)
            for name in _UNCALLED:
                if name in vars(cls):
                    setattr(cls, name, _forgiven(vars(cls)[name]))

        def db_compact_aggregations(self) -> Mapping[str, str]:
            """Return that the keys which EOS's configuration names as meter readings are meters."""
            return dict.fromkeys(_meter_keys(self.config), "meter")

    return DatabaseRecordProtocolMixin


def _forgiven(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a hook that answers `None`, which is no bound, where it fails."""

    @functools.wraps(hook)
    def forgiven(self: Any) -> Any:
        try:
            return hook(self)
        except Exception as error:  # noqa: BLE001  # whatever it is, EOS alone never gets to know it
            _logger.debug("%s.%s() says nothing: %r", type(self).__name__, hook.__name__, error)
            return None

    return forgiven


class _OpenedWhenUsed(aio.DatabaseRecordProtocolMixin[T_Record]):
    """Opens the database that is configured, as nothing in the asynchronous EOS does.

    There a sequence asks whether the database is open, and only what is asked of it then would
    open it, or change it for another one that is configured meanwhile.
    """

    if TYPE_CHECKING:
        # Of EOS's `ConfigMixin`; pydantic would take the annotation for a field.
        config: Any

    @property
    def _db_must_open(self) -> bool:
        database = self.database
        if not hasattr(database, "provider_id"):
            return False  # none of EOS's
        provider = provider_of(self.config)
        return bool(
            database.provider_id() != provider or (provider != NO_DATABASE and not database.is_open)
        )

    async def _db_open(self) -> None:
        await self.database.open()

    @property
    def db_enabled(self) -> bool:
        """Whether there is a database: one that is configured, or else an open one."""
        if hasattr(self.database, "provider_id"):
            return provider_of(self.config) != NO_DATABASE
        return super().db_enabled


def _meter_keys(config: Any) -> list[str]:
    """Return the keys of all settings `measurement.*_emr_keys`."""
    measurement = getattr(config, "measurement", None)
    settings = getattr(type(measurement), "model_fields", {})
    lists = [getattr(measurement, name) for name in settings if name.endswith("_emr_keys")]
    return list(dict.fromkeys(key for keys in lists for key in keys or ()))
