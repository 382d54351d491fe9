"""What time it is, for everything in eosdb that asks."""

from __future__ import annotations

import datetime

__all__ = ["now"]


def now() -> datetime.datetime:
    """Return the time by the system's clock, in UTC.

    It is always called as `clock.now()`: so tests that put another function here change the time
    for all of eosdb, in every thread.
    """
    return datetime.datetime.now(datetime.UTC)
