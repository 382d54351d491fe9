"""Databases as notebooks see them: opened beside the running writer, without any record class."""

from __future__ import annotations

import datetime
import difflib
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

from pendulum.tz.timezone import Timezone

from . import _core, plotting
from .datetimes import DateTime, to_datetime, to_zone
from .errors import ArgumentTypeError, DatabaseClosedError, InvalidArgumentError, UnknownKeyError
from .frames import Frames, index_of, pandas_module
from .native_database import NativeDatabase
from .opening import database_at
from .reading import Array
from .stored_sequence import StoredSequence, zone_of_newest
from .summaries import database_view_html, namespace_html, time_text
from .timestamps import DatabaseTimestamp, _DatabaseTimestampUnbound

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from .mixin import DatabaseRecordProtocolMixin

__all__ = ["DatabaseView", "NamespaceView", "open"]

_NOT_SHOWN: Final = "eosdb_quarantine"
"""The namespace that holds no records, but what could not be read of others."""


def open(  # noqa: A001  # as gzip.open: it is called eosdb.open
    path: str | os.PathLike[str],
    readonly: bool = True,
    *,
    timezone: str | datetime.tzinfo | None = None,
) -> DatabaseView:
    """Open a database to look at what it holds, while another process may write to it.

    No record class is needed: the records tell their keys. What the writer commits is seen by the
    next call; nothing need be reopened.

    Args:
        path: The directory of the database, its file, or a data folder of Akkudoktor-EOS.
        readonly: Whether the database refuses changes. If false, `database` can be written with the
            record classes of an application; the view itself only reads.
        timezone: The zone that times are shown in, and that text without an offset is in. By
            default it is that of the newest record of each namespace, which is the home's: old
            records may be in UTC, since Akkudoktor-EOS's compaction leaves them so.

    Returns:
        The namespaces by name. It is closed by `close()`, at the end of a `with` block, or when
        nobody refers to it any longer.

    Raises:
        StorageError: If there is no database, or it cannot be opened.
        InvalidArgumentError: If the zone is unknown, or has no name.

    Example:
        >>> from tempfile import mkdtemp
        >>> from eosdb import LMDBDatabase
        >>> folder = mkdtemp()
        >>> with LMDBDatabase(folder) as db:
        ...     db.save_records([(b"20260101T000000Z", b"value")], "house")
        1
        >>> with open(folder) as view:
        ...     print(list(view), len(view["house"]))
        ['house'] 1
    """
    zone = None if timezone is None else to_zone(timezone)
    if not isinstance(zone, Timezone | None):
        raise InvalidArgumentError(
            f"{timezone!r} is a fixed offset: name a zone such as 'Europe/Berlin' or 'UTC'"
        )
    return DatabaseView(database_at(path, read_only=readonly), zone)


