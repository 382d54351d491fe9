"""`eosdb compact`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import eosdb
from eosdb.compaction import checked_tiers
from eosdb.namespace_sequence import sequence_of
from eosdb.survey import Survey

from .import_ import pairs
from .stats import surveys
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

__all__ = ["compact"]


@verb("compact")
@DATABASE
@namespace_option(required=True)
@click.option(
    "--aggregation",
    "aggregations",
    multiple=True,
    metavar="KEY=NAME",
    help="What becomes of the values of a key: mean, time_weighted_mean, min, max, sum, first, "
    "last, mode, circular_mean or meter. Repeat it for each key.",
)
@click.option(
    "--tier",
    "tiers",
    multiple=True,
    metavar="AGE=INTERVAL",
    help="Bring what is older than AGE to INTERVAL. Repeat it for each tier. [default: "
    "'2 hours=15 minutes' and '14 days=1 hour']",
)
@click.option("--max-gap", metavar="DURATION", help="The longest time that counts as no gap.")
@dry_run_option
def compact(
    console: Console,
    *,
    database: Path,
    namespace: str,
    aggregations: tuple[str, ...],
    tiers: tuple[str, ...],
    max_gap: str | None,
    dry_run: bool,
) -> Outcome:
    """Bring old records of a namespace to coarser intervals, in one transaction.

    Keys that are not named keep the mean of their numbers, or the last of other values. Numbers
    that hardly ever fall seem to count something: such a key must be named, for the mean of a
    meter's readings moves energy from hour to hour.
    """
    named = pairs(aggregations, "--aggregation", "KEY=NAME")
    chosen = list(pairs(tiers, "--tier", "AGE=INTERVAL").items())
    checked: Any = checked_tiers(chosen) if chosen else None
    gap = None if max_gap is None else eosdb.to_duration(max_gap)
    with opened(database, read_only=dry_run) as db:
        (found,) = surveys(console, db, namespace)
        meters = _check(found, named, dry_run)
        sequence = sequence_of(db, namespace, found, aggregations=named, max_gap=gap)
        with console.progress("Compacting") as progress:
            report = sequence.db_compact(checked, dry_run=dry_run, progress=progress)
    text = str(report)
    for key in meters:
        text += f"\n'{key}' looks like a meter: name it by --aggregation {key}=meter, or =mean"
    return Outcome({"meters_not_named": meters, **_data(namespace, report)}, text)


def _check(found: Survey, named: dict[str, str], dry_run: bool) -> list[str]:
    """Return the keys that look like meters and were not named; refuse them if it is no trial."""
    if unknown := [key for key in named if key not in found.keys]:
        raise eosdb.UnknownKeyError(
            f"namespace '{found.namespace}' has no key {unknown[0]!r}: there are "
            f"{', '.join(found.keys)}"
        )
    meters = [
        name for name, key in found.keys.items() if key.looks_like_a_meter and name not in named
    ]
    if meters and not dry_run:
        raise eosdb.InvalidArgumentError(
            f"'{meters[0]}' looks like a meter: say --aggregation {meters[0]}=meter to keep its "
            f"energy, or {meters[0]}=mean if it is none"
        )
    return meters


def _data(namespace: str, report: eosdb.CompactionReport) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "dry_run": report.dry_run,
        "replaced": int(report),
        "written": report.rows_written,
        "bytes_saved": report.bytes_saved,
        "tiers": [
            {
                "age_s": tier.age.total_seconds(),
                "interval_s": tier.interval.total_seconds(),
                "cutoff": time_text(tier.cutoff),
                "rows_before": tier.rows_before,
                "rows_after": tier.rows_after,
                "keys": {
                    name: {"before": key.readings_before, "after": key.readings_after}
                    for name, key in tier.keys.items()
                },
            }
            for tier in report.tiers
        ],
    }
