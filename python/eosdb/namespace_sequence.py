"""The sequence of a namespace without the user's record class, which can also be written."""

from __future__ import annotations

import functools
import keyword
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, create_model

from .data_record import DataRecord
from .data_sequence import DataSequence
from .datetimes import Duration
from .errors import InvalidArgumentError
from .native_database import NativeDatabase
from .survey import Survey

__all__ = ["sequence_of"]

_TYPES: Final[dict[str, Any]] = {"bool": bool, "str": str}


def sequence_of(
    database: NativeDatabase,
    namespace: str,
    found: Survey | None = None,
    *,
    aggregations: Mapping[str, str] | None = None,
    max_gap: Duration | None = None,
) -> DataSequence:
    """Return the sequence of a namespace.

    Args:
        database: An open database.
        namespace: The namespace.
        found: What its records hold, if their values are to be read or written: the fields of the
            record class are made from that.
        aggregations: What becomes of each key; see `db_compact_aggregations`.
        max_gap: The longest gap; see `db_compact_max_gap`.

    Raises:
        InvalidArgumentError: If a field cannot be one of a class made on the fly.
    """
    record = DataRecord if found is None else _record_class(found)

    class Stored(DataSequence):
        # As models of pydantic have it, which copies it for each; the class is one made here.
        records: list[record] = []  # type: ignore[valid-type]  # noqa: RUF012

        def db_namespace(self) -> str:
            return namespace

        def db_compact_aggregations(self) -> Mapping[str, str]:
            return aggregations or {}

        def db_compact_max_gap(self) -> Duration | None:
            return max_gap

    return Stored(database=database)


def _record_class(found: Survey) -> type[DataRecord]:
    """Return a record class with the fields that were found."""
    fields: dict[str, Any] = {}
    configured = []
    for name, key in found.keys.items():
        if key.is_configured:
            configured.append(name)
            continue
        if name == "configured_data":
            continue
        if not name.isidentifier() or keyword.iskeyword(name) or _is_taken(name):
            raise InvalidArgumentError(
                f"namespace '{found.namespace}' has a field {name!r}, which cannot be compacted "
                "without its record class: use db_compact() in a program that has it"
            )
        fields[name] = (_type(set(key.kinds) - {"none"}) | None, None)
    made: type[DataRecord] = create_model(
        "StoredRecord", __base__=_base(tuple(configured)), **fields
    )
    return made


def _is_taken(name: str) -> bool:
    return name.startswith(("_", "model_")) or hasattr(BaseModel, name) or hasattr(DataRecord, name)


def _type(kinds: set[str]) -> Any:
    kinds = {"float" if kind == "numpy" else kind for kind in kinds}
    if kinds <= {"int", "float"}:
        # Of whole numbers, too, the mean is a fraction; and those that stay are still whole.
        return int | float if "int" in kinds else float
    return _TYPES.get(next(iter(kinds)), Any) if len(kinds) == 1 else Any


@functools.lru_cache(maxsize=16)
def _base(configured: tuple[str, ...]) -> type[DataRecord]:
    class Configured(DataRecord):
        @classmethod
        def configured_data_keys(cls) -> list[str] | None:
            return list(configured) or None

    return Configured
