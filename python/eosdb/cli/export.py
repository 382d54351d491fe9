"""`eosdb export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click

import eosdb
from eosdb import moving
from eosdb.damage import QUARANTINE
from eosdb.moving.exporting import checked_namespace
from eosdb.native_database import NativeDatabase
from eosdb.texts import counted

from .verb import DATABASE, Console, Outcome, namespace as namespace_option, opened, verb
from .verify import damage_data

__all__ = ["LOCAL", "export", "only", "timestamp_of"]

LOCAL: Final = "in ISO 8601; without an offset, in the zone of this machine"
"""How the help describes an instant."""


@verb("export")
@DATABASE
@click.argument("target", type=click.Path(path_type=Path, allow_dash=True), default="-")
@namespace_option()
@click.option(
    "--format",
    "format_",
    type=click.Choice(moving.FORMATS),
    help="The format; by default the suffix of TARGET tells it.",
)
@click.option("--from", "start", help=f"The first instant inside, {LOCAL}.")
@click.option("--to", "end", help=f"The first instant outside, {LOCAL}.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def export(
    console: Console,
    *,
    database: Path,
    target: Path,
    namespace: str | None,
    format_: str | None,
    start: str | None,
    end: str | None,
    overwrite: bool,
) -> Outcome | None:
    """Write records into a file: Parquet, CSV or JSON lines.

    TARGET is a file, `-` for the standard output (CSV unless --format says otherwise), or a
    directory that exists: then each namespace gets a file of its own. Files are read again and
    compared before they appear. Damaged records are left out and told of, with exit code 1.
    """
    bounds = timestamp_of(start), timestamp_of(end)
    with opened(database) as db:
        if str(target) == "-":
            name = only(db, namespace)
            format_ = format_ or "csv"
            report = moving.print_records(
                db, name, sys.stdout, format=format_, start=bounds[0], end=bounds[1]
            )
            sys.stdout.flush()
            if report.damaged:
                left_out = counted(len(report.damaged), "damaged record")
                raise eosdb.StorageError(f"{left_out} left out: see 'eosdb verify'")
            return None
        if target.is_dir():
            if format_ is None:
                raise click.UsageError("Exporting into a directory needs --format.")
            names = [namespace] if namespace else db.namespaces()
            files = {
                name: target / f"{quote(name, safe='')}.{format_}"
                for name in names
                if name != QUARANTINE
            }
        else:
            files = {only(db, namespace): target}
        reports = []
        for name, path in files.items():
            with console.progress(f"Exporting {name}") as progress:
                reports.append(
                    moving.export_records(
                        db,
                        name,
                        path,
                        format=format_,
                        start=bounds[0],
                        end=bounds[1],
                        overwrite=overwrite,
                        progress=progress,
                    )
                )
    lines = []
    for report in reports:
        lines.append(
            f"{report.namespace}: {counted(report.records, 'record')} in '{report.path}', read "
            "again and found equal"
        )
        lines += [f"  left out: {damage}" for damage in report.damaged]
    failed = any(report.damaged for report in reports)
    text = "\n".join(lines) or "The database is empty."
    return Outcome({"files": [_data(report) for report in reports]}, text, failed)


def _data(report: moving.ExportReport) -> dict[str, Any]:
    return {
        "namespace": report.namespace,
        "path": str(report.path),
        "format": report.format,
        "records": report.records,
        "checked": report.checked,
        "damaged": damage_data(report.damaged),
    }


def only(db: NativeDatabase, namespace: str | None) -> str:
    """Return the namespace that is meant: the only one, if none was named.

    Args:
        db: The open database.
        namespace: The name, if one was given.

    Raises:
        InvalidArgumentError: If there is no such namespace, or none was given and there are more.
    """
    if namespace is not None:
        return checked_namespace(db, namespace)
    names = [name for name in db.namespaces() if name != QUARANTINE]
    if len(names) != 1:
        there = f"there are {', '.join(names)}" if names else "the database is empty"
        raise eosdb.InvalidArgumentError(f"name the namespace by -n: {there}")
    return names[0]


def timestamp_of(text: str | None, timezone: str | None = None) -> eosdb.DatabaseTimestamp | None:
    """Return an instant that was given as text as a key.

    Args:
        text: The text, in ISO 8601.
        timezone: The zone of a text without an offset; `None` for the local one.
    """
    if text is None:
        return None
    return eosdb.DatabaseTimestamp.from_datetime(eosdb.to_datetime(text, in_timezone=timezone))
