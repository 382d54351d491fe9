"""What retention did, or would do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from .datetimes import DateTime, to_datetime
from .texts import duration_text, size_text

__all__ = ["CompactionReport", "KeyReport", "TierReport", "VacuumReport"]


@dataclass(frozen=True)
class KeyReport:
    """What a tier does to a key.

    Attributes:
        readings_before: How many records in the tier's buckets had a value.
        readings_after: How many have one afterwards.
    """

    readings_before: int
    readings_after: int


@dataclass(frozen=True)
class TierReport:
    """What a tier does. A record that two tiers take counts for the coarser.

    Attributes:
        age: Records older than this are taken.
        interval: The length of a bucket.
        cutoff: Up to where the tier has compacted afterwards, in UTC.
        rows_before: How many records there were in the buckets that were worked on.
        rows_after: How many there are afterwards.
        rows_deleted: How many records were deleted or replaced.
        rows_written: How many records were written.
        bytes_deleted: The size of the stored values deleted or replaced, in bytes.
        bytes_written: The size of the stored values written, in bytes.
        keys: What becomes of each key that had a value.
    """

    age: timedelta
    interval: timedelta
    cutoff: DateTime
    rows_before: int
    rows_after: int
    rows_deleted: int
    rows_written: int
    bytes_deleted: int
    bytes_written: int
    keys: dict[str, KeyReport]

    @property
    def bytes_saved(self) -> int:
        """By how many bytes the stored values become smaller."""
        return self.bytes_deleted - self.bytes_written

    @classmethod
    def of(cls, outcome: Any) -> Self:
        """Return the report of what the core tells of a tier."""
        age, interval, cutoff, rows, changed, size, keys = outcome
        return cls(
            age=timedelta(seconds=age),
            interval=timedelta(seconds=interval),
            cutoff=to_datetime(cutoff, in_timezone="UTC"),
            rows_before=rows[0],
            rows_after=rows[1],
            rows_deleted=changed[0],
            rows_written=changed[1],
            bytes_deleted=size[0],
            bytes_written=size[1],
            keys={name: KeyReport(before, after) for name, (before, after) in keys},
        )


class CompactionReport(int):
    """What a compaction did, or would do; as a number, how many records it deletes or replaces.

    Attributes:
        tiers: What each tier does, from the finest to the coarsest.
        dry_run: Whether it was only planned.
        rows_finished: How many of the records belong to an earlier compaction, in which a database
            without transactions was interrupted; it was carried through.
    """

    tiers: list[TierReport]
    dry_run: bool
    rows_finished: int

    def __new__(cls, tiers: Iterable[TierReport], dry_run: bool, rows_finished: int = 0) -> Self:
        """Gather what the tiers do."""
        tiers = list(tiers)
        report = super().__new__(cls, sum(tier.rows_deleted for tier in tiers) + rows_finished)
        report.tiers = tiers
        report.dry_run = dry_run
        report.rows_finished = rows_finished
        return report

    def __getnewargs__(self) -> tuple[Any, ...]:
        """Return what to copy or unpickle it from."""
        return self.tiers, self.dry_run, self.rows_finished

    @property
    def rows_written(self) -> int:
        """How many records are written."""
        return sum(tier.rows_written for tier in self.tiers)

    @property
    def bytes_saved(self) -> int:
        """By how many bytes the stored values become smaller."""
        return sum(tier.bytes_saved for tier in self.tiers)

    def __str__(self) -> str:
        """Return it as text, a line for each tier and key."""
        would = "would replace" if self.dry_run else "replaced"
        rows = f"{int(self):,} records by {self.rows_written:,}"
        lines = [f"compaction {would} {rows}, {size_text(self.bytes_saved)} less"]
        for tier in self.tiers:
            lines.append(
                f"  {duration_text(tier.interval)} up to {tier.cutoff:YYYY-MM-DD HH:mm} UTC: "
                f"{tier.rows_before:,} records become {tier.rows_after:,}, "
                f"{size_text(tier.bytes_saved)} less"
            )
            lines += [
                f"    {name}: {key.readings_before:,} values become {key.readings_after:,}"
                for name, key in tier.keys.items()
            ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Return it as text; a number says too little."""
        return f"<{self}>"


class VacuumReport(int):
    """What a vacuum did, or would do; as a number, how many records it deletes.

    The file does not become smaller: later records use the space. `LMDBDatabase.compact()` makes it
    smaller, and `copy_to(path, compact=True)` writes a smaller copy beside it.

    Attributes:
        bytes_deleted: The size of the stored values deleted, in bytes.
        keep_from: The first instant that is kept, as a timestamp; `None` where all are.
        dry_run: Whether it was only planned.
    """

    bytes_deleted: int
    keep_from: str | None
    dry_run: bool

    def __new__(cls, rows: int, bytes_deleted: int, keep_from: str | None, dry_run: bool) -> Self:
        """Note what is deleted."""
        report = super().__new__(cls, rows)
        report.bytes_deleted = bytes_deleted
        report.keep_from = keep_from
        report.dry_run = dry_run
        return report

    def __getnewargs__(self) -> tuple[Any, ...]:
        """Return what to copy or unpickle it from."""
        return int(self), self.bytes_deleted, self.keep_from, self.dry_run

    def __str__(self) -> str:
        """Return it as text."""
        would = "would delete" if self.dry_run else "deleted"
        before = "" if self.keep_from is None else f" before {self.keep_from}"
        return f"vacuum {would} {int(self):,} records{before}, {size_text(self.bytes_deleted)}"

    def __repr__(self) -> str:
        """Return it as text; a number says too little."""
        return f"<{self}>"
