"""The runner: its command line, and how what it runs stays on eosdb.

The server of EOS starts itself again on request, by `sys.executable` and `sys.argv`. So the first
of `sys.argv` is a program that leads back here (`again.py`), with what it is to run in the
environment. Processes that :mod:`multiprocessing` spawns, as uvicorn does to reload, import the
main module by the name in its `__spec__`, which is that of `spawned.py`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from ..errors import EosdbError, InvalidArgumentError
from . import install
from .program import execute, find

__all__ = ["RUNS", "Command", "main", "parse"]

RUNS: Final = "EOSDB_AKKUDOKTOREOS_RUNS"
"""The environment variable with the options and the program that are run, as JSON."""

_UNMENDED: Final = "--unmended"

_USAGE: Final = f"""\
usage: python -m eosdb.akkudoktoreos [{_UNMENDED}] (-m MODULE | SCRIPT) [ARGUMENT ...]

Run Akkudoktor-EOS on eosdb: its own code, its own database files.

  -m MODULE     run a module, such as akkudoktoreos.server.eos
  SCRIPT        run a Python file
  {_UNMENDED}    leave EOS's methods that lose or distort data as they are
"""


@dataclass(frozen=True)
class Command:
    """What to run.

    Attributes:
        program: The name of a module, or the path of a Python file.
        is_module: Whether it is a module.
        mend: Whether to mend EOS's methods that lose data.
        arguments: The program's own arguments.
    """

    program: str
    is_module: bool
    mend: bool
    arguments: list[str]


def parse(arguments: list[str]) -> Command:
    """Return what a command line says.

    Args:
        arguments: The command line after the runner's name.

    Raises:
        InvalidArgumentError: If it names no program.
    """
    rest = list(arguments)
    mend = rest[:1] != [_UNMENDED]
    if not mend:
        rest.pop(0)
    is_module = rest[:1] == ["-m"]
    if is_module:
        rest.pop(0)
    if not rest:
        missing = "the name of a module after -m" if is_module else "what to run"
        raise InvalidArgumentError(f"give {missing}")
    return Command(rest[0], is_module, mend, rest[1:])


def main(arguments: list[str]) -> int:
    """Run what a command line says.

    Args:
        arguments: The command line after the runner's name.

    Returns:
        The exit status, if what is run does not leave by itself: 0; 1 if there is no EOS that
        eosdb knows, or not what is to be run; 2 if the command line is wrong.
    """
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(_USAGE)
        return 0
    try:
        command = parse(arguments)
    except InvalidArgumentError as error:
        sys.stderr.write(f"eosdb: {error}\n\n{_USAGE}")
        return 2
    if not command.is_module and not sys.flags.safe_path:
        sys.path[0] = str(Path(command.program).resolve().parent)
    try:
        install(mend=command.mend)
        program = find(command.program, is_module=command.is_module)
    except EosdbError as error:
        sys.stderr.write(f"eosdb: {error}\n")
        return 1
    os.environ[RUNS] = json.dumps(arguments[: len(arguments) - len(command.arguments)])
    sys.argv = [str(Path(__file__).with_name("again.py")), *command.arguments]
    sys.modules["__main__"] = module = ModuleType("__main__")
    execute(program, vars(module))
    return 0
