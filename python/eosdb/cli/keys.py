"""`eosdb keys`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eosdb.moving import tagged_json
from eosdb.survey import KeySurvey

from .stats import surveys
from .verb import DATABASE, Console, Outcome, namespace as namespace_option, opened, table, verb

__all__ = ["keys"]

_SHOWN = 40


@verb("keys")
@DATABASE
@namespace_option()
def keys(console: Console, *, database: Path, namespace: str | None) -> Outcome:
    """List the keys of the records, with the kinds, range and last of their values."""
    with opened(database) as db:
        found = surveys(console, db, namespace)
    data = {
        "namespaces": [
            {"name": each.namespace, "keys": [_data(*pair) for pair in each.keys.items()]}
            for each in found
        ]
    }
    titles = ["key", "kind", "values", "minimum", "maximum", "last"]
    parts = [
        f"{each.namespace}\n"
        + table(titles, [_cells(*pair) for pair in each.keys.items() if pair[1].values])
        for each in found
    ]
    return Outcome(data, "\n\n".join(parts) or "It is empty.")


def _data(name: str, key: KeySurvey) -> dict[str, Any]:
    return {
        "key": name,
        "configured": key.is_configured,
        "kinds": dict(key.kinds),
        "values": key.values,
        "minimum": key.minimum,
        "maximum": key.maximum,
        "last": tagged_json.tagged(key.last),
        "meter": key.looks_like_a_meter,
    }


def _cells(name: str, key: KeySurvey) -> list[str]:
    kinds = [kind for kind in key.kinds if kind != "none"]
    kinds += ["configured"] if key.is_configured else []
    kinds += ["meter?"] if key.looks_like_a_meter else []
    last = key.last if isinstance(key.last, str) else tagged_json.dumps(key.last)
    ends = ["" if end is None else f"{end:.10g}" for end in (key.minimum, key.maximum)]
    return [
        name,
        ", ".join(kinds),
        f"{key.values:,}",
        *ends,
        last if len(last) <= _SHOWN else f"{last[: _SHOWN - 1]}…",
    ]
