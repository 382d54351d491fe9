"""Replay an hour of Akkudoktor-EOS's own use, with and without eosdb, operation by operation.

A home has 65,000 records of two meters. EOS starts, loads them, takes in a measurement every 9 s,
saves it, reads the meters for an optimisation run every 15 minutes, and in the end compacts. What
it reads is compared between both before a figure is printed. EOS runs in its own interpreter and is
not edited::

    python benches/eos_hour.py --eos CHECKOUT --python INTERPRETER
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

STORED: Final = 65_000
STEP_SECONDS: Final = 60
PUT_SECONDS: Final = 9
PUTS: Final = 400
PUTS_A_RUN: Final = 100
METERS: Final = ("load0_emr", "grid_import_emr")
PACKAGE: Final = Path(__file__).resolve().parent.parent / "python"


def prepare(folder: Path) -> int:
    """Write the stored records into a data folder of EOS; return the last one's UTC second."""
    import eosdb  # noqa: PLC0415  # EOS's interpreter, which imports this file, may have none

    class Reading(eosdb.DataRecord):
        """Two meters, as EOS's configured data."""

        @classmethod
        def configured_data_keys(cls) -> list[str]:
            """Return the meters' keys."""
            return list(METERS)

    class Stored(eosdb.DataSequence):
        """EOS's namespace of measurements."""

        records: list[Reading] = []  # noqa: RUF012  # pydantic's way of a default

        def db_namespace(self) -> str:
            """Return its name."""
            return "Measurement"

    last = int(time.time()) // 3600 * 3600
    with eosdb.LMDBDatabase(data_folder=folder) as database:
        stored = Stored(database=database)
        for row in range(STORED):
            second = last - (STORED - 1 - row) * STEP_SECONDS
            values = {key: row / 100 + place for place, key in enumerate(METERS)}
            date_time = eosdb.to_datetime(second, in_timezone="Europe/Berlin")
            stored.db_insert_record(Reading(date_time=date_time, configured_data=values))
        stored.db_save_records()
    return last


def run(arguments: argparse.Namespace, folder: Path, last: int, *, with_eosdb: bool) -> Any:
    """Replay in EOS's interpreter on a copy of the stored records; return what it printed."""
    copy = folder / ("with" if with_eosdb else "without")
    shutil.copytree(folder / "stored", copy / "data")
    environment = {
        **os.environ,
        "PYTHONPATH": str(arguments.eos / "src"),
        "EOS_DIR": str(copy),
        "EOS_CONFIG_DIR": str(copy),
        "EOS_DATA_DIR": str(copy / "data"),
    }
    replay = Path(__file__).with_name("eos_hour_replay.py")
    result = subprocess.run(  # noqa: S603  # a file of ours
        [str(arguments.python), str(replay), str(last), "with" if with_eosdb else "without"],
        env=environment,
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        sys.exit(result.stderr[-4000:])
    return json.loads(result.stdout.splitlines()[-1])


def compare(arguments: argparse.Namespace) -> None:
    """Replay with and without eosdb, compare what was read, and print the table."""
    sys.path.insert(0, str(PACKAGE))
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        last = prepare(folder / "stored")
        without = run(arguments, folder, last, with_eosdb=False)
        with_ = run(arguments, folder, last, with_eosdb=True)
    if without["read"] != with_["read"]:
        pairs = zip(without["read"], with_["read"], strict=True)
        sys.exit(f"what was read differs, at {[i for i, (a, b) in enumerate(pairs) if a != b]}")
    print(f"{'operation':40}{'calls':>6}{'EOS alone':>14}{'with eosdb':>14}{'ratio':>8}")
    for name, times in without["took"].items():
        alone, ours = statistics.median(times), statistics.median(with_["took"][name])
        print(
            f"{name:40}{len(times):6}{alone * 1e3:11.2f} ms{ours * 1e3:11.3f} ms{alone / ours:8.1f}"
        )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--eos", type=Path, required=True, help="a checkout of Akkudoktor-EOS")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="its interpreter")
    arguments = parser.parse_args()
    arguments.eos = arguments.eos.resolve()
    compare(arguments)


if __name__ == "__main__":
    main()
