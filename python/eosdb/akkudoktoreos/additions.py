"""What is changed in modules of Akkudoktor-EOS after their own code has run."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import eosdb

from .. import record_class
from .._core import Store
from ..native_database import NativeDatabase
from ..sequence_operations import insert_or_find, merge
from .configuration import NO_DATABASE, provider_of
from .findings import tell
from .flavour import Flavour

__all__ = ["to_dataabc", "to_database", "to_retentionmanager"]

_READERS = (
    "key_to_array",
    "key_to_dict",
    "key_to_lists",
    "key_to_series",
    "key_to_value",
    "to_dataframe",
)
"""What EOS's `DataSequence` reads in Python, record by record, and our mixin natively."""

_UPDATES = ("key_from_lists", "key_from_series", "update_value")
"""Methods of the synchronous `DataSequence` that insert a record where they have found none."""

_EMPTY_STORE = "_eosdb_empty_store"
"""The attribute of EOS's database that has what stands for none once there was one."""


# ---- akkudoktoreos.core.database --------------------------------------------------------------


def to_database(flavour: Flavour) -> Callable[[ModuleType], None]:
    """Return what changes the module `database`.

    EOS's `Database` asks a backend for everything. The backends become ours, and sequences may use
    their stores directly: then one save is one transaction.

    Args:
        flavour: The EOS that imports it.
    """

    def change(module: ModuleType) -> None:
        for ours in (eosdb.LMDBDatabase, eosdb.SQLiteDatabase):
            setattr(module, ours.__name__, _backend(ours, module, flavour))
        database = module.Database
        database.native_store = property(_native_store_of)
        database.blocking = property(_blocking_of)

    return change


def _backend(ours: type[NativeDatabase], module: ModuleType, flavour: Flavour) -> type[Any]:
    """Return our database `ours` as a backend of EOS's."""
    backend: Any = module.DatabaseBackendABC
    base: Any = ours

    class Backend(backend, base):  # type: ignore[misc]
        """EOS's database in a file of its own."""

        _any_keys = True

        def __init__(self, map_size: int | None = None, **_options: Any) -> None:
            if getattr(self, "connection", None) is not None:
                # There is one object per process; EOS makes it again to start afresh.
                self.close()
            if map_size is not None and issubclass(ours, eosdb.LMDBDatabase):
                ours.__init__(self, map_size=map_size)
            else:
                ours.__init__(self)

        def open(self, namespace: str | None = None) -> None:
            was_open = self.is_open
            default_namespace: str | None = getattr(self, "default_namespace", None)
            super().open(namespace)
            if not was_open:
                tell(self, flavour)
            elif flavour.is_asynchronous:
                # There it is opened before each call, to have the namespace prepared.
                self.default_namespace = default_namespace

    Backend.__module__ = module.__name__
    Backend.__name__ = Backend.__qualname__ = ours.__name__
    return Backend


def _backend_of(database: Any) -> Any:
    """Return EOS's backend if it is the one that is configured, and open."""
    if provider_of(database.config) == NO_DATABASE:
        return None
    if hasattr(database, "_database"):
        # The synchronous EOS opens its backend, or changes it, when it is used.
        return database._database()
    # The asynchronous one changes it by the next call that is awaited; until then it serves.
    backend = database._db
    return backend if backend.is_open else None


def _native_store_of(database: Any) -> Any:
    backend = _backend_of(database)
    if backend is None:
        # Without any database, what the former one has can be read no longer. An empty store in its
        # place has sequences forget that, and keep what was not saved.
        is_off = provider_of(database.config) == NO_DATABASE
        return vars(database).get(_EMPTY_STORE) if is_off else None
    if isinstance(backend, NativeDatabase):
        if _EMPTY_STORE not in vars(database):
            setattr(database, _EMPTY_STORE, Store.none())
        return backend.native_store
    raise AttributeError("native_store")


def _blocking_of(database: Any) -> Any:
    backend = _backend_of(database)
    return backend if isinstance(backend, NativeDatabase) else None


# ---- akkudoktoreos.core.dataabc ---------------------------------------------------------------


