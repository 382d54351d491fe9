"""The list that a sequence shows as `records`.

Its items are made from rows when they are asked for, so that a loaded sequence costs as much as its
rows and not as much as their objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSequence
from typing import Any, SupportsIndex, TypeVar, cast, overload

from ._core import RecordsBase, timestamp_of
from .errors import ArgumentTypeError, DuplicateRecordError

__all__ = ["RecordList", "RecordsAttribute"]

R = TypeVar("R")


class RecordList(RecordsBase, MutableSequence[Any]):
    """The loaded records of a sequence, sorted by time.

    Behaves as the list it stands for: length, indexing, slicing, iteration, comparison with a list.
    Whatever is added takes its place by its time; removing a record deletes it from the sequence.
    """

    def __len__(self) -> int:
        return len(self.state)

    def __iter__(self) -> Iterator[Any]:
        return cast("Iterator[Any]", self.state.iterate(None, None))

    def __reversed__(self) -> Iterator[Any]:
        return iter(list(self)[::-1])

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        if isinstance(index, slice):
            return [self.state.at(i) for i in range(*index.indices(len(self)))]
        return self.state.at(self._position(index))

    def _position(self, index: SupportsIndex) -> int:
        if not isinstance(index, SupportsIndex):
            raise ArgumentTypeError(f"list indices must be integers or slices, not {index!r}")
        position = index.__index__()
        length = len(self)
        if position < 0:
            position += length
        if not 0 <= position < length:
            raise IndexError("list index out of range")
        return position

    def __setitem__(self, index: Any, value: Any) -> None:
        records = list(value) if isinstance(index, slice) else [value]
        # Whatever can be wrong is found before anything is deleted.
        added = {timestamp_of(record) for record in records}
        kept = {
            self.state.timestamp_at(position)
            for position in set(range(len(self))).difference(self._positions(index))
        }
        if added & kept or len(added) < len(records):
            raise DuplicateRecordError(f"Duplicate timestamp among the records {records!r}")
        del self[index]
        for record in records:
            self.state.insert(record, True)

    def _positions(self, index: SupportsIndex | slice) -> Iterable[int]:
        if isinstance(index, slice):
            return range(*index.indices(len(self)))
        return [self._position(index)]

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        timestamps = [self.state.timestamp_at(position) for position in self._positions(index)]
        for timestamp in timestamps:
            self.state.delete_known(timestamp)

    def insert(self, index: SupportsIndex, value: Any) -> None:
        """Add a record; its place follows from its time, whatever `index` says.

        Args:
            index: Accepted as a list does, and ignored.
            value: The record.

        Raises:
            DuplicateRecordError: If there is a record at this second.
        """
        del index
        self.state.insert(value, True)

    def clear(self) -> None:
        """Delete every loaded record."""
        del self[:]

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Return the position of the first record equal to `value`.

        Args:
            value: What to look for.
            start: First position to look at.
            stop: First position not to look at; `None` is the end.

        Raises:
            ValueError: If there is none.
        """
        return list(self).index(value, start, len(self) if stop is None else stop)

    def sort(self, **_options: Any) -> None:
        """Do nothing: the records are always sorted by their time."""

    def copy(self) -> list[Any]:
        """Return the records as a plain list."""
        return list(self)

    def __add__(self, other: Iterable[R]) -> list[R]:
        return [*self, *other]

    def __radd__(self, other: Iterable[R]) -> list[R]:
        return [*other, *self]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RecordList | list):
            return len(self) == len(other) and all(
                mine is theirs or mine == theirs for mine, theirs in zip(self, other, strict=True)
            )
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a list, it can change

    def __repr__(self) -> str:
        return repr(list(self))

    def __copy__(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> RecordList:
        from copy import deepcopy  # noqa: PLC0415  # only needed here

        return RecordList(deepcopy(self.state, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return (RecordList, (self.state,))


class RecordsAttribute:
    """The attribute `records` of a sequence.

    What the instance's `__dict__` holds under that name is either the :class:`RecordList` of its
    state, or what somebody assigned, which then becomes the content. The class itself seems to have
    no such attribute: pydantic would take it for a field's shadowed parent otherwise.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> RecordList:
        if instance is None:
            raise AttributeError(f"type object {owner!r} has no attribute {self._name!r}")
        instance._db_enter().refresh()
        return cast("RecordList", instance.__dict__[self._name])

    def __set__(self, instance: Any, records: Iterable[Any]) -> None:
        if not isinstance(records, Iterable):
            raise ArgumentTypeError(f"'{self._name}' takes an iterable of records, not {records!r}")
        instance.__dict__[self._name] = list(records)
