"""What all verbs have in common: their options, what they print, and how they end."""

from __future__ import annotations

import functools
import io
import json
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from eosdb import EosdbError
from eosdb.native_database import NativeDatabase
from eosdb.opening import database_at

__all__ = [
    "DATABASE",
    "Console",
    "Outcome",
    "dry_run",
    "namespace",
    "opened",
    "table",
    "time_text",
    "verb",
]

_F = TypeVar("_F", bound=Callable[..., Any])

_INTERRUPTED: Final = 130


@dataclass(frozen=True)
class Outcome:
    """What a verb has to say.

    Attributes:
        data: It, for `--json`.
        text: It, for people.
        failed: Whether the exit code shall be 1.
    """

    data: dict[str, Any]
    text: str
    failed: bool = False


class Console:
    """Where a verb shows how far it is."""

    @contextmanager
    def progress(self, label: str) -> Iterator[Callable[[int, int], object] | None]:
        """Show a bar while something is done, if the standard error is a terminal.

        Args:
            label: What is done.

        Yields:
            What to tell how many of how many are done; `None` where nobody looks.
        """
        if not sys.stderr.isatty():
            yield None
            return
        with click.progressbar(
            length=1, label=_visible(label), file=sys.stderr, color=_is_coloured(sys.stderr)
        ) as bar:

            def tell(done: int, total: int) -> None:
                bar.length = total
                bar.update(done - bar.pos)

            yield tell
            tell(bar.length or 0, bar.length or 0)  # what was told last may be short of the end


def verb(name: str) -> Callable[[Callable[..., Outcome | None]], click.Command]:
    """Make a verb of a function that returns an outcome, or prints by itself and returns `None`.

    Args:
        name: The name of the verb.
    """

    def made(function: Callable[..., Outcome | None]) -> click.Command:
        @functools.wraps(function)
        def run(*, as_json: bool, debug: bool, **values: Any) -> None:
            _speak_utf_8()
            with _warnings_shown():
                code = _run(lambda: function(Console(), **values), as_json=as_json, debug=debug)
            sys.exit(code)

        command = click.command(name, short_help=_first_line(function))(run)
        command.params += [  # behind the verb's own
            click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON."),
            click.Option(["--debug"], is_flag=True, help="Show where an error comes from."),
        ]
        return command

    return made


def _first_line(function: Callable[..., Any]) -> str:
    return str(function.__doc__).strip().splitlines()[0]


