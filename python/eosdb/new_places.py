"""Files and directories that appear when they are complete, or not at all."""

from __future__ import annotations

import errno
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .errors import DiskFullError, InvalidArgumentError, StorageError
from .files import synchronize

__all__ = ["failures_named", "new_directory", "new_file"]

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def new_file(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a file beside the target that takes its place at the end, once it is on disk.

    Args:
        target: The file that is to be.
        overwrite: Whether it may replace one.

    Yields:
        The file to write.

    Raises:
        InvalidArgumentError: If the target exists.
        DiskFullError: If there is no space for it.
        StorageError: If it cannot be written.
    """
    if target.is_dir():
        raise InvalidArgumentError(f"'{target}' is a directory: name a file")
    if target.exists() and not overwrite:
        raise InvalidArgumentError(f"'{target}' exists: name another file, or say 'overwrite'")
    draft = _beside(target)
    with failures_named(target):
        try:
            draft.touch(exist_ok=False)
            yield draft
            synchronize(draft)
            draft.replace(target)
            synchronize(target.parent)
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def new_directory(target: Path) -> Iterator[Path]:
    """Give a directory beside the target that takes its place at the end, once it is on disk.

    Args:
        target: The directory that is to be; it may exist if it is empty.

    Yields:
        The directory to fill, which is empty.

    Raises:
        InvalidArgumentError: If the target is taken.
        DiskFullError: If there is no space for it.
        StorageError: If it cannot be written.
    """
    if target.is_dir() and any(target.iterdir()):
        raise InvalidArgumentError(f"'{target}' is not empty: name another target")
    if target.exists() and not target.is_dir():
        raise InvalidArgumentError(f"'{target}' is a file: name a directory")
    draft = _beside(target)
    with failures_named(target):
        try:
            draft.mkdir()
            yield draft
            for file in draft.iterdir():
                synchronize(file)
            synchronize(draft)
            draft.rename(target)
            synchronize(target.parent)
        except DiskFullError as error:  # the core's, which knows the draft only
            raise _no_space(target) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def failures_named(place: Path) -> Iterator[None]:
    """Turn failures of the system into errors that say where, and what to do.

    Args:
        place: What is written or read.

    Raises:
        DiskFullError: If there is no space.
        StorageError: If anything else fails.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise _no_space(place) from error
        raise StorageError(f"'{place}': {error.strerror or error}") from error


def _no_space(target: Path) -> DiskFullError:
    return DiskFullError(f"no space for '{target}': free some, or name another target")


def _beside(target: Path) -> Path:
    if not target.parent.is_dir():
        raise InvalidArgumentError(f"there is no directory '{target.parent}': make it first")
    target = target.absolute()
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
