"""Records as Parquet, by pyarrow."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from ..errors import InvalidArgumentError, MissingDependencyError
from . import tagged_json
from .arrow_columns import column_of, datetimes_of
from .layout import EXACT, Layout
from .lines import Line
from .rows import ZONE, Row

__all__ = ["number_of_rows", "read", "write"]

_BATCH: Final = 512
"""How many rows are Python objects at once: they take twenty times the space of Arrow's columns."""

_BATCHES: Final = 8
"""How many batches are one row group of a file, which is in memory as Arrow's columns."""

_MARK: Final = b"eosdb"
"""In the metadata of a column, what its text is."""


def write(file: IO[bytes], layout: Layout, rows: Iterable[Row]) -> None:
    """Write rows.

    Args:
        file: Where to.
        layout: The columns.
        rows: The rows.
    """
    arrow, parquet = _pyarrow()
    types = {
        "bool": arrow.bool_(),
        "int": arrow.int64(),
        "float": arrow.float64(),
        "str": arrow.string(),
        "json": arrow.string(),
    }
    fields = [
        arrow.field("date_time", arrow.timestamp("us", tz="UTC"), nullable=False),
        arrow.field(ZONE, arrow.string(), nullable=False),
    ]
    for column in layout.columns:
        mark = {_MARK: b"json"} if column.kind == "json" else None
        fields.append(arrow.field(column.name, types[column.kind], metadata=mark))
    if layout.has_exact:
        fields.append(arrow.field(EXACT, arrow.string()))
    schema = arrow.schema(fields)
    is_json = [column.kind == "json" for column in layout.columns]
    remaining = iter(rows)
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        batches = (
            _batch(arrow, schema, layout, is_json, some)
            for some in iter(lambda: list(islice(remaining, _BATCH)), [])
        )
        while group := list(islice(batches, _BATCHES)):
            writer.write_table(arrow.Table.from_batches(group))


def _batch(arrow: Any, schema: Any, layout: Layout, is_json: list[bool], rows: list[Row]) -> Any:
    """Return rows as Arrow's columns."""
    cells = [layout.cells(row, mixed=False) for row in rows]
    columns = [list(column) for column in zip(*cells, strict=True)]
    for place, as_json in enumerate(is_json):
        if as_json:
            columns[place] = [
                None if value is None else tagged_json.dumps(value) for value in columns[place]
            ]
    data: list[list[Any]] = [[row.instant for row in rows], [row.zone for row in rows], *columns]
    arrays = [
        column_of(arrow, field.type, values) for values, field in zip(data, schema, strict=True)
    ]
    return arrow.record_batch(arrays, schema=schema)


def read(path: Path) -> Iterator[Line]:
    """Yield the rows of a file.

    Args:
        path: The file.

    Raises:
        InvalidArgumentError: If it is no Parquet file.
        MissingDependencyError: If pyarrow is not installed.
    """
    arrow, parquet = _pyarrow()
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            marked = [
                field.name
                for field in file.schema_arrow
                if (field.metadata or {}).get(_MARK) == b"json"
            ]
            for batch in file.iter_batches(batch_size=_BATCH, use_threads=False):
                for values in _rows(arrow, batch):
                    number += 1
                    for name in marked:
                        if values[name] is not None:
                            values[name] = tagged_json.loads(values[name])
                    yield Line(number, values)
    except arrow.ArrowInvalid as error:
        raise InvalidArgumentError(f"'{path}' is no sound Parquet file: {error}") from error


def number_of_rows(path: Path) -> int:
    """Return how many rows a file has.

    Args:
        path: The file.

    Raises:
        InvalidArgumentError: If it is no Parquet file.
    """
    arrow, parquet = _pyarrow()
    try:
        return int(parquet.read_metadata(path).num_rows)
    except arrow.ArrowInvalid as error:
        raise InvalidArgumentError(f"'{path}' is no sound Parquet file: {error}") from error


def _rows(arrow: Any, batch: Any) -> Iterator[dict[str, Any]]:
    columns = [
        datetimes_of(arrow, column) if arrow.types.is_timestamp(column.type) else column.to_pylist()
        for column in batch.columns
    ]
    for cells in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, cells, strict=True))


def _pyarrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingDependencyError(
            "Parquet needs pyarrow: install it with 'pip install eosdb[parquet]', or use CSV or "
            "JSON lines"
        ) from error