def to_dataabc(flavour: Flavour, *, mend: bool) -> Callable[[ModuleType], None]:
    """Return what changes the module `dataabc`: `DataSequence` gets our readers.

    Args:
        flavour: The EOS that imports it.
        mend: Whether methods of `DataSequence` that lose or distort data are replaced:
            `insert_by_datetime`, so that it merges configured values too and no explicit `None`
            overwrites a value; of the synchronous EOS `update_value` and its kin, so that threads
            may update the same second; `save` and `load`, so that they tell whether the database
            has the records, and not whether there was anything to do. (EOS's measurements go by
            that: where nothing was to be saved they write all records to a JSON file, and where
            nothing was to be loaded they put that file's old values over newer ones.)
    """

    def change(module: ModuleType) -> None:
        sequence = module.DataSequence
        for name in _READERS:
            if name in vars(sequence):
                delattr(sequence, name)
        if mend and flavour.is_asynchronous:
            sequence._insert_by_datetime = _insert_asynchronously
            sequence._save = _save_asynchronously
            sequence._load = _load_asynchronously
        elif mend:
            sequence.insert_by_datetime = _insert
            for name in _UPDATES:
                if name in vars(sequence):
                    setattr(sequence, name, _after_others(vars(sequence)[name]))
            sequence.save = _save
            sequence.load = _load
        record_class.trust(module.DataRecord)

    return change


def _insert(self: Any, record: Any) -> None:
    """Insert a record, or merge its values into the one at the same second."""
    self._validate_record(record)
    existing = self.db_get_record(eosdb.DatabaseTimestamp.from_datetime(record.date_time))
    if existing is None:
        existing = insert_or_find(self, record)
    if existing is not None:
        merge(record, existing)
        self.db_mark_dirty_record(existing)


def _after_others(update: Callable[..., Any]) -> Callable[..., Any]:
    """Return an update of values that does not mind another thread's at the same second.

    EOS looks whether there is a record and inserts one if not. Where another thread was faster, the
    values would be refused as a duplicate.
    """

    @functools.wraps(update)
    def updated(self: Any, *args: Any, **kwargs: Any) -> Any:
        while True:
            try:
                return update(self, *args, **kwargs)
            except eosdb.DuplicateRecordError:
                continue  # now there is a record, which is updated

    return updated


async def _insert_asynchronously(self: Any, record: Any) -> None:
    """Insert a record, or merge its values into the one at the same second."""
    self._validate_record(record)
    timestamp = eosdb.DatabaseTimestamp.from_datetime(record.date_time)
    existing = await self.db_get_record(timestamp)
    while existing is None:
        try:
            await self.db_insert_record(record)
        except eosdb.DuplicateRecordError:
            existing = await self.db_get_record(timestamp)  # another task was faster
        else:
            return
    merge(record, existing)
    await self.db_mark_dirty_record(existing)


def _save(self: Any) -> bool:
    """Save what is pending; return whether there is a database, which then has everything."""
    self._db_enter()  # EOS takes a database that cannot be opened for none: this says why
    self.db_save_records()
    return bool(self.db_enabled)


async def _save_asynchronously(self: Any) -> bool:
    """Save what is pending; return whether there is a database, which then has everything."""
    await self.db_save_records()
    return bool(self.db_enabled)


def _load(self: Any) -> bool:
    """Load everything as rows; return whether there is a database with records."""
    self._db_enter()  # as for saving
    self.db_load_records()
    return bool(self.db_enabled and self.db_count_records())


async def _load_asynchronously(self: Any) -> bool:
    """Load everything as rows; return whether there is a database with records."""
    await self.db_load_records()
    return bool(self.db_enabled and await self.db_count_records())


# ---- akkudoktoreos.server.retentionmanager -----------------------------------------------------


_COMPACTION_INTERVALS = ("database/compaction_interval_sec", "database/compact_interval_sec")
"""The setting that says how often to compact, and what EOS took for its name."""


def to_retentionmanager(module: ModuleType) -> None:
    """Have the regular jobs of the synchronous EOS run.

    What its server registers to compact only saves; and before the release 0.3.0 it does so by the
    name of a setting that does not exist, whereupon no job ever runs, be it saving.

    Args:
        module: The module `retentionmanager`.
    """
    manager = module.RetentionManager
    register = manager.register

    @functools.wraps(register)
    def mended(
        self: Any, name: str, func: Callable[[], Any], *, interval_attr: str, **options: Any
    ) -> None:
        if interval_attr in _COMPACTION_INTERVALS:
            interval_attr, func = _COMPACTION_INTERVALS[0], _compact
        register(self, name, func, interval_attr=interval_attr, **options)

    manager.register = mended


def _compact() -> None:
    """Compact, and delete what is older than it is to be kept."""
    core = importlib.import_module("akkudoktoreos.core.coreabc")
    for keeper in (core.get_prediction(), core.get_measurement()):
        keeper.db_compact()
        keeper.db_vacuum()
