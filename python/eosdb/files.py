"""What the operating system is asked about files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["may_write", "size_on_disk", "synchronize"]

_BLOCK: Final = 512
"""What `st_blocks` counts, on every file system."""


def size_on_disk(path: Path) -> int:
    """Return what the files in a directory, or one file, take on disk, in bytes.

    That is not how long they are: the files of py-lmdb are sparse.

    Args:
        path: The directory, or the file.
    """
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    return _BLOCK * sum(file.stat().st_blocks for file in files)


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
