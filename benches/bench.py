"""Measure eosdb against a Python reference, operation by operation, and print the ratios.

Every operation is run by each implementation in turn, on the same rows, in the same minute; what
it returns is compared with what the rows say before a figure is printed. Only ratios mean anything
on a machine that does other work too. Starting a process and importing are no part of any other
line: they are reported on their own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import columnar
from contenders import (
    BENCHES,
    Case,
    Contender,
    WorkerProcess,
    build_floor,
    run_columnar,
    run_floor,
)
from expectation import Expectation, WrongResultError, compare, compare_compacted
from subject import DAY_SECONDS, READ_KEY, STEP_SECONDS
from table import (
    COLUMNAR,
    COMPACTING,
    COMPARISONS,
    DELETING,
    DISK,
    FINDING,
    FLOOR_NAME,
    MEMORY,
    READ_FIRST,
    READING,
    START,
    VACUUMING,
    WRITING,
    Answers,
    EngineAnswers,
    tables,
)

LEAST_ROWS = 2 * DAY_SECONDS // STEP_SECONDS
STARTS_AT_MOST = 7
PAGE_MARKS = ("<!-- what `make bench` printed -->", "<!-- end -->")
STARTS_WITHIN_SECONDS = 3.0


def disk_bytes(root: Path) -> int:
    """Return the disk space that the database below a data folder occupies, holes left out."""
    return sum(path.stat().st_blocks * 512 for path in root.rglob("data.mdb"))


class Measurement:
    """All operations of one case; the answers gather in `answers`."""

    def __init__(self, case: Case, contenders: list[Contender], directory: Path) -> None:
        """Prepare to measure.

        Args:
            case: What to measure with.
            contenders: The implementations, in the order in which each operation visits them.
            directory: Where to put the databases.
        """
        self.case = case
        self.contenders = contenders
        self.answers: Answers = {}
        self.engines: EngineAnswers = {}
        self._directory = directory
        self._roots = {contender.name: directory / contender.name for contender in contenders}
        self._expected = Expectation(case.rows, case.configured)

    def run(self) -> None:
        """Run everything.

        Raises:
            WrongResultError: If a result is not what the rows say.
        """
        self._run_fresh(["prepare", *(operation.name for operation in WRITING)])
        for name, root in self._roots.items():
            self._take(DISK.name, name, {"bytes": disk_bytes(root) / self.case.rows})
        for contender in self.contenders:
            self._run_first(contender)
        self._run_fresh([operation.name for operation in FINDING])
        self._run_fresh([operation.name for operation in READING])
        self._run_others()
        self._read_each_other()
        self._run_fresh([COMPACTING.name, VACUUMING.name])
        self._run_fresh([MEMORY.name, DELETING.name])
        for contender in self.contenders:
            left = self._content(contender, contender.name)
            compare(contender.name, "what deleting left", left, self._expected.rest)

    def _take(self, operation: str, who: str, answer: dict[str, Any]) -> None:
        """Check an answer and keep it; of two that are timed the faster one."""
        if operation in self._expected.results:
            compare(who, operation, answer["result"], self._expected.results[operation])
        if operation == COMPACTING.name:
            compacted = self._expected.compacted
            compare_compacted(who, answer["result"], compacted, hours_only=who != "eosdb")
        answer.pop("result", None)
        answers = self.answers.setdefault(operation, {})
        known = answers.get(who)
        if known is None or answer.get("seconds", 0) < known.get("seconds", 0):
            answers[who] = answer

    def _progress(self, what: str) -> None:
        progress(f"{self.case}: {what}")

    def _worker(self, contender: Contender) -> WorkerProcess:
        return WorkerProcess(contender, self._roots[contender.name], self.case)

    def _run_fresh(self, names: list[str], contenders: list[Contender] | None = None) -> None:
        """Start a process for each implementation, and hand them the operations in turn."""
        with contextlib.ExitStack() as stack:
            workers = [
                stack.enter_context(self._worker(each)) for each in contenders or self.contenders
            ]
            for worker in workers:
                worker.wait()
            for name in names:
                for worker in workers:
                    self._progress(f"{name} ({worker.name})")
                    self._take(name, worker.name, worker.ask(name))

    def _run_first(self, contender: Contender) -> None:
        """Read in processes that have done nothing yet, in several where that is short."""
        spent = 0.0
        for _ in range(STARTS_AT_MOST):
            self._progress(f"{READ_FIRST.name} ({contender.name})")
            with self._worker(contender) as worker:
                self._take(START.name, contender.name, {"seconds": worker.wait()})
                answer = worker.ask(READ_FIRST.name)
            spent += answer["seconds"]
            self._take(READ_FIRST.name, contender.name, answer)
            if spent >= STARTS_WITHIN_SECONDS:
                break

    def _run_others(self) -> None:
        """Run what eosdb alone is held against."""
        ours = [contender for contender in self.contenders if contender.name == "eosdb"]
        known = {operation.name for operation in (READ_FIRST, *READING)} | {FLOOR_NAME}
        names = [name for line in COMPARISONS for name in (line.ours, line.name)]
        names += [operation.name for operation in COLUMNAR]
        self._run_fresh([name for name in dict.fromkeys(names) if name not in known], ours)
        for engine in columnar.installed():
            self._progress(engine)
            self._run_engine(engine)
        self._progress(FLOOR_NAME)
        self._take(FLOOR_NAME, "eosdb", run_floor(self._roots["eosdb"], READ_KEY))

    def _run_engine(self, engine: str) -> None:
        """Run a column store on the same rows."""
        found = run_columnar(engine, self._directory / engine, self.case.rows)
        expected = self._expected.results[READ_FIRST.name]
        compare(engine, READ_FIRST.name, found["read_opened"]["result"], expected)
        self.engines[engine] = found

    def _content(self, reader: Contender, writer: str) -> str:
        with WorkerProcess(reader, self._roots[writer], self.case) as worker:
            worker.wait()
            content: str = worker.ask("content")["result"]
            return content

    def _read_each_other(self) -> None:
        """Check that what one wrote each other can read."""
        for reader in self.contenders:
            for writer in self._roots.keys() - {reader.name}:
                self._progress(f"{reader.name} reads what {writer} wrote")
                compare(
                    f"{reader.name} on the file of {writer}",
                    "content",
                    self._content(reader, writer),
                    self._expected.results["content"],
                )


def progress(text: str) -> None:
    """Show on a terminal what is going on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def update(page: Path, content: str) -> None:
    """Put the tables into a page, between the two marks that it has for them."""
    before, _, rest = page.read_text().partition(PAGE_MARKS[0])
    _, _, after = rest.partition(PAGE_MARKS[1])
    page.write_text(f"{before}{PAGE_MARKS[0]}\n{content}\n{PAGE_MARKS[1]}{after}")


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
        "--page", type=Path, help="page of the documentation to put the tables into"
    )
    parser.add_argument(
        "--directory", type=Path, default=BENCHES.parent / "build", help="where to put databases"
    )
    options = parser.parse_args()
    if any(count < LEAST_ROWS for count in options.rows or ()):
        parser.error(f"the last day of all needs at least {LEAST_ROWS} rows")
    return options


