"""Files and directories that appear when they are complete, or not at all."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
    with failures_named(target), _draft(target, Path.touch) as draft:
        try:
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
    with failures_named(target), _draft(target, Path.mkdir) as draft:
        try:
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


@contextmanager
def _draft(target: Path, make: Callable[[Path], object]) -> Iterator[Path]:
    """Make a draft beside the target, and remove those whose makers were killed.

    A draft is locked as long as its maker lives. Where the file system has no locks, as some of
    those over a network, nothing is removed.
    """
    for left in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 8}.part"):
        with _locked(left) as is_mine:
            if is_mine:
                _remove(left)
    while True:
        draft = _beside(target)
        make(draft)
        with _locked(draft) as is_mine:
            # Somebody else may have taken it for left behind before it was locked.
            if is_mine is not False and draft.exists():
                yield draft
                return


@contextmanager
def _locked(draft: Path) -> Iterator[bool | None]:
    """Lock a draft; tell whether nobody else has; `None` if it cannot be told."""
    try:
        descriptor = os.open(draft, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        yield None
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_mine: bool | None = True
        except BlockingIOError:
            is_mine = False
        except OSError:
            is_mine = None
        yield is_mine
    finally:
        os.close(descriptor)


def _remove(draft: Path) -> None:
    if draft.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        with suppress(OSError):
            draft.unlink()


def _no_space(target: Path) -> DiskFullError:
    return DiskFullError(f"no space for '{target}': free some, or name another target")


def _beside(target: Path) -> Path:
    if not target.parent.is_dir():
        raise InvalidArgumentError(f"there is no directory '{target.parent}': make it first")
    target = target.absolute()
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
