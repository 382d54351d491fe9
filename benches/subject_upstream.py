"""Akkudoktor-EOS itself, as a worker drives it; its sources must be on the import path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from akkudoktoreos.core import (  # type: ignore[import-not-found]
    coreabc,
    dataabc,
    databaseabc,
)
from loguru import logger  # type: ignore[import-not-found]
from pydantic import Field
from subject import KEYS, NAMESPACE, Subject, environment


class Reading(dataabc.DataRecord):  # type: ignore[misc]
    """A row whose values are fields."""

    pv_power_w: float | None = Field(default=None)
    load_power_w: float | None = Field(default=None)
    grid_power_w: float | None = Field(default=None)
    battery_power_w: float | None = Field(default=None)


class ConfiguredReading(dataabc.DataRecord):  # type: ignore[misc]
    """A row whose values are configured data."""

    @classmethod
    def configured_data_keys(cls) -> list[str]:
        """Return the keys of the four values."""
        return list(KEYS)


class House(dataabc.DataSequence):  # type: ignore[misc]
    """Rows of fields."""

    records: list[Reading] = Field(default_factory=list)

    def db_namespace(self) -> str:
        """Return the namespace that all implementations use."""
        return NAMESPACE


class ConfiguredHouse(House):
    """Rows of configured data."""

    records: list[ConfiguredReading] = Field(default_factory=list)


def subject(root: Path, level: int, configured: bool) -> Subject:
    """Return Akkudoktor-EOS as a subject.

    Args:
        root: The data folder, which also takes its configuration file.
        level: The gzip level.
        configured: Whether values are configured data.
    """
    os.environ["EOS_DIR"] = os.environ["EOS_CONFIG_DIR"] = str(root)
    os.environ["EOS_GENERAL__DATA_FOLDER_PATH"] = str(root)
    logger.remove()
    config = coreabc.get_config(init={"with_dotenv_settings": False, "with_file_settings": False})
    config.reset_settings()
    coreabc.singletons_init()
    config.database.compression_level = level
    config.database.provider = "LMDB"
    sequence_class = ConfiguredHouse if configured else House

    def assume_loaded(sequence: Any) -> None:
        sequence._db_load_phase = databaseabc.DatabaseRecordProtocolLoadPhase.FULL

    return Subject(
        record_class=ConfiguredReading if configured else Reading,
        connect=sequence_class,
        renew=sequence_class,
        disconnect=lambda: coreabc.get_database().close(),
        assume_loaded=assume_loaded,
        timestamp=databaseabc.DatabaseTimestamp.from_datetime,
        path=environment(root),
    )
