"""The record: typed values that hold at one instant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, MutableMapping
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.fields import ComputedFieldInfo, FieldInfo

from .datetimes import DateTime, to_datetime
from .errors import ArgumentTypeError, InvalidArgumentError, UnknownKeyError

__all__ = ["DataRecord"]


class DataRecord(BaseModel, MutableMapping[str, Any]):
    """Values that hold at one instant. Derive from it and declare a field per value.

    A record is a pydantic model and a mapping: `record.power_w` and `record["power_w"]` are the
    same value. Keys can also be configured at run time, by overriding
    :meth:`configured_data_keys`; they too are read and written either way, and are `None` until
    they are set. The set of keys is fixed: deleting a key sets it to `None`.

    Example:
        >>> class Power(DataRecord):
        ...     power_w: float | None = None
        >>> record = Power(date_time="2026-01-01T00:00:00Z", power_w=310.0)
        >>> record["power_w"]
        310.0
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        populate_by_name=True,
        use_enum_values=True,
        validate_assignment=True,
    )

    date_time: DateTime | None = Field(default=None, description="Instant of the record")
    configured_data: dict[str, Any] = Field(
        default_factory=dict,
        description="Values of the keys that are configured at run time",
        examples=[{"load0_mr": 40421}],
    )

    @field_validator("date_time", mode="wrap")
    @classmethod
    def _to_aware(cls, value: Any, _handler: Any) -> DateTime | None:
        """Convert in one step, in place of pydantic's own parsing."""
        if value is None:
            return None
        try:
            return to_datetime(value)
        except ArgumentTypeError as error:  # pydantic collects ValueErrors only
            raise InvalidArgumentError(str(error)) from error

    @model_validator(mode="before")
    @classmethod
    def _gather_configured(cls, data: Any) -> Any:
        """Move the values of configured keys to where they are kept."""
        if not isinstance(data, dict):
            return data
        found = [key for key in cls.configured_data_keys() or () if key in data]
        if not found:
            return data
        gathered = dict(data)
        values = {key: gathered.pop(key) for key in found}
        gathered["configured_data"] = {**gathered.get("configured_data", {}), **values}
        return gathered

    # Keys

    @classmethod
    def configured_data_keys(cls) -> list[str] | None:
        """Return the keys that are configured at run time; `None` if there are none."""
        return None

    @classmethod
    def record_keys(cls) -> list[str]:
        """Return all keys: fields, computed fields and configured keys."""
        return [
            *(name for name in cls.model_fields if name != "configured_data"),
            *cls.model_computed_fields,
            *(cls.configured_data_keys() or ()),
        ]

    @classmethod
    def record_keys_writable(cls) -> list[str]:
        """Return the keys that can be written: fields and configured keys."""
        return [
            *(name for name in cls.model_fields if name != "configured_data"),
            *(cls.configured_data_keys() or ()),
        ]

    @classmethod
    def _is_configured(cls, key: str) -> bool:
        return key in (cls.configured_data_keys() or ())

    @classmethod
    def key_from_description(cls, description: str | None, threshold: float = 0.8) -> str | None:
        """Find the field whose description is most like the given one.

        Args:
            description: Text to compare with the fields' descriptions.
            threshold: Least similarity, from 0 (anything) to 1 (identical).

        Returns:
            The key of the field, or `None` if no description is similar enough.
        """
        if description is None:
            return None
        keys: dict[str, str] = {}
        for key, field in (cls.model_fields | cls.model_computed_fields).items():
            if text := _description(field):
                keys.setdefault(text, key)
        matches = difflib.get_close_matches(description, keys, n=1, cutoff=threshold)
        return keys[matches[0]] if matches else None

    @classmethod
    def keys_from_descriptions(
        cls, descriptions: list[str], threshold: float = 0.8
    ) -> list[str | None]:
        """Find the fields whose descriptions are most like the given ones.

        Args:
            descriptions: Texts to compare with the fields' descriptions.
            threshold: Least similarity, from 0 (anything) to 1 (identical).

        Returns:
            For each text the key of the field, or `None` if no description is similar enough.
        """
        return [cls.key_from_description(text, threshold) for text in descriptions]

    # Mapping

    def __getitem__(self, key: str) -> Any:
        """Return the value of `key`.

        Raises:
            UnknownKeyError: If the record has no such key.
        """
        values = self.__dict__
        if key in values:
            return values[key]
        configured = values["configured_data"]
        if key in configured:
            return configured[key]
        if key in self.__pydantic_computed_fields__:
            return getattr(self, key)
        if self._is_configured(key):
            return None
        raise self._unknown(key, self.record_keys())

    def __setitem__(self, key: str, value: Any) -> None:
        """Set the value of `key`.

        Raises:
            UnknownKeyError: If the record has no such key that can be written.
            ValidationError: If the value does not fit the field.
        """
        if key not in self.__pydantic_fields__ and not self._is_configured(key):
            raise self._unknown(key, self.record_keys_writable())
        setattr(self, key, value)

    def __delitem__(self, key: str) -> None:
        """Set the value of `key` to `None`.

        Raises:
            UnknownKeyError: If the record has no such key that can be written.
            ValidationError: If the field must not be `None`.
        """
        if (
            key not in self.__pydantic_fields__
            and key not in self.configured_data
            and not self._is_configured(key)
        ):
            raise self._unknown(key, self.record_keys_writable())
        delattr(self, key)

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # pydantic yields pairs
        """Iterate over the keys that can be written."""
        return iter(self.record_keys_writable())

    def __len__(self) -> int:
        """Return the number of keys that can be written."""
        return len(self.record_keys_writable())

    def clear(self) -> None:
        """Set every value to `None`."""
        # The inherited one pops until no key is left, which never happens here.
        for key in self:
            del self[key]

    @classmethod
    def _unknown(cls, key: str, known: list[str]) -> UnknownKeyError:
        return UnknownKeyError(f"{cls.__name__} has no key {key!r}: expected one of {known}")

    # Attributes

    def __getattr__(self, name: str) -> Any:
        """Return the value of a configured key; fields never come here."""
        configured = self.__dict__.get("configured_data")
        # A dunder is never configured, and copying asks for some before there are any values.
        if configured is not None and not name.startswith("__"):
            if name in configured:
                return configured[name]
            if self._is_configured(name):
                return None
        return super().__getattr__(name)  # type: ignore[misc]  # hidden from type checkers

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field or the value of a configured key.

        Raises:
            AttributeError: If there is neither.
            ValidationError: If the value does not fit the field.
        """
        cls = type(self)
        if name in cls.__pydantic_fields__ or name.startswith("_") or hasattr(cls, name):
            super().__setattr__(name, value)
        elif self._is_configured(name):
            self.configured_data[name] = value
        else:
            raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        """Set a field or the value of a configured key to `None`."""
        if name in self.__pydantic_fields__:
            setattr(self, name, {} if name == "configured_data" else None)
        elif name in self.configured_data:
            del self.configured_data[name]
        elif not self._is_configured(name):
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        """List the attributes, with the configured keys in place of their container."""
        names = {*super().__dir__(), *(self.configured_data_keys() or ())}
        return sorted(names - {"configured_data"})

    # Representation and state

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield names and values, configured ones like fields."""
        yield from (pair for pair in super().__repr_args__() if pair[0] != "configured_data")
        yield from self.configured_data.items()

    def __getstate__(self) -> dict[Any, Any]:
        """Return the state to pickle, with what pendulum leaves out of it."""
        state = super().__getstate__()
        if self.date_time is not None:
            # Without it the second 2:30 of the night when summer time ends becomes the first.
            state["date_time_fold"] = self.date_time.fold
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Restore the pickled state."""
        fold = state.pop("date_time_fold", 0)
        super().__setstate__(state)
        if fold and self.date_time is not None:
            self.__dict__["date_time"] = self.date_time.replace(fold=fold)


def _description(field: FieldInfo | ComputedFieldInfo) -> str | None:
    """Return a field's description, wherever it was declared."""
    extra = field.json_schema_extra
    declared = extra.get("description") if isinstance(extra, dict) else None
    return cast("str | None", declared) or field.description
