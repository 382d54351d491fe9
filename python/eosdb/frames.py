"""The mixin's part that hands its records to pandas and to what takes Arrow data."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from datetime import datetime
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, cast, get_args, get_origin

from . import _core
from .errors import MissingDependencyError
from .reading import Array, Reading
from .timestamps import DatabaseTimestamp

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Frames", "index_of", "pandas_module"]


class Frames(Reading):
    """The part of the mixin that returns series, frames and Arrow tables."""

    # ---- pandas ----------------------------------------------------------------------------

    def key_to_series(
        self,
        key: str,
        start_datetime: datetime | None = None,
        end_datetime: datetime | None = None,
        dropna: bool | None = None,
    ) -> pd.Series[Any]:
        """Return the values of a key in `[start_datetime, end_datetime)` as a pandas series.

        Args:
            key: The key.
            start_datetime: The first instant inside; `None` is no bound.
            end_datetime: The first instant outside; `None` is no bound.
            dropna: Whether records whose value is `None` are left out, as they are by default.

        Returns:
            The values, named after the key, indexed by instant: in the zone of the records if they
            are all in the same one, else in UTC.

        Raises:
            UnknownKeyError: If there is no such key.
            NaiveDatetimeError: If a bound has no time zone.
            MissingDependencyError: If pandas is not installed.
        """
        self._check_keys([key])
        start, end = self._instant(start_datetime), self._instant(end_datetime)
        keep = dropna is None or bool(dropna)
        table = _core.table(self._loaded(start, end), [key], start, end, keep, False)
        micros, zone, (values,) = cast("tuple[Array, Any, list[Any]]", table)
        series: pd.Series[Any] = pandas_module().Series(
            values, index=index_of(micros, zone), name=key
        )
        return series

    def to_dataframe(
        self,
        start_datetime: datetime | None = None,
        end_datetime: datetime | None = None,
    ) -> pd.DataFrame:
        """Return the records of `[start_datetime, end_datetime)` as a pandas frame.

        Args:
            start_datetime: The first instant inside; `None` is no bound.
            end_datetime: The first instant outside; `None` is no bound.

        Returns:
            A row for each record, indexed by instant, with a column for each field of its dump;
            configured values are the dictionary `configured_data`. Instants are in the zone of the
            records if they are all in the same one, else in UTC. Without records, an empty frame.

        Raises:
            NaiveDatetimeError: If a bound has no time zone.
            MissingDependencyError: If pandas is not installed.
        """
        pandas = pandas_module()
        start, end = self._instant(start_datetime), self._instant(end_datetime)
        state = self._loaded(start, end)
        keys = state.plain_keys
        if keys is None:
            return self._dumps_to_dataframe(start, end)
        values = [key for key in keys if key != "date_time"]
        table = _core.table(state, values, start, end, False, True)
        if table is None:
            return self._dumps_to_dataframe(start, end)
        micros, zone, columns = table
        frame: pd.DataFrame
        if not len(micros):
            frame = pandas.DataFrame()
            return frame
        index = index_of(micros, zone)
        data = {"date_time": index, **dict(zip(values, columns, strict=True))}
        frame = pandas.DataFrame(data, columns=keys, index=index.rename("date_time"))
        return frame

    def _dumps_to_dataframe(
        self, start_datetime: datetime | None, end_datetime: datetime | None
    ) -> pd.DataFrame:
        """Return a frame of what the records' own `model_dump` returns."""
        pandas = pandas_module()
        records = self._sequence.db_iterate_records(
            cast("DatabaseTimestamp | None", start_datetime),
            cast("DatabaseTimestamp | None", end_datetime),
        )
        dumps = [
            record.model_dump() if hasattr(record, "model_dump") else dict(vars(record))
            for record in records
        ]
        frame: pd.DataFrame = pandas.DataFrame(dumps)
        if frame.empty:
            return frame
        zone = dumps[0]["date_time"].tzinfo
        index = pandas.to_datetime([dump["date_time"] for dump in dumps], utc=True)
        if all(dump["date_time"].tzinfo == zone for dump in dumps):
            index = index.tz_convert(zone)
        frame["date_time"] = index
        return frame.set_index(index.rename("date_time"))

    # ---- Arrow -----------------------------------------------------------------------------

    def to_arrow(
        self,
        start_datetime: datetime | None = None,
        end_datetime: datetime | None = None,
        keys: Iterable[str] | None = None,
    ) -> _core.ArrowTable:
        """Return values of `[start_datetime, end_datetime)` for whatever takes Arrow data.

        polars, pyarrow, DuckDB, pandas and others take the table as it is and share its memory;
        none of them is needed to make it.

        Args:
            start_datetime: The first instant inside; `None` is no bound.
            end_datetime: The first instant outside; `None` is no bound.
            keys: The keys; all keys of a record by default.

        Returns:
            A table with a row for each record: first its `date_time`, then a column for each key.

        Raises:
            UnknownKeyError: If there is no such key.
            InvalidArgumentError: If a key has a NUL.
            NaiveDatetimeError: If a bound has no time zone.
        """
        sequence = self._sequence
        if keys is None:
            asked = list(getattr(self, "record_keys", None) or sequence.record_keys_writable)
        else:
            asked = list(dict.fromkeys(keys))
            self._check_keys(asked)
        start, end = self._instant(start_datetime), self._instant(end_datetime)
        declared = _declared_types(sequence.record_class())
        typed = [(key, declared.get(key)) for key in asked]
        return _core.arrow_table(self._loaded(start, end), typed, start, end)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return all records as a capsule `arrow_array_stream`; libraries call this."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)


def _declared_types(record_class: Any) -> dict[str, str]:
    """Return the types of the fields that hold values of one type, apart from `None`."""
    declared = {}
    for name, field in getattr(record_class, "model_fields", {}).items():
        union = get_origin(field.annotation) in (Union, UnionType)
        types = set(get_args(field.annotation) if union else [field.annotation]) - {type(None)}
        if types == {int, float}:
            types = {float}
        if len(types) == 1 and types <= {bool, int, float, str}:
            declared[name] = types.pop().__name__
    return declared


def pandas_module() -> Any:
    """Return pandas.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise MissingDependencyError(
            "this needs pandas: install it, or use key_to_lists, key_to_array or to_arrow"
        ) from error


def index_of(micros: Array, zone: Any) -> Any:
    """Return an index of instants, in microseconds since 1970, shown in a zone."""
    index = pandas_module().DatetimeIndex(micros.view("datetime64[us]")).tz_localize("UTC")
    return index if zone is None else index.tz_convert(zone)
