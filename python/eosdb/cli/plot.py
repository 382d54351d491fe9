"""`eosdb plot`."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import click

import eosdb
from eosdb.new_places import new_file

from .export import LOCAL, only, timestamp_of
from .verb import DATABASE, Console, Outcome, namespace as namespace_option, verb

__all__ = ["plot"]

_FORMATS = ("png", "svg", "pdf")


@verb("plot")
@DATABASE
@click.argument("target", type=click.Path(path_type=Path))
@namespace_option()
@click.option(
    "-k",
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    help="A key to draw; by default all that have numbers. Repeat it for each.",
)
@click.option(
    "--energy",
    metavar="INTERVAL",
    help="Draw bars of the energy that meters counted, such as '1 hour' or '1 day' each.",
)
@click.option("--from", "start", help=f"The first instant inside, {LOCAL}, or of --timezone.")
@click.option("--to", "end", help=f"The first instant outside, {LOCAL}, or of --timezone.")
@click.option(
    "--timezone",
    metavar="ZONE",
    help="The zone of the time axis, by default that of the records, and of instants without an "
    "offset.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
def plot(
    console: Console,
    *,
    database: Path,
    target: Path,
    namespace: str | None,
    keys: tuple[str, ...],
    energy: str | None,
    start: str | None,
    end: str | None,
    timezone: str | None,
    overwrite: bool,
) -> Outcome:
    """Draw values over time into a file, which ends in .png, .svg or .pdf."""
    del console
    suffix = target.suffix.removeprefix(".").lower()
    if suffix not in _FORMATS:
        raise click.UsageError(f"TARGET must end in .png, .svg or .pdf, not {target.name!r}.")
    if energy is not None and not keys:
        raise click.UsageError("--energy needs the keys of the meters: -k KEY.")
    first, last = (
        None if bound is None else bound.to_datetime()
        for bound in (timestamp_of(start, timezone), timestamp_of(end, timezone))
    )
    if importlib.util.find_spec("matplotlib") is not None:
        importlib.import_module("matplotlib").use("agg")  # needs no screen
    with eosdb.open(database, timezone=timezone) as view:
        name = only(view.database, namespace)
        axes: Any
        if energy is None:
            axes = view[name].plot(list(keys) or None, first, last)
        else:
            axes = view[name].plot_energy(list(keys), first, last, energy)
    figure = axes.get_figure()
    lines = [(line.get_gid(), len(line.get_xdata())) for line in axes.lines]
    bars = [(bar.get_gid(), len(bar.get_paths())) for bar in axes.collections]
    # Their labels are written for matplotlib; the keys are their gids.
    drawn = [key for key, count in (*lines, *bars) if key is not None and count]
    if not drawn:
        raise eosdb.InvalidArgumentError(
            f"namespace '{name}' has no numbers in this time: nothing can be drawn"
        )
    with new_file(target, overwrite=overwrite) as draft:
        figure.savefig(draft, format=suffix)
    text = f"{name}: {', '.join(drawn)} in '{target}'"
    return Outcome({"namespace": name, "path": str(target), "keys": drawn}, text)
