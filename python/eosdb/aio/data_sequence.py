"""The sequence, asynchronously: records of one class, sorted by time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from typing import Any, Final

from ..datetimes import DateTime
from ..sequence_model import SequenceModel
from ..sequence_operations import SequenceOperations
from .at_hand import at_hand, do_at_hand
from .blocking import asynchronous
from .mixin import DatabaseRecordProtocolMixin

__all__ = ["DataSequence"]

_update_value: Final[Callable[..., None]] = SequenceOperations.update_value
"""The method without its overloads, of which only the first would be seen."""


class DataSequence(SequenceModel, DatabaseRecordProtocolMixin[Any]):
    """A sequence of records, as :class:`eosdb.DataSequence` is one; its methods are awaited.

    `len()` and plain iteration see the loaded records, for they cannot be awaited; use
    :meth:`db_count_records` and `async for` for all of them.

    Example:
        >>> import asyncio
        >>> from eosdb import DataRecord, to_datetime
        >>> class Power(DataRecord):
        ...     power_w: float | None = None
        >>> class House(DataSequence):
        ...     records: list[Power] = []
        ...     def db_namespace(self) -> str:
        ...         return "house"
        >>> async def main() -> int:
        ...     house = House()
        ...     await house.update_value(to_datetime("2026-01-01T00:00:00Z"), power_w=310.0)
        ...     return await house.db_count_records()
        >>> asyncio.run(main())
        1
    """

    # Content

    async def min_datetime(self) -> DateTime | None:
        """Return the time of the first record in UTC, `None` if there is none."""
        first, _ = await self.db_timestamp_range()
        return None if first is None else first.to_datetime()

    async def max_datetime(self) -> DateTime | None:
        """Return the time of the last record in UTC, `None` if there is none."""
        _, last = await self.db_timestamp_range()
        return None if last is None else last.to_datetime()

    def __len__(self) -> int:
        """Return how many records are loaded."""
        return len(self.records)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # pydantic yields fields
        """Iterate over the loaded records, sorted by time."""
        return iter(self.records)

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate over all records, sorted by time."""
        return self.db_iterate_records()

    # Lookups

    get_by_datetime = at_hand(SequenceOperations.get_by_datetime)
    get_nearest_by_datetime = asynchronous(SequenceOperations.get_nearest_by_datetime)

    # Changes

    insert_by_datetime = at_hand(SequenceOperations.insert_by_datetime)

    async def update_value(self, date: datetime, *args: Any, **values: Any) -> None:  # noqa: D102  # as above
        await do_at_hand(_update_value, self, date, *args, **values)

    update_value.__doc__ = SequenceOperations.update_value.__doc__

    key_from_lists = asynchronous(SequenceOperations.key_from_lists)
    delete_by_datetime = asynchronous(SequenceOperations.delete_by_datetime)
    key_delete_by_datetime = asynchronous(SequenceOperations.key_delete_by_datetime)

    # Storage

    save = at_hand(SequenceOperations.save)
    load = asynchronous(SequenceOperations.load)
