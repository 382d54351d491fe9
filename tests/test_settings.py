"""The settings have Akkudoktor-EOS's fields and defaults, and refuse what makes no sense."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from eosdb.settings import DatabaseSettings


def test_defaults() -> None:
    assert DatabaseSettings().model_dump() == {
        "provider": None,
        "compression_level": 9,
        "initial_load_window_h": None,
        "keep_duration_h": None,
        "autosave_interval_sec": 10,
        "compaction_interval_sec": 604_800,
        "batch_size": 100,
    }


@pytest.mark.parametrize("provider", [None, "LMDB", "SQLite"])
def test_providers(provider: str | None) -> None:
    settings = DatabaseSettings(provider=provider)
    assert settings.provider == provider
    assert settings.providers == ["LMDB", "SQLite"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("provider", "lmdb"),
        ("compression_level", -1),
        ("compression_level", 10),
        ("compression_level", None),
        ("initial_load_window_h", -1),
        ("keep_duration_h", -1),
        ("autosave_interval_sec", 4),
        ("compaction_interval_sec", -1),
        ("batch_size", 0),
    ],
)
def test_refused_at_creation_and_at_assignment(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        DatabaseSettings(**{field: value})
    settings = DatabaseSettings()
    before = getattr(settings, field)
    with pytest.raises(ValidationError, match=field):
        setattr(settings, field, value)
    assert getattr(settings, field) == before


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="compresion_level"):
        DatabaseSettings.model_validate({"compresion_level": 3})


def test_read_from_an_object_with_more_fields() -> None:
    class EosSettings:
        compression_level = 3
        providers = ("LMDB", "SQLite")
        something_new = 1

    settings = DatabaseSettings.model_validate(EosSettings(), from_attributes=True)
    assert settings.compression_level == 3
    assert settings.autosave_interval_sec == 10
