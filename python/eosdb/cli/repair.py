"""`eosdb repair`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    if dry_run:
        return _foreseen(console, database, target)
    with console.progress("Repairing") as progress:
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
    data = _data(report, target, dry_run=False)
    return Outcome(data, str(report), failed=bool(report.lost or report.left))


def _foreseen(console: Console, database: Path, target: Path | None) -> Outcome:
    """Tell what a repair would do, as far as that can be known without doing it."""
    with console.progress("Looking at") as progress:
        found = checked(database, None, progress)
    if pages := [damage for damage in found.damage if damage.page is not None]:
        into = "TARGET, a new directory" if target is None else f"'{target}'"
        foreseen = (
            f"'eosdb repair {database} {target or 'TARGET'}' would write what the sound pages hold "
            f"into {into}. How many records that is, is known when it is done."
        )
        shown = [f"  {damage}" for damage in pages]
        lines = ["Nothing was changed. The file itself is damaged:", *shown, foreseen]
        data = dict.fromkeys(_data(eosdb.RepairReport(), target, dry_run=True))
        known = {"dry_run": True, "target": _text(target), "damage": damage_data(pages)}
        return Outcome(data | known, "\n".join(lines), failed=True)
    moved = [damage for damage in found.damage if damage not in found.left]
    records = dict(found.records)
    for damage in moved:
        if damage.key is not None:
            records[damage.namespace] -= 1
    report = eosdb.RepairReport(records, moved, left=found.left)
    text = f"Nothing was changed. A repair would give:\n{report}"
    return Outcome(_data(report, target, dry_run=True), text, failed=bool(report.left))


def _data(report: eosdb.RepairReport, target: Path | None, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "target": _text(target),
        "records": named(report.records),
        "quarantined": damage_data(report.quarantined),
        "lost": damage_data(report.lost),
        "left": damage_data(report.left),
        "damage": None,
    }


def _text(target: Path | None) -> str | None:
    return None if target is None else str(target)
