"""Copies of a database, for what can be measured only once on each."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

BLOCK_BYTES = 1 << 20


def replace_directory(source: Path, target: Path) -> None:
    """Make a directory a copy of another one, on the disk by the time of return.

    What is still to be written would be paid for by the first that syncs.

    Args:
        source: A directory of files.
        target: What becomes equal to it; what was there is gone.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in source.iterdir():
        copy_file(path, target / path.name)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file but for its holes, and sync the copy; the map of a database is mostly holes."""
    with source.open("rb") as readable, target.open("wb") as writable:
        size = os.fstat(readable.fileno()).st_size
        writable.truncate(size)
        at = next_data(readable.fileno(), 0)
        while at is not None:
            end = os.lseek(readable.fileno(), at, os.SEEK_HOLE)
            while at < end:
                block = os.pread(readable.fileno(), min(BLOCK_BYTES, end - at), at)
                at += os.pwrite(writable.fileno(), block, at)
            at = next_data(readable.fileno(), end)
        os.fsync(writable.fileno())


def next_data(descriptor: int, at: int) -> int | None:
    """Return where data goes on in a file, None if only a hole is left."""
    try:
        return os.lseek(descriptor, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise
