"""The native core of eosdb. Everything here is used through the classes of `eosdb`."""

from collections.abc import Iterator
from datetime import datetime, tzinfo
from os import PathLike
from typing import Any, final

import numpy as np
from typing_extensions import disjoint_base

from .timestamps import DatabaseTimestamp

__all__ = [
    "ArrowTable",
    "Compaction",
    "Faults",
    "RecordClass",
    "RecordIterator",
    "RecordsBase",
    "SequenceState",
    "Store",
    "arrow_table",
    "enter",
    "gzip_decode",
    "gzip_encode",
    "inspect_metadata",
    "inspect_records",
    "meter_energy",
    "names_in_records",
    "plan_compaction",
    "quarantine",
    "read_metadata",
    "register_type",
    "resample",
    "table",
    "timestamp_of",
    "unpickle",
    "values",
    "write_metadata",
]

def enter(owner: object) -> SequenceState:
    """Return the state of the sequence `owner`, made and brought up to date if need be."""

def gzip_encode(data: bytes, level: int) -> bytes:
    """Compress `data` as a stored value at `level` (0 leaves it as it is)."""

def gzip_decode(data: bytes) -> bytes:
    """Decompress a stored value; data that is not compressed is returned as it is."""

def read_metadata(data: bytes) -> dict[str, Any]:
    """Read metadata: a pickled dictionary of plain values. Nothing in it is executed."""

def timestamp_of(record: object) -> DatabaseTimestamp:
    """Return the timestamp of the second that a record's `date_time` lies in."""

def write_metadata(metadata: dict[str, Any]) -> bytes:
    """Write metadata as a pickle that any Python reads."""

def resample(
    state: SequenceState,
    keys: list[str],
    start: datetime | None,
    end: datetime | None,
    interval: int,
    fill_method: str | None,
    dropna: bool,
    boundary: str,
    align: bool,
    aggregation: str | None,
    now: datetime,
) -> list[np.ndarray[Any, np.dtype[Any]]]:
    """Return for each of `keys` its values in even intervals of `[start, end)`, as an array."""

def values(
    state: SequenceState, key: str, start: object | None, end: object | None, dropna: bool
) -> tuple[list[Any], list[Any]]:
    """Return the dates of the records of `[start, end)` and their values of `key`."""

def table(
    state: SequenceState,
    keys: list[str],
    start: object | None,
    end: object | None,
    dropna: bool,
    dumped: bool,
) -> tuple[np.ndarray[Any, np.dtype[Any]], tzinfo | None, list[Any]] | None:
    """Return the records of `[start, end)` as columns: instants, zone, and values by key."""

