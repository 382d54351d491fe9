"""The regular jobs of the server."""

# mypy: ignore-errors

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class RetentionManager:
    def __init__(self) -> None:
        self.jobs: dict[str, tuple[Callable[[], Any], str]] = {}

    def register(
        self, name: str, func: Callable[[], Any], *, interval_attr: str, fallback: float = 300.0
    ) -> None:
        del fallback
        self.jobs[name] = (func, interval_attr)
