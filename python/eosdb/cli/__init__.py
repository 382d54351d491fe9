"""The command `eosdb`: one module for each verb, thin around the functions of the package."""

from __future__ import annotations

import importlib
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command with the arguments of the process, and exit."""
    try:
        importlib.import_module("click")
    except ImportError:
        sys.stderr.write("eosdb: the command line needs click: install it by 'pip install click'\n")
        sys.exit(1)
    program = importlib.import_module("eosdb.cli.program").program
    program(prog_name="eosdb")
