"""eosdb: the fast, safe record database for home-energy data.

A sequence of timestamped pydantic records is kept in a database and loaded as it is needed::

    import eosdb

    class Power(eosdb.DataRecord):
        power_w: float | None = None

    class House(eosdb.DataSequence):
        records: list[Power] = []

        def db_namespace(self) -> str:
            return "house"

    with eosdb.LMDBDatabase("house.db") as db:
        house = House(database=db)
        house.update_value(eosdb.to_datetime("2026-01-01T00:00:00+01:00"), power_w=310.0)
        house.save()
"""

from __future__ import annotations

from ._core import ArrowTable, register_type
from .abc import DatabaseABC, DatabaseBackendABC
from .damage import (
    Damage,
    QuarantinedValue,
    RepairReport,
    VerifyReport,
    quarantined,
    repair,
    verify,
)
from .data_record import DataRecord
from .data_sequence import DataSequence
from .datetimes import DateTime, Duration, to_datetime, to_duration
from .errors import (
    ArgumentTypeError,
    ConflictError,
    ConservationError,
    DamagedDatabaseError,
    DamagedRecordError,
    DatabaseClosedError,
    DiskFullError,
    DuplicateRecordError,
    EosdbError,
    ForeignProcessError,
    ForkedError,
    IntervalError,
    InvalidArgumentError,
    InvalidKeyError,
    InvalidNamespaceError,
    LoadPhaseError,
    MissingDependencyError,
    NaiveDatetimeError,
    ReadOnlyError,
    StorageError,
    TimestampRangeError,
    UnknownEosError,
    UnknownKeyError,
)
from .lmdb_database import LMDBDatabase
from .memory_database import MemoryDatabase
from .mixin import DatabaseRecordMixin, DatabaseRecordProtocolMixin
from .protocols import (
    DatabaseRecordProtocol,
    DataRecordProtocol,
    T_DatabaseRecordProtocol,
    T_Record,
)
from .reports import CompactionReport, VacuumReport
from .settings import DatabaseSettings
from .timestamps import (
    DATABASE_METADATA_KEY,
    UNBOUND_END,
    UNBOUND_START,
    UNBOUND_WINDOW,
    DatabaseRecordProtocolLoadPhase,
    DatabaseTimestamp,
    DatabaseTimestampType,
    DatabaseTimeWindowType,
    _DatabaseTimestampUnbound,
    _DatabaseTimeWindowUnbound,
)
from .views import DatabaseView, NamespaceView, open as open  # noqa: A004  see __all__

__version__ = "0.1.0"

# Without `open`, so that `from eosdb import *` leaves the built-in function alone.
__all__ = [
    "DATABASE_METADATA_KEY",
    "UNBOUND_END",
    "UNBOUND_START",
    "UNBOUND_WINDOW",
    "ArgumentTypeError",
    "ArrowTable",
    "CompactionReport",
    "ConflictError",
    "ConservationError",
    "Damage",
    "DamagedDatabaseError",
    "DamagedRecordError",
    "DataRecord",
    "DataRecordProtocol",
    "DataSequence",
    "DatabaseABC",
    "DatabaseBackendABC",
    "DatabaseClosedError",
    "DatabaseRecordMixin",
    "DatabaseRecordProtocol",
    "DatabaseRecordProtocolLoadPhase",
    "DatabaseRecordProtocolMixin",
    "DatabaseSettings",
    "DatabaseTimeWindowType",
    "DatabaseTimestamp",
    "DatabaseTimestampType",
    "DatabaseView",
    "DateTime",
    "DiskFullError",
    "DuplicateRecordError",
    "Duration",
    "EosdbError",
    "ForeignProcessError",
    "ForkedError",
    "IntervalError",
    "InvalidArgumentError",
    "InvalidKeyError",
    "InvalidNamespaceError",
    "LMDBDatabase",
    "LoadPhaseError",
    "MemoryDatabase",
    "MissingDependencyError",
    "NaiveDatetimeError",
    "NamespaceView",
    "QuarantinedValue",
    "ReadOnlyError",
    "RepairReport",
    "StorageError",
    "T_DatabaseRecordProtocol",
    "T_Record",
    "TimestampRangeError",
    "UnknownEosError",
    "UnknownKeyError",
    "VacuumReport",
    "VerifyReport",
    "_DatabaseTimeWindowUnbound",
    "_DatabaseTimestampUnbound",
    "quarantined",
    "register_type",
    "repair",
    "to_datetime",
    "to_duration",
    "verify",
]
