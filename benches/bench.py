"""Measure eosdb against a Python reference, operation by operation, and print the ratios.

Every operation is run by each implementation in turn, on the same rows, in the same minute; what
it returns is compared with the rows it was made from before a figure is printed. Only ratios mean
anything on a machine that does other work too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from subject import SEED, Row, digest, synthetic_rows
from worker import LOOKUPS

BENCHES = Path(__file__).resolve().parent
BARS_FROM_ROWS = 100_000
ZONE = "Europe/Berlin"
Answers = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Operation:
    """A line of the table.

    Attributes:
        name: What the worker calls it.
        label: What the reader calls it.
        unit: `record` or `lookup` for a mean time each, `total` for the whole, `bytes` a row.
        bar: What eosdb has to reach: a ratio, or for bytes a number not to exceed; by gzip level
            where it depends on it.
    """

    name: str
    label: str
    unit: str
    bar: float | dict[int, float]

    def bar_at(self, level: int) -> float | None:
        """Return the bar that holds at a gzip level, None where there is none."""
        return self.bar.get(level) if isinstance(self.bar, dict) else self.bar


WRITING = (
    Operation("insert", "insert, one record at a time", "record", 20),
    Operation("save", "save (eosdb syncs, the other does not)", "record", {9: 3, 0: 4}),
)
READING = (
    Operation("count", "count, nothing loaded", "total", 1_000),
    Operation("load", "open, load everything", "total", 100),
    Operation("load_objects", "the same, every record an object", "record", 15),
    Operation("iterate", "iterate over built objects", "record", 50),
    Operation("exact", "look up, exact", "lookup", 25),
    Operation("nearest", "look up, nearest", "lookup", 25),
    Operation("nearest_within", "look up, nearest in a window", "lookup", 25),
)
DELETING = Operation("delete", "open, delete the older half, save", "total", 100)
MEMORY = Operation("memory", "memory per loaded row", "bytes", 100)
DISK = Operation("disk", "disk per row", "bytes", {9: 320})
TABLE = (*WRITING, *READING, DELETING, MEMORY, DISK)


@dataclass(frozen=True)
class Case:
    """What one table is measured with."""

    rows: int
    level: int
    configured: bool

    def __str__(self) -> str:
        """Say it in words."""
        kind = "configured data" if self.configured else "fields"
        return f"{self.rows:,} records of four floats as {kind}, gzip level {self.level}"


@dataclass(frozen=True)
class Contender:
    """An implementation and how to start a worker for it."""

    name: str
    python: str = sys.executable
    import_path: str = ""


class WrongResultError(Exception):
    """An implementation returned something else than the rows it was given."""


class WorkerProcess:
    """A worker that runs until the end of a `with` block."""

    def __init__(self, contender: Contender, root: Path, case: Case) -> None:
        """Start a worker.

        Args:
            contender: The implementation.
            root: The data folder it works in.
            case: What is measured.
        """
        self.name = contender.name
        command = [contender.python, str(BENCHES / "worker.py"), contender.name, str(root)]
        command += ["--rows", str(case.rows), "--level", str(case.level)]
        if case.configured:
            command.append("--configured")
        environment = {**os.environ, "TZ": ZONE, "PYTHONPATH": contender.import_path}
        self._process = subprocess.Popen(  # noqa: S603 - what the command line named
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> WorkerProcess:
        """Return the worker."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.communicate()

    def wait(self) -> None:
        """Wait until the worker has imported what it measures, so that it disturbs no other."""
        self._answer("start")

    def ask(self, operation: str) -> dict[str, Any]:
        """Run an operation.

        Args:
            operation: The name of a method of the worker.

        Returns:
            Its answer.

        Raises:
            RuntimeError: If the worker ended; what it had to say is on standard error.
        """
        print(operation, file=self._pipes()[0], flush=True)
        answer: dict[str, Any] = self._answer(operation)
        return answer

    def _answer(self, operation: str) -> Any:
        line = self._pipes()[1].readline()
        if not line:
            raise RuntimeError(f"{self.name} ended during '{operation}'")
        return json.loads(line)

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError(f"{self.name} has no pipes")
        return self._process.stdin, self._process.stdout


class Expectation:
    """What each operation has to return, worked out from the rows alone."""

    def __init__(self, count: int) -> None:
        """Work out what a number of rows must lead to.

        Args:
            count: How many rows.
        """
        rows = list(synthetic_rows(count))
        half = count // 2
        source = random.Random(SEED)
        looked_up: list[Row] = [rows[source.randrange(count)] for _ in range(LOOKUPS)]
        found = digest(looked_up)
        everything = digest(rows)
        self.rest = digest(rows[half:])
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
            "content": everything,
            "memory": count,
            "delete": [half, count - half],
        }


def compare(who: str, operation: str, result: Any, expected: Any) -> None:
    """Raise an error if a result is not the expected one.

    Raises:
        WrongResultError: If it is not.
    """
    if result != expected:
        raise WrongResultError(f"{who}, {operation}: {result} where {expected} is right")


def disk_bytes(root: Path) -> int:
    """Return the disk space that the database below a data folder occupies, holes left out."""
    return sum(path.stat().st_blocks * 512 for path in root.rglob("data.mdb"))


