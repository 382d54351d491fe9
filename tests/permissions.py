"""Permissions that hold for the superuser too, as whom tests often run."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

_VERSION: Final = 0x2008_0522
_OVERRIDING: Final = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by which permissions do not hold."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("thread", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@contextmanager
def permissions_held(place: Path) -> Iterator[None]:
    """Have permissions hold for this thread, and for those that it starts, within the block.

    The superuser's thread lays down the capabilities that override them, and takes them up again.
    It is then the owner of its files, with the permissions of an owner. The test is skipped where
    that cannot be done.

    Args:
        place: A directory in which to try it.
    """
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("only Linux can have permissions hold for the superuser")
    library = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(_VERSION, 0), (_Sets * 2)()
    if library.capget(ctypes.byref(header), sets) != 0:
        pytest.skip("this process may not ask for its capabilities")
    before = sets[0].effective
    sets[0].effective = before & ~_OVERRIDING
    assert library.capset(ctypes.byref(header), sets) == 0
    try:
        closed = place / "may not be read"
        closed.touch(mode=0)
        if os.access(closed, os.R_OK, effective_ids=True):
            pytest.skip("this file system has no permissions")
        closed.unlink()
        yield
    finally:
        sets[0].effective = before
        assert library.capset(ctypes.byref(header), sets) == 0
