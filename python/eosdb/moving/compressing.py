"""Compressing many values on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from .._core import gzip_decode, gzip_encode
from ..errors import DamagedRecordError

__all__ = ["compressed", "recompressed"]

_SHARE: Final = 256


def compressed(pickles: list[bytes], level: int) -> list[bytes]:
    """Return pickles as stored values.

    Args:
        pickles: The pickles.
        level: The level of gzip; 0 leaves them as they are.
    """
    if level == 0:
        return pickles
    return _in_threads(pickles, lambda pickle: gzip_encode(pickle, level))


def recompressed(values: list[bytes], level: int) -> list[bytes]:
    """Return stored values at another level; damaged ones stay as they are.

    Args:
        values: The values.
        level: The level of gzip, 0 for none.
    """

    def work(value: bytes) -> bytes:
        try:
            pickle = gzip_decode(value)
        except DamagedRecordError:
            return value
        changed = gzip_encode(pickle, level)
        if gzip_decode(changed) != pickle:
            raise AssertionError
        return changed

    return _in_threads(values, work)


def _in_threads(items: list[bytes], work: Callable[[bytes], bytes]) -> list[bytes]:
    # The core lets other threads run meanwhile.
    shares = [items[start : start + _SHARE] for start in range(0, len(items), _SHARE)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(lambda share: [work(item) for item in share], shares)
        return [item for share in done for item in share]
