"""What a sequence must answer: a dictionary beside it, and instants worth trying."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from support import at, second_of

from eosdb import UNBOUND_END, UNBOUND_START, UNBOUND_WINDOW

BERLIN = ZoneInfo("Europe/Berlin")
EAST = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
WEST = datetime.timezone(datetime.timedelta(hours=-9))
NIGHT = datetime.datetime(2024, 10, 27, 0, 30, tzinfo=datetime.UTC)
SPRING = datetime.datetime(2024, 3, 31, 0, 30, tzinfo=datetime.UTC)
FIELDS = ("power_w", "count", "note")

Values: TypeAlias = tuple[Any, ...]
Content: TypeAlias = dict[int, Values]
Pool: TypeAlias = list[datetime.datetime]
Place: TypeAlias = int
Bound: TypeAlias = Any


def after(start: datetime.datetime, *seconds: float) -> list[datetime.datetime]:
    """Return the instants at these distances from a start."""
    return [start + datetime.timedelta(seconds=distance) for distance in seconds]


def wall(hour: int, minute: int, fold: int = 0) -> datetime.datetime:
    """Return a time of the night in which summer time ends."""
    return datetime.datetime(2024, 10, 27, hour, minute, tzinfo=BERLIN, fold=fold)


POOLS = [
    # Hours at which the loaded windows of 0, 1 and 48 h end, and beyond.
    after(NIGHT, *(hour * 3600 for hour in (-25, -24, -1, 0, 1, 2, 24, 72))),
    # Neighbouring seconds, and fractions that fall into them.
    after(NIGHT, -0.5, 0, 0.25, 1, 1.999999, 2, 4, 7),
    # Twice 02:00 and 02:30, and the same instants in zones of a fixed offset.
    [
        *(wall(1, 30), wall(2, 0), wall(2, 30), wall(2, 0, 1), wall(2, 30, 1), wall(3, 0)),
        *(wall(2, 30).astimezone(EAST), wall(2, 30, 1).astimezone(WEST)),
    ],
    # The night in which 02:00 does not happen.
    [
        *(time.astimezone(BERLIN) for time in after(SPRING, 0, 1799, 1800, 1801, 3600, 7200)),
        *(SPRING.astimezone(EAST), SPRING.astimezone(WEST)),
    ],
    # The ends of the calendar, before and after 1970.
    [
        *(datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (1, 999, 1000, 9999)),
        *after(datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC), -1, -0.5, 0, 1),
    ],
]
"""Instants that have much to do with each other; a run takes all of its instants from one."""


def inside(second: int, start: Bound, end: Bound) -> bool:
    """Return whether a second lies in `[start, end)`, said without the code under test."""
    if start is UNBOUND_END or end is UNBOUND_START:
        return False
    return (not isinstance(start, datetime.datetime) or second_of(start) <= second) and (
        not isinstance(end, datetime.datetime) or second < second_of(end)
    )


def timestamp(bound: Bound) -> Any:
    """Return a bound as the sequence's methods take it."""
    return at(second_of(bound)) if isinstance(bound, datetime.datetime) else bound


def nearest_of(content: Content, target: int, reach: float | None) -> int | None:
    """Return the nearest second; of two the later, none beyond `reach` seconds."""
    found = min(content, key=lambda second: (abs(second - target), -second), default=None)
    return None if found is None or (reach is not None and abs(found - target) > reach) else found


def values_of(record: Any) -> Values:
    """Return the values of a record."""
    return tuple(getattr(record, name) for name in FIELDS)


def rows_of(records: Any) -> list[tuple[int, Values]]:
    """Return the seconds and values of records, in the order they come in."""
    return [(second_of(record.date_time), values_of(record)) for record in records]


@dataclass
class Session:
    """A sequence, and what it must know beyond what is stored.

    Attributes:
        stored: The rows in storage, which all sessions share.
        puts: Its rows that the next save writes.
        unmarked: Its rows that no save writes.
        deletes: The rows that the next save deletes.
        held: The objects that somebody holds.
        frozen: What those say of rows that another session has changed since.
    """

    sequence: Any
    stored: Content
    puts: Content = field(default_factory=dict)
    unmarked: Content = field(default_factory=dict)
    deletes: set[int] = field(default_factory=set)
    held: dict[int, Any] = field(default_factory=dict)
    frozen: Content = field(default_factory=dict)

    @property
    def content(self) -> Content:
        """What every read must answer from, sorted."""
        return self._sorted({**self.stored, **self.frozen, **self.unmarked, **self.puts})

    @property
    def content_of_a_copy(self) -> Content:
        """The same where nobody holds an object."""
        return self._sorted({**self.stored, **self.unmarked, **self.puts})

    def _sorted(self, rows: Content) -> Content:
        return {second: rows[second] for second in sorted(rows) if second not in self.deletes}

    def put(self, second: int, row: Values, *, dirty: bool = True) -> None:
        self.deletes.discard(second)
        self.frozen.pop(second, None)
        self.unmarked.pop(second, None)
        (self.puts if dirty else self.unmarked)[second] = row

    def let_go_of(self, second: int) -> None:
        self.held.pop(second, None)
        self.frozen.pop(second, None)

    def let_go(self) -> None:
        self.held.clear()
        self.frozen.clear()

    def delete(self, second: int) -> None:
        self.let_go_of(second)
        self.puts.pop(second, None)
        self.unmarked.pop(second, None)
        if second in self.stored:
            self.deletes.add(second)


def check_iteration(sequence: Any, content: Content, _pool: Pool) -> None:
    assert rows_of(sequence.db_iterate_records()) == list(content.items())


def check_count(sequence: Any, content: Content, _pool: Pool) -> None:
    known = [at(second) for second in content]
    assert sequence.db_count_records() == len(known)
    assert sequence.db_timestamp_range() == ((known[0], known[-1]) if known else (None, None))


def check_neighbours(sequence: Any, content: Content, _pool: Pool) -> None:
    known = [None, *(at(second) for second in content), None]
    for before, timestamp, behind in zip(known, known[1:], known[2:], strict=False):
        assert sequence.db_previous_timestamp(timestamp) == before
        assert sequence.db_next_timestamp(timestamp) == behind


def check_nearest(sequence: Any, content: Content, pool: Pool) -> None:
    for second in map(second_of, pool):
        found = sequence.db_get_record(at(second), time_window=UNBOUND_WINDOW)
        expected = nearest_of(content, second, None)
        assert (None if found is None else second_of(found.date_time)) == expected


def check_lookups(sequence: Any, content: Content, pool: Pool) -> None:
    for second in map(second_of, pool):
        record = sequence.db_get_record(at(second))
        assert (None if record is None else values_of(record)) == content.get(second)
        assert record is None or second_of(record.date_time) == second


CHECKS = [check_iteration, check_count, check_neighbours, check_nearest, check_lookups]
"""Each reads a sequence completely in a way of its own."""
