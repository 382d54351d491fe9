"""Run a module or a script of Akkudoktor-EOS on eosdb, as `python` would run it without."""

from __future__ import annotations

import sys

from .command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
