"""Any value that can be stored, as JSON and back.

What JSON has no word for is an object with one key that begins with `$`:

- `{"$float": "nan"}`, `"inf"` and `"-inf"`;
- `{"$numpy.float64": 1.5}`, which Akkudoktor-EOS's own compaction leaves behind;
- `{"$pickle": "gAU..."}` for anything else, as a pickle in base64. It is read by the reader of
  stored values, which executes nothing.
"""

from __future__ import annotations

import json
import math
import pickle
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from .._core import unpickle

__all__ = ["dumps", "loads", "tagged"]

_PLAIN: Final = {str, bool, int, type(None)}


def tagged(value: Any) -> Any:
    """Return a value as what the standard library's `json` writes; see the module.

    Args:
        value: Anything that can be stored.
    """
    kind = type(value)
    if kind in _PLAIN or (kind is float and math.isfinite(value)):
        return value
    if kind is float:
        return {"$float": str(value)}
    if kind is list:
        return [tagged(item) for item in value]
    if kind is dict and all(type(key) is str and not key.startswith("$") for key in value):
        return {key: tagged(item) for key, item in value.items()}
    if kind is np.float64 and math.isfinite(value):
        return {"$numpy.float64": float(value)}
    return {"$pickle": b64encode(pickle.dumps(value, protocol=5)).decode("ascii")}


def dumps(value: Any, *, sort_keys: bool = False) -> str:
    """Return a value as a line of JSON.

    Args:
        value: Anything that can be stored.
        sort_keys: Whether equal dictionaries give equal text.
    """
    return (_SORTED if sort_keys else _ENCODER).encode(tagged(value))


def loads(text: str) -> Any:
    """Return the value that :func:`dumps` wrote, or that other JSON describes.

    Args:
        text: The JSON.

    Raises:
        ValueError: If it is no JSON, or a tagged value in it is none.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _encoder(*, sort_keys: bool) -> json.JSONEncoder:
    return json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys
    )


_ENCODER: Final = _encoder(sort_keys=False)
_SORTED: Final = _encoder(sort_keys=True)


def _untagged(found: dict[str, Any]) -> Any:
    if len(found) == 1:
        ((tag, value),) = found.items()
        if read := _TAGS.get(tag):
            return read(value)
    return found


def _pickled(text: Any) -> Any:
    if not isinstance(text, str):
        raise ValueError(f"'$pickle' needs text in base64, not {text!r}")  # noqa: TRY004
    return unpickle(b64decode(text, validate=True))


def _numpy_float(value: Any) -> Any:
    if not isinstance(value, int | float):
        raise ValueError(f"'$numpy.float64' needs a number, not {value!r}")  # noqa: TRY004
    return np.float64(value)


def _float(text: Any) -> Any:
    if text not in {"nan", "inf", "-inf"}:
        raise ValueError(f"'$float' needs 'nan', 'inf' or '-inf', not {text!r}")
    return float(text)


_TAGS: Final[dict[str, Callable[[Any], Any]]] = {
    "$float": _float,
    "$numpy.float64": _numpy_float,
    "$pickle": _pickled,
}

# Making one anew for each value would take longer than reading it.
_DECODER: Final = json.JSONDecoder(object_hook=_untagged)
