"""The implementations that are compared, each in a process of its own, and the floor below them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from subject import NAMESPACE, ZONE, environment

BENCHES = Path(__file__).resolve().parent
# Cargo's own name for the build of `floor.rs`, with the optimisations of a release.
FLOOR = ("cargo", "bench", "--quiet", "--bench", "floor")

Answer = dict[str, Any]


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
        variables = {**os.environ, "TZ": ZONE, "PYTHONPATH": contender.import_path}
        self._started = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 - what the command line named
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables
        )

    def __enter__(self) -> WorkerProcess:
        """Return the worker."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.communicate()

    def wait(self) -> float:
        """Wait until the worker has imported what it measures, so that it disturbs no other.

        Returns:
            The seconds since its process was started.
        """
        self._answer("start")
        return time.perf_counter() - self._started

    def ask(self, operation: str) -> Answer:
        """Run an operation.

        Args:
            operation: The name of a method of the worker.

        Returns:
            Its answer.

        Raises:
            RuntimeError: If the worker ended; what it had to say is on standard error.
        """
        print(operation, file=self._pipes()[0], flush=True)
        answer: Answer = self._answer(operation)
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


def build_floor() -> None:
    """Compile `floor.rs`, so that this is over before anything is timed."""
    subprocess.run([*FLOOR, "--no-run"], check=True, cwd=BENCHES.parent)  # noqa: S603 - a constant


def run_floor(root: Path, key: str) -> Answer:
    """Measure what reading a key of all records costs in Rust alone.

    Args:
        root: The data folder of the database.
        key: The field or configured key.

    Returns:
        The seconds, and as result how many values there are and what their mean is.
    """
    command = [*FLOOR, "--", str(environment(root)), NAMESPACE, key]
    run = subprocess.run(  # noqa: S603 - constants and a path of our own
        command, check=True, cwd=BENCHES.parent, stdout=subprocess.PIPE, text=True
    )
    found = json.loads(run.stdout)
    return {"seconds": found["seconds"], "result": [found["records"], found["mean"]]}


def run_columnar(engine: str, directory: Path, rows: int) -> Answer:
    """Measure a column store on the same rows.

    Args:
        engine: Its name.
        directory: Where to put its files.
        rows: How many rows.

    Returns:
        The answers by operation.
    """
    command = [sys.executable, str(BENCHES / "columnar.py"), engine, str(directory)]
    run = subprocess.run(  # noqa: S603 - constants and a path of our own
        [*command, "--rows", str(rows)], check=True, stdout=subprocess.PIPE, text=True
    )
    answers: Answer = json.loads(run.stdout)
    return answers
