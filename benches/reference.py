"""A plain Python record sequence over LMDB, to measure eosdb against.

Akkudoktor-EOS keeps its records the way this module does: each row is a validated pydantic model
stamped with a pendulum time, found through sorted lists of formatted time stamps, and stored as
one pickled, gzipped value per row. The module is written to cost per record what that design
costs there, with the same data on disk, so that the benchmark runs without an installation of
Akkudoktor-EOS. It is a yardstick, not a library: it covers what the benchmark times and keeps the
weaknesses of the design, an LMDB environment that is never synced among them.
"""

from __future__ import annotations

import bisect
import enum
import gzip
import logging
import pickle
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import lmdb
import pendulum
from pendulum.tz.local_timezone import get_local_timezone
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator
from pydantic_extra_types.pendulum_dt import DateTime

METADATA_KEY = b"__metadata__"
MAP_SIZE_BYTES = 10 * 1024**3
MAX_NAMESPACES = 128
GZIP_MAGIC = b"\x1f\x8b"

logger = logging.getLogger(__name__)


class Phase(enum.Enum):
    """How much of the storage a sequence has read."""

    NONE = enum.auto()
    PART = enum.auto()
    FULL = enum.auto()


def to_local(moment: Any) -> Any:
    """Return a moment as a pendulum time in the machine's time zone.

    Args:
        moment: A pendulum time.

    Returns:
        The same instant in local time.
    """
    zone = get_local_timezone()
    local = moment.in_timezone(zone)
    # EOS formats a line like this at each conversion, whether or not anything reads its log.
    logger.debug(f"{zone} from {moment} in {moment.timezone} to {local} in {local.tz}")
    return local


class Stamp(str):
    """A UTC second as sortable text, `20241027T113456Z`."""

    __slots__ = ()

    @classmethod
    def from_datetime(cls, moment: Any) -> Stamp:
        """Format a time.

        Args:
            moment: A pendulum time with a zone.

        Returns:
            Its UTC second.

        Raises:
            ValueError: If the time has no zone.
        """
        if moment.tz is None:
            raise ValueError("a time without a zone has no place in a sequence")
        return cls(moment.in_timezone("UTC").format("YYYYMMDDTHHmmss[Z]"))

    def to_datetime(self) -> Any:
        """Parse the text back to a pendulum time in UTC."""
        return pendulum.parse(self)

    def following(self) -> Stamp:
        """Return the next second."""
        return Stamp.from_datetime(self.to_datetime().add(seconds=1))


# Every stamp lies between the two.
FIRST = Stamp("")
LAST = Stamp("~")


class ReferenceRecord(BaseModel):
    """One row: a time, the fields of a derived class, and values under configured keys."""

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        use_enum_values=True,
        validate_assignment=True,
        populate_by_name=True,
    )

    date_time: DateTime | None = None
    configured_data: dict[str, Any] = Field(default_factory=dict)

    _identity: str = PrivateAttr(default_factory=lambda: str(uuid.uuid4()))

    @classmethod
    def configured_data_keys(cls) -> list[str] | None:
        """Return the keys that are stored in `configured_data`; a derived class names them."""
        return None

    @model_validator(mode="before")
    @classmethod
    def _gather_configured(cls, values: Any) -> Any:
        """Move configured keys given as arguments into `configured_data`."""
        if not isinstance(values, dict):
            return values
        keys = cls.configured_data_keys() or ()
        found = {key: values.pop(key) for key in list(values) if key in keys}
        if found:
            values.setdefault("configured_data", {}).update(found)
        return values

    @field_validator("date_time", mode="before")
    @classmethod
    def _localize(cls, moment: Any) -> Any:
        return None if moment is None else to_local(moment)

    def __hash__(self) -> int:
        """Hash by identity, as records are mutable."""
        return hash(self._identity)

    def __eq__(self, other: object) -> bool:
        """Compare by content."""
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.model_dump() == other.model_dump()

    def __getitem__(self, key: str) -> Any:
        """Return the value of a field or configured key.

        Raises:
            KeyError: If there is no such key.
        """
        if key in type(self).model_fields:
            return getattr(self, key)
        if key in self.configured_data or key in (self.configured_data_keys() or ()):
            return self.configured_data.get(key)
        raise KeyError(key)


