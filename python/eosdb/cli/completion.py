"""`eosdb completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .verb import Console, Outcome, verb

__all__ = ["completion"]


@verb("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(console: Console, *, shell: str) -> Outcome:
    """Print what a shell needs to complete the arguments of eosdb.

    For bash: eosdb completion bash >> ~/.bashrc
    """
    del console
    class_ = get_completion_class(shell)
    if class_ is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    root = click.get_current_context().find_root().command
    source = class_(root, {}, "eosdb", "_EOSDB_COMPLETE").source()
    return Outcome({"shell": shell, "script": source}, source)
