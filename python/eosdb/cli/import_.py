"""`eosdb import`."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click

import eosdb
from eosdb import moving
from eosdb.native_database import NativeDatabase
from eosdb.new_places import failures_named
from eosdb.opening import database_at
from eosdb.texts import counted

from .verb import (
    DATABASE,
    Console,
    Outcome,
    dry_run as dry_run_option,
    namespace as namespace_option,
    verb,
)

__all__ = ["import_", "pairs"]


@verb("import")
@DATABASE
@click.argument("source", type=click.Path(path_type=Path))
@namespace_option()
@click.option("--format", "format_", type=click.Choice(moving.FORMATS), help="The format.")
@click.option(
    "--map",
    "columns",
    multiple=True,
    metavar="COLUMN=KEY",
    help="Take this column as that key: a field, date_time, or configured_data.<key>. Then only "
    "columns that are named are taken. Repeat it for each.",
)
@click.option(
    "--timezone",
    metavar="ZONE",
    help="The zone of times that do not name theirs, such as Europe/Berlin.",
)
@click.option(
    "--kind",
    type=click.Choice(list(moving.KINDS)),
    help="The kind of a database that does not exist yet. [default: lmdb]",
)
@dry_run_option
def import_(
    console: Console,
    *,
    database: Path,
    source: Path,
    namespace: str | None,
    format_: str | None,
    columns: tuple[str, ...],
    timezone: str | None,
    kind: str | None,
    dry_run: bool,
) -> Outcome:
    """Take the records of a file into a namespace; DATABASE is made if there is none.

    SOURCE is a file, and -n names the namespace, or a directory with a file for each namespace.
    Where there is a record in the same second, the values of the file are taken over into it and
    its others stay. If it is interrupted, run it again: it does the rest.
    """
    mapped = pairs(columns, "--map", "COLUMN=KEY")
    if source.is_dir():
        files = _files_in(source, namespace)
    elif namespace is None:
        raise click.UsageError("Importing a file needs the namespace: -n NAME.")
    else:
        files = {namespace: source}
    reports = []
    with _target(database, kind, dry_run) as db:
        for name, path in files.items():
            with console.progress(f"Importing {name}") as progress:
                reports.append(
                    moving.import_records(
                        db,
                        name,
                        path,
                        format=format_,
                        columns=mapped,
                        timezone=timezone,
                        dry_run=dry_run,
                        progress=progress,
                    )
                )
    text = "\n".join(_text(report) for report in reports)
    return Outcome({"files": [_data(report) for report in reports]}, text)


def _files_in(directory: Path, namespace: str | None) -> dict[str, Path]:
    """Return the file of each namespace, or of one."""
    files: dict[str, Path] = {}
    for path in sorted(directory.iterdir()):
        name = unquote(path.stem)
        if path.suffix.removeprefix(".") not in moving.FORMATS or namespace not in {None, name}:
            continue
        if name in files:
            raise eosdb.InvalidArgumentError(
                f"'{files[name]}' and '{path}' are both for the namespace '{name}': import one of "
                f"them by itself, with -n {name}"
            )
        files[name] = path
    if not files:
        raise eosdb.InvalidArgumentError(f"'{directory}' has no file to import")
    return files


def _target(path: Path, kind: str | None, dry_run: bool) -> NativeDatabase:
    with failures_named(path):
        is_new = not path.exists() or (path.is_dir() and not any(path.iterdir()))
    if not is_new:
        database = database_at(path, read_only=dry_run)
        if kind not in {None, moving.kind_of(database)}:
            raise eosdb.InvalidArgumentError(
                f"'{path}' is an {database.provider_id()} database, not {kind}: leave --kind out, "
                "or name a new directory"
            )
        return database
    if not path.parent.is_dir():
        raise eosdb.InvalidArgumentError(f"there is no directory '{path.parent}': make it first")
    return eosdb.MemoryDatabase() if dry_run else moving.KINDS[kind or "lmdb"](path)


def _text(report: moving.ImportReport) -> str:
    would = "would be " if report.dry_run else ""
    checked = ", read again and found equal" if report.checked else ""
    text = (
        f"{report.namespace}: {counted(_records(report), 'record')} in '{report.path}': "
        f"{report.added:,} {would}added, {report.changed:,} {would}changed, "
        f"{report.unchanged:,} already there{checked}"
    )
    if report.repeated:
        text += (
            f"\n  {counted(report.repeated, 'line')} in the same second as an earlier one: the "
            "last one's values count"
        )
    if report.texts:
        shown = ", ".join(f"{key} ({text!r})" for key, text in report.texts.items())
        text += f"\n  text, not numbers, in {shown}"
    return text


def _records(report: moving.ImportReport) -> int:
    return report.lines - report.repeated


def _data(report: moving.ImportReport) -> dict[str, Any]:
    return {
        "namespace": report.namespace,
        "path": str(report.path),
        "format": report.format,
        "records": _records(report),
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "repeated": report.repeated,
        "checked": report.checked,
        "dry_run": report.dry_run,
        "texts": report.texts,
    }


def pairs(texts: tuple[str, ...], option: str, form: str) -> dict[str, str]:
    """Return what was given as `A=B`, several times.

    Args:
        texts: What was given.
        option: The option's name.
        form: What it looks like.
    """
    found = {}
    for text in texts:
        # The last one: names of columns may have the sign, those of keys do not.
        left, sign, right = text.rpartition("=")
        if not (left and sign and right):
            raise click.UsageError(f"{option} {text!r}: expected {form}.")
        if left.strip() in found:
            raise click.UsageError(f"{option} names {left.strip()!r} twice: say it once.")
        found[left.strip()] = right.strip()
    return found