class DatabaseView(Mapping[str, "NamespaceView"]):
    """The namespaces of an open database by name; see :func:`eosdb.open`.

    A forked child opens the database anew by itself.

    Attributes:
        timezone: The zone that times are shown in; `None` for that of each namespace's newest
            record.
    """

    def __init__(self, database: NativeDatabase, timezone: Timezone | None = None) -> None:
        """Open a database.

        Args:
            database: The database. The view closes it.
            timezone: The zone that times are shown in; `None` for that of each namespace's newest
                record.
        """
        database.open()
        self.timezone = timezone
        self._database = database
        self._sequences: dict[str, StoredSequence] = {}
        self._process = os.getpid()
        # Nothing that refers to the view, so that it can go.
        self._close = weakref.finalize(self, database.close)

    @property
    def database(self) -> NativeDatabase:
        """The database.

        Raises:
            DatabaseClosedError: If the view is closed.
        """
        if not self._close.alive:
            raise DatabaseClosedError(f"'{self.path}' is closed: open it again by eosdb.open()")
        if self._process != os.getpid():
            self._sequences = {}
            self._process = os.getpid()
            self._database.open()
        return self._database

    @property
    def path(self) -> Path:
        """Where the database lies."""
        return self._database.storage_path

    @property
    def is_open(self) -> bool:
        """Whether the view is open."""
        return self._close.alive

    def close(self) -> None:
        """Close the database; nothing happens if it is closed."""
        self._close()

    def __enter__(self) -> Self:
        """Return the view, which is open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the database."""
        self.close()

    # ---- mapping ---------------------------------------------------------------------------

    def __contains__(self, namespace: object) -> bool:
        """Whether there is a namespace of this name."""
        return namespace in list(self)

    def __getitem__(self, namespace: str) -> NamespaceView:
        """Return a namespace.

        Raises:
            UnknownKeyError: If there is none of this name.
        """
        if not isinstance(namespace, str):
            raise ArgumentTypeError(f"a namespace must be a str, not {namespace!r}")
        names = list(self)
        if namespace not in names:
            raise unknown("namespace", namespace, names, f"'{self.path}'")
        return NamespaceView(self, namespace)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the namespaces, sorted."""
        return iter([name for name in self.database.namespaces() if name != _NOT_SHOWN])

    def _ipython_key_completions_(self) -> list[str]:
        """Return what a notebook may complete `view["` to."""
        return list(self)

    def __len__(self) -> int:
        """Return how many namespaces there are."""
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        """Return true: an empty database is one all the same."""
        return True

    def __repr__(self) -> str:
        if not self.is_open:
            return f"<{type(self).__name__} {str(self.path)!r} (closed)>"
        records = sum(len(namespace) for namespace in self.values())
        return f"<{type(self).__name__} {str(self.path)!r}: {records:,} records in {list(self)}>"

    def _repr_html_(self) -> str:
        return database_view_html(self)

    def _sequence(self, namespace: str) -> StoredSequence:
        database = self.database
        sequence = self._sequences.get(namespace)
        if sequence is None:
            zone = self.timezone or zone_of_newest(database, namespace)
            sequence = StoredSequence(database, namespace, zone)
            if sequence.db_count_records():  # else there is no record yet that tells the zone
                # Another thread may have been faster.
                sequence = self._sequences.setdefault(namespace, sequence)
        sequence.forget_what_changed()
        return sequence


class NamespaceView(Frames):
    """The records of one namespace, to be read by key; see :func:`eosdb.open`.

    The methods that take bounds also take text in ISO 8601, such as `"2026-01-01"`. A call reads
    the window it asks for, however long the history is. What cannot be decoded is reported to the
    log and left out.

    Attributes:
        namespace: The name of the namespace.
    """

    def __init__(self, view: DatabaseView, namespace: str) -> None:
        """Refer to a namespace.

        Args:
            view: The view of the database.
            namespace: The name of the namespace.
        """
        self._view = view
        self.namespace = namespace

    @property
    def _stored(self) -> StoredSequence:
        return self._view._sequence(self.namespace)

    @property
    def _sequence(self) -> DatabaseRecordProtocolMixin[Any]:
        return self._stored

    # ---- what there is ---------------------------------------------------------------------

    def __len__(self) -> int:
        """Return how many records there are, readable or not. None is read."""
        return self._sequence.db_count_records()

    def __bool__(self) -> bool:
        """Return true: an empty namespace is one all the same."""
        return True

    def __repr__(self) -> str:
        if not self._view.is_open:
            return f"<{type(self).__name__} {self.namespace!r} of {str(self.path)!r} (closed)>"
        ends = (self.min_datetime, self.max_datetime)
        first, last = (time_text(end) for end in ends)
        return (
            f"<{type(self).__name__} {self.namespace!r}: {len(self):,} records, {first} to {last}>"
        )

    def _repr_html_(self) -> str | None:
        return namespace_html(self) if self._view.is_open else None

    @property
    def path(self) -> Path:
        """Where the database lies."""
        return self._view.path

    @property
    def timezone(self) -> Timezone | None:
        """The zone that times are shown in: the view's, or that of the newest record.

        It is `None` while there is no record, and for the newest one's zone if that has no name.
        """
        return self._stored.zone

    @property
    def min_datetime(self) -> DateTime | None:
        """The time of the first record, in :attr:`timezone` or UTC; `None` if there is none."""
        return self._shown(self._sequence.db_timestamp_range()[0])

    @property
    def max_datetime(self) -> DateTime | None:
        """The time of the last record, in :attr:`timezone` or UTC; `None` if there is none."""
        return self._shown(self._sequence.db_timestamp_range()[1])

    def _shown(self, timestamp: DatabaseTimestamp | None) -> DateTime | None:
        if timestamp is None:
            return None
        return to_datetime(timestamp.to_datetime(), in_timezone=self.timezone)

    @property
    def keys(self) -> list[str]:
        """The names of the values in all records, sorted; configured ones too.

        All records are looked at, natively and on all cores, which takes seconds for a million;
        again only after somebody has written.
        """
        return sorted(self._stored.all_names())

    def keys_between(
        self,
        start_datetime: datetime.datetime | str | None = None,
        end_datetime: datetime.datetime | str | None = None,
    ) -> list[str]:
        """Return the names of the values in the records of `[start_datetime, end_datetime)`.

        Args:
            start_datetime: The first instant inside; `None` is no bound.
            end_datetime: The first instant outside; `None` is no bound.

        Returns:
            The names, sorted.

        Raises:
            NaiveDatetimeError: If a bound has no time zone.
        """
        start, end = self._instant(start_datetime), self._instant(end_datetime)
        if start is None and end is None:
            return self.keys
        return sorted(self._stored.names_between(_key(start), _key(end)))

    # ---- drawing ---------------------------------------------------------------------------

    def plot(
        self,
        keys: Iterable[str] | None = None,
        start_datetime: datetime.datetime | str | None = None,
        end_datetime: datetime.datetime | str | None = None,
        *,
        max_gap: datetime.timedelta | str | float | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw values of `[start_datetime, end_datetime)` as lines over time.

        Args:
            keys: The keys; by default all that have numbers in the window.
            start_datetime: The first instant inside; `None` is no bound.
            end_datetime: The first instant outside; `None` is no bound.
            max_gap: The longest time between two values that a line bridges. By default three
                times what is usual around there, so that compacted records are bridged and an
                outage is not.
            ax: The axes to draw on; a new figure by default.

        Returns:
            The axes, with the time axis in :attr:`timezone`. The `gid` of a line or of the bars is
            its key.

        Raises:
            UnknownKeyError: If there is no such key.
            ArgumentTypeError: If a key that was named has values that are no numbers.
            NaiveDatetimeError: If a bound has no time zone.
            MissingDependencyError: If matplotlib is not installed.
        """
        start, end = self._instant(start_datetime), self._instant(end_datetime)
        asked = None if keys is None else self._keys(start, end, keys)
        return plotting.plot(self, asked, start, end, max_gap, ax)

    def plot_energy(
        self,
        keys: Iterable[str],
        start_datetime: datetime.datetime | str | None = None,
        end_datetime: datetime.datetime | str | None = None,
        interval: datetime.timedelta | str | float = "1 hour",
        *,
        max_gap: datetime.timedelta | str | float | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw the energy that meters counted as bars, by :meth:`key_to_energy`.

        Args:
            keys: The keys of the meters' readings.
            start_datetime: The first instant inside; by default midnight before the first record.
            end_datetime: The first instant outside; `None` ends with the last reading's interval.
            interval: The time of one bar. Whole days begin with the day of :attr:`timezone`, also
                those on which the clock is changed.
            max_gap: The longest time between two readings over which is interpolated; twice the
                interval by default. What is not known has no bar.
            ax: The axes to draw on; a new figure by default.

        Returns:
            The axes, with the time axis in :attr:`timezone`. The `gid` of a line or of the bars is
            its key.

        Raises:
            UnknownKeyError: If there is no such key.
            IntervalError: If the interval or the gap is shorter than a second or not finite.
            InvalidArgumentError: If there would be more than 100,000 bars.
            TimestampRangeError: If the last interval reaches beyond the year 9999.
            ArgumentTypeError: If a key has values, but no numbers.
            NaiveDatetimeError: If a bound has no time zone.
            MissingDependencyError: If matplotlib is not installed.
        """
        start, end = self._instant(start_datetime), self._instant(end_datetime)
        asked = self._keys(start, end, keys)
        return plotting.plot_energy(self, asked, start, end, interval, max_gap, ax)

    # ---- reading ---------------------------------------------------------------------------

    def _instant(self, value: Any) -> datetime.datetime | None:
        if value is None or isinstance(value, datetime.datetime | _DatabaseTimestampUnbound):
            return super()._instant(value)
        return to_datetime(value, in_timezone=self.timezone)

    def _check_keys(self, keys: Iterable[str]) -> None:
        stored = self._stored
        for key in keys:
            if not isinstance(key, str):
                raise ArgumentTypeError(f"a key must be a str, not {key!r}")
            if not stored.has_name(key):
                raise unknown("key", key, self.keys, f"namespace '{self.namespace}'")

    def to_dataframe(
        self,
        start_datetime: datetime.datetime | str | None = None,
        end_datetime: datetime.datetime | str | None = None,
        keys: Iterable[str] | None = None,
    ) -> pd.DataFrame:
        """Return the records of `[start_datetime, end_datetime)` as a pandas frame.

        Args:
            start_datetime: The first instant inside; `None` is no bound.
            end_datetime: The first instant outside; `None` is no bound.
            keys: The keys that become columns; all that the records in the window have, by default.

        Returns:
            A row for each record, indexed by instant, with a column for each key; configured
            values have columns of their own.

        Raises:
            UnknownKeyError: If there is no such key.
            NaiveDatetimeError: If a bound has no time zone.
            MissingDependencyError: If pandas is not installed.
        """
        pandas = pandas_module()
        start, end = self._instant(start_datetime), self._instant(end_datetime)
        asked = self._keys(start, end, keys)
        table = _core.table(self._loaded(start, end), asked, start, end, False, False)
        micros, zone, columns = cast("tuple[Array, Any, list[Any]]", table)
        index = index_of(micros, zone or self.timezone).rename("date_time")
        data = dict(zip(asked, columns, strict=True))
        frame: pd.DataFrame = pandas.DataFrame(data, columns=asked, index=index)
        return frame

    def to_arrow(
        self,
        start_datetime: datetime.datetime | str | None = None,
        end_datetime: datetime.datetime | str | None = None,
        keys: Iterable[str] | None = None,
    ) -> _core.ArrowTable:
        """Return values of `[start_datetime, end_datetime)` for whatever takes Arrow data.

        polars, pyarrow, DuckDB, pandas and others take the table as it is and share its memory;
        none of them is needed to make it.

        Args:
            start_datetime: The first instant inside; `None` is no bound.
            end_datetime: The first instant outside; `None` is no bound.
            keys: The keys; all that the records in the window have, by default.

        Returns:
            A table with a row for each record: first its `date_time`, then a column for each key.

        Raises:
            UnknownKeyError: If there is no such key.
            InvalidArgumentError: If a key has a NUL.
            NaiveDatetimeError: If a bound has no time zone.
        """
        start, end = self._instant(start_datetime), self._instant(end_datetime)
        return super().to_arrow(start, end, self._keys(start, end, keys))

    def _keys(
        self,
        start: datetime.datetime | None,
        end: datetime.datetime | None,
        keys: Iterable[str] | None,
    ) -> list[str]:
        """Return the keys that are asked for; where none are, those between two instants."""
        if keys is None:
            return self.keys_between(start, end)
        if isinstance(keys, str):
            raise ArgumentTypeError(f"expected several keys, not the text {keys!r}: try [{keys!r}]")
        asked = list(dict.fromkeys(keys))
        self._check_keys(asked)
        return asked


def _key(instant: datetime.datetime | None) -> bytes | None:
    return None if instant is None else DatabaseTimestamp.from_datetime(instant).encode()


def unknown(what: str, name: str, names: list[str], where: str) -> UnknownKeyError:
    """Return the error that tells what there is instead.

    Args:
        what: What was asked for: `"key"` or `"namespace"`.
        name: The name that nothing has.
        names: The names that there are.
        where: Where they are.
    """
    alike = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {alike[0]!r}? " if alike else ""
    there = f"there are {names}" if names else "there are none yet"
    return UnknownKeyError(f"{where} has no {what} {name!r}: {hint}{there}")
