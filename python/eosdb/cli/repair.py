"""`eosdb repair`."""

from __future__ import annotations

from pathlib import Path

import click

import eosdb
from eosdb.opening import database_at

from .verb import DATABASE, Console, Outcome, dry_run as dry_run_option, verb
from .verify import checked, damage_data, named

__all__ = ["repair"]


@verb("repair")
@DATABASE
@click.argument("target", type=click.Path(path_type=Path), required=False)
@dry_run_option
def repair(console: Console, *, database: Path, target: Path | None, dry_run: bool) -> Outcome:
    """Put what cannot be read into a quarantine, unchanged.

    If the file itself is damaged, name a TARGET, a new directory: what the sound pages hold is
    written there, and the database stays as it is.
    """
    with console.progress("Looking at" if dry_run else "Repairing") as progress:
        if dry_run:
            found = checked(database, None, progress)
            report = eosdb.RepairReport(
                found.records,
                [damage for damage in found.damage if damage.page is None],
                [damage for damage in found.damage if damage.page is not None],
            )
        else:
            db = database_at(database, read_only=False)
            path = db.storage_path
            try:
                if target is not None:
                    report = eosdb.repair(path, target, progress=progress)
                else:
                    with db:
                        report = eosdb.repair(db, progress=progress)
            except eosdb.DamagedDatabaseError:
                report = eosdb.repair(path, target, progress=progress)
    data = {
        "dry_run": dry_run,
        "target": None if target is None else str(target),
        "records": named(report.records),
        "quarantined": damage_data(report.quarantined),
        "lost": damage_data(report.lost),
    }
    text = str(report)
    if dry_run:
        text = f"Nothing was changed. A repair would give:\n{text}"
    return Outcome(data, text, failed=bool(report.lost))
