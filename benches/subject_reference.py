"""The Python reference, as a worker drives it."""

from __future__ import annotations

from pathlib import Path

from reference import Phase, ReferenceLmdb, ReferenceRecord, Stamp
from reference_compaction import ReferenceCompactor
from subject import KEYS, NAMESPACE, Subject, environment


class Reading(ReferenceRecord):
    """A row whose values are fields."""

    pv_power_w: float | None = None
    load_power_w: float | None = None
    grid_power_w: float | None = None
    battery_power_w: float | None = None


class ConfiguredReading(ReferenceRecord):
    """A row whose values are configured data."""

    @classmethod
    def configured_data_keys(cls) -> list[str]:
        """Return the keys of the four values."""
        return list(KEYS)


def subject(root: Path, level: int, configured: bool) -> Subject:
    """Return the Python reference as a subject.

    Args:
        root: The data folder.
        level: The gzip level.
        configured: Whether values are configured data.
    """
    record_class = ConfiguredReading if configured else Reading
    store = ReferenceLmdb(environment(root), compression_level=level)

    def connect() -> ReferenceCompactor:
        store.open()
        return renew()

    def renew() -> ReferenceCompactor:
        return ReferenceCompactor(record_class, store, NAMESPACE)

    def assume_loaded(sequence: ReferenceCompactor) -> None:
        sequence.phase = Phase.FULL

    return Subject(
        record_class=record_class,
        connect=connect,
        renew=renew,
        disconnect=store.close,
        assume_loaded=assume_loaded,
        timestamp=Stamp.from_datetime,
        path=environment(root),
    )
