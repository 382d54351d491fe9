"""Records as JSON lines: each record an object, with its configured values as an object within."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import InvalidArgumentError
from . import tagged_json
from .layout import EXACT
from .lines import Line, time_text
from .rows import ZONE, Row

__all__ = ["read", "write"]


def write(file: IO[str], rows: Iterable[Row]) -> None:
    """Write rows.

    Args:
        file: Where to.
        rows: The rows.
    """
    for row in rows:
        line: dict[str, Any] = {"date_time": time_text(row), ZONE: row.zone}
        if (
            any(name.startswith("$") for name in row.fields)
            or line.keys() & row.fields.keys()
            or EXACT in row.fields
        ):
            line[EXACT] = tagged_json.dumps(row.fields)
        else:
            line |= row.fields
        file.write(tagged_json.dumps(line) + "\n")


def read(path: Path) -> Iterator[Line]:
    """Yield the objects of a file.

    Args:
        path: The file.

    Raises:
        InvalidArgumentError: If a line is no object of JSON.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, text in enumerate(file, 1):
                if not text.strip():
                    continue
                try:
                    values = tagged_json.loads(text)
                except ValueError as error:
                    raise InvalidArgumentError(f"'{path}', line {number}: {error}") from error
                if type(values) is not dict:
                    raise InvalidArgumentError(
                        f"'{path}', line {number}: expected an object, {{…}}, for each record"
                    )
                yield Line(number, values, is_nested=True)
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"'{path}' is no text in UTF-8: {error}") from error
