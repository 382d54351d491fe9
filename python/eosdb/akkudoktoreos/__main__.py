"""Run a module or a script of Akkudoktor-EOS on eosdb, as `python` would run it without.

The server of EOS starts itself again on request, by `sys.executable` and `sys.argv`. So the first
of `sys.argv` is a program that leads back here (`again.py`), with what it is to run in the
environment. Processes that :mod:`multiprocessing` spawns, as uvicorn does to reload, import this
module under the name `__mp_main__`.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Final

from ..errors import EosdbError
from . import install

__all__ = ["RUNS", "main"]

RUNS: Final = "EOSDB_AKKUDOKTOREOS_RUNS"
"""The environment variable with the options and the program that are run, as JSON."""

_UNMENDED: Final = "--unmended"

_USAGE: Final = f"""\
usage: python -m eosdb.akkudoktoreos [{_UNMENDED}] (-m MODULE | SCRIPT) [ARGUMENT ...]

Run Akkudoktor-EOS on eosdb: its own code, its own database files.

  -m MODULE         run a module, such as akkudoktoreos.server.eos
  SCRIPT            run a Python file
  {_UNMENDED}        leave EOS's methods that lose or distort data as they are
"""


def main(arguments: list[str]) -> int:
    """Run what the arguments say.

    Args:
        arguments: The command line after the program's name.

    Returns:
        The exit status, if what is run does not leave by itself.
    """
    rest = list(arguments)
    unmended = rest[:1] == [_UNMENDED]
    del rest[: int(unmended)]
    if rest[:1] in (["-h"], ["--help"]):
        sys.stdout.write(_USAGE)
        return 0
    is_module = rest[:1] == ["-m"]
    del rest[: int(is_module)]
    if not rest:
        missing = "the name of a module after -m" if is_module else "what to run"
        sys.stderr.write(f"eosdb: give {missing}\n\n{_USAGE}")
        return 2
    program = rest.pop(0)
    if not is_module:
        sys.path[0] = str(Path(program).resolve().parent)
    try:
        install(mend=not unmended)
    except EosdbError as error:
        sys.stderr.write(f"eosdb: {error}\n")
        return 1
    os.environ[RUNS] = json.dumps(arguments[: len(arguments) - len(rest)])
    sys.argv = [str(Path(__file__).with_name("again.py")), *rest]
    if is_module:
        runpy.run_module(program, run_name="__main__")
    else:
        code = compile(Path(program).read_bytes(), program, "exec")
        exec(code, {"__name__": "__main__", "__file__": program})  # noqa: S102  # as `python` does
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
if __name__ == "__mp_main__":
    install(mend=_UNMENDED not in json.loads(os.environ[RUNS]))
