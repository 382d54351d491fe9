r"""Moving records between databases and files: Parquet, CSV, JSON lines.

Records need no class to be moved. Whatever is moved is read again and compared.

Example:
    >>> import eosdb
    >>> from eosdb import moving
    >>> from tempfile import mkdtemp
    >>> folder = mkdtemp()
    >>> with eosdb.LMDBDatabase(f"{folder}/house.db") as db:
    ...     with open(f"{folder}/power.csv", "w") as file:
    ...         _ = file.write("time,watts\n2026-01-01 00:00,310.0\n")
    ...     report = moving.import_records(
    ...         db,
    ...         "house",
    ...         f"{folder}/power.csv",
    ...         columns={"time": "date_time", "watts": "power_w"},
    ...         timezone="Europe/Berlin",
    ...     )
    ...     moving.export_records(db, "house", f"{folder}/house.jsonl").records
    1
    >>> report.added
    1
"""

from __future__ import annotations

from .copying import KINDS, CopyReport, backup_database, kind_of, migrate_database
from .exporting import ExportReport, export_records, print_records
from .formats import FORMATS
from .importing import ImportReport, import_records

__all__ = [
    "FORMATS",
    "KINDS",
    "CopyReport",
    "ExportReport",
    "ImportReport",
    "backup_database",
    "export_records",
    "import_records",
    "kind_of",
    "migrate_database",
    "print_records",
]
