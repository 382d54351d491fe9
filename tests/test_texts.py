"""Sizes, durations and numbers of things as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from eosdb.texts import counted, duration_text, size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (-67_541, "-67.5 kB"), (99_949, "99.9 kB"),
        (99_950, "100 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"), (999_500_000, "1.0 GB"),
        (12_345_678_901_234, "12,345.7 GB"),
    ],
)  # fmt: skip
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.6, "1 s"), (59, "59 s"), (61, "1 min 1 s"), (900, "15 min"),
        (86_400, "1 d"), (93_784, "1 d 2 h"), (86_460, "1 d 1 min"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 pages"), (1, "1 page"), (2, "2 pages"), (1234, "1,234 pages")]
)
def test_numbers_of_things(number: int, text: str) -> None:
    assert counted(number, "page") == text
