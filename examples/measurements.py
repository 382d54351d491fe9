"""Read measurements from CSV files: one column of times, any number of columns of numbers.

Files in the wild differ in separator, decimal mark, encoding and way of writing a time. What a
file leaves open is decided from the file itself, and whatever that costs is counted and reported.
"""

from __future__ import annotations

import csv
import datetime
import io
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

TIME_WORDS = {"time", "date", "datetime", "timestamp", "measured", "zeit", "datum"}
# Columns that say nothing but what the time column says already.
CALENDAR_WORDS = {"year", "month", "day", "hour", "minute", "second"}
MISSING = {"", "-", "?", "na", "n/a", "nan", "none", "null", "unavailable", "unknown"}
EPOCH_MILLISECONDS_FROM = 100_000_000_000
NUMERIC_DATE = re.compile(
    r"(?P<first>\d{1,4})(?P<mark>[/.-])(?P<second>\d{1,2})(?P=mark)(?P<third>\d{1,4})"
    r"(?:[ T]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<seconds>\d{2})(?:\.\d+)?)?)?"
    r"(?: *(?P<half>[AaPp])[Mm])?"
)


class MeasurementsError(ValueError):
    """A file is no table of measurements; the text says why."""


class Point(NamedTuple):
    """What was measured at one instant.

    Attributes:
        moment: The instant, in UTC, to the second.
        values: The numbers by key; what is missing in the file is missing here.
    """

    moment: datetime.datetime
    values: dict[str, float]


@dataclass
class Table:
    """A file that has been read.

    Attributes:
        name: The name of the file.
        keys: A key for each column of numbers.
        points: What it holds, in the order of the file.
        zone: The zone its times are written in.
        notes: In words, what was not taken as it stands.
    """

    name: str
    keys: list[str]
    points: list[Point]
    zone: datetime.tzinfo
    notes: list[str] = field(default_factory=list)


def read(path: Path, zone: datetime.tzinfo, reserved: Collection[str] = ()) -> Table:
    """Read a CSV file.

    Args:
        path: The file.
        zone: The zone of times that are written without an offset.
        reserved: Names that no key may have.

    Returns:
        Its measurements.

    Raises:
        MeasurementsError: If there is no column of times or none of numbers.
        OSError: If the file cannot be read.
    """
    header, lines, decimal_comma = _split(path)
    clock = _time_column(header)
    moments, written_in, notes = _Moments(zone).read_all([line[clock] for line in lines])
    timed = [
        (moment, line) for moment, line in zip(moments, lines, strict=True) if moment is not None
    ]
    if not timed:
        raise MeasurementsError(f"{path}: no row has a time that can be read")
    lines = [line for _, line in timed]
    columns = _number_columns(header, lines, clock, decimal_comma, notes)
    if not columns:
        raise MeasurementsError(f"{path}: no column of numbers")
    keys = _keys([header[index] for index in columns], reserved)
    points = [
        Point(
            moment,
            {
                key: number
                for key, index in zip(keys, columns, strict=True)
                if (number := _number(line[index], decimal_comma)) is not None
            },
        )
        for moment, line in timed
    ]
    twice = len(points) - len({point.moment for point in points})
    if twice:
        notes.append(f"rows at a second that was there before, whose values count: {twice:,}")
    return Table(path.name, keys, points, written_in, notes)


