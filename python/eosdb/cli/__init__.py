"""The command `eosdb`: one module for each verb, thin around the functions of the package."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

__all__ = ["main"]


def main() -> None:
    """Run the command with the arguments of the process, and exit."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started the process
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  for good
    try:
        importlib.import_module("click")
        program = importlib.import_module("eosdb.cli.program").program
    except ImportError as error:
        if error.name != "click":
            raise
        sys.stderr.write("eosdb: the command line needs click: install it by 'pip install click'\n")
        sys.exit(1)
    except KeyboardInterrupt:
        # No verb has begun that would tell of it; to import them all takes a while.
        sys.stderr.write("eosdb: interrupted\n")
        sys.exit(130)
    program(prog_name="eosdb")
