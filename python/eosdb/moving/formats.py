"""The formats of files, by name and by suffix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from ..errors import InvalidArgumentError
from . import csv_files, json_lines, parquet_files
from .layout import Layout
from .lines import Line
from .rows import Row

__all__ = [
    "FORMATS",
    "format_of",
    "is_mixed",
    "lines_of",
    "number_of_lines",
    "write_rows",
    "write_text",
]

FORMATS: Final = ("parquet", "csv", "jsonl")
"""The names of the formats, which are the suffixes too."""


def format_of(path: Path, name: str | None) -> str:
    """Return the format of a file.

    Args:
        path: The file.
        name: The format's name if it was given.

    Raises:
        InvalidArgumentError: If neither tells it.
    """
    chosen = name or path.suffix.removeprefix(".").lower()
    if chosen in {"ndjson", "json"}:
        chosen = "jsonl"
    if chosen not in FORMATS:
        raise InvalidArgumentError(
            f"the name '{path}' does not tell the format: let it end in .parquet, .csv or .jsonl, "
            "or name the format"
        )
    return chosen


def is_mixed(format_: str) -> bool:
    """Whether the values of one column may be of several kinds."""
    return format_ != "parquet"


def write_rows(path: Path, format_: str, layout: Layout, rows: Iterable[Row]) -> None:
    """Write rows into a file.

    Args:
        path: The file.
        format_: The name of its format.
        layout: Its columns.
        rows: The rows.
    """
    if format_ == "parquet":
        with path.open("wb") as file:
            parquet_files.write(file, layout, rows)
        return
    with path.open("w", encoding="utf-8", newline="") as text:
        write_text(text, format_, layout, rows)


def write_text(file: Any, format_: str, layout: Layout, rows: Iterable[Row]) -> None:
    """Write rows as text.

    Args:
        file: Where to, a text file that changes no line ends.
        format_: `"csv"` or `"jsonl"`.
        layout: The columns.
        rows: The rows.
    """
    if format_ == "csv":
        csv_files.write(file, layout, rows)
    else:
        json_lines.write(file, rows)


def lines_of(path: Path, format_: str) -> Iterator[Line]:
    """Yield the lines of a file.

    Args:
        path: The file.
        format_: The name of its format.
    """
    read = {"csv": csv_files.read, "jsonl": json_lines.read, "parquet": parquet_files.read}
    return read[format_](path)


def number_of_lines(path: Path, format_: str) -> int:
    """Return about how many records a file has, without reading them.

    Args:
        path: The file.
        format_: The name of its format.
    """
    if format_ == "parquet":
        return parquet_files.number_of_rows(path)
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))