def _run(function: Callable[[], Outcome | None], *, as_json: bool, debug: bool) -> int:
    """Run a verb, print what it says, and return the exit code."""
    try:
        with _signals_raised():
            outcome = function()
        if outcome is None:
            return 0
        if as_json:
            click.echo(_visible(json.dumps(outcome.data, ensure_ascii=False, indent=2)))
        elif outcome.text:
            click.echo(_visible(outcome.text), color=_is_coloured(sys.stdout))
        sys.stdout.flush()
    except click.ClickException:
        raise
    except _Ended as error:
        with suppress(OSError):  # the terminal may be gone
            _complain(f"ended by {error.signal.name}")
        return 128 + error.signal
    except KeyboardInterrupt:
        _complain("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any longer. Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001  a mistake of ours is one line too
        text = " ".join(str(error).split())
        if isinstance(error, OSError) and error.filename is None:
            text = f"the output cannot be written: {error.strerror or error}"
        if not isinstance(error, EosdbError | OSError):
            text = f"a mistake in eosdb: {type(error).__name__}: {text} (see it by --debug)"
        _complain(text)
        if debug:
            click.echo(_visible("".join(traceback.format_exception(error))), err=True, nl=False)
        return 1
    return 1 if outcome.failed else 0


class _Ended(KeyboardInterrupt):
    """The process was asked to end: what it has begun is cleared away as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = signal.Signals(number)


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Have requests to end come as exceptions, unless the caller or `nohup` wants it otherwise."""

    def end(number: int, _: object) -> None:
        for each in watched:
            signal.signal(each, signal.SIG_IGN)  # not again while it is cleared away
        raise _Ended(number)

    watched = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) == signal.SIG_DFL
    ]
    try:
        for number in watched:
            signal.signal(number, end)
        yield
    finally:
        for number in watched:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Show what the package warns of, on the standard error."""
    logger = logging.getLogger("eosdb")
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_Visible("eosdb: %(message)s"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _complain(message: str) -> None:
    text = click.style("eosdb:", fg="red")
    click.echo(f"{text} {_visible(message)}", err=True, color=_is_coloured(sys.stderr))


def _is_coloured(stream: Any) -> bool:
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR")


# ---- arguments and options ------------------------------------------------------------------

DATABASE: Final = click.argument("database", type=click.Path(path_type=Path))
"""The argument that names the database."""


def _namespaces(context: click.Context, _option: click.Parameter, start: str) -> list[str]:
    """Return the namespaces that a shell may complete a name to."""
    # click gives up at the option whose value is still to come, and leaves the rest as it is.
    path = context.params.get("database") or next(iter(context.args), None)
    if path is None:
        return []
    try:
        with opened(Path(path)) as database:
            return [name for name in database.namespaces() if name.startswith(start)]
    except (EosdbError, OSError):
        return []


def namespace(*, required: bool = False) -> Callable[[_F], _F]:
    """Return the option that names a namespace.

    Args:
        required: Whether it must be given.
    """
    meaning = "The namespace." if required else "Only this namespace."
    return click.option(
        "-n",
        "--namespace",
        metavar="NAME",
        required=required,
        help=meaning,
        shell_complete=_namespaces,
    )


dry_run: Final = click.option(
    "--dry-run", is_flag=True, help="Only tell what would be done, and change nothing."
)
"""The option that has nothing changed."""


@contextmanager
def opened(path: Path, *, read_only: bool = True) -> Iterator[NativeDatabase]:
    """Open the database at a path.

    Args:
        path: The path.
        read_only: Whether it is only to be read.

    Yields:
        The open database.
    """
    with database_at(path, read_only=read_only) as database:
        yield database


# ---- text -----------------------------------------------------------------------------------

_OURS: Final = r"^\x1b\[(?:1|3[1-7])m[ -~]*\x1b\[0m"
"""What we colour, or have in bold: always the beginning of a line."""

_CONTROL: Final = r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
"""What would change a terminal or the order of the text, and what is no character at all."""

_OURS_OR_CONTROL: Final = re.compile(f"({_OURS})|{_CONTROL}", re.MULTILINE)


def _visible(text: str) -> str:
    """Return text with control characters in names and values as JSON writes them."""
    return _OURS_OR_CONTROL.sub(lambda found: found[1] or f"\\u{ord(found[0]):04x}", text)


class _Visible(logging.Formatter):
    """A formatter of messages in which control characters are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return _visible(super().format(record))


def _speak_utf_8() -> None:
    """Write UTF-8 whatever the locale, for that is what files and JSON have too."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def table(titles: list[str], rows: list[list[str]]) -> str:
    """Return a table with columns as wide as they need to be; numbers stand at the right.

    Args:
        titles: The titles of the columns.
        rows: The cells.
    """
    rows = [[_visible(cell).replace("\n", r"\u000a") for cell in row] for row in rows]
    lines = [titles, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(titles))]
    right = [
        bool(rows) and all(_is_number(row[place]) for row in rows) for place in range(len(titles))
    ]
    shown = []
    for number, line in enumerate(lines):
        cells = [
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(line, widths, right, strict=True)
        ]
        text = "  ".join(cells).rstrip()
        shown.append(click.style(text, bold=True) if number == 0 else text)
    return "\n".join(shown)


def _is_number(cell: str) -> bool:
    return not cell or cell[0].isdigit() or (cell[0] == "-" and cell[1:2].isdigit())


def time_text(instant: datetime | None) -> str | None:
    """Return an instant as text in UTC, `None` for none.

    Args:
        instant: The instant, in UTC.
    """
    return None if instant is None else f"{instant.isoformat().removesuffix('+00:00')}Z"
