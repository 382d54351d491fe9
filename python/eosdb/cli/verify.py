"""`eosdb verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import eosdb
from eosdb.damage import Damage
from eosdb.opening import database_at
from eosdb.texts import counted

from .verb import DATABASE, Console, Outcome, namespace as namespace_option, verb

__all__ = ["checked", "damage_data", "named", "verify", "what_to_do"]


@verb("verify")
@DATABASE
@namespace_option()
def verify(console: Console, *, database: Path, namespace: str | None) -> Outcome:
    """Look at every page, every value and the metadata; nothing is changed.

    The exit code is 1 if anything is damaged.
    """
    names = None if namespace is None else [namespace]
    with console.progress("Verifying") as progress:
        report = checked(database, names, progress)
    data = {
        "sound": report.is_sound,
        "records": named(report.records),
        "damage": damage_data(report.damage),
        "quarantined": named(report.quarantined),
    }
    text = str(report)
    if kept := sum(report.quarantined.values()):
        text += f"\nin quarantine from earlier repairs: {counted(kept, 'value')}"
    if advice := what_to_do(report, database):
        text += "\n" + click.style(f"{advice}.", fg="yellow")
    return Outcome(data, text, failed=not report.is_sound)


def checked(path: Path, names: list[str] | None, progress: Any) -> eosdb.VerifyReport:
    """Verify the database at a path, damaged pages and all.

    Args:
        path: The path.
        names: The namespaces; `None` for all.
        progress: Is told how far it is.
    """
    database = database_at(path, read_only=True)
    try:
        with database as db:
            for name in names or []:
                if name not in db.namespaces():
                    raise eosdb.InvalidArgumentError(
                        f"there is no namespace {name!r}: there are {', '.join(db.namespaces())}"
                    )
            return eosdb.verify(db, names, progress=progress)
    except eosdb.DamagedDatabaseError:
        return eosdb.verify(database.storage_path)


def what_to_do(report: eosdb.VerifyReport, path: Path) -> str | None:
    """Return which command mends what was found, `None` where there is nothing to mend.

    Args:
        report: What was found.
        path: The database, as the user named it.
    """
    if any(damage.page is not None for damage in report.damage):
        return (
            "Restore a backup, or save what the sound pages hold into a new directory by "
            f"'eosdb repair {path} TARGET'"
        )
    if len(report.damage) > len(report.left):
        return f"Put aside what is damaged by 'eosdb repair {path}'"
    return None


def named(counts: dict[str | None, int]) -> dict[str, int]:
    """Return counts by namespace with the unnamed one as empty text.

    Args:
        counts: The counts.
    """
    return {name or "": count for name, count in counts.items()}


def damage_data(damage: list[Damage]) -> list[dict[str, Any]]:
    """Return damage for `--json`.

    Args:
        damage: What is damaged.
    """
    return [
        {"namespace": each.namespace, "key": each.key, "page": each.page, "cause": each.cause}
        for each in damage
    ]
