"""The same rows in a column store or file: what analysis would cost without records.

    python benches/columnar.py polars|duckdb|arcticdb <directory> --rows 100000

One engine in a process that has imported it already, like a worker. It prints a line of JSON: the
seconds of each operation and what to compare. Parquet cannot be appended to: there one more row
means writing the file anew.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from subject import FIRST_SECOND, KEYS, READ_KEY, STEP_SECONDS, synthetic_rows

HOUR: Final = 3600
TIMES: Final = 7
ENGINES: Final = ("polars", "duckdb", "arcticdb")


def installed() -> list[str]:
    """Return the engines that are installed here."""
    return [name for name in ENGINES if importlib.util.find_spec(name) is not None]


class Engine(Protocol):
    """What is measured of an engine."""

    def write(self) -> None:
        """Write everything, and bring it to disk."""

    def append(self) -> None:
        """Add a row, and bring it to disk."""

    def means(self) -> list[float]:
        """Open the file and return the hourly means of one column."""


class Polars:
    """A Parquet file, read by polars."""

    def __init__(self, path: Path, columns: dict[str, list[Any]]) -> None:
        """Write the file."""
        self._polars = importlib.import_module("polars")
        self._frame = self._polars.DataFrame(columns)
        self._path = path / "house.parquet"
        self.write()

    def write(self) -> None:
        """Write everything, and bring it to disk."""
        self._frame.write_parquet(self._path, compression="zstd")
        with self._path.open("rb") as file:
            os.fsync(file.fileno())

    append = write

    def means(self) -> list[float]:
        """Open the file and return the hourly means of one column."""
        column = self._polars.col
        frame = self._polars.scan_parquet(self._path)
        hours = frame.group_by((column("second") // HOUR).alias("hour"))
        grouped = hours.agg(column(READ_KEY).mean()).sort("hour")
        means: list[float] = grouped.collect()[READ_KEY].to_list()
        return means


class DuckDB:
    """A table in a file of DuckDB."""

    def __init__(self, path: Path, columns: dict[str, list[Any]]) -> None:
        """Write the table."""
        self._duckdb = importlib.import_module("duckdb")
        self._frame = importlib.import_module("pyarrow").table(columns)
        self._path = path / "house.duckdb"
        self._next = FIRST_SECOND + len(columns["second"]) * STEP_SECONDS
        self.write()

    def write(self) -> None:
        """Write everything in one transaction."""
        self._path.unlink(missing_ok=True)
        with self._duckdb.connect(str(self._path)) as connection:
            connection.register("frame", self._frame)
            connection.execute("create table house as select * from frame")

    def append(self) -> None:
        """Add a row in a transaction of its own."""
        with self._duckdb.connect(str(self._path)) as connection:
            connection.execute("insert into house values (?, 1, 2, 3, 4)", [self._next])
        self._next += STEP_SECONDS

    def means(self) -> list[float]:
        """Open the file and return the hourly means of one column."""
        query = (
            f"select avg({READ_KEY}) from house "  # noqa: S608 - constants
            f"group by second // {HOUR} order by second // {HOUR}"
        )
        with self._duckdb.connect(str(self._path), read_only=True) as connection:
            return [mean for (mean,) in connection.execute(query).fetchall()]


class ArcticDB:
    """A symbol in ArcticDB's library on LMDB."""

    def __init__(self, path: Path, columns: dict[str, list[Any]]) -> None:
        """Write the symbol."""
        self._arcticdb = importlib.import_module("arcticdb")
        self._pandas = importlib.import_module("pandas")
        self._uri = f"lmdb://{path / 'arctic'}"
        self._frame = self._indexed(columns)
        self._next = FIRST_SECOND + len(columns["second"]) * STEP_SECONDS
        self._library = self._arcticdb.Arctic(self._uri).get_library(
            "house", create_if_missing=True
        )
        self.write()

    def _indexed(self, columns: dict[str, list[Any]]) -> Any:
        index = self._pandas.to_datetime(columns["second"], unit="s")
        return self._pandas.DataFrame({key: columns[key] for key in KEYS}, index=index)

    def write(self) -> None:
        """Write everything as a new version."""
        self._library.write("house", self._frame, prune_previous_versions=True)

    def append(self) -> None:
        """Add a row."""
        row: dict[str, list[Any]] = {"second": [self._next], **{key: [1.0] for key in KEYS}}
        self._library.append("house", self._indexed(row), prune_previous_versions=True)
        self._next += STEP_SECONDS

    def means(self) -> list[float]:
        """Read one column and return its hourly means."""
        frame = self._library.read("house", columns=[READ_KEY]).data
        means: list[float] = frame[READ_KEY].resample("1h").mean().tolist()
        return means


def best(action: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of the fastest of several calls, and what the last one returned."""
    times, result = [], None
    for _ in range(TIMES):
        start = time.perf_counter()
        result = action()
        times.append(time.perf_counter() - start)
    return min(times), result


def measure(engine: str, directory: Path, rows: int) -> dict[str, Any]:
    """Return the seconds and results of an engine, operation by operation."""
    everything = list(synthetic_rows(rows))
    columns: dict[str, list[Any]] = {"second": [row.second for row in everything]}
    for at, key in enumerate(KEYS):
        columns[key] = [row.values[at] for row in everything]
    store: Engine
    if engine == "polars":
        store = Polars(directory, columns)
    elif engine == "duckdb":
        store = DuckDB(directory, columns)
    else:
        store = ArcticDB(directory, columns)
    size = sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())
    reading, means = best(store.means)
    append, _ = best(store.append)
    return {
        "read_opened": {"seconds": reading, "result": means},
        "append": {"seconds": append},
        "disk": {"bytes": size / rows},
    }


def main() -> None:
    """Measure the engine that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    print(json.dumps(measure(options.engine, options.directory, options.rows)))


if __name__ == "__main__":
    main()
