"""Forbids a process the system calls that bring data to the disk."""

from __future__ import annotations

import ctypes
import platform
import sys
from typing import Final

SYNCING: Final = {
    "x86_64": {"fsync": 74, "fdatasync": 75, "msync": 26, "sync_file_range": 277},
    "aarch64": {"fsync": 82, "fdatasync": 83, "msync": 227, "sync_file_range": 84},
}
"""The numbers of these system calls by machine."""

CANNOT_FILTER: Final = 77
"""The status of a process that may not filter its system calls."""

_LOAD, _IF_EQUAL, _RETURN, _ALLOW = 0x20, 0x15, 0x06, 0x7FFF0000
_FAIL_WITH_EIO, _KILL_PROCESS = 0x00050005, 0x80000000


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("true", ctypes.c_uint8),
        ("false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def are_known() -> bool:
    """Return whether the system calls of this machine are known."""
    return sys.platform == "linux" and platform.machine() in SYNCING


def forbid_syncing(*, kill: bool = False) -> None:
    """Have every call that synchronises fail from now on, or end the process with SIGSYS."""
    numbers = list(SYNCING[platform.machine()].values())
    code = [(_LOAD, 0, 0, 0)]
    code += [(_IF_EQUAL, len(numbers) - i, 0, number) for i, number in enumerate(numbers)]
    code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _KILL_PROCESS if kill else _FAIL_WITH_EIO)]
    program = _Program(
        len(code), (_Instruction * len(code))(*(_Instruction(*step) for step in code))
    )
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    # PR_SET_NO_NEW_PRIVS, then PR_SET_SECCOMP with SECCOMP_MODE_FILTER
    if prctl(38, 1, 0, 0, 0) or prctl(22, 2, ctypes.byref(program)):
        raise SystemExit(CANNOT_FILTER)
