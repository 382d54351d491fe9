"""The wheel, installed where there is no Rust, does what the sources do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PROGRAM = """
import eosdb

class Power(eosdb.DataRecord):
    power_w: float | None = None

class House(eosdb.DataSequence):
    records: list[Power] = []

    def db_namespace(self) -> str:
        return "house"

for class_, path in ((eosdb.LMDBDatabase, "lmdb"), (eosdb.SQLiteDatabase, "sqlite")):
    with class_(path) as database:
        house = House(database=database)
        for minute in range(120):
            house.update_value(eosdb.to_datetime(60.0 * minute), power_w=float(minute))
        house.save()
    with eosdb.open(path) as view:
        print(view["house"].key_to_array("power_w", interval="1 hour").tolist())
print(eosdb.__file__)
"""


@pytest.mark.soak
def test_the_wheel_needs_no_rust(tmp_path: Path) -> None:
    maturin = Path(sys.executable).with_name("maturin")
    run([maturin, "build", "--release", "--quiet", "--out", tmp_path], cwd=ROOT)
    (wheel,) = tmp_path.glob("eosdb-*.whl")
    assert "-cp311-abi3-" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"eosdb/py.typed", "eosdb/_core.pyi", "_eosdb_pytest/__init__.py"} <= {*names}
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"eosdb", "_eosdb_pytest"}

    path = "/usr/bin:/bin"
    assert shutil.which("cargo", path=path) is None
    environment = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    environment["PATH"] = path
    run([sys.executable, "-m", "venv", tmp_path / "venv"], env=environment)
    programs = tmp_path / "venv" / "bin"
    run([programs / "python", "-m", "pip", "install", "--quiet", wheel], env=environment)
    shown = run([programs / "python", "-W", "error", "-c", PROGRAM], cwd=tmp_path, env=environment)
    lmdb, sqlite, module = shown.splitlines()
    assert lmdb == sqlite == "[29.5, 89.5]"
    assert Path(module).is_relative_to(tmp_path / "venv")
    info = run([programs / "eosdb", "info", "lmdb"], cwd=tmp_path, env=environment)
    assert "120" in info


def run(command: list[str | Path], **options: object) -> str:
    """Run a program that has to succeed; return what it printed."""
    result = subprocess.run(  # type: ignore[call-overload]  # noqa: S603  the project's own
        command, capture_output=True, text=True, check=False, **options
    )
    assert result.returncode == 0, result.stderr
    output: str = result.stdout
    return output