class ReferenceLmdb:
    """An LMDB environment opened as EOS opens it: a write map, never synced."""

    def __init__(self, path: Path, compression_level: int = 9) -> None:
        """Name an environment without opening it.

        Args:
            path: The directory of the environment.
            compression_level: The gzip level of values; 0 stores them as they are.
        """
        self.path = path
        self.compression_level = compression_level
        self._environment: lmdb.Environment | None = None
        self._namespaces: dict[str, Any] = {}
        self._lock = Lock()

    @property
    def is_open(self) -> bool:
        """Whether the environment is open."""
        return self._environment is not None

    @property
    def environment(self) -> lmdb.Environment:
        """The open environment.

        Raises:
            RuntimeError: If it is closed.
        """
        if self._environment is None:
            raise RuntimeError(f"the database in {self.path} is closed")
        return self._environment

    def open(self) -> None:
        """Open the environment, making its directory where there is none."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._environment = lmdb.open(
            str(self.path),
            map_size=MAP_SIZE_BYTES,
            max_dbs=MAX_NAMESPACES,
            writemap=True,
            map_async=True,
            metasync=False,
            sync=False,
        )

    def close(self) -> None:
        """Close the environment."""
        self.environment.close()
        self._environment = None
        self._namespaces.clear()

    def _namespace(self, name: str) -> Any:
        if name not in self._namespaces:
            self._namespaces[name] = self.environment.open_db(name.encode())
        return self._namespaces[name]

    def encode(self, data: bytes) -> bytes:
        """Compress a value where a level is set."""
        if self.compression_level:
            return gzip.compress(data, compresslevel=self.compression_level)
        return data

    def decode(self, data: bytes) -> bytes:
        """Undo `encode`, whatever level the value was written with."""
        return gzip.decompress(data) if data[:2] == GZIP_MAGIC else data

    def put(self, namespace: str, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Write rows in one transaction."""
        handle = self._namespace(namespace)
        with self._lock, self.environment.begin(write=True) as transaction:
            for key, value in rows:
                transaction.put(key, value, db=handle)

    def remove(self, namespace: str, keys: Iterable[bytes]) -> None:
        """Delete rows in one transaction."""
        handle = self._namespace(namespace)
        with self._lock, self.environment.begin(write=True) as transaction:
            for key in keys:
                transaction.delete(key, db=handle)

    def scan(
        self, namespace: str, start: bytes, end: bytes, *, backwards: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """Copy the rows with keys in [start, end), so that no transaction stays open.

        Args:
            namespace: Which named database.
            start: The first key that counts.
            end: The first key that does not.
            backwards: Whether to return the rows in descending order.

        Returns:
            Keys and stored values.
        """
        handle = self._namespace(namespace)
        found: list[tuple[bytes, bytes]] = []
        with self.environment.begin() as transaction:
            cursor = transaction.cursor(handle)
            if backwards:
                step = cursor.prev
                there = cursor.prev() if cursor.set_range(end) else cursor.last()
            else:
                step = cursor.next
                there = cursor.set_range(start)
            while there:
                key = cursor.key()
                value = cursor.value()
                if not start <= key < end:
                    break
                if key != METADATA_KEY:
                    found.append((key, value))
                there = step()
        return found

    def count(self, namespace: str) -> int:
        """Count the rows by walking over them."""
        handle = self._namespace(namespace)
        metadata = METADATA_KEY
        total = 0
        with self.environment.begin() as transaction:
            cursor = transaction.cursor(handle)
            there = cursor.first()
            while there:
                if cursor.key() != metadata:
                    total += 1
                there = cursor.next()
        return total


class ReferenceSequence:
    """Records in order of time, read from storage when first needed."""

    def __init__(
        self, record_class: type[ReferenceRecord], store: ReferenceLmdb, namespace: str
    ) -> None:
        """Make an empty sequence.

        Args:
            record_class: The class of the records.
            store: Where they are kept; it must be open.
            namespace: The named database of this sequence.
        """
        self._record_class = record_class
        self._store = store
        self._name = namespace
        self.records: list[ReferenceRecord] = []
        self.phase = Phase.NONE
        self._stamps: list[Stamp] = []
        self._by_stamp: dict[Stamp, ReferenceRecord] = {}
        self._read: tuple[Stamp, Stamp] | None = None
        self._changed: set[Stamp] = set()
        self._added: set[Stamp] = set()
        self._deleted: set[Stamp] = set()

    def record_class(self) -> type[ReferenceRecord]:
        """Return the class of the records, after proving on an instance that it is one."""
        if not isinstance(self._record_class(), ReferenceRecord):
            raise TypeError(f"{self._record_class} is no class of records")
        return self._record_class

    def _encode(self, record: ReferenceRecord) -> bytes:
        return self._store.encode(pickle.dumps(record.model_dump(), pickle.HIGHEST_PROTOCOL))

    def _decode(self, value: bytes) -> ReferenceRecord:
        fields = pickle.loads(self._store.decode(value))
        return self.record_class()(**fields)

    def _place(self, stamp: Stamp, record: ReferenceRecord) -> None:
        index = bisect.bisect_left(self._stamps, stamp)
        self._stamps.insert(index, stamp)
        self.records.insert(index, record)
        self._by_stamp[stamp] = record

    def _with_neighbours(self, start: Stamp, end: Stamp) -> tuple[Stamp, Stamp]:
        """Widen a range by the stored row on each side that lies outside of memory."""
        if not self._stamps:
            return start, end
        if FIRST < start < self._stamps[0]:
            for key, _ in self._store.scan(self._name, b"", start.encode(), backwards=True):
                stamp = Stamp(key.decode())
                if stamp not in self._deleted:
                    start = stamp
                    break
        if LAST > end > self._stamps[-1]:
            for key, _ in self._store.scan(self._name, end.encode(), LAST.encode()):
                stamp = Stamp(key.decode())
                if stamp not in self._deleted:
                    end = stamp
                    break
        return start, end

    def db_load_records(self, start: Stamp = FIRST, end: Stamp = LAST) -> int:
        """Read the stored rows of [start, end) that memory does not have.

        Returns:
            How many rows were new.
        """
        start, end = self._with_neighbours(start, end)
        loaded = 0
        for _, value in self._store.scan(self._name, start.encode(), end.encode()):
            record = self._decode(value)
            stamp = Stamp.from_datetime(record.date_time)
            if stamp in self._deleted or stamp in self._by_stamp:
                continue
            self._place(stamp, record)
            loaded += 1
        if self._read is not None:
            start, end = min(start, self._read[0]), max(end, self._read[1])
        self._read = start, end
        return loaded

    def _ensure_loaded(self, start: Stamp = FIRST, end: Stamp = LAST) -> None:
        if not self._store.is_open or self.phase is Phase.FULL:
            return
        if self._stamps and self._stamps[0] < start and self._stamps[-1] >= end:
            return
        if self.phase is Phase.NONE or self._read is None:
            self.db_load_records(start, end)
            self.phase = Phase.PART
            return
        first, last = self._read
        if start < first:
            self.db_load_records(start, first)
        if end > last:
            self.db_load_records(last, end)

    def load(self) -> bool:
        """Read everything; return whether that brought anything new."""
        return self.db_load_records() > 0

    def db_insert_record(self, record: ReferenceRecord) -> None:
        """Add a record.

        Raises:
            ValueError: If there is one at its second.
        """
        stamp = Stamp.from_datetime(record.date_time)
        self._ensure_loaded(stamp, stamp)
        if stamp in self._by_stamp:
            raise ValueError(f"there is a record at {stamp}")
        self._deleted.discard(stamp)
        self._place(stamp, record)
        self._changed.add(stamp)
        self._added.add(stamp)

    def db_save_records(self) -> int:
        """Write what was added or changed, delete what was deleted; return how many rows."""
        rows = [(stamp.encode(), self._encode(self._by_stamp[stamp])) for stamp in self._changed]
        if rows:
            self._store.put(self._name, rows)
        if self._deleted:
            self._store.remove(self._name, [stamp.encode() for stamp in self._deleted])
        total = len(rows) + len(self._deleted)
        self._changed.clear()
        self._added.clear()
        self._deleted.clear()
        return total

    def get_by_datetime(self, moment: Any) -> ReferenceRecord | None:
        """Return the record at a moment, if there is one."""
        stamp = Stamp.from_datetime(moment)
        self._ensure_loaded(stamp, stamp.following())
        return self._by_stamp.get(stamp)

    def get_nearest_by_datetime(
        self, moment: Any, window: pendulum.Duration | None = None
    ) -> ReferenceRecord | None:
        """Return the record nearest to a moment; of two, the later one.

        Args:
            moment: A pendulum time with a zone.
            window: The width to search in, half of it on each side; None searches everywhere.
        """
        stamp = Stamp.from_datetime(moment)
        if window is None:
            self._ensure_loaded()
        else:
            centre = stamp.to_datetime()
            half = window / 2
            self._ensure_loaded(
                Stamp.from_datetime(centre - half), Stamp.from_datetime(centre + half)
            )
        if stamp in self._by_stamp:
            return self._by_stamp[stamp]
        index = bisect.bisect_left(self._stamps, stamp)
        candidates = self.records[index : index + 1] + self.records[max(index - 1, 0) : index]
        if not candidates:
            return None

        def distance(record: ReferenceRecord) -> float:
            seconds: float = (record.date_time - stamp.to_datetime()).total_seconds()
            return abs(seconds)

        nearest = min(candidates, key=distance)
        if window is not None and distance(nearest) > window.total_seconds() / 2:
            return None
        return nearest

    def db_iterate_records(
        self, start: Stamp = FIRST, end: Stamp = LAST
    ) -> Iterator[ReferenceRecord]:
        """Yield the records of [start, end), formatting the time of each to compare it."""
        self._ensure_loaded(start, end)
        for record in self.records:
            stamp = Stamp.from_datetime(record.date_time)
            if stamp < start:
                continue
            if stamp >= end:
                break
            if stamp not in self._deleted:
                yield record

    def db_count_records(self) -> int:
        """Count the records: those in storage, and what is not saved yet."""
        if self.phase is Phase.FULL:
            return len(self.records)
        return self._store.count(self._name) + len(self._added) - len(self._deleted)

    def delete_by_datetime(self, start: Any = None, end: Any = None) -> int:
        """Delete the records of [start, end); None leaves a side open.

        Returns:
            How many records were deleted.
        """
        first = FIRST if start is None else Stamp.from_datetime(start)
        last = LAST if end is None else Stamp.from_datetime(end)
        self._ensure_loaded(first, last)
        doomed = [stamp for stamp in self._stamps if first <= stamp < last]
        for stamp in doomed:
            record = self._by_stamp.pop(stamp)
            self._stamps.pop(bisect.bisect_left(self._stamps, stamp))
            self.records.remove(record)
            self._deleted.add(stamp)
            self._changed.discard(stamp)
            self._added.discard(stamp)
        return len(doomed)
