"""Full disks: a message, nothing half done, and once there is space it can be done again.

A limit on the size of files makes writes fail anywhere. A small file system in memory, which only
some may mount, is full in earnest: there even what is written by way of a map fails.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from command_line_support import PROGRAM as COMMAND
from full_disk import CASES, FREE, PAIRS, check, check_save, limited, make_house
from support import PROGRAM, WITH_TESTS

from eosdb import LMDBDatabase


@pytest.fixture(scope="module")
def large_houses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("large")
    for kind in FREE:
        make_house(folder / kind)
    return {kind: folder / kind for kind in FREE}


@pytest.mark.parametrize(("kind", "case"), PAIRS)
def test_a_verb_whose_files_may_not_grow(
    kind: str,
    case: str,
    large_houses: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    check(case, kind, large_houses[kind], limited)


@pytest.mark.parametrize("kind", FREE)
def test_a_save_whose_files_may_not_grow(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_save(kind, limited)


ON_A_SMALL_MOUNT: Final = """
mount -t tmpfs -o size=4m none "$1/small" || exit
place="$1/small"
program="$2"
shift 2
exec "$0" -c "$program" full_disk:check_on "$place" "$@"
"""


@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(["migrate to LMDB", "import into a new one"], id="some"),
        pytest.param([*CASES], id="all", marks=pytest.mark.soak),
    ],
)
def test_a_file_system_that_is_full(cases: list[str], large_houses: dict[str, Path]) -> None:
    """In a mount namespace of its own, where the system lets an ordinary user have one."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is not there")
    folder = large_houses["lmdb"].parent
    (folder / "small").mkdir(exist_ok=True)
    child = subprocess.run(  # noqa: S603  a fixed command
        [
            unshare,
            "-rm",
            "sh",
            "-c",
            ON_A_SMALL_MOUNT,
            sys.executable,
            str(folder),
            PROGRAM,
            *cases,
        ],
        capture_output=True,
        text=True,
        check=False,
        env=WITH_TESTS,
    )
    if "unshare:" in child.stderr or "mount:" in child.stderr:
        pytest.skip("this process may not mount anything")
    assert child.returncode == 0, child.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="done on Linux only")
def test_the_lock_file_has_its_blocks_at_once(folder: Path) -> None:
    """Where nothing can be mounted, this tells that a full disk would not end the process."""
    lock = folder / "house.db" / "lock.mdb"
    lock.unlink()
    with LMDBDatabase(folder / "house.db", read_only=True):
        assert lock.stat().st_size == 32_768
        assert lock.stat().st_blocks * 512 >= 32_768


@pytest.mark.parametrize("arguments", [["info", "house.db"], ["export", "house.db"]])
def test_a_full_standard_output(arguments: list[str], folder: Path) -> None:
    with Path("/dev/full").open("w") as full:
        child = subprocess.run(  # noqa: S603  our own program
            [*COMMAND, *arguments],
            env=WITH_TESTS, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert child.returncode == 1
    assert child.stderr == "eosdb: the output cannot be written: No space left on device\n"
    assert folder.exists()
