"""Sizes, durations and numbers of things as people read them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

__all__ = ["counted", "duration_text", "size_text"]

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def size_text(size: int) -> str:
    """Return a number of bytes with three digits or more, such as `67.5 kB`.

    Args:
        size: The number.
    """
    if abs(size) < 1000:
        return f"{size} B"
    amount = size / 1000
    for unit in ("kB", "MB"):
        # What would be rounded up to 1,000 is one of the next unit.
        if abs(amount) < 999.5:
            return f"{amount:.1f} {unit}" if abs(amount) < 99.95 else f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} GB"


def counted(number: int, noun: str) -> str:
    """Return how many of something there are, such as `1 namespace` or `2,880 records`.

    Args:
        number: The number.
        noun: What is counted, in the singular; its plural ends in s.
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration_text(duration: timedelta) -> str:
    """Return a duration in its two largest units, such as `1 d 2 h` or `15 min`.

    Args:
        duration: The duration; what is below a second is rounded.
    """
    rest, parts = round(duration.total_seconds()), []
    for seconds, unit in _UNITS:
        number, rest = divmod(rest, seconds)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or "0 s"
