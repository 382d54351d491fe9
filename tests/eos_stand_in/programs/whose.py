"""Tells whether EOS is on eosdb, and whose its merging is."""

# mypy: ignore-errors
# ruff: noqa: T201

import akkudoktoreos.core.dataabc
import akkudoktoreos.core.databaseabc as served

sequence = akkudoktoreos.core.dataabc.DataSequence
insert = vars(sequence).get("_insert_by_datetime") or vars(sequence)["insert_by_datetime"]


def tell() -> None:
    """Print it."""
    print(served.__spec__.origin == "eosdb", insert.__module__, flush=True)


if __name__ == "__main__":
    tell()