def main() -> int:
    """Measure, print, and return the exit code: 1 for a wrong result."""
    options = parse()
    rows = [10_000] if options.quick else options.rows or [10_000, 100_000]
    levels = [9] if options.quick else options.level or [9, 0]
    contenders = [Contender("reference"), Contender("eosdb")]
    if options.upstream is not None:
        source = str(options.upstream / "src")
        contenders.insert(1, Contender("upstream", options.upstream_python, source))

    machine = f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
    print(machine)
    progress("build the floor")
    build_floor()
    report, found = [], [machine]
    options.directory.mkdir(parents=True, exist_ok=True)
    try:
        for count in rows:
            for level in levels:
                case = Case(count, level, options.configured)
                with tempfile.TemporaryDirectory(dir=options.directory) as directory:
                    measurement = Measurement(case, contenders, Path(directory))
                    measurement.run()
                progress("")
                shown = tables(case, contenders, measurement.answers, measurement.engines)
                print("", *(table.as_text() for table in shown), sep="\n\n")
                found += [table.as_markdown() for table in shown]
                figures = {"answers": measurement.answers, "engines": measurement.engines}
                report.append({**case.__dict__, **figures})
    except WrongResultError as error:
        print(f"\nWrong result, no figures: {error}", file=sys.stderr)
        return 1
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1))
    if options.page is not None:
        update(options.page, "\n\n".join(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
