"""`eosdb migrate`."""

from __future__ import annotations

from pathlib import Path

import click

from eosdb import moving
from eosdb.texts import counted, size_text

from .backup import copy_data
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
    and compared. The database itself stays as it is.
    """
    with opened(database) as db, console.progress("Migrating") as progress:
        report = moving.migrate_database(db, target, kind, level=level, progress=progress)
    records = counted(sum(report.records.values()), "record")
    kind = moving.KINDS[report.kind].__name__.removesuffix("Database")
    text = (
        f"{records} in {counted(len(report.records), 'namespace')} copied to the {kind} "
        f"database '{target}', read again and found equal: {size_text(report.bytes_before)} "
        f"before, {size_text(report.bytes_after)} after"
    )
    return Outcome(copy_data(report), text)
