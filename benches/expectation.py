"""What each operation has to return, worked out in plain Python from the rows alone."""

from __future__ import annotations

import math
import random
from statistics import fmean
from typing import Any

from subject import (
    DAY_SECONDS,
    KEYS,
    LOOKUPS,
    READ_KEY,
    SEED,
    STEP_SECONDS,
    ZONE,
    Row,
    digest,
    synthetic_rows,
)

ROWS_AN_HOUR = 3600 // STEP_SECONDS
ROWS_A_QUARTER = 900 // STEP_SECONDS
ROWS_A_DAY = DAY_SECONDS // STEP_SECONDS
RELATIVE_TOLERANCE = 1e-12


class WrongResultError(Exception):
    """An implementation returned something else than the rows it was given."""


def means(values: list[float], length: int) -> list[float]:
    """Return the mean of each `length` values, the last of them perhaps of fewer."""
    return [fmean(values[at : at + length]) for at in range(0, len(values), length)]


class Expectation:
    """The results of all operations."""

    def __init__(self, count: int, configured: bool) -> None:
        """Work out what a number of rows must lead to.

        Args:
            count: How many rows.
            configured: Whether their values are configured data.
        """
        rows = list(synthetic_rows(count))
        half = count // 2
        source = random.Random(SEED)
        looked_up: list[Row] = [rows[source.randrange(count)] for _ in range(LOOKUPS)]
        found = digest(looked_up)
        everything = digest(rows)
        self.rest = digest(rows[half:])
        columns = {key: [row.values[at] for row in rows] for at, key in enumerate(KEYS)}
        hourly = {key: means(column, ROWS_AN_HOUR) for key, column in columns.items()}
        read = columns[READ_KEY]
        # With a start, buckets are counted from the record before it, and the first bucket that is
        # returned is the first to begin in the window.
        day = means(read[count - ROWS_A_DAY - 1 + ROWS_A_QUARTER :], ROWS_A_QUARTER)
        frame_columns = ["date_time", "configured_data", *(() if configured else KEYS)]
        self.results: dict[str, Any] = {
            "prepare": count,
            "insert": None,
            "save": count,
            "count": count,
            "load": count,
            "load_objects": count,
            "iterate": [count, count, everything],
            "exact": found,
            "nearest": found,
            "nearest_within": found,
            "read_first": hourly[READ_KEY],
            "read_again": hourly[READ_KEY],
            "read_day": day,
            "frame": [frame_columns, "date_time", ZONE, everything],
            "read_live": hourly[READ_KEY],
            "keys_opened": hourly,
            "keys_opened_apart": hourly,
            "keys_again": hourly,
            "keys_again_apart": hourly,
            "pandas": hourly[READ_KEY],
            "floor": [count, fmean(read)],
            "content": everything,
            "memory": count,
            "delete": [half, count - half],
        }


def agree(result: Any, expected: Any) -> bool:
    """Tell whether two results are equal, floats among them but for their last bits."""
    if isinstance(expected, dict):
        return (
            isinstance(result, dict)
            and result.keys() == expected.keys()
            and all(agree(result[key], value) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(result, list)
            and len(result) == len(expected)
            and all(agree(*pair) for pair in zip(result, expected, strict=True))
        )
    if isinstance(expected, float):
        return isinstance(result, float) and math.isclose(
            result, expected, rel_tol=RELATIVE_TOLERANCE
        )
    return bool(result == expected)


def compare(who: str, operation: str, result: Any, expected: Any) -> None:
    """Raise an error if a result is not the expected one.

    Raises:
        WrongResultError: If it is not.
    """
    if agree(result, expected):
        return
    got, right = (
        text if len(text) < 200 else f"{text[:200]}…" for text in map(str, (result, expected))
    )
    raise WrongResultError(f"{who}, {operation}: {got} where {right} is right")
