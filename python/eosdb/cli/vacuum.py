"""`eosdb vacuum`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import eosdb
from eosdb.compaction import newest_plausible
from eosdb.damage import QUARANTINE
from eosdb.instants import shifted
from eosdb.moving.exporting import checked_namespace
from eosdb.namespace_sequence import sequence_of
from eosdb.texts import counted, size_text

from .export import LOCAL, timestamp_of
from .verb import (
    DATABASE,
    Console,
    Outcome,
    dry_run as dry_run_option,
    namespace as namespace_option,
    opened,
    time_text,
    verb,
)

__all__ = ["vacuum"]


@verb("vacuum")
@DATABASE
@namespace_option()
@click.option("--keep", metavar="DURATION", help="How long to keep records, such as '365 days'.")
@click.option("--before", metavar="TIME", help=f"Delete what is before this instant, {LOCAL}.")
@dry_run_option
def vacuum(
    console: Console,
    *,
    database: Path,
    namespace: str | None,
    keep: str | None,
    before: str | None,
    dry_run: bool,
) -> Outcome:
    """Delete old records: those older than --keep, or from before --before.

    The age counts from the newest record, unless that lies more than a day in the future.
    """
    if (keep is None) == (before is None):
        raise click.UsageError("Name either --keep or --before.")
    duration = None if keep is None else eosdb.to_duration(keep).total_seconds()
    bound = timestamp_of(before)
    done: list[dict[str, Any]] = []
    with opened(database, read_only=dry_run) as db, console.progress("Deleting") as progress:
        names = [checked_namespace(db, namespace)] if namespace else db.namespaces()
        names = [name for name in names if name != QUARANTINE]
        for number, name in enumerate(names):
            if progress:  # what is deleted of one namespace goes as a whole or not at all
                progress(number, len(names))
            sequence = sequence_of(db, name)
            keep_from: Any = bound
            if duration is not None:
                newest = newest_plausible(sequence)
                if newest is None:
                    continue
                keep_from = shifted(newest.to_datetime(), -duration)
            report = sequence.db_vacuum(keep_timestamp=keep_from, dry_run=dry_run)
            done.append(
                {
                    "name": name,
                    "deleted": int(report),
                    "bytes": report.bytes_deleted,
                    "keep_from": _shown(report.keep_from),
                }
            )
    would = "would be " if dry_run else ""
    lines = [
        f"{each['name']}: {counted(each['deleted'], 'record')} ({size_text(each['bytes'])}) "
        f"from before {each['keep_from'] or 'all time'} {would}deleted"
        for each in done
    ]
    return Outcome({"dry_run": dry_run, "namespaces": done}, "\n".join(lines) or "It is empty.")


def _shown(keep_from: str | None) -> str | None:
    if keep_from is None or keep_from == eosdb.UNBOUND_START:
        return None
    return time_text(eosdb.DatabaseTimestamp(keep_from).to_datetime())
