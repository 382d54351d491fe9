"""Walking over a namespace piece by piece, so that memory does not grow with its history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .._core import inspect_records
from ..damage import Damage
from ..errors import DamagedRecordError
from ..native_database import NativeDatabase
from .rows import Row, read_row

__all__ = ["Piece", "pieces"]


@dataclass(frozen=True)
class Piece:
    """Some rows that follow one another.

    Attributes:
        rows: Keys and values as they are stored, sorted by key.
        damaged: Why a value cannot be read, by its key; most pieces have none.
    """

    rows: list[tuple[bytes, bytes]]
    damaged: dict[bytes, str]

    def read(self, namespace: str) -> Iterator[Row | Damage]:
        """Yield what each value holds, or why it cannot be read.

        Args:
            namespace: The namespace that the rows are of.
        """
        for key, stored in self.rows:
            cause = self.damaged.get(key)
            if cause is None:
                try:
                    yield read_row(key, stored)
                    continue
                except DamagedRecordError as error:  # it came after the piece was looked at
                    cause = str(error)
            yield Damage(cause, namespace, key.decode("utf-8", "backslashreplace"))


def pieces(
    database: NativeDatabase,
    namespace: str | None,
    start: bytes | None = None,
    end: bytes | None = None,
) -> Iterator[Piece]:
    """Yield the rows of `[start, end)`, some thousands at a time, each piece from one snapshot.

    Args:
        database: An open database.
        namespace: The namespace; `None` for the unnamed one.
        start: The first key that belongs to it; `None` for no bound.
        end: The first key that does not; `None` for no bound.
    """
    while start is None or end is None or start < end:
        _, _, following, damaged = inspect_records(database, namespace, start)
        stop = end if following is None or (end is not None and end < following) else following
        yield Piece(database._store.scan(namespace, start, stop, False), dict(damaged))
        if following is None:
            break
        start = following
