"""What an opened database of Akkudoktor-EOS holds, and what is wrong with it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import eosdb

from .._core import read_metadata
from ..datetimes import to_datetime
from ..native_database import NativeDatabase
from ..record_class import record_class_of
from ..texts import counted
from .flavour import Flavour

__all__ = ["Findings", "NamespaceFindings", "look", "tell"]

_logger = logging.getLogger("eosdb")


@dataclass(frozen=True)
class NamespaceFindings:
    """What one namespace holds.

    Attributes:
        name: The namespace.
        records: How many records there are.
        first: The key of the first record, `None` if there is none.
        last: The key of the last record.
        problems: What is wrong, in words; empty as a rule.
    """

    name: str
    records: int
    first: str | None
    last: str | None
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return a line for the log."""
        span = f", {self.first} to {self.last}" if self.records else ""
        problems = "".join(f"; {problem}" for problem in self.problems)
        return f"{self.name}: {counted(self.records, 'record')}{span}{problems}"


@dataclass(frozen=True)
class Findings:
    """What a database holds.

    Attributes:
        path: Where it lies.
        namespaces: Its namespaces, sorted by name.
    """

    path: str
    namespaces: list[NamespaceFindings]

    @property
    def problems(self) -> list[str]:
        """What is wrong, in words, with the namespace in front."""
        return [
            f"{namespace.name}: {problem}"
            for namespace in self.namespaces
            for problem in namespace.problems
        ]


def look(database: NativeDatabase) -> Findings:
    """Return what an open database holds, without reading all of it.

    Records are counted, and the first and the last one of each namespace decoded.

    Args:
        database: The database.

    Raises:
        DatabaseClosedError: If it is closed.
    """
    return Findings(
        str(database.storage_path), [_namespace(database, name) for name in database.namespaces()]
    )


def _namespace(database: NativeDatabase, name: str) -> NamespaceFindings:
    problems = []
    metadata = database.get_metadata(name)
    if metadata is not None:
        try:
            read_metadata(metadata)
        except eosdb.EosdbError as error:
            problems.append(f"its metadata are not readable and will be replaced: {error}")
    keys = [key for key in database.get_key_range(name) if key is not None]
    read = record_class_of(eosdb.DataRecord).read
    tomorrow = to_datetime().add(days=1)
    for key in dict.fromkeys(keys):
        shown = eosdb.DatabaseTimestamp(key.decode("ascii", errors="backslashreplace"))
        try:
            time = shown.to_datetime()
            value = next(database.iterate_records(key, key + b"\0", name))[1]
            read(int(time.timestamp()), database.deserialize_data(value))
        except eosdb.EosdbError as error:
            problems.append(f"the record at {shown}: {error}")
        else:
            if key == keys[-1] and time > tomorrow and name == "Measurement":
                problems.append("its last record lies in the future: was the clock wrong?")
    first, last = [key.decode(errors="backslashreplace") for key in keys] or (None, None)
    return NamespaceFindings(name, database.count_records(namespace=name), first, last, problems)


def tell(database: NativeDatabase, flavour: Flavour) -> None:
    """Tell the log what was found in a database that EOS has opened.

    EOS makes a namespace for each of its providers, of which few are ever used: those without
    records are only counted.

    Args:
        database: The open database.
        flavour: The EOS.
    """
    findings = look(database)
    empty = [each for each in findings.namespaces if not each.records and not each.problems]
    kind = "asynchronous" if flavour.is_asynchronous else "synchronous"
    _logger.info(
        "eosdb %s keeps the records of this Akkudoktor-EOS (%s) in '%s': %s%s",
        eosdb.__version__,
        kind,
        findings.path,
        counted(len(findings.namespaces), "namespace"),
        f", {len(empty)} empty" if empty else "",
    )
    for namespace in findings.namespaces:
        if namespace in empty:
            continue
        level = logging.WARNING if namespace.problems else logging.INFO
        _logger.log(level, "%s", namespace)
