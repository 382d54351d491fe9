"""The exceptions of eosdb.

Every error derives from :class:`EosdbError` and also from the built-in exception that
Akkudoktor-EOS raises in the same place, so that code which catches `ValueError`, `KeyError`,
`TypeError` or `RuntimeError` keeps working.
"""

from __future__ import annotations

__all__ = [
    "ArgumentTypeError",
    "ConflictError",
    "ConservationError",
    "DamagedDatabaseError",
    "DamagedRecordError",
    "DatabaseClosedError",
    "DiskFullError",
    "DuplicateRecordError",
    "EosdbError",
    "ForeignProcessError",
    "ForkedError",
    "IntervalError",
    "InvalidArgumentError",
    "InvalidKeyError",
    "InvalidNamespaceError",
    "LoadPhaseError",
    "MissingDependencyError",
    "NaiveDatetimeError",
    "ReadOnlyError",
    "StorageError",
    "TimestampRangeError",
    "UnknownEosError",
    "UnknownKeyError",
]


class EosdbError(Exception):
    """Base of every error that eosdb raises. Catch it to handle them all in one place."""


class DuplicateRecordError(EosdbError, ValueError):
    """A record exists at this second already, in memory or in storage.

    Change the existing record with `update_value`, or delete it before you insert another one.
    """


class NaiveDatetimeError(EosdbError, ValueError):
    """A datetime without time zone was given where an instant is needed.

    Attach the zone it was meant in, or let :func:`eosdb.to_datetime` do so.
    """


class InvalidNamespaceError(EosdbError, ValueError):
    """A namespace is empty, too long for the storage, or contains a NUL character.

    Choose a short name such as `"house"`.
    """


class InvalidKeyError(EosdbError, ValueError):
    """A database key does not have the form `20241027T113456Z`.

    Build keys with :meth:`eosdb.DatabaseTimestamp.from_datetime`.
    """


class InvalidArgumentError(EosdbError, ValueError):
    """An argument has the right type but a value that makes no sense here.

    The message names the value and what would be accepted.
    """


class ArgumentTypeError(EosdbError, TypeError):
    """An argument has a type that cannot be used here.

    The message names the value and the types that would be accepted.
    """


class UnknownKeyError(EosdbError, KeyError):
    """A record has no such key.

    Use one of the record's `record_keys()`; configured keys come from `configured_data_keys()`.
    """

    def __str__(self) -> str:
        """Return the message as it is, without the quotes that `KeyError` adds."""
        return Exception.__str__(self)


class DatabaseClosedError(EosdbError, RuntimeError):
    """The database was used before `open()` or after `close()`. Open it first."""


class StorageError(EosdbError, RuntimeError):
    """The storage reported a failure.

    Nothing of the failed operation was written and pending changes are kept: remove the cause that
    the message names, then save again.
    """


class DiskFullError(StorageError):
    """The disk, or the size limit of the database, is full.

    Nothing of the failed save was written and pending changes are kept: free some space or raise
    the limit, then save again.
    """


class ConflictError(StorageError):
    """Somebody else kept changing the records while they were compacted.

    Nothing was written: compact again when the other one pauses.
    """


class ConservationError(EosdbError, RuntimeError):
    """Compaction would have changed the energy that a meter counted; nothing was written.

    The message names the key, the bucket and both figures. Look at the readings around it, or give
    the key another aggregation by `db_compact_aggregations()`.
    """


class ReadOnlyError(StorageError):
    """A change was attempted on a database that is open read-only. Open it for writing."""


class ForkedError(StorageError):
    """The database was opened before this process was forked. Open it again in the child."""


class ForeignProcessError(StorageError):
    """Another process holds the database with an incompatible LMDB library.

    Close it there first, or let that process use eosdb too.
    """


class DamagedDatabaseError(StorageError):
    """The database's file is damaged, so that it is not safe to use.

    Its pages contradict one another, as after a copy that was made while it was written, or on a
    worn-out memory card. Restore a backup, or save what can be read with :func:`eosdb.repair`.
    """


class DamagedRecordError(EosdbError, ValueError):
    """A stored value cannot be decoded. The other records are unaffected.

    Export or repair the value, or delete its record to replace it.

    Attributes:
        namespace: Namespace that holds the value; `None` where only the bytes are at hand.
        key: Key of the value, such as `20241027T113456Z`; `None` where only the bytes are at hand.
        cause: What the decoder found, if more is known than the message says.
    """

    def __init__(
        self,
        message: str,
        *,
        namespace: str | None = None,
        key: str | None = None,
        cause: str | None = None,
    ) -> None:
        """Describe the damaged value.

        Args:
            message: Where the damage is, what it is and what to do about it.
            namespace: Namespace that holds the value.
            key: Key of the value.
            cause: What the decoder found.
        """
        super().__init__(message)
        self.namespace = namespace
        self.key = key
        self.cause = cause


class LoadPhaseError(EosdbError, RuntimeError):
    """The load phase of a sequence does not permit the operation.

    Reset the sequence's state to start again from what is stored.
    """


class IntervalError(InvalidArgumentError, ZeroDivisionError, OverflowError):
    """An interval is shorter than a second, or not finite. Give at least one second."""


class MissingDependencyError(EosdbError, ImportError):
    """A library that eosdb does not need by itself is not installed, such as pandas."""


class TimestampRangeError(EosdbError, ValueError):
    """An instant lies outside the years 1 to 9999 (UTC) that a key can hold.

    Check the unit of the number: epoch values are seconds, not milliseconds.
    """


class UnknownEosError(EosdbError, RuntimeError):
    """The Akkudoktor-EOS at hand is none that eosdb can stand in for, or it has begun already."""
