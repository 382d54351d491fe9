"""What a namespace holds, from one walk over it: times, gaps, and each key's values."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from .damage import Damage
from .datetimes import to_datetime
from .moving.exporting import Progress
from .moving.layout import kind_of
from .moving.pieces import pieces
from .moving.rows import CONFIGURED, Row
from .native_database import NativeDatabase

__all__ = ["Fall", "Gap", "KeySurvey", "Survey", "survey"]

_LISTED: Final = 5
"""How many gaps and falls are listed; all are counted."""

_LEAP: Final = timedelta(days=1)
"""A step into the future that is longer than this is told."""

_RESET: Final = 0.1
"""A fall to this part of the reading before, or below, is a meter's reset."""


@dataclass(frozen=True)
class Gap:
    """A time without records.

    Attributes:
        start: The last record before it.
        length: How long it is.
    """

    start: datetime
    length: timedelta


@dataclass(frozen=True)
class Leap:
    """A step of more than a day into the future of the clock.

    Attributes:
        time: The record it leads to.
        length: How far that lies behind the record before it, or behind now.
        former: How many records of the namespace lie before it.
    """

    time: datetime
    length: timedelta
    former: int


@dataclass(frozen=True)
class Fall:
    """A reading that is less than the one before.

    Attributes:
        time: When it was taken.
        before: The reading before it.
        after: The reading.
    """

    time: datetime
    before: float
    after: float


@dataclass
class KeySurvey:
    """What the values of a key are.

    Attributes:
        is_configured: Whether it is a configured key, and no field.
        kinds: The kinds of its values, with the number of each: bool, int, float, str, json (lists
            and dictionaries), numpy, other, and none.
        minimum: The smallest number, `None` if there is none.
        maximum: The largest number.
        last: The last value that is not `None`.
        rises: How often a number is larger than the one before.
        falls: How often it is smaller, resets apart.
        resets: How often it falls to nearly zero.
        listed_falls: The first falls.
    """

    is_configured: bool
    kinds: Counter[str] = field(default_factory=Counter)
    minimum: float | None = None
    maximum: float | None = None
    last: Any = None
    rises: int = 0
    falls: int = 0
    resets: int = 0
    listed_falls: list[Fall] = field(default_factory=list)
    _former: float | None = None

    @property
    def values(self) -> int:
        """How many records have a value that is not `None`."""
        return self.kinds.total() - self.kinds["none"]

    @property
    def looks_like_a_meter(self) -> bool:
        """Whether the numbers hardly ever fall, so that they seem to count something."""
        return self.rises >= 20 and self.falls + self.resets <= self.rises * 0.05

    def note(self, value: Any, row: Row) -> None:
        """Take in the next value."""
        kind = kind_of(value)
        self.kinds[kind] += 1
        if kind == "none":
            return
        self.last = value
        if kind not in {"int", "float", "numpy"} or not math.isfinite(value):
            return
        number = float(value)
        self.minimum = number if self.minimum is None else min(number, self.minimum)
        self.maximum = number if self.maximum is None else max(number, self.maximum)
        former, self._former = self._former, number
        if former is None or number == former:
            return
        if number > former:
            self.rises += 1
        elif number <= former * _RESET:
            self.resets += 1
        else:
            self.falls += 1
            if len(self.listed_falls) < _LISTED:
                self.listed_falls.append(Fall(row.instant, former, number))


@dataclass
class Survey:
    """What a namespace holds.

    Attributes:
        namespace: The namespace.
        records: How many records there are, damaged ones too.
        bytes: The size of their stored values.
        first: The time of the first record that can be read, in UTC.
        last: The time of the last one.
        typical_interval: The median distance of two records.
        gaps: How many distances are more than twice that.
        longest_gaps: The longest of them, the longest first.
        leaps: Steps of more than a day into the future. A forecast goes on from now and has none; a
            clock that was wrong makes one.
        keys: What is known of each key, in the order of the records.
        damaged: What cannot be read.
    """

    namespace: str
    records: int = 0
    bytes: int = 0
    first: datetime | None = None
    last: datetime | None = None
    typical_interval: timedelta | None = None
    gaps: int = 0
    longest_gaps: list[Gap] = field(default_factory=list)
    leaps: list[Leap] = field(default_factory=list)
    keys: dict[str, KeySurvey] = field(default_factory=dict)
    damaged: list[Damage] = field(default_factory=list)


def survey(database: NativeDatabase, namespace: str, *, progress: Progress | None = None) -> Survey:
    """Look at all records of a namespace.

    Args:
        database: An open database.
        namespace: The namespace.
        progress: Is told, now and then, how many of how many records were looked at.

    Returns:
        What there is.
    """
    found = Survey(namespace)
    now = to_datetime()
    former = 0
    total = database.count_records(namespace=namespace)
    steps: Counter[int] = Counter()
    longest: dict[int, datetime] = {}
    for piece in pieces(database, namespace):
        found.records += len(piece.rows)
        found.bytes += sum(len(stored) for _, stored in piece.rows)
        for row in piece.read(namespace):
            former += 1
            if isinstance(row, Damage):
                found.damaged.append(row)
                continue
            leap = row.instant - max(found.last or now, now)
            if leap > _LEAP:
                found.leaps.append(Leap(row.instant, leap, former - 1))
            if found.last is not None:
                step = round((row.instant - found.last).total_seconds())
                steps[step] += 1
                longest.setdefault(step, found.last)
            found.first = found.first or row.instant
            found.last = row.instant
            _note(found, row)
        if progress:
            progress(found.records, max(total, found.records))
    _note_gaps(found, steps, longest)
    return found


def _note(found: Survey, row: Row) -> None:
    for name, value in row.fields.items():
        if name == CONFIGURED and isinstance(value, dict):
            for key, item in value.items():
                _note_value(found, str(key), item, row, is_configured=True)
        else:
            _note_value(found, str(name), value, row, is_configured=False)


def _note_value(found: Survey, name: str, value: Any, row: Row, *, is_configured: bool) -> None:
    known = found.keys.get(name)
    if known is None:
        known = found.keys[name] = KeySurvey(is_configured)
    known.note(value, row)


def _note_gaps(found: Survey, steps: Counter[int], longest: dict[int, datetime]) -> None:
    if not steps:
        return
    half = steps.total() / 2
    below = 0
    typical = 0
    for typical, count in sorted(steps.items()):  # noqa: B007  used behind the loop
        below += count
        if below >= half:
            break
    found.typical_interval = timedelta(seconds=typical)
    gaps = {step: count for step, count in steps.items() if step > 2 * typical}
    found.gaps = sum(gaps.values())
    found.longest_gaps = [
        Gap(longest[step], timedelta(seconds=step)) for step in sorted(gaps, reverse=True)[:_LISTED]
    ]
