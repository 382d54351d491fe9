"""The sequence: records of one class, sorted by time, in memory and in a database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .mixin import DatabaseRecordProtocolMixin
from .sequence_model import SequenceModel
from .sequence_operations import SequenceOperations
from .summaries import sequence_html

__all__ = ["DataSequence"]


class DataSequence(SequenceModel, SequenceOperations, DatabaseRecordProtocolMixin[Any]):
    """A sequence of records. Derive from it, and name the class of the records and the namespace.

    Records are loaded from the database as they are needed, and changes stay in memory until
    :meth:`save`. Bounds are half-open, `[start, end)`, in whole seconds.

    Example:
        >>> from eosdb import DataRecord, to_datetime
        >>> class Power(DataRecord):
        ...     power_w: float | None = None
        >>> class House(DataSequence):
        ...     records: list[Power] = []
        ...     def db_namespace(self) -> str:
        ...         return "house"
        >>> house = House()
        >>> house.update_value(to_datetime("2026-01-01T00:00:00Z"), power_w=310.0)
        >>> len(house)
        1
    """

    def __len__(self) -> int:
        """Return how many records there are, loaded or not."""
        return self.db_count_records()

    def _repr_html_(self) -> str:
        return sequence_html(self)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # pydantic yields fields
        """Iterate over all records, sorted by time."""
        return self.db_iterate_records()
