"""`eosdb migrate`."""

from __future__ import annotations

from pathlib import Path

import click

from eosdb import moving
from eosdb.moving.copying import names_of
from eosdb.texts import counted, size_text

from .backup import copy_data, unreadable
from .verb import DATABASE, Console, Outcome, opened, verb

__all__ = ["migrate"]


@verb("migrate")
@DATABASE
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "kind",
    type=click.Choice(list(moving.KINDS)),
    help="The kind of the new database; by default the same.",
)
@click.option(
    "--level",
    type=click.IntRange(0, 9),
    help="The level of compression of the values; by default they stay as they are.",
)
def migrate(
    console: Console, *, database: Path, target: Path, kind: str | None, level: int | None
) -> Outcome:
    """Copy a database into a new one of another kind, or at another level of compression.

    TARGET is a new directory. It appears when it is complete: records and metadata are read again
    and compared. The database itself stays as it is. The exit code is 1 if anything cannot be read,
    or belongs to no namespace and so is left out.
    """
    with opened(database) as db, console.progress("Migrating") as progress:
        names = names_of(db)
        report = moving.migrate_database(db, target, kind, level=level, progress=progress)
    records = counted(sum(report.records.values()), "record")
    kind = moving.KINDS[report.kind].__name__.removesuffix("Database")
    text = (
        f"{records} in {counted(len(report.records), 'namespace')} copied to the {kind} "
        f"database '{target}', read again and found equal: {size_text(report.bytes_before)} "
        f"before, {size_text(report.bytes_after)} after"
    )
    lines = [text]
    if damaged := unreadable(report, database):
        lines.append(f"  {damaged}")
    if empty := len(set(names) - report.records.keys()):
        lines.append(f"  left out: {counted(empty, 'namespace')} with nothing in it")
    lines += [f"  left out: {damage}" for damage in report.left_out]
    failed = bool(report.damaged or report.left_out)
    return Outcome(copy_data(report), "\n".join(lines), failed)
