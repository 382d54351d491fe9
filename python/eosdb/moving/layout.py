"""Which columns a table of records has, and what they cannot say.

A row becomes cells: a column for each field, and one for each configured key under the name
`configured_data.<key>`. An empty cell is `None` in the column of a field, and a key that is not
there in that of a configured key. A record of which the cells cannot say all, one with an integer
in a column of floats for instance, has its fields in the column `record_json` as well, and that is
what counts when it is read.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from . import tagged_json
from .rows import CONFIGURED, ZONE, Row

__all__ = ["EXACT", "PREFIX", "Column", "Layout", "LayoutChanged", "scan"]

EXACT: Final = "record_json"
"""The column with all fields of those records of which the cells cannot say all."""

PREFIX: Final = f"{CONFIGURED}."
"""What the columns of configured keys begin with."""

_MOST_COLUMNS: Final = 1_000
"""Keys beyond this have no column of their own."""

_KINDS: Final = {
    type(None): "none",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    list: "json",
    dict: "json",
    np.float64: "numpy",
}


class LayoutChanged(Exception):  # noqa: N818  it is no failure: all begins anew
    """Somebody stored a record meanwhile that the layout has no place for."""


@dataclass
class Column:
    """A column.

    Attributes:
        name: Its name.
        key: The field, or the configured key.
        is_configured: Which of the two.
        kinds: The kinds of its values: bool, int, float, str, json, numpy, other, none.
        count: How many records have a value, `None` among them.
    """

    name: str
    key: str
    is_configured: bool
    kinds: set[str] = field(default_factory=set)
    count: int = 0

    @functools.cached_property
    def kind(self) -> str:
        """The kind that all values have, or that shows them best; known once all were seen."""
        kinds = {"float" if kind == "numpy" else kind for kind in self.kinds} - {"none"}
        if not kinds or kinds == {"int", "float"}:
            return "float"
        return kinds.pop() if len(kinds) == 1 and kinds != {"other"} else "str"

    def shown(self, value: Any) -> Any:
        """Return a value as one of the column's kind, or `None` if it is none of that kind."""
        kind, own = self.kind, kind_of(value)
        if own in {"none", kind}:
            return value
        if kind == "float" and own in {"int", "numpy"}:
            return float(value)
        if kind == "str":
            return (
                tagged_json.dumps(value) if own in {"bool", "int", "float", "json"} else str(value)
            )
        return None


@dataclass
class Layout:
    """The columns of a table, from looking at all its rows.

    Attributes:
        columns: The columns beside the time and its zone, in the order of the fields.
        rows: How many rows were looked at.
        has_exact: Whether there is a column :data:`EXACT`.
    """

    columns: list[Column]
    rows: int
    has_exact: bool

    def cells(self, row: Row, *, mixed: bool) -> list[Any]:
        """Return the cells of a row, and of :data:`EXACT` if there is one.

        Args:
            row: The row.
            mixed: Whether the values of a column may be of several kinds.

        Raises:
            LayoutChanged: If it is no row that was looked at, and there is no place for it.
        """
        fields = row.fields
        configured = fields.get(CONFIGURED)
        there = configured if isinstance(configured, dict) else {}
        values, exact = [], True
        seen = 0
        for column in self.columns:
            if column.is_configured:
                value = there.get(column.key)
                seen += value is not None
            elif column.name == CONFIGURED:
                value = None
            else:
                value = fields.get(column.key)
                exact = exact and column.key in fields
            kind = kind_of(value)
            fits = kind in _MIXED if mixed else kind in {column.kind, "none"}
            exact = exact and fits
            values.append(value if fits else column.shown(value))
        exact = exact and seen == len(there) and len(fields) == self._fields
        exact = exact and ((CONFIGURED in fields) == self._has_configured)
        exact = exact and (not self._has_configured or type(configured) is dict)
        if not exact and not self.has_exact:
            raise LayoutChanged
        if self.has_exact:
            values.append(None if exact else tagged_json.dumps(fields))
        return values

    def __post_init__(self) -> None:
        """Note what every row is asked for."""
        plain = sum(
            not column.is_configured and column.name != CONFIGURED for column in self.columns
        )
        self._has_configured = plain < len(self.columns)
        self._fields = plain + self._has_configured


_MIXED: Final = {"none", "bool", "int", "float", "str", "json"}


def kind_of(value: Any) -> str:
    """Return the kind of a value: bool, int (of 64 bits), float, str, json, numpy, other, none."""
    kind = _KINDS.get(type(value), "other")
    return "other" if kind == "int" and not -(2**63) <= value < 2**63 else kind


def scan(rows: Iterable[Row], *, mixed: bool) -> Layout:
    """Look at rows, and return the layout of their table.

    Args:
        rows: All rows.
        mixed: Whether the values of a column may be of several kinds.
    """
    fields: dict[str, Column] = {}
    configured: dict[str, Column] = {}
    total, with_configured, exact = 0, 0, False
    for row in rows:
        total += 1
        for name, value in row.fields.items():
            if name != CONFIGURED:
                exact |= not _note(fields, name, name, value, is_configured=False)
                continue
            with_configured += 1
            if name not in fields:
                fields[name] = Column(name, name, is_configured=False)
            if type(value) is not dict:
                exact = True
                continue
            for key, item in value.items():
                named = type(key) is str and not key.startswith("$")
                exact |= not named or item is None
                if named:
                    exact |= not _note(configured, PREFIX + key, key, item, is_configured=True)
    columns = []
    for name, column in fields.items():
        if name == CONFIGURED:
            columns += list(configured.values()) or [column]
            exact |= with_configured < total
        else:
            columns.append(column)
            exact |= column.count < total
    exact |= any(not _is_exact(column, mixed) for column in columns)
    return Layout(columns, total, exact)


def _note(
    columns: dict[str, Column], name: str, key: str, value: Any, *, is_configured: bool
) -> bool:
    """Note a value of a column; tell whether the value can have a column of that name."""
    column = columns.get(name)
    if column is None:
        reserved = name in {ZONE, EXACT, ""} or "\r" in name
        reserved = reserved or (name.startswith(PREFIX) and not is_configured)
        if reserved or len(columns) >= _MOST_COLUMNS:
            return False
        column = columns[name] = Column(name, key, is_configured)
    column.count += 1
    column.kinds.add(kind_of(value))
    return True


def _is_exact(column: Column, mixed: bool) -> bool:
    kinds = column.kinds - {"none"}
    return kinds <= (_MIXED if mixed else {column.kind})
