"""Records as CSV.

A cell is JSON if it reads as JSON, and text otherwise; text that would read as JSON is written as a
string of JSON. So numbers, truth values and text are told apart without knowing the column.

Files of others, without the column of the zone, may have semicolons or tabulators for commas, as
spreadsheets write them where the comma is the decimal point, and the truth values of pandas.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from ..errors import InvalidArgumentError
from . import tagged_json
from .layout import EXACT, Layout
from .lines import Line, time_text
from .rows import ZONE, Row

__all__ = ["cell_text", "cell_value", "read", "write"]

_JSON: Final = frozenset('-0123456789{["tfnNI')
"""What JSON begins with."""

_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)

_COMMA_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*),\d+([eE][+-]?\d+)?", re.ASCII)

_TRUTH: Final = {"True": True, "False": False}

_DELIMITERS: Final = "\t;,"

_MOST: Final = 2**27
"""The longest cell that is read, in characters."""


def write(file: IO[str], layout: Layout, rows: Iterable[Row]) -> None:
    """Write rows.

    Args:
        file: Where to, opened with `newline=""`.
        layout: The columns.
        rows: The rows.
    """
    writer = csv.writer(file, lineterminator="\n")
    exact = [EXACT] if layout.has_exact else []
    writer.writerow(["date_time", ZONE, *(column.name for column in layout.columns), *exact])
    for row in rows:
        cells = layout.cells(row, mixed=True)
        last = [cells.pop() or ""] if exact else []
        writer.writerow([time_text(row), row.zone, *map(cell_text, cells), *last])


def read(path: Path) -> Iterator[Line]:
    """Yield the lines of a file, with their values by column.

    Args:
        path: The file.

    Raises:
        InvalidArgumentError: If a line has more or fewer cells than there are columns.
    """
    former = csv.field_size_limit(_MOST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = _delimiter(file)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            names = next(reader, None)
            if names is None:
                raise InvalidArgumentError(f"'{path}' is empty: expected a line with the columns")
            if any("\0" in name for name in names):  # what a power cut leaves of a file
                raise InvalidArgumentError(f"'{path}' is no CSV: it has NUL characters")
            if twice := {name for name in names if names.count(name) > 1}:
                raise InvalidArgumentError(f"'{path}' has two columns {min(twice)!r}")
            is_ours = ZONE in names and delimiter == ","
            if is_ours:
                as_value = cell_value
            else:
                as_value = _value_with_comma if delimiter == ";" else _value_of_others
            as_text = [name in {ZONE, EXACT} for name in names]
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(names):
                    raise InvalidArgumentError(
                        f"'{path}', line {reader.line_num}: {len(cells)} cells, but there are "
                        f"{len(names)} columns"
                    )
                values = {
                    name: (cell or None) if plain else as_value(cell)
                    for name, cell, plain in zip(names, cells, as_text, strict=True)
                }
                yield Line(reader.line_num, values)
    except csv.Error as error:
        raise InvalidArgumentError(f"'{path}' is no CSV: {error}") from error
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"'{path}' is no text in UTF-8: {error}") from error
    finally:
        csv.field_size_limit(former)


def cell_text(value: Any) -> str:
    """Return a value as the text of a cell.

    Args:
        value: Text, a number, a truth value, a list, a dictionary or `None`.
    """
    if type(value) is float:
        if math.isfinite(value):
            return repr(value)
        return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    if value is None:
        return ""
    if type(value) is str:
        # A carriage return would end the line for some readers, among them Python's.
        is_plain = value and "\r" not in value
        is_plain = is_plain and (value[0] not in _JSON or cell_value(value) == value)
        return value if is_plain else json.dumps(value, ensure_ascii=False)
    return tagged_json.dumps(value)


def cell_value(cell: str) -> Any:
    """Return the value of a cell.

    Args:
        cell: Its text.
    """
    if not cell:
        return None
    if cell[0] not in _JSON:
        return cell
    if number := _NUMBER.fullmatch(cell):
        return float(cell) if number[1] or number[2] else _integer(cell)
    try:
        return tagged_json.loads(cell)
    except ValueError:
        return cell


def _delimiter(file: IO[str]) -> str:
    """Return what delimits the cells of a file: what makes most columns of its first line."""
    headers: dict[str, list[str]] = {}
    for delimiter in _DELIMITERS:
        file.seek(0)
        with contextlib.suppress(csv.Error):  # quotes in its midst, as another one sees it
            headers[delimiter] = next(csv.reader(file, delimiter=delimiter, strict=True), [])
    file.seek(0)
    if ZONE in headers.get(",", []):  # ours, whatever the names of columns
        return ","
    best = max(
        headers,
        key=lambda each: ("date_time" in headers[each], len(headers[each])),
        default=",",
    )
    return best if len(headers.get(best, [])) > 1 else ","


def _value_of_others(cell: str) -> Any:
    return _TRUTH[cell] if cell in _TRUTH else cell_value(cell)


def _value_with_comma(cell: str) -> Any:
    if _COMMA_NUMBER.fullmatch(cell):
        return float(cell.replace(",", "."))
    return _value_of_others(cell)


def _integer(cell: str) -> int | str:
    try:
        return int(cell)
    except ValueError:  # more digits than Python reads
        return cell
