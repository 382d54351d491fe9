"""The measurements of a household."""

# mypy: ignore-errors

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from akkudoktoreos.core.coreabc import SingletonMixin
from akkudoktoreos.core.dataabc import DataRecord, DataSequence
from eosdb import DateTime, to_datetime


class MeasurementCommonSettings(BaseModel):
    load_emr_keys: list[str] | None = None
    grid_import_emr_keys: list[str] | None = None
    power_keys: list[str] | None = None
    historic_hours: int = 2 * 365 * 24

    @property
    def keys(self) -> list[str]:
        lists = (self.load_emr_keys, self.grid_import_emr_keys, self.power_keys)
        return [key for keys in lists for key in keys or ()]


class MeasurementDataRecord(DataRecord):
    note: str | None = None

    @classmethod
    def configured_data_keys(cls) -> list[str] | None:
        return cls.config.measurement.keys


class Measurement(SingletonMixin, DataSequence):
    records: list[MeasurementDataRecord] = Field(default_factory=list)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)

    def db_namespace(self) -> str:
        return "Measurement"

    def db_keep_datetime(self) -> DateTime:
        return to_datetime().subtract(hours=self.config.measurement.historic_hours)
