"""Which record classes are plain: stored values are their fields' values, unchanged.

For such classes the core builds records without validation and stores them without a dump, which
gives the same at a tenth of the time. The conditions are those under which both are certain to be
the identity; any other class is validated and dumped as ever.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from pydantic import BaseModel

from ._core import RecordClass
from .data_record import DataRecord
from .datetimes import DateTime

__all__ = ["record_class_of"]

# The kinds of value, to be added up; the core has the same numbers.
_NONE: Final = 1
_SCALARS: Final = {"bool": 2, "int": 4, "float": 8, "str": 16}
_DATE_TIME: Final = 32
_DICT: Final = 64

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

_HARMLESS: Final = {"type", "ref", "metadata", "serialization_type"}


@functools.lru_cache(maxsize=256)
def record_class_of(class_: type[Any]) -> RecordClass:
    """Return how records of a class are made from rows and rows from records.

    Args:
        class_: The class of the records.

    Returns:
        The same object for the same class.
    """
    return RecordClass(class_, _plain_fields(class_))


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
    return plain


def _is_built_plainly(class_: type[BaseModel]) -> bool:
    """Whether building a record runs no code but pydantic's and ours."""
    ours = DataRecord if issubclass(class_, DataRecord) else BaseModel
    decorators = class_.__pydantic_decorators__
    known = ours.__pydantic_decorators__
    config = class_.model_config
    return (
        class_.__init__ is BaseModel.__init__
        and class_.__new__ is object.__new__
        and class_.model_post_init is BaseModel.model_post_init
        and class_.__setstate__ is ours.__setstate__
        and not class_.__private_attributes__
        and config.get("extra") in (None, "ignore")
        and not config.get("strict")
        and config.get("allow_inf_nan", True)
        and not any(config.get(name) for name in _CHANGING)
        and _functions(decorators.field_validators) == _functions(known.field_validators)
        and _functions(decorators.model_validators) == _functions(known.model_validators)
        and not decorators.validators
        and not decorators.root_validators
    )


def _is_dumped_plainly(class_: type[BaseModel]) -> bool:
    """Whether a record's dump is its fields' values."""
    decorators = class_.__pydantic_decorators__
    return class_.model_dump is BaseModel.model_dump and not (
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
    if kind == "default" or (kind == "function-wrap" and _is_ours(class_, name)):
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


def _is_ours(class_: type[BaseModel], name: str) -> bool:
    """Whether the validator of a field is the one that `DataRecord` has for its `date_time`."""
    return name == "date_time" and issubclass(class_, DataRecord)


def _is_free_dict(schema: Any) -> bool:
    """Whether a dictionary field takes any value under any name."""
    keys = schema.get("keys_schema", {"type": "any"})
    values = schema.get("values_schema", {"type": "any"})
    return (
        set(schema) <= _HARMLESS | {"keys_schema", "values_schema"}
        and keys == {"type": "str"}
        and values == {"type": "any"}
    )
