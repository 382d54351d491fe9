"""A process that runs verbs of `eosdb`, each in a fork, and interrupts them by a real SIGINT.

To import what a verb needs takes longer than most verbs; here that is done once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from eosdb import cli
from eosdb.cli import vacuum, verb
from eosdb.moving import copying, importing

LONG = 60
"""For how many seconds a verb waits for its interruption."""


def serve() -> None:
    """Answer requests, one a line on the standard input: a verb and where to interrupt it."""
    random.seed(1)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(**json.loads(line))) + "\n")
        sys.stdout.flush()


def _answer(folder: str, arguments: list[str], at: str, call: int, longest: float) -> Any:
    """Run a verb and interrupt it.

    Args:
        folder: Its current folder, where its output stays too.
        arguments: Its arguments.
        at: At what it is interrupted: a name in :data:`PLACES`, or `"any"` moment.
        call: In which call of that.
        longest: After how many seconds at most, at any moment.

    Returns:
        Whether it was interrupted at that place, its exit code, and what it wrote.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.chdir(folder)
        for stream, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
        # Whoever starts tests in the background may have them ignore it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if at == "any":
            _before(verb, "_run", lambda: os.write(writing, b"."))
        else:
            PLACES[at](partial(_stop, writing, [call]))
        sys.argv = ["eosdb", *arguments]
        cli.main()
    os.close(writing)
    reached = os.read(reading, 1) == b"."
    if at == "any":
        time.sleep(random.uniform(0, longest))
    os.kill(child, signal.SIGINT)
    _, status = os.waitpid(child, 0)
    os.close(reading)
    texts = {name: Path(folder, name).read_text() for name in ("stdout", "stderr")}
    return {"reached": reached, "code": os.waitstatus_to_exitcode(status), **texts}


def _stop(writing: int, left: list[int], *_: object) -> None:
    """Tell in one of its calls that the place is reached, and wait to be interrupted."""
    left[0] -= 1
    if left[0] == 0:
        os.write(writing, b".")
        time.sleep(LONG)


def _at_progress(stop: Callable[..., None]) -> None:
    """Where the verb tells how far it is."""

    @contextmanager
    def progress(_self: object, _label: str) -> Iterator[Callable[[int, int], object]]:
        yield stop

    verb.Console.progress = progress  # type: ignore[assignment, method-assign]


def _in_small_batches(stop: Callable[..., None]) -> None:
    """Where an import, with small batches, tells how far it is."""
    importing._BATCH = 100  # type: ignore[misc]
    _at_progress(stop)


def _before(module: Any, name: str, stop: Callable[..., object]) -> None:
    """Where the verb calls a function."""
    function = getattr(module, name)

    def stopped(*arguments: Any, **options: Any) -> Any:
        stop()
        return function(*arguments, **options)

    setattr(module, name, stopped)


PLACES: dict[str, Callable[[Callable[..., None]], None]] = {
    "progress": _at_progress,
    "batch": _in_small_batches,
    "the copy was made": partial(_before, copying, "database_at"),
    "the next namespace": partial(_before, vacuum, "newest_plausible"),
}
"""What makes a verb stop somewhere in its middle."""
