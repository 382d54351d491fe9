"""What the operating system is asked about files."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["synchronize"]


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
