"""What docs/energy.md shows is what the program prints: the table of a day, and each rule."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from test_docs import SHOWN_OUTPUT, python_blocks, run

ROOT: Final = Path(__file__).resolve().parents[1]
DOCUMENT: Final = (ROOT / "docs" / "energy.md").read_text(encoding="utf-8")


def test_the_table_is_what_the_example_prints(tmp_path: Path) -> None:
    result = subprocess.run(  # noqa: S603 - this interpreter, this file
        [sys.executable, "-W", "error", str(ROOT / "examples" / "energy.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("|")]
    assert rows == result.stdout.splitlines()


def test_each_rule_does_what_its_example_shows(tmp_path: Path) -> None:
    code = "\n".join(python_blocks(DOCUMENT))
    shown = SHOWN_OUTPUT.findall(code)
    assert shown
    assert run(code, tmp_path).splitlines() == shown
