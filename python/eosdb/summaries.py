"""What databases and sequences look like in a notebook.

Names and values come from files, so all of them are escaped.
"""

from __future__ import annotations

import html
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pendulum.tz.local_timezone import get_local_timezone

from .files import size_on_disk
from .instants import shifted
from .texts import duration_text, size_text
from .timestamps import DatabaseTimestamp, DatabaseTimestampType

if TYPE_CHECKING:
    from .data_sequence import DataSequence
    from .native_database import NativeDatabase
    from .views import DatabaseView, NamespaceView

__all__ = ["database_html", "database_view_html", "namespace_html", "sequence_html", "time_text"]

_ENOUGH: Final = 100
"""So many of the newest records tell what is typical."""

_TOO_MANY: Final = 1_000
"""So many are not read to tell it."""

_MOST_KEYS: Final = 50
"""So many keys are shown with their values."""

_LONGEST_TEXT: Final = 60

_NOTHING: Final = "-"


# ---- facts -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Newest:
    """What the newest records hold: each value with its time, and the usual distance of two."""

    values: dict[str, tuple[datetime, Any]]
    interval: timedelta | None
    zone: Any


def _newest(view: NamespaceView) -> _Newest:
    """Return what the newest records of a namespace hold."""
    values: dict[str, tuple[datetime, Any]] = {}
    seconds = []
    for record in view._sequence.db_iterate_records(*_start_of_newest(view)):
        moment = record["date_time"]
        seconds.append(moment.timestamp())
        values |= {
            key: (moment, value)
            for key, value in record.items()
            if key != "date_time" and value is not None
        }
    distances = np.diff(np.array(seconds))
    interval = timedelta(seconds=round(float(np.median(distances)))) if len(distances) else None
    return _Newest(dict(sorted(values.items())), interval, view.timezone)


def _start_of_newest(view: NamespaceView) -> list[DatabaseTimestampType]:
    """Return where some hundred of the newest records begin; nothing if there is none."""
    first, last = view._sequence.db_timestamp_range()
    if not isinstance(first, DatabaseTimestamp) or not isinstance(last, DatabaseTimestamp):
        return []
    start: DatabaseTimestampType = last
    seconds = 3_600
    while start > first:
        earlier = max(first, shifted(last.to_datetime(), -seconds))
        count = view._sequence.database.count_records(earlier.encode(), namespace=view.namespace)
        if count > _TOO_MANY:
            if start < last:
                break
            # Even an hour has too many: then a part of it.
            seconds //= 4
            if not seconds:
                break
            continue
        start = earlier
        if count >= _ENOUGH:
            break
        seconds *= 4
    return [start]


# ---- texts -------------------------------------------------------------------------------------


def time_text(moment: datetime | None, zone: Any = None) -> str:
    """Return a time as a reader writes it; in a zone, if one is given.

    Args:
        moment: The time; `None` for none.
        zone: The zone.
    """
    if moment is None:
        return _NOTHING
    shown = moment if zone is None else moment.astimezone(zone)
    # Before the zones of today, offsets had seconds; and strftime() does not pad years.
    return datetime.isoformat(shown, " ", "seconds")


def _usual(newest: _Newest) -> str:
    return _NOTHING if newest.interval is None else duration_text(newest.interval)


