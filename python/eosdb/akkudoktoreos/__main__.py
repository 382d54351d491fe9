"""Run a module or a script of Akkudoktor-EOS on eosdb, as `python` would run it without."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from ..errors import EosdbError
from . import install

_USAGE = """\
usage: python -m eosdb.akkudoktoreos [--as-eos-merges] (-m MODULE | SCRIPT) [ARGUMENT ...]

Run Akkudoktor-EOS on eosdb: its own code, its own database files.

  -m MODULE         run a module, such as akkudoktoreos.server.eos
  SCRIPT            run a Python file
  --as-eos-merges   leave insert_by_datetime as EOS has it, with its loss of data
"""


def main(arguments: list[str]) -> int:
    """Run what the arguments say; return the exit status if it does not leave by itself.

    Args:
        arguments: The command line after the program's name.
    """
    mend = True
    if arguments[:1] == ["--as-eos-merges"]:
        mend = False
        arguments = arguments[1:]
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(_USAGE)
        return 0
    is_module = arguments[:1] == ["-m"]
    command = arguments[is_module:]
    if not command:
        missing = "the name of a module after -m" if is_module else "what to run"
        sys.stderr.write(f"eosdb: give {missing}\n\n{_USAGE}")
        return 2
    try:
        install(mend=mend)
    except EosdbError as error:
        sys.stderr.write(f"eosdb: {error}\n")
        return 1
    sys.argv = command
    if is_module:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(command[0]).resolve().parent)
        runpy.run_path(command[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
