"""The configuration."""

# mypy: ignore-errors

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from akkudoktoreos.core.database import DatabaseCommonSettings
from akkudoktoreos.measurement.measurement import MeasurementCommonSettings


class GeneralSettings(BaseModel):
    data_folder_path: Path = Path()


class ConfigEOS(BaseModel):
    general: GeneralSettings = Field(default_factory=GeneralSettings)
    database: DatabaseCommonSettings = Field(default_factory=DatabaseCommonSettings)
    measurement: MeasurementCommonSettings = Field(default_factory=MeasurementCommonSettings)
