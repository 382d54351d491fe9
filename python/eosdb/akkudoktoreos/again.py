"""The program that Akkudoktor-EOS on eosdb starts itself again by: see `__main__.py`."""

import json
import os
import sys

if __name__ == "__main__":
    # The folder of this file, where `python -m` has the present one.
    sys.path[0] = ""
    from eosdb.akkudoktoreos.__main__ import RUNS, main

    sys.exit(main([*json.loads(os.environ[RUNS]), *sys.argv[1:]]))
