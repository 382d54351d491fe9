"""What the operating system is asked about files."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["may_write", "synchronize"]


def synchronize(path: Path) -> None:
    """Have a file's content, or a directory's names, reach the disk.

    Args:
        path: The file or directory.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def may_write(path: Path) -> bool:
    """Whether this process may write to a file, or into a directory.

    Args:
        path: The file or directory.
    """
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
