"""The main module of processes that a program on eosdb spawns by :mod:`multiprocessing`.

It is imported there under the name `__mp_main__` instead of the program's own main module, and
becomes that after having eosdb installed.
"""

import json
import os

if __name__ == "__mp_main__":
    from eosdb.akkudoktoreos import install
    from eosdb.akkudoktoreos.command_line import RUNS, parse
    from eosdb.akkudoktoreos.program import execute, find

    _command = parse(json.loads(os.environ[RUNS]))
    install(mend=_command.mend)
    execute(find(_command.program, is_module=_command.is_module), globals())