def measure(case: Case, contenders: list[Contender], directory: Path) -> Answers:
    """Run all operations of a table.

    Args:
        case: What to measure with.
        contenders: The implementations, in the order in which each operation visits them.
        directory: Where to put the databases.

    Returns:
        The answers by operation and implementation.

    Raises:
        WrongResultError: If a result is not what the rows say.
    """
    expected = Expectation(case.rows)
    roots = {contender.name: directory / contender.name for contender in contenders}
    answers: Answers = {}

    def run_fresh(names: list[str]) -> None:
        with contextlib.ExitStack() as stack:
            workers = [
                stack.enter_context(WorkerProcess(each, roots[each.name], case))
                for each in contenders
            ]
            for worker in workers:
                worker.wait()
            for name in names:
                for worker in workers:
                    progress(f"{case}: {name} ({worker.name})")
                    answer = worker.ask(name)
                    compare(worker.name, name, answer["result"], expected.results[name])
                    answers.setdefault(name, {})[worker.name] = answer

    def read(reader: Contender, writer: str) -> str:
        with WorkerProcess(reader, roots[writer], case) as worker:
            worker.wait()
            content: str = worker.ask("content")["result"]
            return content

    run_fresh(["prepare", *(operation.name for operation in WRITING)])
    for name, root in roots.items():
        answers.setdefault(DISK.name, {})[name] = {"bytes": disk_bytes(root) / case.rows}
    run_fresh([operation.name for operation in READING])

    # What one wrote, each other must be able to read.
    for reader in contenders:
        for writer in roots.keys() - {reader.name}:
            progress(f"{case}: {reader.name} reads what {writer} wrote")
            compare(
                f"{reader.name} on the file of {writer}",
                "content",
                read(reader, writer),
                expected.results["content"],
            )

    run_fresh([MEMORY.name, DELETING.name])
    for contender in contenders:
        compare(
            contender.name, "what deleting left", read(contender, contender.name), expected.rest
        )
    return answers


def progress(text: str) -> None:
    """Show on a terminal what is going on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def figure(operation: Operation, answer: dict[str, Any], rows: int) -> float:
    """Return what a line compares: seconds each, seconds in all, or bytes a row."""
    if operation.unit == "bytes":
        return float(answer["bytes"])
    divisor = {"record": rows, "lookup": LOOKUPS, "total": 1}[operation.unit]
    return float(answer["seconds"]) / divisor


def in_words(operation: Operation, value: float) -> str:
    """Return a figure with its unit."""
    if operation.unit == "bytes":
        return f"{value:,.0f} B"
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.0f} ns"


def verdict(operation: Operation, case: Case, ours: float, ratio: float) -> tuple[str, str]:
    """Return the bar of a line in words, and whether it is met.

    Bars hold from 100,000 rows on; below, the verdict stays open.
    """
    bar = operation.bar_at(case.level)
    if bar is None:
        return "", ""
    in_bytes = operation.unit == "bytes"
    text = f"≤ {bar:,.0f} B" if in_bytes else f"≥ {bar:,.0f}"
    if case.rows < BARS_FROM_ROWS:
        return text, ""
    return text, "met" if (ours <= bar if in_bytes else ratio >= bar) else "missed"


def print_table(case: Case, contenders: list[Contender], answers: Answers) -> None:
    """Print one table; the ratio is against the real Akkudoktor-EOS where that ran."""
    names = [contender.name for contender in contenders]
    rival = "upstream" if "upstream" in names else "reference"
    print(f"\n{case}")
    heads = [*(f"{name:>11}" for name in names), f"{'ratio':>9}", f"{'bar':>9}"]
    print(f"{'operation':<40}" + "".join(heads))
    for operation in TABLE:
        values = {
            name: figure(operation, answers[operation.name][name], case.rows) for name in names
        }
        ratio = values[rival] / values["eosdb"]
        bar, met = verdict(operation, case, values["eosdb"], ratio)
        figures = "".join(f"{in_words(operation, values[name]):>11}" for name in names)
        shown = f"{ratio:,.1f}" if ratio < 100 else f"{ratio:,.0f}"
        print(f"{operation.label:<40}{figures}{shown:>9}{bar:>9}  {met}".rstrip())
    if case.rows < BARS_FROM_ROWS:
        print(f"(The bars hold for {BARS_FROM_ROWS:,} rows.)")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, action="append", help="rows (default 10000, 100000)")
    parser.add_argument("--level", type=int, action="append", help="gzip level (default 9, 0)")
    parser.add_argument("--configured", action="store_true", help="values as configured data")
    parser.add_argument("--quick", action="store_true", help="10000 rows at level 9 only")
    parser.add_argument("--upstream", type=Path, help="checkout of Akkudoktor-EOS to run as well")
    parser.add_argument(
        "--upstream-python", default=sys.executable, help="interpreter with its dependencies"
    )
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    parser.add_argument(
        "--directory", type=Path, default=BENCHES.parent / "build", help="where to put databases"
    )
    return parser.parse_args()


def main() -> int:
    """Measure, print, and return the exit code: 1 for a wrong result."""
    options = parse()
    rows = [10_000] if options.quick else options.rows or [10_000, 100_000]
    levels = [9] if options.quick else options.level or [9, 0]
    contenders = [Contender("reference"), Contender("eosdb")]
    if options.upstream is not None:
        source = str(options.upstream / "src")
        contenders.insert(1, Contender("upstream", options.upstream_python, source))

    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")
    report = []
    options.directory.mkdir(parents=True, exist_ok=True)
    try:
        for count in rows:
            for level in levels:
                case = Case(count, level, options.configured)
                with tempfile.TemporaryDirectory(dir=options.directory) as directory:
                    answers = measure(case, contenders, Path(directory))
                progress("")
                print_table(case, contenders, answers)
                report.append({**case.__dict__, "answers": answers})
    except WrongResultError as error:
        print(f"\nWrong result, no figures: {error}", file=sys.stderr)
        return 1
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
