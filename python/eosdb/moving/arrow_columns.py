"""Python's values as Arrow's columns, and Arrow's instants as Python's.

Wherever pandas is installed, pyarrow imports it to make an array of a list, or a datetime of an
instant. That is 50 MB and half a second, for nothing: so columns are made of their buffers here, as
the layout of Arrow's columnar format describes them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import accumulate
from typing import Any, Final

import numpy as np

from ..errors import InvalidArgumentError
from .rows import zone_of_name

__all__ = ["column_of", "datetimes_of"]

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NUMBERS: Final = {"double": np.float64, "int64": np.int64}
_MOST_TEXT: Final = 2**31 - 1


def column_of(arrow: Any, type_: Any, values: list[Any]) -> Any:
    """Return values as an Arrow array.

    Args:
        arrow: The module pyarrow.
        type_: Arrow's double, int64, bool, string, or timestamp in microseconds.
        values: Values of that type, and `None`.

    Raises:
        InvalidArgumentError: If texts are longer than 2 GiB together.
    """
    known = np.fromiter((value is not None for value in values), np.bool_, len(values))
    nulls = int(len(values) - known.sum())
    validity = _bits(arrow, known) if nulls else None
    if type_ == arrow.string():
        data = _text(arrow, values)
    elif type_ == arrow.bool_():
        data = [_bits(arrow, np.fromiter((value is True for value in values), np.bool_))]
    elif arrow.types.is_timestamp(type_):
        micros = [0 if value is None else (value - _EPOCH) // _MICROSECOND for value in values]
        data = [arrow.py_buffer(np.array(micros, np.int64))]
    else:
        numbers = [0 if value is None else value for value in values]
        data = [arrow.py_buffer(np.array(numbers, _NUMBERS[str(type_)]))]
    return arrow.Array.from_buffers(type_, len(values), [validity, *data], nulls)


def datetimes_of(arrow: Any, column: Any) -> list[datetime | None]:
    """Return the instants of a column, with its zone if it has one; below a microsecond cut off.

    Args:
        arrow: The module pyarrow.
        column: An Arrow array of timestamps.

    Raises:
        InvalidArgumentError: If one lies outside the years 1 to 9999, or there is no such zone.
    """
    name = column.type.tz
    micros = column.cast(arrow.timestamp("us", tz=name), safe=False).cast(arrow.int64())
    zone = None if name is None else zone_of_name(name)
    return [None if value is None else _datetime(value, zone) for value in micros.to_pylist()]


def _datetime(micros: int, zone: tzinfo | None) -> datetime:
    try:
        instant = _EPOCH + timedelta(microseconds=micros)
        return instant.replace(tzinfo=None) if zone is None else instant.astimezone(zone)
    except OverflowError as error:
        raise InvalidArgumentError(
            f"the instant {micros} (microseconds since 1970) is outside the years 1 to 9999"
        ) from error


def _bits(arrow: Any, flags: Any) -> Any:
    return arrow.py_buffer(np.packbits(flags, bitorder="little"))


def _text(arrow: Any, values: list[str | None]) -> list[Any]:
    encoded = [b"" if value is None else value.encode() for value in values]
    ends = [0, *accumulate(map(len, encoded))]
    if ends[-1] > _MOST_TEXT:
        raise InvalidArgumentError(
            f"{len(values)} texts one after the other are longer than 2 GiB, which is more than "
            "Parquet's pages hold: use CSV or JSON lines"
        )
    return [arrow.py_buffer(np.array(ends, np.int32)), arrow.py_buffer(b"".join(encoded))]
