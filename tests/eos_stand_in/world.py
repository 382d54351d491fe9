"""Runs a function of a test in a process of its own, in which the stand-in for EOS is at hand.

The hook that eosdb puts into Python's imports must not reach the tests' own process.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from forked import FORKED

import eosdb.akkudoktoreos

_HERE = Path(__file__).parent

FLAVOURS = ("synchronous", "asynchronous")


@dataclass
class StandIn:
    """A stand-in for Akkudoktor-EOS in a folder of its own.

    Attributes:
        source: The folder that holds its package.
        data: The data folder that it is configured to.
        flavour: One of `FLAVOURS`.
    """

    source: Path
    data: Path
    flavour: str

    @classmethod
    def build(cls, folder: Path, flavour: str) -> StandIn:
        """Put the package together in an empty folder.

        Args:
            folder: The folder.
            flavour: One of `FLAVOURS`.
        """
        source = folder / "eos"
        for part in ("common", flavour):
            shutil.copytree(
                _HERE / part,
                source,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        return cls(source, folder / "data", flavour)

    @property
    def database(self) -> Path:
        """Where its database lies."""
        return self.data / "db" / "lmdbdatabase"

    def python(
        self, *arguments: str | Path, with_package: bool = True, folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Python with arguments, where the package can be imported.

        Args:
            *arguments: The arguments.
            with_package: Whether the package is on the path.
            folder: The folder to run in, the data folder by default.
        """
        self.data.mkdir(exist_ok=True)
        package = [str(self.source)] if with_package else []
        return subprocess.run(  # noqa: S603  # our own interpreter
            [sys.executable, *map(str, arguments)],
            cwd=folder or self.data,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), *package])},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, function: Callable[[World], Any], how: str = "installed") -> Any:
        """Call a function of a test in a process of its own.

        Args:
            function: Takes the `World`, and returns what JSON can tell.
            how: `"installed"`, `"unmended"`, or `"without eosdb"`.

        Returns:
            What the function returned, by way of JSON.
        """
        self.data.mkdir(exist_ok=True)
        here, there = FORKED.Pipe(duplex=False)
        process = FORKED.Process(target=_call, args=(there, function, self, how))
        process.start()
        there.close()
        try:
            returned, told = here.recv()
        except EOFError:
            returned, told = False, "the process ended without an answer"
        process.join()
        assert returned, told
        return json.loads(told)


class World:
    """The stand-in, imported, configured and with its database open.

    Attributes:
        data: The data folder.
        config: The configuration.
        backend: The class of the backend.
        sequence: The class of the sequences.
        database: The database.
    """

    def __init__(self, data: Path, how: str) -> None:
        """Import it, with eosdb or without.

        Args:
            data: The data folder.
            how: As for `StandIn.run`.
        """
        if how != "without eosdb":
            eosdb.akkudoktoreos.install(mend=how != "unmended")
        self.data = data
        self._loop = asyncio.new_event_loop()
        core = self.module("core.coreabc")
        self.config: Any = core.get_config(init=True)
        self.config.general.data_folder_path = data
        self.config.database.provider = "LMDB"
        self.config.measurement.load_emr_keys = ["m", "g"]
        self.config.measurement.power_keys = ["p"]
        self.database: Any = core.get_database(init=True)
        self.do(self.database.open())
        self.backend: Any = self.module("core.database").LMDBDatabase
        self.sequence: Any = self.module("core.dataabc").DataSequence

    @staticmethod
    def module(name: str) -> Any:
        """Return a module of the stand-in.

        Args:
            name: Its name within the package.
        """
        return importlib.import_module(f"akkudoktoreos.{name}")

    def do(self, result: Any) -> Any:
        """Return what a method returned, awaited if it is a coroutine.

        Args:
            result: What it returned.
        """
        return self._loop.run_until_complete(result) if inspect.isawaitable(result) else result

    def fresh(self) -> Any:
        """Return the measurements as a process that has just begun sees them."""
        measurement = self.module("measurement.measurement").Measurement
        measurement.reset_instance()
        return measurement()

    def forecast(self) -> Any:
        """Return a forecast that knows nothing yet of what is stored."""
        return self.module("prediction.forecast").Forecast()

    def insert(self, sequence: Any, records: Iterable[dict[str, Any]]) -> None:
        """Insert records by `insert_by_datetime`.

        Args:
            sequence: The sequence.
            records: Their values by key.
        """
        for values in records:
            record = sequence.record_class()(**values)
            self.do(sequence.insert_by_datetime(record))

    def rows(self, sequence: Any) -> list[list[Any]]:
        """Return time and values other than `None` of all records of a sequence.

        Args:
            sequence: The sequence.
        """
        self.do(sequence.db_load_records())
        rows = []
        for record in sequence.records:
            values = {key: record[key] for key in record if record[key] is not None}
            rows.append([values.pop("date_time").in_timezone("UTC").isoformat(), values])
        return rows


def _call(answer: Connection, function: Callable[[World], Any], eos: StandIn, how: str) -> None:
    """Call a function of a test in this process, and answer what it returns or what went wrong.

    Args:
        answer: Where to answer.
        function: The function.
        eos: The stand-in.
        how: As for `StandIn.run`.
    """
    os.chdir(eos.data)
    sys.path.append(str(eos.source))
    try:
        told = json.dumps(function(World(eos.data, how)))
    except BaseException:
        answer.send((False, traceback.format_exc()))
        raise
    answer.send((True, told))
