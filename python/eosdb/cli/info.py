"""`eosdb info`."""

from __future__ import annotations

from pathlib import Path

from eosdb.files import size_on_disk
from eosdb.moving.copying import kind_of, names_of
from eosdb.texts import size_text
from eosdb.timestamps import DatabaseTimestamp

from .verb import DATABASE, Console, Outcome, opened, table, time_text, verb

__all__ = ["info"]


@verb("info")
@DATABASE
def info(console: Console, *, database: Path) -> Outcome:
    """Tell what a database holds: kind, size, namespaces, time ranges.

    Nothing is read but the ends of each namespace, so it is quick however much there is.
    """
    del console
    with opened(database) as db:
        size = size_on_disk(db.storage_path)
        namespaces = []
        for name in names_of(db):
            ends = db._store.key_range(name) or (None, None)
            first, last = (_shown(key) for key in ends)
            records = db._store.count(name, None, None)
            namespaces.append({"name": name, "records": records, "first": first, "last": last})
        data = {
            "path": str(db.storage_path),
            "kind": kind_of(db),
            "bytes": size,
            "namespaces": namespaces,
        }
        head = f"{db.provider_id()} database '{db.storage_path}', {size_text(size)}"
    rows = [
        [
            "(unnamed)" if entry["name"] is None else str(entry["name"]),
            f"{entry['records']:,}",
            str(entry["first"] or "-"),
            str(entry["last"] or "-"),
        ]
        for entry in namespaces
    ]
    body = table(["namespace", "records", "first", "last"], rows) if rows else "It is empty."
    return Outcome(data, f"{head}\n\n{body}")


def _shown(key: bytes | None) -> str | None:
    """Return a key as a time, or as it is if it is none."""
    if key is None:
        return None
    text = key.decode("utf-8", "backslashreplace")
    try:
        return time_text(DatabaseTimestamp(text).to_datetime())
    except ValueError:
        return text
