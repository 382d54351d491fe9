"""Records as Parquet, by pyarrow."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from ..errors import InvalidArgumentError, MissingDependencyError
from . import tagged_json
from .layout import EXACT, Layout
from .lines import Line
from .rows import ZONE, Row

__all__ = ["number_of_rows", "read", "write"]

_GROUP: Final = 8_192
"""The rows of a row group: so many are in memory."""

_BATCH: Final = 2_048
"""How many rows are made objects at once."""

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
        while group := list(islice(remaining, _GROUP)):
            cells = [layout.cells(row, mixed=False) for row in group]
            columns = [list(column) for column in zip(*cells, strict=True)]
            for place, as_json in enumerate(is_json):
                if as_json:
                    columns[place] = [
                        None if value is None else tagged_json.dumps(value)
                        for value in columns[place]
                    ]
            instants = [row.instant for row in group]
            data = [instants, [row.zone for row in group], *columns]
            arrays = [
                arrow.array(values, type=field.type)
                for values, field in zip(data, schema, strict=True)
            ]
            writer.write_batch(arrow.record_batch(arrays, schema=schema))


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
                for values in _to_microseconds(arrow, batch).to_pylist():
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


def _to_microseconds(arrow: Any, batch: Any) -> Any:
    """Return a batch whose instants are what Python's datetimes can hold."""
    arrays = [
        column.cast(arrow.timestamp("us", tz=column.type.tz), safe=False)
        if arrow.types.is_timestamp(column.type)
        else column
        for column in batch.columns
    ]
    return arrow.record_batch(arrays, names=batch.schema.names)


def _pyarrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingDependencyError(
            "Parquet needs pyarrow: install it with 'pip install eosdb[parquet]', or use CSV or "
            "JSON lines"
        ) from error