def _value_text(value: Any) -> str:
    """Return a value in a few characters."""
    if isinstance(value, float):
        return f"{value:.10g}"
    text = value if isinstance(value, str) else reprlib.repr(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


# ---- HTML --------------------------------------------------------------------------------------


def _page(title: str, facts: Iterable[tuple[str, str]], *tables: str) -> str:
    shown = " · ".join(f"{_escaped(name)} {_escaped(fact)}".strip() for name, fact in facts)
    return f"<div><strong>{_escaped(title)}</strong><br>{shown}{''.join(tables)}</div>"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; all columns but the first are set to the right."""
    cells = [_row("th", headings), *(_row("td", row) for row in rows)]
    return f"<table><thead>{cells[0]}</thead><tbody>{''.join(cells[1:])}</tbody></table>"


def _row(tag: str, texts: Sequence[str]) -> str:
    sides = ["left", *["right"] * (len(texts) - 1)]
    cells = (
        f'<{tag} style="text-align: {side}; white-space: nowrap">{_escaped(text)}</{tag}>'
        for side, text in zip(sides, texts, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"


def _escaped(text: str) -> str:
    """Return text that shows itself in HTML, what is no valid Unicode too."""
    return html.escape(text.encode("utf-8", "backslashreplace").decode())


def _facts(database: NativeDatabase) -> list[tuple[str, str]]:
    path = database.storage_path
    access = "read-only" if getattr(database, "read_only", False) else "writable"
    state = access if database.is_open else "closed"
    try:
        size = size_text(size_on_disk(path))
    except OSError:
        size = _NOTHING
    return [("", str(path)), ("", database.provider_id()), ("", size), ("", state)]


def database_html(database: NativeDatabase) -> str:
    """Return what there is to know of a database without reading a record.

    Args:
        database: The database, open or closed.
    """
    facts = _facts(database)
    if not database.is_open:
        return _page(type(database).__name__, facts)
    local = get_local_timezone()
    rows = []
    for name in database.namespaces():
        ends = [_instant(key) for key in database.get_key_range(name)]
        count = database.count_records(namespace=name)
        rows.append([name, f"{count:,}", *(time_text(end, local) for end in ends)])
    table = _table(["namespace", "records", "first", "last"], rows)
    return _page(type(database).__name__, facts, table)


def _instant(key: bytes | None) -> datetime | None:
    """Return the instant of a key; `None` where it is none."""
    try:
        return None if key is None else DatabaseTimestamp(key.decode("ascii")).to_datetime()
    except ValueError:
        return None


def database_view_html(view: DatabaseView) -> str:
    """Return what there is to know of a database and its namespaces; the newest records are read.

    Args:
        view: The view of the database, open or closed.
    """
    facts = _facts(view._database)
    if not view.is_open:
        return _page(type(view).__name__, facts)
    rows = []
    for name, namespace in view.items():
        newest = _newest(namespace)
        ends = (namespace.min_datetime, namespace.max_datetime)
        times = [time_text(end, newest.zone) for end in ends]
        keys = ", ".join(newest.values)
        keys = keys if len(keys) <= _LONGEST_TEXT else f"{keys[: _LONGEST_TEXT - 1]}…"
        interval = _usual(newest)
        rows.append([name, f"{len(namespace):,}", *times, interval, keys])
    headings = ["namespace", "records", "first", "last", "typical interval", "newest keys"]
    return _page(type(view).__name__, facts, _table(headings, rows))


def namespace_html(view: NamespaceView) -> str:
    """Return what there is to know of a namespace; the newest records are read.

    Args:
        view: The view of the namespace.
    """
    newest = _newest(view)
    ends = (view.min_datetime, view.max_datetime)
    first, last = (time_text(end, newest.zone) for end in ends)
    facts = [
        ("", str(view.path)),
        ("", f"{len(view):,} records"),
        ("from", first),
        ("to", last),
        ("typically every", _usual(newest)),
    ]
    rows = [
        [key, _value_text(value), time_text(moment, newest.zone)]
        for key, (moment, value) in islice(newest.values.items(), _MOST_KEYS)
    ]
    if more := len(newest.values) - len(rows):
        rows.append([f"and {more:,} more", "", ""])
    table = _table(["key", "newest value", "of"], rows)
    return _page(f"{type(view).__name__} {view.namespace!r}", facts, table)


def sequence_html(sequence: DataSequence) -> str:
    """Return what there is to know of a sequence without loading a record.

    Args:
        sequence: The sequence.
    """
    state = sequence._db_enter()
    unsaved = len(sequence._db_dirty_timestamps) + len(sequence._db_deleted_timestamps)
    facts = [
        ("", f"{len(sequence):,} records"),
        ("", f"{len(state):,} known to this process"),
        ("", f"{unsaved:,} changes not saved"),
        ("from", time_text(sequence.min_datetime, get_local_timezone())),
        ("to", time_text(sequence.max_datetime, get_local_timezone())),
    ]
    if sequence.database is None:
        facts.append(("", "in memory only"))
    else:
        facts.append(("namespace", sequence.db_namespace()))
        facts.append(("of", str(getattr(sequence.database, "storage_path", sequence.database))))
    declared = {
        name: str(getattr(field.annotation, "__name__", field.annotation))
        for name, field in getattr(sequence.record_class(), "model_fields", {}).items()
    }
    rows = [[key, declared.get(key, "configured or computed")] for key in sequence.record_keys]
    return _page(type(sequence).__name__, facts, _table(["key", "type"], rows))
