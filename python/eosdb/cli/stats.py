"""`eosdb stats`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from eosdb.damage import QUARANTINE
from eosdb.moving.exporting import checked_namespace
from eosdb.native_database import NativeDatabase
from eosdb.survey import Survey, survey
from eosdb.texts import duration_text, size_text

from .verb import (
    DATABASE,
    Console,
    Outcome,
    namespace as namespace_option,
    opened,
    time_text,
    verb,
)

__all__ = ["stats", "surveys"]


@verb("stats")
@DATABASE
@namespace_option()
def stats(console: Console, *, database: Path, namespace: str | None) -> Outcome:
    """Tell of each namespace how much there is, how regularly, and where it has gaps.

    A gap is more than twice the typical interval, which is the median.
    """
    with opened(database) as db:
        found = surveys(console, db, namespace)
    data = {"namespaces": [_data(each) for each in found]}
    return Outcome(data, "\n\n".join(map(_text, found)) or "It is empty.")


def surveys(console: Console, db: NativeDatabase, namespace: str | None) -> list[Survey]:
    """Return the surveys of one namespace, or of all.

    Args:
        console: Where to show how far it is.
        db: The open database.
        namespace: The namespace; `None` for all but the quarantine.
    """
    if namespace is not None:
        names = [checked_namespace(db, namespace)]
    else:
        names = [name for name in db.namespaces() if name != QUARANTINE]
    found = []
    for name in names:
        with console.progress(f"Reading {name}") as progress:
            found.append(survey(db, name, progress=progress))
    return found


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def _data(found: Survey) -> dict[str, Any]:
    return {
        "name": found.namespace,
        "records": found.records,
        "bytes": found.bytes,
        "first": time_text(found.first),
        "last": time_text(found.last),
        "typical_interval_s": _seconds(found.typical_interval),
        "gaps": found.gaps,
        "longest_gaps": [
            {"start": time_text(gap.start), "length_s": _seconds(gap.length)}
            for gap in found.longest_gaps
        ],
        "keys": {name: key.values for name, key in found.keys.items()},
        "damaged": len(found.damaged),
    }


def _text(found: Survey) -> str:
    each = found.bytes / found.records if found.records else 0
    lines = [
        found.namespace,
        f"  records   {found.records:,}, {size_text(found.bytes)} ({each:.0f} B each)",
    ]
    if found.first is not None:
        lines.append(f"  from      {time_text(found.first)}")
        lines.append(f"  to        {time_text(found.last)}")
    if found.typical_interval is not None:
        lines.append(f"  interval  {duration_text(found.typical_interval)}, typically")
        lines.append(f"  gaps      {found.gaps:,}")
        lines += [
            f"            {duration_text(gap.length)} after {time_text(gap.start)}"
            for gap in found.longest_gaps
        ]
    names = [f"{name} ({key.values:,})" for name, key in found.keys.items() if key.values]
    empty = sum(not key.values for key in found.keys.values())
    if found.keys:
        lines.append(f"  keys      {', '.join(names) or 'none with values'}")
        if empty:
            lines.append(f"            {empty} more without any value")
    if found.damaged:
        lines.append(f"  damaged   {len(found.damaged):,}: see 'eosdb verify'")
    return "\n".join(lines)
