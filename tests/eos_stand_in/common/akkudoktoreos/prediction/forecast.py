"""A forecast, to have a second namespace."""

# mypy: ignore-errors

from __future__ import annotations

from pydantic import Field

from akkudoktoreos.core.dataabc import DataRecord, DataSequence


class ForecastDataRecord(DataRecord):
    power_w: float | None = None


class Forecast(DataSequence):
    records: list[ForecastDataRecord] = Field(default_factory=list)

    def db_namespace(self) -> str:
        return "Forecast"