def _split(path: Path) -> tuple[list[str], list[list[str]], bool]:
    """Return the header, the rows filled up to its length, and whether numbers have a comma."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    head = text.partition("\n")[0]
    separator = max(";\t,", key=head.count)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if any(row)]
    if len(rows) < 2:
        raise MeasurementsError(f"{path}: no rows")
    header, *lines = rows
    width = len(header)
    if width < 2:
        raise MeasurementsError(f"{path}: only one column")
    return header, [(line + [""] * width)[:width] for line in lines], separator != ","


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", name.lower()))


def _time_column(header: list[str]) -> int:
    """Return the index of the first column named like a time, else of the first."""
    return next((index for index, name in enumerate(header) if _words(name) & TIME_WORDS), 0)


def _number(cell: str, decimal_comma: bool) -> float | None:
    """Return the number in a cell, None if it holds none.

    Raises:
        ValueError: If it holds something else.
    """
    text = cell.strip()
    if text.lower() in MISSING:
        return None
    number = float(text.replace(",", ".") if decimal_comma else text)
    return number if math.isfinite(number) else None


def _number_columns(
    header: list[str], lines: list[list[str]], clock: int, decimal_comma: bool, notes: list[str]
) -> list[int]:
    """Return which columns are numbers throughout; say which others are left out."""
    columns, others = [], []
    for index, name in enumerate(header):
        if index == clock:
            continue
        try:
            found = any(_number(line[index], decimal_comma) is not None for line in lines)
        except ValueError:
            found = False
        if found and name.strip().lower() not in CALENDAR_WORDS:
            columns.append(index)
        else:
            others.append(name.strip() or f"column {index + 1}")
    if others:
        notes.append(f"not measured numbers, left out: {', '.join(others)}")
    return columns


def _keys(names: Iterable[str], reserved: Collection[str]) -> list[str]:
    """Turn column names into distinct Python names."""
    keys: list[str] = []
    for name in names:
        plain = unicodedata.normalize("NFKC", name)
        key = "".join(mark if f"a{mark}".isidentifier() else " " for mark in plain)
        key = "_".join(key.replace("_", " ").split())
        if not key.isidentifier() or key in reserved:
            key = f"value_{key}".rstrip("_")
        stem, number = key, 2
        while key in keys:
            key, number = f"{stem}_{number}", number + 1
        keys.append(key)
    return keys


class _Moments:
    """Turns the cells of one column of times into instants."""

    def __init__(self, zone: datetime.tzinfo) -> None:
        self._zone = zone
        self._counts: Counter[str] = Counter()

    def read_all(
        self, cells: list[str]
    ) -> tuple[list[datetime.datetime | None], datetime.tzinfo, list[str]]:
        """Return an instant for each cell, the zone the times are written in, and notes."""
        day_first = self._day_comes_first(cells)
        moments: list[datetime.datetime | None] = []
        written_in: datetime.tzinfo | None = None
        previous: datetime.datetime | None = None
        for cell in cells:
            written = self._parse(cell.strip(), day_first)
            moment = None
            if written is not None:
                moment = self._place(written, previous)
            if moment is not None and written is not None:
                written_in = written_in or written.tzinfo
                self._counts["fraction"] += moment.microsecond != 0
                moment = previous = moment.replace(microsecond=0)
            moments.append(moment)
        return moments, written_in or self._zone, list(self._notes(day_first))

    def _notes(self, day_first: bool | None) -> Iterator[str]:
        if day_first is not None:
            yield f"dates read as {'day, month' if day_first else 'month, day'}, year"
        texts = {
            "unreadable": "rows whose time cannot be read, left out: {:,}",
            "gap": "rows at a time that clocks skipped, left out: {:,}",
            "overlap": "times that clocks showed twice, told apart by order: {:,}",
            "naive": "times without an offset, taken as " + str(self._zone) + ": {:,}",
            "fraction": "times cut to the second: {:,}",
        }
        for what, text in texts.items():
            if self._counts[what]:
                yield text.format(self._counts[what])

    def _place(
        self, written: datetime.datetime, previous: datetime.datetime | None
    ) -> datetime.datetime | None:
        """Return the instant of a written time in UTC, None if clocks never showed it."""
        if written.tzinfo is not None:
            return written.astimezone(datetime.UTC)
        self._counts["naive"] += 1
        earlier = written.replace(tzinfo=self._zone, fold=0)
        later = written.replace(tzinfo=self._zone, fold=1)
        before, after = earlier.utcoffset(), later.utcoffset()
        if before is not None and after is not None and before != after:
            if before < after:
                self._counts["gap"] += 1
                return None
            self._counts["overlap"] += 1
            if previous is not None and earlier.astimezone(datetime.UTC) <= previous:
                return later.astimezone(datetime.UTC)
        return earlier.astimezone(datetime.UTC)

    def _parse(self, cell: str, day_first: bool | None) -> datetime.datetime | None:
        try:
            if re.fullmatch(r"\d{9,}(\.\d+)?", cell):
                number = float(cell)
                number /= 1_000 if number >= EPOCH_MILLISECONDS_FROM else 1
                return datetime.datetime.fromtimestamp(number, datetime.UTC)
            if day_first is not None and (match := NUMERIC_DATE.fullmatch(cell)):
                return _from_parts(match, day_first)
            return datetime.datetime.fromisoformat(cell)
        except (ValueError, OverflowError, OSError):
            self._counts["unreadable"] += 1
            return None

    @staticmethod
    def _day_comes_first(cells: list[str]) -> bool | None:
        """Find out the order of day and month in dates that end in the year.

        Returns:
            Whether the day comes first, None where the year does.
        """
        dates = [match for cell in cells if (match := NUMERIC_DATE.fullmatch(cell.strip()))]
        dates = [match for match in dates if len(match["third"]) == 4]
        if not dates:
            return None
        if any(int(match["first"]) > 12 for match in dates):
            return True
        if any(int(match["second"]) > 12 for match in dates):
            return False
        # Either reading is possible. The wrong one tears neighbouring days months apart.
        as_days = {
            day_first: [
                int(match["third"]) * 372
                + int(match["second" if day_first else "first"]) * 31
                + int(match["first" if day_first else "second"])
                for match in dates
            ]
            for day_first in (True, False)
        }
        spans = {day_first: max(days) - min(days) for day_first, days in as_days.items()}
        return spans[True] <= spans[False]


def _from_parts(match: re.Match[str], day_first: bool) -> datetime.datetime:
    """Return the time that a date ending in the year stands for.

    Raises:
        ValueError: If there is no such time.
    """
    day, month = (match["first"], match["second"])[:: 1 if day_first else -1]
    hour = int(match["hour"] or 0)
    if match["half"]:
        hour = hour % 12 + (12 if match["half"] in "Pp" else 0)
    return datetime.datetime(  # noqa: DTZ001 - the zone is found later
        int(match["third"]),
        int(month),
        int(day),
        hour,
        int(match["minute"] or 0),
        int(match["seconds"] or 0),
    )
