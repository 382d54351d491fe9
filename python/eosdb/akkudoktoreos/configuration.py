"""What the configuration of Akkudoktor-EOS says about its database."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["NO_DATABASE", "provider_of"]

NO_DATABASE: Final = "NoDB"
"""What EOS calls having none."""


def provider_of(config: Any) -> str:
    """Return the name of the provider that is configured.

    Args:
        config: EOS's configuration.
    """
    return getattr(config.database, "provider", None) or NO_DATABASE
