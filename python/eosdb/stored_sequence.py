"""The records of a namespace without their class, to be read only."""

from __future__ import annotations

import functools
from typing import Any

from pendulum.tz.timezone import Timezone

from ._core import names_in_records
from .mixin import DatabaseRecordProtocolMixin
from .stored_record import StoredRecord

__all__ = ["StoredSequence", "zone_of_newest"]


class StoredSequence(DatabaseRecordProtocolMixin[Any]):
    """A sequence of records as they are stored. It is there to be read.

    Attributes:
        zone: The zone that times are shown in; `None` for the zone that is stored.
    """

    def __init__(self, database: Any, namespace: str, zone: Timezone | None) -> None:
        """Refer to a namespace of a database.

        Args:
            database: The open database.
            namespace: The namespace.
            zone: The zone that times are shown in; `None` for the zone that is stored.
        """
        self.zone = zone
        self._namespace = namespace
        self._record_class = _record_class(None if zone is None else zone.name)
        self._all_names: set[str] | None = None
        self._names = {"date_time"}
        self.database = database

    def db_namespace(self) -> str:
        """Return the namespace."""
        return self._namespace

    def record_class(self) -> type[Any]:  # type: ignore[override]  # the zone tells which one
        """Return the class of the records."""
        return self._record_class

    @property
    def record_keys_writable(self) -> list[str]:
        """No keys: nothing is to be written."""
        return []

    def forget_what_changed(self) -> None:
        """Forget what was read before, unless it still holds.

        Reading anew what somebody asks for costs the window that is asked for; bringing up to date
        all that was ever read would cost all of that, with each commit of the writer.
        """
        state = self._db_enter()
        if not state.is_current:
            state.forget_loaded()
            self._all_names = None

    def names_between(self, start: bytes | None, end: bytes | None) -> set[str]:
        """Return the names of the values in the records between two keys.

        Args:
            start: The first key inside; `None` is no bound.
            end: The first key outside; `None` is no bound.
        """
        names: set[str] = set()
        while True:
            found, following = names_in_records(self.database, self._namespace, start, end)
            names |= found
            if following is None:
                self._names |= names
                return names - {"date_time"}
            start = following

    def all_names(self) -> set[str]:
        """Return the names of the values in all records; all are looked at, if any changed."""
        if self._all_names is None:
            self._all_names = self.names_between(None, None)
        return self._all_names

    def has_name(self, name: str) -> bool:
        """Whether a record has a value of this name: the newest is asked first, and then all."""
        if name not in self._names:
            _, last = self.db_timestamp_range()
            if last is not None:
                self.names_between(last.encode(), None)
        return name in self._names or name in self.all_names()


def zone_of_newest(database: Any, namespace: str) -> Timezone | None:
    """Return the zone of the newest record of a namespace.

    Args:
        database: The open database.
        namespace: The namespace.

    Returns:
        The zone; `None` if it has no name, or there is no record that can be read.
    """
    sequence = StoredSequence(database, namespace, None)
    _, last = sequence.db_timestamp_range()
    for record in sequence.db_iterate_records(last):
        zone = getattr(record.get("date_time"), "tzinfo", None)
        return zone if isinstance(zone, Timezone) else None
    return None


@functools.lru_cache(maxsize=64)
def _record_class(zone: str | None) -> type[StoredRecord]:
    return StoredRecord if zone is None else type("StoredRecord", (StoredRecord,), {"zone": zone})
