"""The settings that a database carries."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["DatabaseSettings"]


class DatabaseSettings(BaseModel):
    """How records are stored, loaded, saved and kept.

    Values are checked when they are set, at creation and later. Where a duration is `None`, the
    behaviour it controls is off.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    PROVIDERS: ClassVar[tuple[str, ...]] = ("LMDB", "SQLite")
    """The provider names that can be chosen."""

    provider: str | None = Field(
        default=None,
        examples=["LMDB"],
        description="Name of the storage to use, one of `PROVIDERS`; `None` for no storage.",
    )
    compression_level: int = Field(
        default=9,
        ge=0,
        le=9,
        examples=[0, 9],
        description="Level of gzip for record values: 0 stores them as they are, 9 makes them "
        "smallest.",
    )
    initial_load_window_h: int | None = Field(
        default=None,
        ge=0,
        examples=[48],
        description="Hours around the centre to load first; `None` loads everything at once.",
    )
    keep_duration_h: int | None = Field(
        default=None,
        ge=0,
        examples=[48],
        description="Hours for which records are kept; `None` keeps them for ever.",
    )
    autosave_interval_sec: int | None = Field(
        default=10,
        ge=5,
        examples=[5],
        description="Seconds between automatic saves; `None` saves only on request.",
    )
    compaction_interval_sec: int | None = Field(
        default=7 * 24 * 3600,
        ge=0,
        examples=[604_800],
        description="Seconds between automatic compactions, a week by default; `None` never "
        "compacts by itself.",
    )
    batch_size: int = Field(
        default=100,
        ge=1,
        examples=[100],
        description="Number of records that batch operations handle at a time.",
    )

    @property
    def providers(self) -> list[str]:
        """The provider names that can be chosen."""
        return list(self.PROVIDERS)

    @field_validator("provider")
    @classmethod
    def _provider_is_known(cls, provider: str | None) -> str | None:
        if provider is None or provider in cls.PROVIDERS:
            return provider
        raise ValueError(f"provider {provider!r} is unknown: expected one of {cls.PROVIDERS}")
