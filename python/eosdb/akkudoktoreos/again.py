"""The program that Akkudoktor-EOS on eosdb starts itself again by: see `command_line.py`."""

import json
import os
import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        # The folder of this file, where `python -m` has the present one.
        sys.path[0] = ""
    from eosdb.akkudoktoreos.command_line import RUNS, main

    sys.exit(main([*json.loads(os.environ[RUNS]), *sys.argv[1:]]))
