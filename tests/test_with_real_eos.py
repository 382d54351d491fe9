"""Akkudoktor-EOS itself on eosdb, where the path to its source is given.

Set `EOSDB_EOS` to a checkout of EOS and `EOSDB_EOS_PYTHON` to an interpreter that has what EOS and
its tests need. Its tests must give the same without eosdb and with it; that takes minutes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import eosdb

EOS = os.environ.get("EOSDB_EOS", "")
PYTHON = os.environ.get("EOSDB_EOS_PYTHON", sys.executable)
PACKAGE = Path(eosdb.__file__).parent.parent

pytestmark = pytest.mark.skipif(not EOS, reason="EOSDB_EOS names no checkout of Akkudoktor-EOS")

FILES = (
    "test_databaseabc.py",
    "test_database.py",
    "test_dataabc*.py",
    "test_measurement.py",
    "test_retentionmanager.py",
    "test_prediction*.py",
)


def _outcomes(folder: Path, *options: str) -> dict[str, str]:
    """Run EOS's tests of its record layer; return the outcome of each."""
    tests = sorted(str(path) for name in FILES for path in Path(EOS, "tests").glob(name))
    quiet = ("-q", "-rA", "--tb=short", "-p", "no:cacheprovider")
    done = subprocess.run(  # noqa: S603  # the interpreter that we are given
        [PYTHON, "-m", "pytest", *quiet, *options, *tests],
        cwd=EOS,
        env={**os.environ, "PYTHONPATH": str(PACKAGE), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^(PASSED|FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return {test: outcome for outcome, test in found}


def test_eos_passes_its_own_tests_as_without_eosdb(tmp_path: Path) -> None:
    alone = _outcomes(tmp_path)
    ours = _outcomes(tmp_path, "-p", "eosdb.akkudoktoreos.pytest_plugin")
    assert ours.keys() == alone.keys()
    assert [test for test, outcome in alone.items() if outcome == "PASSED"]
    worse = {
        test for test, outcome in alone.items() if (outcome, ours[test]) == ("PASSED", "FAILED")
    }
    assert not worse


def test_what_the_real_server_saved_survives_being_killed() -> None:
    script = Path(__file__).with_name("real_eos.py")
    done = subprocess.run(  # noqa: S603  # a file of ours
        [sys.executable, str(script), "--eos", EOS, "--python", PYTHON, "--minutes", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
