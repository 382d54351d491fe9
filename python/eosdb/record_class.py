"""Which record classes are plain: stored values are their fields' values, unchanged.

For such classes the core builds records without validation and stores them without a dump, which
gives the same at a tenth of the time. The conditions are those under which both are certain to be
the identity; any other class is validated and dumped as ever.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from pendulum.tz.timezone import Timezone
from pydantic import BaseModel

from ._core import RecordClass
from .data_record import DataRecord
from .datetimes import DateTime, to_datetime
from .stored_record import StoredRecord

__all__ = ["record_class_of", "trust"]

# The kinds of value, to be added up; the core has the same numbers.
_NONE: Final = 1
_SCALARS: Final = {"bool": 2, "int": 4, "float": 8, "str": 16}
_DATE_TIME: Final = 32
_DICT: Final = 64

_INSTANTS: Final = (
    to_datetime("2026-01-01T12:34:56.789012Z", in_timezone="Europe/Berlin"),
    to_datetime("2026-07-01T23:59:59Z", in_timezone="America/New_York"),
)

_SAMPLES: Final[tuple[tuple[tuple[int, Any], ...], ...]] = (
    (
        (_DATE_TIME, _INSTANTS[0]),
        (_NONE, None),
        (2, True),
        (4, 7),
        (8, 7.5),
        (16, "text"),
        (_DICT, {"k": 1}),
    ),
    (
        (_DICT, {}),
        (_DATE_TIME, _INSTANTS[1]),
        (16, ""),
        (8, -0.0),
        (4, -1),
        (2, False),
        (_NONE, None),
    ),
)
"""Values of each kind; of those that a field takes, the first one is tried."""

_DATE_TIMES: Final = (DateTime, DateTime | None)
_CHANGING: Final = (
    "coerce_numbers_to_str",
    "str_max_length",
    "str_min_length",
    "str_strip_whitespace",
    "str_to_lower",
    "str_to_upper",
)
"""What a class can ask of all its fields, so that a valid value is another one than the stored."""

_TRUSTED: Final[list[type[BaseModel]]] = [DataRecord]
"""The bases of record classes whose own code is known to change no stored value."""

_VALIDATED: Final = {"function-before", "function-wrap"}
"""The schemas of fields that have a validator."""

_HARMLESS: Final = {"type", "ref", "metadata", "serialization_type"}


@functools.lru_cache(maxsize=256)
def record_class_of(class_: type[Any]) -> RecordClass:
    """Return how records of a class are made from rows and rows from records.

    Args:
        class_: The class of the records.

    Returns:
        The same object for the same class.
    """
    if issubclass(class_, StoredRecord):
        return RecordClass.of_dictionaries(class_, class_.zone)
    fields, zone = _plain_fields(class_), None
    if fields is not None and any(name == "date_time" for name, _ in fields):
        try:
            zone = _zone(class_, fields)
        except LookupError:
            fields = None
    return RecordClass(class_, fields, initializes=_initializes(class_), zone=zone)


def _plain_fields(class_: type[Any]) -> list[tuple[str, int]] | None:
    if (
        not issubclass(class_, BaseModel)
        or not _is_built_plainly(class_)
        or not _is_dumped_plainly(class_)
    ):
        return None
    fields = _model_fields(class_.__pydantic_core_schema__)
    if fields is None:
        return None
    plain = []
    for name, field in fields.items():
        kinds = _kinds(class_, name, field["schema"])
        if field["type"] != "model-field" or kinds is None or "validation_alias" in field:
            return None
        plain.append((name, kinds))
    return plain if _keeps_values(class_, plain) else None


def _keeps_values(class_: type[BaseModel], fields: list[tuple[str, int]]) -> bool:
    """Whether the class, tried with a value of each kind, stores what it is given.

    Of a time that is the instant; its zone may be another, see :func:`_zone`.
    """
    for values in _sample_values(fields):
        try:
            dump = class_(**values).model_dump()
        except ValueError:
            return False
        if dump != values or list(dump) != list(values):
            return False
    return True


def _sample_values(fields: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """Return the values of sample records with these fields."""
    return [
        {
            name: next((value for kind, value in sample if kind & kinds), None)
            for name, kinds in fields
        }
        for sample in _SAMPLES
    ]


def _zone(class_: type[BaseModel], fields: list[tuple[str, int]]) -> str | None:
    """Return the zone that the class brings every `date_time` to; `None` if it leaves it.

    Raises:
        LookupError: If that is no zone by name.
    """
    dumps = [class_(**values).model_dump() for values in _sample_values(fields)]
    zones = [dump["date_time"].tzinfo for dump in dumps]
    if zones == [instant.tzinfo for instant in _INSTANTS]:
        return None
    if zones[0] != zones[1] or not isinstance(zones[0], Timezone):
        raise LookupError
    return str(zones[0].name)


def trust(class_: type[BaseModel]) -> None:
    """Have a base class of records count as one whose validators and dump change no stored value.

    Args:
        class_: The base class. A stored value passes its validators unchanged but for the zone of
            its time, and its `model_dump` returns the fields, if there are no computed ones. What
            its subclasses add is looked at.
    """
    if class_ not in _TRUSTED:
        _TRUSTED.insert(0, class_)
        record_class_of.cache_clear()


def _base(class_: type[BaseModel]) -> type[BaseModel]:
    """Return the base of a class whose code is known."""
    return next((base for base in _TRUSTED if issubclass(class_, base)), BaseModel)


def _is_built_plainly(class_: type[BaseModel]) -> bool:
    """Whether building a record runs no code but that of the known base."""
    base = _base(class_)
    decorators = class_.__pydantic_decorators__
    known = base.__pydantic_decorators__
    config = class_.model_config
    return (
        class_.__init__ is base.__init__
        and class_.__new__ is base.__new__
        and (class_.model_post_init is base.model_post_init or _initializes(class_))
        and class_.__setstate__ is base.__setstate__
        and config.get("extra") in (None, "ignore")
        and not config.get("strict")
        and config.get("allow_inf_nan", True)
        and not any(config.get(name) for name in _CHANGING)
        and _functions(decorators.field_validators) == _functions(known.field_validators)
        and _functions(decorators.model_validators) == _functions(known.model_validators)
        and not decorators.validators
        and not decorators.root_validators
    )


def _initializes(class_: type[Any]) -> bool:
    """Whether pydantic made the `model_post_init` of a class, which sets private attributes."""
    function = getattr(class_, "model_post_init", None)
    return (getattr(function, "__module__", ""), getattr(function, "__name__", "")) == (
        "pydantic._internal._model_construction",
        "init_private_attributes",
    )


def _is_dumped_plainly(class_: type[BaseModel]) -> bool:
    """Whether a record's dump is its fields' values."""
    decorators = class_.__pydantic_decorators__
    return class_.model_dump is _base(class_).model_dump and not (
        decorators.field_serializers or decorators.model_serializers or decorators.computed_fields
    )


def _functions(decorators: dict[str, Any]) -> set[Any]:
    return {
        getattr(decorator.func, "__func__", decorator.func) for decorator in decorators.values()
    }


def _model_fields(schema: Any) -> dict[str, Any] | None:
    """Return the fields in the schema of a model, below its validators."""
    while schema["type"] != "model-fields":
        if schema["type"] == "definitions" or "schema" not in schema:
            return None
        schema = schema["schema"]
    fields: dict[str, Any] = schema["fields"]
    return fields


def _kinds(class_: type[BaseModel], name: str, schema: Any) -> int | None:
    """Return the kinds of value that a field stores as they are; `None` if it is not plain."""
    kind = schema["type"]
    inner = schema.get("schema")
    kinds: int | None = None
    if kind == "default" or (kind in _VALIDATED and _is_known(class_, name)):
        kinds = _kinds(class_, name, inner)
    elif kind == "nullable":
        kinds = _kinds(class_, name, inner)
        kinds = None if kinds is None else kinds | _NONE
    elif name == "date_time" and class_.model_fields[name].annotation in _DATE_TIMES:
        kinds = _DATE_TIME
    elif kind in _SCALARS and set(schema) <= _HARMLESS:
        kinds = _SCALARS[kind]
    elif kind == "dict" and _is_free_dict(schema):
        kinds = _DICT
    return kinds


def _is_known(class_: type[BaseModel], name: str) -> bool:
    """Whether the validator of a field is the one that the known base has for `date_time`."""
    return name == "date_time" and _base(class_) is not BaseModel


def _is_free_dict(schema: Any) -> bool:
    """Whether a dictionary field takes any value under any name."""
    keys = schema.get("keys_schema", {"type": "any"})
    values = schema.get("values_schema", {"type": "any"})
    return (
        set(schema) <= _HARMLESS | {"keys_schema", "values_schema"}
        and keys == {"type": "str"}
        and values == {"type": "any"}
    )
