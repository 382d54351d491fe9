"""The group of all verbs."""

from __future__ import annotations

import click

from eosdb import __version__

from .backup import backup
from .compact import compact
from .completion import completion
from .doctor import doctor
from .export import export
from .import_ import import_
from .info import info
from .keys import keys
from .migrate import migrate
from .plot import plot
from .repair import repair
from .stats import stats
from .vacuum import vacuum
from .verify import verify

__all__ = ["program"]


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all is well; 1 something was found, or it failed; 2 wrong usage; "
    "130 interrupted; 129 and 143 ended by SIGHUP or SIGTERM.",
)
@click.version_option(__version__, prog_name="eosdb")
def program() -> None:
    """Look at, check, move and thin out databases of eosdb and Akkudoktor-EOS.

    DATABASE is the directory of a database, its file, or a data folder of Akkudoktor-EOS.
    """


for verb in (
    info,
    stats,
    keys,
    verify,
    repair,
    export,
    import_,
    backup,
    migrate,
    compact,
    vacuum,
    plot,
    doctor,
    completion,
):
    program.add_command(verb)
