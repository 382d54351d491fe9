"""What each operation has to return, worked out in plain Python from the rows alone."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from subject import (
    COUNTS,
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
HOURLY_AFTER_SECONDS = 14 * DAY_SECONDS
QUARTERLY_AFTER_SECONDS = 2 * 3600
COMPACTED_TOLERANCE = 1e-9
# The values are tenths, so that a mean is 0 or at least a 600th: this is for those that are 0.
ZERO_TOLERANCE = 1e-9


class WrongResultError(Exception):
    """An implementation returned something else than the rows it was given."""


def means(values: list[float], length: int) -> list[float]:
    """Return the mean of each `length` values, the last of them perhaps of fewer."""
    return [fmean(values[at : at + length]) for at in range(0, len(values), length)]


@dataclass(frozen=True)
class Compacted:
    """What the default tiers have to leave of rows: each its second and its values.

    Attributes:
        old: The hourly means, and after them those of a quarter of an hour.
        young: The rows that are too young, as they were.
        hourly_until: The second up to which `old` is hourly.
    """

    old: list[list[float]]
    young: list[list[float]]
    hourly_until: int


def compacted(rows: list[Row]) -> Compacted:
    """Work out what the default tiers have to leave of rows."""
    newest = rows[-1].second
    hourly_until = (newest - HOURLY_AFTER_SECONDS) // 3600 * 3600
    quarterly_until = (newest - QUARTERLY_AFTER_SECONDS) // 900 * 900
    buckets: dict[int, list[Row]] = {}
    for row in rows:
        if row.second < quarterly_until:
            width = 3600 if row.second < hourly_until else 900
            buckets.setdefault(row.second // width * width, []).append(row)
    return Compacted(
        [
            [second, *map(fmean, zip(*(row.values for row in bucket), strict=True))]
            for second, bucket in buckets.items()
        ],
        [[row.second, *row.values] for row in rows if row.second >= quarterly_until],
        hourly_until,
    )


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
        self.compacted = compacted(rows)
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
            "count": [count] * COUNTS,
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
            "vacuum": [count - half, self.rest],
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


def compare_compacted(
    who: str, result: list[list[float]], expected: Compacted, *, hours_only: bool
) -> None:
    """Raise an error if rows are not what compaction has to leave.

    Args:
        who: The implementation.
        result: Its rows, each its second and its values.
        expected: The right ones.
        hours_only: Whether to pass over rows between the full hours where there should be hourly
            ones only. Akkudoktor-EOS, and so the reference, compacts to hours first and to quarters
            after that, over the same rows again, and so puts three interpolated rows between any
            two of them. At the full hours are the means of the hours still.

    Raises:
        WrongResultError: If they are not.
    """
    if hours_only:
        until = expected.hourly_until
        result = [row for row in result if row[0] >= until or row[0] % 3600 == 0]
    wanted = expected.old + expected.young
    if len(result) != len(wanted):
        raise WrongResultError(f"{who}, compact: {len(result)} rows where {len(wanted)} are right")
    for number, (row, right) in enumerate(zip(result, wanted, strict=True)):
        untouched = number >= len(expected.old)
        same = row == right if untouched else row[0] == right[0] and close(row[1:], right[1:])
        if not same:
            raise WrongResultError(f"{who}, compact: {row} where {right} is right")


def close(means: list[float], right: list[float]) -> bool:
    """Tell whether means are equal but for what comes of adding up in another order."""
    return len(means) == len(right) and all(
        math.isclose(mean, value, rel_tol=COMPACTED_TOLERANCE, abs_tol=ZERO_TOLERANCE)
        for mean, value in zip(means, right, strict=True)
    )
