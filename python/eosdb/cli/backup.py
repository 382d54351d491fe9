"""`eosdb backup`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from eosdb import moving
from eosdb.texts import counted, size_text

from .verb import DATABASE, Console, Outcome, opened, verb
from .verify import damage_data, named

__all__ = ["backup", "copy_data", "unreadable"]


@verb("backup")
@DATABASE
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--compact", is_flag=True, help="Leave free pages out, so that it is smaller.")
def backup(console: Console, *, database: Path, target: Path, compact: bool) -> Outcome:
    """Copy a database while others use it, as it is at one moment.

    TARGET is a new directory. It appears when it is complete and was looked at. To restore it, copy
    it to where the database was. The exit code is 1 if anything in it cannot be read.
    """
    with opened(database) as db, console.progress("Verifying") as progress:
        report = moving.backup_database(db, target, compact=compact, progress=progress)
    records = sum(report.records.values())
    text = f"{counted(records, 'record')} in '{target}', {size_text(report.bytes_after)}: " + (
        unreadable(report, database) or "opened again and found sound"
    )
    return Outcome(copy_data(report), text, failed=bool(report.damaged))


def unreadable(report: moving.CopyReport, database: Path) -> str:
    """Return what to say of that which cannot be read in a copy; nothing where all can.

    Args:
        report: The report.
        database: The database, as the user named it.
    """
    if not report.damaged:
        return ""
    return (
        f"copied as they are; {counted(len(report.damaged), 'value')} cannot be read: see 'eosdb "
        f"verify {database}'"
    )


def copy_data(report: moving.CopyReport) -> dict[str, Any]:
    """Return a report for `--json`.

    Args:
        report: The report.
    """
    return {
        "source": str(report.source),
        "target": str(report.target),
        "kind": report.kind,
        "records": named(report.records),
        "bytes_before": report.bytes_before,
        "bytes_after": report.bytes_after,
        "checked": report.checked,
        "damaged": damage_data(report.damaged),
        "left_out": damage_data(report.left_out),
    }
