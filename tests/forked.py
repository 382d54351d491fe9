"""Processes for tests that start many of them.

A new process is a copy of one that has imported eosdb and pandas and done nothing else: importing
them takes longer than most of what such tests do.
"""

from __future__ import annotations

import multiprocessing
from typing import Final

__all__ = ["FORKED"]

FORKED: Final = multiprocessing.get_context("forkserver")
"""What makes them, as :mod:`multiprocessing` does."""

FORKED.set_forkserver_preload(["eosdb.akkudoktoreos", "pandas", "pytest"])