def meter_energy(
    state: SequenceState,
    key: str,
    start: datetime | None,
    end: datetime | None,
    interval: int,
    max_gap: int,
    reset_below: float,
    jitter: float,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the increase of the meter `key` in even intervals of `[start, end)`."""

def inspect_records(
    database: object, namespace: str | None, start: bytes | None
) -> tuple[int, int, bytes | None, list[tuple[bytes, str]]]:
    """Return rows looked at, generation, where to go on, and the damaged keys with causes."""

def names_in_records(
    database: object, namespace: str | None, start: bytes | None, end: bytes | None
) -> tuple[set[str], bytes | None]:
    """Return names of values in the first records of `[start, end)`, and where to go on."""

def inspect_metadata(database: object, namespace: str | None) -> str | None:
    """Return why the metadata of a namespace cannot be read, or `None`."""

def quarantine(
    database: object,
    namespace: str | None,
    keys: list[bytes],
    with_metadata: bool,
    generation: int,
) -> int:
    """Move values, and the metadata if asked, into the quarantine; return how many."""

def unpickle(pickle: bytes) -> Any:
    """Return what a pickle of plain data describes; refuse it, unexecuted, if it names more."""

def register_type(module: str, name: str) -> None:
    """Let stored values name the class or function `module.name`."""

def arrow_table(
    state: SequenceState,
    keys: list[tuple[str, str | None]],
    start: object | None,
    end: object | None,
) -> ArrowTable:
    """Return the values of `keys` over `[start, end)`, each with the name of its declared type."""

@final
class ArrowTable:
    """Values of a sequence in the columnar form of Apache Arrow."""

    def __len__(self) -> int: ...
    @property
    def num_rows(self) -> int:
        """The number of rows."""

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, `date_time` first."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the data as a capsule `arrow_array_stream`; libraries call this."""

    def __arrow_c_schema__(self) -> object:
        """Return the schema as a capsule `arrow_schema`; libraries call this."""

@final
class RecordClass:
    """The way from rows to records of one class, and back."""

    def __new__(
        cls,
        class_: type[Any],
        fields: list[tuple[str, int]] | None,
        *,
        initializes: bool,
        zone: str | None,
    ) -> RecordClass: ...
    @staticmethod
    def of_dictionaries(class_: type[Any], zone: str | None) -> RecordClass:
        """Return a record class whose records are dictionaries with any fields."""

    def read(self, time: int, pickle: bytes) -> Any:
        """Return the record that a pickle describes, at the second `time`."""

    def write(self, record: Any) -> bytes:
        """Return the pickle of a record."""

@final
class RecordIterator(Iterator[Any]):
    """An iterator over the known records of a span."""

    def __iter__(self) -> RecordIterator: ...
    def __next__(self) -> Any: ...

@disjoint_base
class RecordsBase:
    """What ties a list of records to the state it shows."""

    def __new__(cls, state: SequenceState) -> RecordsBase: ...
    @property
    def state(self) -> SequenceState:
        """The state that the list shows."""

@final
class SequenceState:
    """The state of one sequence: its known rows and what is pending."""

    def __new__(cls) -> SequenceState: ...

    database: Any | None
    """The database that was assigned to the sequence; pickles leave it out."""

    # Lookups
    def get(self, target: object) -> Any | None:
        """Return the record at the instant `target`, or None."""

    def get_at_hand(self, target: object) -> Any:
        """Return the record at `target`, or None; NotImplemented if that would read or wait."""

    def nearest(self, target: object, reach: int | None) -> Any | None:
        """Return the record nearest to `target`, at most `reach` microseconds away, or None."""

    def neighbor(self, target: object, backwards: bool) -> DatabaseTimestamp | None:
        """Return the timestamp of the record before `target`, or of the one after it."""

    def range(self) -> tuple[DatabaseTimestamp | None, DatabaseTimestamp | None]:
        """Return the timestamps of the first and the last record, None if there is none."""

    def count(self) -> int:
        """Return how many records there are, loaded or not."""

    # Changes
    def insert(self, record: Any, mark_dirty: bool) -> None:
        """Add `record`; unless `mark_dirty` it is not saved."""

    def insert_at_hand(self, record: Any, mark_dirty: bool) -> bool:
        """Do as `insert` and return True, if that can be done without reading or waiting."""

    def mark_dirty(self, target: object) -> bool:
        """Mark the live record at `target` to be saved; tell whether there is one."""

    def mark_dirty_at_hand(self, target: object) -> bool:
        """Do as `mark_dirty` and return True, if that can be done without waiting."""

    def is_saved_at_hand(self) -> bool:
        """Tell whether it is known, without waiting, that there is nothing to save."""

    def delete(self, start: object | None, end: object | None) -> int:
        """Delete the records of `[start, end)`; return how many there were."""

    def delete_known(self, target: object) -> None:
        """Delete the known record at the instant of `target`."""

    # Loading
    def load(self, start: object | None, end: object | None) -> int:
        """Make the records of `[start, end)` known; return how many became known."""

    def refresh(self) -> None:
        """Read again what anybody else may have changed in storage."""

    @property
    def is_current(self) -> bool:
        """Whether storage is as it was when what is known of it was read."""

    def covers(self, start: object | None, end: object | None) -> bool:
        """Tell whether all of `[start, end)` was read from storage."""

    @property
    def loaded_range(self) -> tuple[DatabaseTimestamp, DatabaseTimestamp] | None:
        """The smallest range that holds everything read from storage, None if nothing was."""

    phase: int
    """How far loading has come: 0 nothing, 1 a window, 2 everything."""

    storage_initialized: bool
    """Whether the metadata of the storage was read."""

    metadata_saved: bool
    """Whether storage holds metadata of the namespace."""

    @property
    def guard(self) -> Any:
        """The reentrant lock for who reads the metadata first, and for who saves."""

    is_beginning: bool
    """Whether the thread that holds the guard is reading the metadata."""

    @property
    def plain_keys(self) -> list[str] | None:
        """The fields of the records if all are plain: stored values are their values; else None."""

    # Known rows
    def __len__(self) -> int: ...
    def at(self, position: int) -> Any:
        """Return the known record at `position`, which must be less than the length."""

    def position(self, target: object) -> int:
        """Return the position that a record at the instant of `target` has or would have."""

    def knows(self, target: object) -> bool:
        """Tell whether a known record lies at the instant of `target`."""

    def iterate(self, start: object | None, end: object | None) -> RecordIterator:
        """Iterate over the known records of `[start, end)`."""

    def timestamps_known(self) -> list[DatabaseTimestamp]:
        """Return the timestamps of the known records, sorted."""

    def timestamp_at(self, position: int) -> DatabaseTimestamp:
        """Return the timestamp of the known record at `position`."""

    def timestamps_marked(self, mark: str) -> list[DatabaseTimestamp]:
        """Return the timestamps that carry a mark: "dirty", "new" or "deleted"; sorted."""

    def clear_marks(self, mark: str) -> None:
        """Take back every mark of this kind; see `timestamps_marked`."""

    def damaged(self) -> list[tuple[str, str]]:
        """Return (timestamp, cause) of damaged values, and (key, cause) of foreign keys."""

    def clear(self) -> None:
        """Forget every known record, saved or not; deletions stay pending."""

    def forget_loaded(self) -> None:
        """Forget everything that came from storage; what is pending stays."""

    def extent(self, start: Any, end: Any) -> tuple[int, int]:
        """Return how many records `[start, end)` has, and the bytes of their stored values."""

    @property
    def is_native(self) -> bool:
        """Whether the database is a store of the core."""

    # Saving and copies
    def save(self, metadata: bytes | None) -> int:
        """Save what is pending, with `metadata`, in one transaction; return how many rows."""

    def fork(self) -> SequenceState:
        """Return a state of its own with the same rows and marks; live records are shared."""

    def __deepcopy__(self, memo: dict[int, Any]) -> SequenceState: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __setstate__(self, state: tuple[list[Any], list[int], list[int], int]) -> None: ...

@final
class Compaction:
    """A planned compaction."""

    tiers: list[tuple[Any, ...]]
    """What each tier does, from the finest to the coarsest; see `TierReport.of`."""

    cutoffs: dict[int, int]
    """Up to where each tier, by its interval, has compacted afterwards."""

    replaced: int
    """How many rows are deleted or replaced."""

    def rows(self) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
        """Return the rows to write, as keys and stored values, and the keys to delete."""

    def commit(self, state: SequenceState, metadata: bytes) -> None:
        """Commit it, with `metadata`, in one transaction; once."""

def plan_compaction(state: SequenceState, request: object) -> Compaction | None:
    """Plan a compaction as `request` asks for it; `None` if nothing is due."""

@final
class Store:
    """A store of the core: namespaces of ordered keys and values."""

    @staticmethod
    def lmdb(
        path: str | PathLike[str], max_map_size: int, durability: str, read_only: bool
    ) -> Store:
        """Open the LMDB environment in the directory `path`, creating it unless `read_only`."""

    @staticmethod
    def lmdb_is_open(path: str | PathLike[str]) -> bool:
        """Tell whether this process has the LMDB environment in the directory `path` open."""

    @staticmethod
    def network_file_system(path: str | PathLike[str]) -> str | None:
        """Return the name of the file system of `path` if other machines may use it too."""

    @staticmethod
    def lmdb_damage(path: str | PathLike[str]) -> list[tuple[int, str]]:
        """List the damaged places of the file in `path`: page and cause."""

    @staticmethod
    def lmdb_salvage(
        source: str | PathLike[str], target: str | PathLike[str]
    ) -> tuple[dict[str | None, int], list[tuple[int, str]]]:
        """Write what can be read of `source` into `target`; return records and losses."""

    @staticmethod
    def sqlite(
        path: str | PathLike[str], durability: str, read_only: bool, timeout: float
    ) -> Store:
        """Open the SQLite file in the directory `path`, creating it unless `read_only`.

        `timeout` is for how many seconds a commit waits for others.
        """

    @staticmethod
    def sqlite_is_database(file: str | PathLike[str]) -> bool:
        """Tell whether `file` is an SQLite file."""

    @staticmethod
    def sqlite_damage(path: str | PathLike[str]) -> list[tuple[int, str]]:
        """List the damaged places of the file in `path`: page, 0 if not known, and cause."""

    @staticmethod
    def sqlite_salvage(
        source: str | PathLike[str], target: str | PathLike[str]
    ) -> tuple[dict[str | None, int], list[tuple[int, str]]]:
        """Write what can be read of `source` into `target`; return records and losses."""

    @staticmethod
    def sqlite_compact(path: str | PathLike[str], timeout: float) -> None:
        """Write the file in the directory `path` anew, without free pages."""

    @staticmethod
    def memory() -> Store:
        """Make an empty store in memory."""

    @staticmethod
    def none() -> Store:
        """Make an empty store that stands for none: what another one had is forgotten for it."""

    @property
    def is_open(self) -> bool:
        """Whether the store is open."""

    @property
    def read_only(self) -> bool:
        """Whether the store refuses changes."""

    def close(self) -> None:
        """Close the store; closing twice is no error."""

    def sync(self) -> None:
        """Bring everything committed so far to disk."""

    def save(
        self, namespace: str | None, records: list[tuple[bytes, bytes]], any_keys: bool
    ) -> int:
        """Write `records` in one transaction; return how many. Keys are timestamps, or any."""

    def delete(self, namespace: str | None, keys: list[bytes]) -> int:
        """Delete `keys` in one transaction; return how many existed."""

    def set_metadata(self, namespace: str | None, metadata: bytes | None) -> None:
        """Replace the namespace's metadata; `None` deletes it."""

    def metadata(self, namespace: str | None) -> bytes | None:
        """Return the namespace's metadata."""

    def scan(
        self, namespace: str | None, start: bytes | None, end: bytes | None, reverse: bool
    ) -> list[tuple[bytes, bytes]]:
        """Return the records of `[start, end)` with their keys, from one snapshot."""

    def count(self, namespace: str | None, start: bytes | None, end: bytes | None) -> int:
        """Count the records of `[start, end)`."""

    def key_range(self, namespace: str | None) -> tuple[bytes, bytes] | None:
        """Return the first and the last key, `None` where there is no record."""

    def namespaces(self) -> list[str]:
        """List the namespaces, sorted, without the unnamed one."""

    def foreign(self) -> list[tuple[bytes, bytes, str]]:
        """List what belongs to no namespace: namespace, key and what it is."""

    def stats(self, namespace: str | None) -> dict[str, int]:
        """Return figures about the namespace."""

    def copy_to(self, target: str | PathLike[str], compact: bool) -> None:
        """Write a consistent copy into the directory `target`, without free pages if `compact`."""

@final
class Faults:
    """What goes wrong in the stores that share it, and what was asked of them; see `testing`."""

    def __new__(cls) -> Faults: ...
    def wrap(self, store: Store, durability: str) -> Store:
        """Return a store that does what `store` does, unless it is to fail."""

    def fail(
        self,
        on: str,
        after: int,
        repeatedly: bool,
        applied: bool,
        error: BaseException,
    ) -> None:
        """Let an operation of the kind `on` fail, after `after` others, by raising `error`."""

    def heal(self) -> None:
        """Let everything work again."""

    def limit_space(self, size: int | None) -> None:
        """Let commits fail that write more than `size` bytes from now on; `None` lifts it."""

    def freeze(self, after_commits: int) -> None:
        """Cut the power when so many more commits have been acknowledged."""

    def disk_image(self, target: str | PathLike[str]) -> None:
        """Write into the directory `target` what is on the disk, or would be after a cut now."""

    @property
    def operations(self) -> list[tuple[str, str | None]]:
        """The operations so far, each with its namespace."""
