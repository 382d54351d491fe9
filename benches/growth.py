"""How the cost of each operation grows with the number of records, measured and plotted.

For 1,000 to 1,000,000 records, a minute apart, each operation is timed several times on a sequence
that knows nothing yet (unless its name says otherwise); the median counts. What touches a window
must not grow with the history; what touches everything grows in proportion to it.

    python benches/growth.py --plot docs/growth.svg --json docs/growth.json
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pendulum
from subject import (
    DAY_SECONDS,
    FIRST_SECOND,
    KEYS,
    READ_KEY,
    STEP_SECONDS,
    Row,
    Subject,
    synthetic_rows,
)
from subject_eosdb import subject

import eosdb

SIZES = (1_000, 10_000, 100_000, 1_000_000)
LEVEL = 9
ZONE = "Europe/Berlin"
HOUR, QUARTER = pendulum.duration(hours=1), pendulum.duration(minutes=15)
TIMES = 7
SAVED_AT_ONCE = 50_000
LEAST_DAY = DAY_SECONDS // STEP_SECONDS

Figures = dict[str, dict[int, float]]


def moment(second: int) -> pendulum.DateTime:
    """Return a UTC second as a time in the zone of the house."""
    return pendulum.from_timestamp(second).in_timezone(ZONE)


class Growth:
    """One database of a given size, and what is timed on it."""

    def __init__(self, rows: int, root: Path) -> None:
        """Fill a database.

        Args:
            rows: How many records.
            root: Where to put it.
        """
        self.rows = rows
        self.subject: Subject = subject(root, LEVEL, configured=False)
        self.sequence = self.subject.connect()
        self.end = FIRST_SECOND + rows * STEP_SECONDS
        for number, row in enumerate(synthetic_rows(rows), start=1):
            self.sequence.db_insert_record(self._record(row))
            if number % SAVED_AT_ONCE == 0:
                self.sequence.db_save_records()
                self._renew()
        self.sequence.db_save_records()
        self._renew()

    def _record(self, row: Row) -> Any:
        values = dict(zip(KEYS, row.values, strict=True))
        return self.subject.record_class(date_time=moment(row.second), **values)

    def _renew(self) -> None:
        self.sequence = self.subject.renew()

    def _open(self) -> None:
        self.sequence = self.subject.connect()

    def _close(self) -> None:
        self.sequence = None
        self.subject.disconnect()

    # The sequence is another one each time.

    def _count(self) -> None:
        self.sequence.db_count_records()

    def _load(self) -> None:
        self.sequence.load()

    def _compact(self) -> None:
        self.sequence.db_compact()

    def _append(self) -> None:
        """Add a record behind the last one, in memory."""
        row = Row(self.end, (1.0, 2.0, 3.0, 4.0))
        self.end += STEP_SECONDS
        self.sequence.db_insert_record(self._record(row))

    def _append_and_save(self) -> None:
        self._append()
        self.sequence.db_save_records()

    def _middle(self) -> int:
        return FIRST_SECOND + self.rows // 2 * STEP_SECONDS

    def _delete_an_hour(self) -> None:
        start = self._first
        self._first += 3_600
        self.sequence.delete_by_datetime(moment(start), moment(start + 3_600))
        self.sequence.db_save_records()

    def _day(self) -> dict[str, Any]:
        end = FIRST_SECOND + self.rows * STEP_SECONDS
        return {"start_datetime": moment(end - DAY_SECONDS), "end_datetime": moment(end)}

    def operations(self) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
        """Return what is timed by name: what is done before, and what is timed."""
        self._first = FIRST_SECOND
        window = pendulum.duration(minutes=2)
        return {
            "count": (self._renew, self._count),
            "look up": (self._renew, lambda: self.sequence.get_by_datetime(moment(self._middle()))),
            "look up, nearest": (
                self._renew,
                lambda: self.sequence.get_nearest_by_datetime(moment(self._middle() + 7), window),
            ),
            "insert": (self._renew, self._append),
            "insert and save": (self._renew, self._append_and_save),
            "day at 15 minutes": (
                self._renew,
                lambda: self.sequence.key_to_array(READ_KEY, interval=QUARTER, **self._day()),
            ),
            "delete an hour and save": (self._renew, self._delete_an_hour),
            "open": (self._close, self._open),
            "load everything": (self._renew, self._load),
            "hourly mean of everything": (
                self._renew,
                lambda: self.sequence.key_to_array(READ_KEY, interval=HOUR),
            ),
            "the same, rows loaded": (
                lambda: None,
                lambda: self.sequence.key_to_array(READ_KEY, interval=HOUR),
            ),
            "compact what is new": (self._renew_compacted, self._compact),
        }

    def _renew_compacted(self) -> None:
        """Have everything compacted but the last hour."""
        self._renew()
        self.sequence.db_compact()
        for _ in range(60):
            self._append()
        self.sequence.db_save_records()
        self._renew()

    def measure(self) -> dict[str, float]:
        """Return the seconds that each operation takes."""
        figures = {}
        for name, (prepare, action) in self.operations().items():
            times = []
            for _ in range(TIMES):
                prepare()
                gc.collect()
                start = time.perf_counter()
                action()
                times.append(time.perf_counter() - start)
            figures[name] = median(times)
        self._close()
        return figures


OF_EVERYTHING = ("open", "load everything", "hourly mean of everything", "the same, rows loaded")


def plot(figures: Figures, path: Path) -> None:
    """Draw the figures on logarithmic scales, what touches a window beside what touches all."""
    import matplotlib as mpl  # noqa: PLC0415 - only for the picture
    from matplotlib import pyplot  # noqa: PLC0415

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "growth"
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    for axis, title, members in (
        (axes[0], "what touches a window", [n for n in figures if n not in OF_EVERYTHING]),
        (axes[1], "what touches everything", list(OF_EVERYTHING)),
    ):
        for name in members:
            sizes = sorted(figures[name])
            axis.plot(sizes, [figures[name][n] * 1e3 for n in sizes], marker="o", ms=4, label=name)
        axis.set(xscale="log", yscale="log", xlabel="records in the database", title=title)
        axis.grid(visible=True, alpha=0.25)
        axis.legend(fontsize=8, frameon=False, loc="upper left")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("milliseconds")
    axes[0].set_ylim(top=max(max(f.values()) for f in figures.values()) * 1e3 * 30)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)


def show(figures: Figures) -> None:
    """Print the figures as a table."""
    sizes = sorted({size for line in figures.values() for size in line})
    print(f"{'operation':<28}" + "".join(f"{size:>14,}" for size in sizes))
    for name, line in figures.items():
        cells = "".join(f"{line[size] * 1e3:>11.3f} ms" for size in sizes)
        print(f"{name:<28}{cells}")


def main() -> None:
    """Measure each size, print, plot and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rows", type=int, action="append", help="sizes (default 1,000 … 1,000,000)"
    )
    parser.add_argument(
        "--plot", type=Path, help="picture to write (.svg or .png; needs matplotlib)"
    )
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    options = parser.parse_args()
    sizes = options.rows or SIZES
    if min(sizes) < LEAST_DAY // 2:
        parser.error(f"at least {LEAST_DAY // 2} rows")
    figures: Figures = {}
    for rows in sizes:
        with tempfile.TemporaryDirectory() as directory:
            for name, seconds in Growth(rows, Path(directory)).measure().items():
                figures.setdefault(name, {})[rows] = seconds
    print(f"eosdb {eosdb.__version__}, records of four floats, gzip level {LEVEL}")
    show(figures)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.plot is not None:
        plot(figures, options.plot)


if __name__ == "__main__":
    main()
