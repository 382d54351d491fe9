"""The notebook in `docs/notebooks` runs, and prints what it showed when it was committed."""

from __future__ import annotations

import base64
import csv
import gzip
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest
from nbclient import NotebookClient

ROOT: Final = Path(__file__).resolve().parents[1]
NOTEBOOK: Final = ROOT / "docs" / "notebooks" / "household_day.ipynb"
MEASUREMENTS: Final = ROOT / "tests" / "data" / "household_power_1min.csv.gz"


def read() -> Any:
    """Return the notebook as it was committed."""
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def printed(notebook: Any) -> list[str]:
    """Return what each cell printed."""
    return [
        "".join(output.text for output in cell.get("outputs", ()) if output.output_type == "stream")
        for cell in notebook.cells
    ]


def images(notebook: Any) -> list[bytes]:
    """Return the pictures."""
    shown = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    data = (output.get("data", {}).get("image/png") for output in shown)
    return [base64.b64decode(image) for image in data if image]


# The kernel is another process; what its libraries warn of here is not ours.
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = read()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = read()
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=120, resources=resources).execute()
    assert printed(notebook) == printed(committed)
    assert len(images(notebook)) == len(images(committed)) == 4


def test_what_the_notebook_shows_is_true() -> None:
    committed = read()
    text = "".join(printed(committed))
    by_meter, by_power = re.findall(r"20 December by the \w+: ([\d.]+) kWh", text)
    with gzip.open(MEASUREMENTS, "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["Global_active_power"] not in {"", "?"}]
    powers = [
        float(row["Global_active_power"])
        for row in rows
        if row["Datetime"].startswith("20/12/2006")
    ]
    assert len(powers) == 1440
    assert by_meter == by_power == f"{sum(powers) / 60:.2f}"
    assert f"{len(rows):,} records became" in text
    total = sum(float(row["Global_active_power"]) for row in rows[:-1]) / 60
    assert f"energy before: {total:.3f} kWh, after: {total:.3f} kWh" in text
    assert "no hour differs by more than 1e-9 kWh: True" in text


def test_the_notebook_is_small_and_says_nothing_of_whose_it_is() -> None:
    text = NOTEBOOK.read_text()
    assert len(text) < 200_000
    assert all(len(image) < 50_000 for image in images(read()))
    assert not re.search(r'"[^"]*(?:/home/|/tmp/|/root/|/Users/)', text)
