"""Starts itself again, or spawns a process, and tells whose EOS each of them has."""

# mypy: ignore-errors
# ruff: noqa: S603

import multiprocessing
import subprocess
import sys

import whose


class Told:
    """A class of the main module: whoever spawns a process may send one of its objects there."""


def tell(told: Told) -> None:
    """Tell, in the process that was spawned."""
    assert isinstance(told, Told)
    whose.tell()


if __name__ == "__main__":
    if sys.argv[1:] == ["start again"]:
        subprocess.run([sys.executable, sys.argv[0], "no more"], check=True)
    if sys.argv[1:] == ["spawn"]:
        child = multiprocessing.get_context("spawn").Process(target=tell, args=(Told(),))
        child.start()
        child.join()
    whose.tell()
