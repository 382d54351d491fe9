"""Records, and what sequences have in common whether they are asynchronous or not."""

# mypy: ignore-errors

from __future__ import annotations

import typing
from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np
import pandas as pd
import pendulum
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_extra_types.pendulum_dt import DateTime

from akkudoktoreos.core.coreabc import ConfigMixin


class DataABC(ConfigMixin, BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True, validate_assignment=True)


class DataRecord(DataABC, MutableMapping):
    """Values at one instant; some of their keys are configured at run time."""

    date_time: DateTime | None = None
    configured_data: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _sort_out_configured(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        named = {key: data[key] for key in cls.configured_data_keys() or () if key in data}
        if not named:
            return data
        others = {key: value for key, value in data.items() if key not in named}
        return {**others, "configured_data": {**others.get("configured_data", {}), **named}}

    @field_validator("date_time", mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        return pendulum.parse(value) if isinstance(value, str) else value

    @classmethod
    def configured_data_keys(cls) -> list[str] | None:
        return None

    @classmethod
    def record_keys_writable(cls) -> list[str]:
        fields = [name for name in cls.model_fields if name != "configured_data"]
        return fields + list(cls.configured_data_keys() or ())

    record_keys = record_keys_writable

    def __getitem__(self, key: str) -> Any:
        if key in type(self).model_fields:
            return getattr(self, key)
        return self.configured_data.get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if key in type(self).model_fields:
            setattr(self, key, value)
        else:
            self.configured_data[key] = value

    def __delitem__(self, key: str) -> None:
        self[key] = None

    def __iter__(self) -> Iterator[str]:
        return iter(self.record_keys_writable())

    def __len__(self) -> int:
        return len(self.record_keys_writable())


class SequenceBasics(DataABC):
    """What a sequence knows of its records' class."""

    @classmethod
    def record_class(cls) -> type[DataRecord]:
        return typing.get_args(cls.model_fields["records"].annotation)[0]

    @property
    def record_keys(self) -> list[str]:
        return self.record_class().record_keys()

    @property
    def record_keys_writable(self) -> list[str]:
        return self.record_class().record_keys_writable()

    def _validate_record(self, record: DataRecord) -> None:
        if not isinstance(record, self.record_class()):
            raise TypeError(f"{record!r} does not belong here")

    def __iter__(self) -> Iterator[DataRecord]:
        return iter(self.records)


def _by_time(sequence: SequenceBasics, key: str) -> dict[Any, Any]:
    return {row.date_time: row[key] for row in sequence.records if row[key] is not None}


READERS = {
    "key_to_dict": _by_time,
    "key_to_value": lambda self, key, time: _by_time(self, key).get(time),
    "key_to_lists": lambda self, key: ([*_by_time(self, key)], [*_by_time(self, key).values()]),
    "key_to_series": lambda self, key: pd.Series(_by_time(self, key)),
    "key_to_array": lambda self, key: np.array(list(_by_time(self, key).values())),
    "to_dataframe": lambda self: pd.DataFrame([row.model_dump() for row in self.records]),
}
"""How a sequence reads values, record by record."""


def overwrite(present: DataRecord, record: DataRecord) -> None:
    """Merge a record as Akkudoktor-EOS does.

    Configured values are left out, for they lie in a field that nobody may write, and `None` counts
    as a value.
    """
    for key, value in record.model_dump(exclude_unset=True).items():
        if key in record.record_keys_writable():
            present[key] = value
