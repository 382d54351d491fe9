"""The private names of Akkudoktor-EOS's mixin, as views of the one state in the core.

Its tests and the application itself look at them and reset them by assigning an empty container;
both keep working. There is no second copy of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set as AbstractSet
from typing import Any, ClassVar, overload

from ._core import SequenceState
from .errors import ArgumentTypeError, InvalidArgumentError
from .timestamps import (
    DatabaseRecordProtocolLoadPhase,
    DatabaseTimestamp,
    DatabaseTimestampType,
)

__all__ = ["StateViews"]

_PHASES = (
    DatabaseRecordProtocolLoadPhase.NONE,
    DatabaseRecordProtocolLoadPhase.INITIAL,
    DatabaseRecordProtocolLoadPhase.FULL,
)


class TimestampsView(Sequence[DatabaseTimestamp]):
    """The timestamps of the loaded records, sorted."""

    def __init__(self, state: SequenceState) -> None:
        self._state = state

    def __len__(self) -> int:
        return len(self._state)

    @overload
    def __getitem__(self, index: int) -> DatabaseTimestamp: ...

    @overload
    def __getitem__(self, index: slice) -> list[DatabaseTimestamp]: ...

    def __getitem__(self, index: int | slice) -> DatabaseTimestamp | list[DatabaseTimestamp]:
        if isinstance(index, slice):
            return self._state.timestamps_known()[index]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError("list index out of range")
        return self._state.timestamp_at(position)

    def __iter__(self) -> Iterator[DatabaseTimestamp]:
        return iter(self._state.timestamps_known())

    def __contains__(self, timestamp: object) -> bool:
        return isinstance(timestamp, DatabaseTimestamp) and self._state.knows(timestamp)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as a list, it can change

    def __repr__(self) -> str:
        return repr(list(self))


class RecordIndexView(Mapping[DatabaseTimestamp, Any]):
    """The loaded records by their timestamp."""

    def __init__(self, state: SequenceState) -> None:
        self._state = state

    def __len__(self) -> int:
        return len(self._state)

    def __iter__(self) -> Iterator[DatabaseTimestamp]:
        return iter(self._state.timestamps_known())

    def __getitem__(self, timestamp: DatabaseTimestamp) -> Any:
        if timestamp not in self:
            raise KeyError(timestamp)
        return self._state.at(self._state.position(timestamp))

    def __contains__(self, timestamp: object) -> bool:
        return isinstance(timestamp, DatabaseTimestamp) and self._state.knows(timestamp)

    def __repr__(self) -> str:
        return repr(dict(self))


class MarksView(AbstractSet[DatabaseTimestamp]):
    """The timestamps that carry one kind of mark."""

    def __init__(self, state: SequenceState, mark: str) -> None:
        self._state = state
        self._mark = mark

    def __len__(self) -> int:
        return len(self._state.timestamps_marked(self._mark))

    def __iter__(self) -> Iterator[DatabaseTimestamp]:
        return iter(self._state.timestamps_marked(self._mark))

    def __contains__(self, timestamp: object) -> bool:
        return timestamp in self._state.timestamps_marked(self._mark)

    def clear(self) -> None:
        """Take back every mark of this kind."""
        self._state.clear_marks(self._mark)

    def __repr__(self) -> str:
        return repr(set(self))


def _view(
    name: str,
    show: Callable[[SequenceState], Any],
    reset: Callable[[SequenceState], None],
    doc: str,
) -> property:
    def get(self: Any) -> Any:
        return show(self._db_enter())

    def set_(self: Any, value: Any) -> None:
        if value:
            raise InvalidArgumentError(
                f"'{name}' is a view of the sequence's state: assign an empty container to reset "
                f"it, and use the sequence's methods to change it (got {value!r})"
            )
        reset(self._db_enter())

    return property(get, set_, doc=doc)


def _marks(mark: str, doc: str) -> property:
    return _view(
        f"_db_{mark}_timestamps",
        lambda state: MarksView(state, mark),
        lambda state: state.clear_marks(mark),
        doc,
    )


class StateViews:
    """The private names, for the mixin to inherit."""

    _db_version: int = 1
    _db_metadata: dict[str, Any] | None = None

    _db_may_wait: ClassVar[bool] = True
    """Whether entering the state may read from the database."""

    def _db_enter(self) -> SequenceState:
        """Return the state, made and brought up to date if need be."""
        raise NotImplementedError

    _db_record_index = _view(
        "_db_record_index",
        RecordIndexView,
        SequenceState.clear,
        "The loaded records by timestamp; assigning an empty container forgets them.",
    )
    _db_sorted_timestamps = _view(
        "_db_sorted_timestamps",
        TimestampsView,
        SequenceState.clear,
        "The timestamps of the loaded records; assigning an empty container forgets them.",
    )
    _db_dirty_timestamps = _marks("dirty", "What the next save writes.")
    _db_new_timestamps = _marks("new", "What the next save writes for the first time.")
    _db_deleted_timestamps = _marks("deleted", "What the next save deletes.")

    @property
    def _db_loaded_range(self) -> tuple[DatabaseTimestampType, DatabaseTimestampType] | None:
        """The smallest range that holds everything read from storage; `None` resets it."""
        return self._db_enter().loaded_range

    @_db_loaded_range.setter
    def _db_loaded_range(
        self, value: tuple[DatabaseTimestampType, DatabaseTimestampType] | None
    ) -> None:
        if value is not None:
            raise InvalidArgumentError(
                f"'_db_loaded_range' follows from what was loaded: assign None to reset it, or "
                f"call db_load_records (got {value!r})"
            )
        self._db_enter().forget_loaded()

    @property
    def _db_load_phase(self) -> DatabaseRecordProtocolLoadPhase:
        """How far loading has come."""
        return _PHASES[self._db_enter().phase]

    @_db_load_phase.setter
    def _db_load_phase(self, phase: DatabaseRecordProtocolLoadPhase) -> None:
        if phase not in _PHASES:
            raise ArgumentTypeError(f"{phase!r} is no DatabaseRecordProtocolLoadPhase")
        self._db_enter().phase = _PHASES.index(phase)

    @property
    def _db_storage_initialized(self) -> bool:
        """Whether the metadata of the storage was read."""
        return self._db_enter().storage_initialized

    @_db_storage_initialized.setter
    def _db_storage_initialized(self, initialized: bool) -> None:
        self._db_enter().storage_initialized = initialized

    @property
    def _db_initialized(self) -> bool:
        """Whether there is a state; deleting the attribute makes the next call start afresh."""
        return "_db_state" in self.__dict__

    @_db_initialized.setter
    def _db_initialized(self, initialized: bool) -> None:
        if initialized:
            self._db_enter()
        else:
            del self._db_initialized

    @_db_initialized.deleter
    def _db_initialized(self) -> None:
        former = self.__dict__.pop("_db_state", None)
        self.__dict__.pop("_db_metadata", None)
        self.__dict__["records"] = []
        if former is not None and former.database is not None:
            self.__dict__["_db_state"] = state = SequenceState()
            state.database = former.database
