"""Finding what is damaged in a database, and putting it aside."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ._core import Store, inspect_metadata, inspect_records, quarantine
from .errors import ConflictError, InvalidArgumentError
from .lmdb_database import LMDBDatabase
from .native_database import NativeDatabase
from .new_places import new_directory
from .opening import Engine, engine_in
from .sqlite_database import SQLiteDatabase
from .texts import counted

__all__ = [
    "Damage",
    "QuarantinedValue",
    "RepairReport",
    "VerifyReport",
    "quarantined",
    "repair",
    "verify",
]

QUARANTINE: Final = "eosdb_quarantine"
"""The namespace that keeps what could not be read of all others."""

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Damage:
    r"""One thing that cannot be read.

    Attributes:
        cause: What is wrong with it.
        namespace: The namespace it belongs to; `None` for the unnamed one, and for pages.
        key: The key of the value, or `None` where it is the metadata or a page. Bytes that are no
            text are shown as `\xff`.
        page: The number of the page of the file, or `None` where it is a value. LMDB counts from 0,
            SQLite from 1; where SQLite does not tell which page it is, 0.
    """

    cause: str
    namespace: str | None = None
    key: str | None = None
    page: int | None = None

    def __str__(self) -> str:
        """Return it as a line of text."""
        if self.page is not None:
            return f"page {self.page}: {self.cause}"
        place = "the unnamed namespace" if self.namespace is None else f"'{self.namespace}'"
        return f"{place}, {self.key or 'metadata'}: {self.cause}"


@dataclass(frozen=True)
class QuarantinedValue:
    """A value that was put aside.

    Attributes:
        namespace: The namespace it was taken from; `None` for the unnamed one.
        key: The key it had, or `None` where it was the metadata.
        value: Its bytes, as they were stored.
    """

    namespace: str | None
    key: bytes | None
    value: bytes


@dataclass(frozen=True)
class VerifyReport:
    """What was looked at, and what is damaged.

    Attributes:
        records: How many records each namespace has, damaged ones too; of the unnamed one under
            `None`.
        damage: What cannot be read, in the order of namespaces and keys; behind it what lies in the
            file and belongs to no namespace.
        quarantined: How many values each namespace has in quarantine, from earlier repairs.
        left: What of the damage a repair would leave where it is.
    """

    records: dict[str | None, int] = field(default_factory=dict)
    damage: list[Damage] = field(default_factory=list)
    quarantined: dict[str | None, int] = field(default_factory=dict)
    left: list[Damage] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether everything can be read."""
        return not self.damage

    def __str__(self) -> str:
        """Return it as text, a line for each damaged thing."""
        total = _total(self.records)
        state = "all sound" if self.is_sound else f"{len(self.damage):,} damaged"
        return "\n".join([f"{total}, {state}", *(f"  {damage}" for damage in self.damage)])


@dataclass(frozen=True)
class RepairReport:
    """What was put aside, and what was lost.

    Attributes:
        records: How many records each namespace has now; the unnamed one under `None`.
        quarantined: What was moved into the quarantine, unchanged.
        lost: Where the file itself was damaged: what lay on those pages is missing in the copy.
        left: What cannot be read either, and stays where it is: nothing here can move it.
    """

    records: dict[str | None, int] = field(default_factory=dict)
    quarantined: list[Damage] = field(default_factory=list)
    lost: list[Damage] = field(default_factory=list)
    left: list[Damage] = field(default_factory=list)

    def __str__(self) -> str:
        """Return it as text, a line for each thing put aside or lost."""
        moved, lost = counted(len(self.quarantined), "value"), counted(len(self.lost), "page")
        lines = [f"{_total(self.records)}, {moved} put aside, {lost} lost"]
        lines += [f"  put aside: {damage}" for damage in self.quarantined]
        lines += [f"  lost: {damage}" for damage in self.lost]
        lines += [f"  left where it is: {damage}" for damage in self.left]
        return "\n".join(lines)


def _total(records: dict[str | None, int]) -> str:
    return f"{counted(sum(records.values()), 'record')} in {counted(len(records), 'namespace')}"


def verify(
    database: Any,
    namespaces: Iterable[str | None] | None = None,
    *,
    progress: Progress | None = None,
) -> VerifyReport:
    """Look at everything a database holds: the pages of its file, each value, the metadata.

    Nothing is changed. What a record class would refuse although it can be decoded, text in a
    numeric field for instance, only the sequence can tell (`db_damaged_records()`).

    Args:
        database: An open database, or the directory of a database, which is then opened to be read;
            other processes may use it.
        namespaces: Which namespaces to look at; all if not given. Databases that cannot list theirs
            need it.
        progress: Is told, now and then, how many of how many records were looked at. What it
            raises ends the work.

    Returns:
        What was found. `str()` makes it readable.

    Raises:
        StorageError: If there is no database, or it cannot be read at all.
        InvalidArgumentError: If the database cannot list its namespaces and none are given.
    """
    place = _place_of(database)
    if place is not None and (damage := _damaged_pages(*place)):
        return VerifyReport(damage=damage)
    with _opened(database, read_only=True) as opened:
        names = _names(opened, namespaces)
        records: dict[str | None, int] = dict.fromkeys(names, 0)
        damaged: list[Damage] = []
        for name, found in _walk(opened, names, _look, progress):
            records[name] += found.rows
            damaged += found.damage
        kept: dict[str | None, int] = {}
        for value in quarantined(opened):
            if namespaces is None or value.namespace in names:
                kept[value.namespace] = kept.get(value.namespace, 0) + 1
        left = _immovable(opened, None if namespaces is None else names)
        return VerifyReport(records, damaged + left, kept, left)


def _immovable(database: Any, names: list[str | None] | None = None) -> list[Damage]:
    """Return what no repair can move, of some namespaces, or of all and the quarantine."""
    found = foreign_in(database) if isinstance(database, NativeDatabase) else []
    if names is not None:
        return [damage for damage in found if damage.namespace in names]
    return found + [
        Damage("it is nothing that a repair wrote", QUARANTINE, _shown(key))
        for key, value in _kept(database)
        if value is None
    ]


def foreign_in(database: NativeDatabase) -> list[Damage]:
    """Return what lies in a database's file and belongs to no namespace.

    Args:
        database: An open database.
    """
    return [
        Damage(cause, _shown(namespace[:_SHOWN]) or None, _shown(key) or None)
        for namespace, key, cause in database._store.foreign()
    ]


def damage_in(causes: Mapping[bytes, str], namespace: str | None) -> list[Damage]:
    """Return what cannot be read of a namespace, as damage.

    Args:
        causes: Why values cannot be read, by their keys.
        namespace: The namespace.
    """
    return [Damage(cause, namespace, _shown(key)) for key, cause in causes.items()]


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


def quarantined(database: Any) -> list[QuarantinedValue]:
    """Return what earlier repairs put aside, in the order in which they did.

    Args:
        database: An open database.

    Returns:
        The values, with the places they were taken from. What no repair wrote is not among them:
        :func:`verify` names it.
    """
    return [value for _, value in _kept(database) if value is not None]


def _kept(database: Any) -> Iterator[tuple[bytes, QuarantinedValue | None]]:
    """Yield the keys in the quarantine with what they hold, `None` where no repair wrote it."""
    for key, kept in database.iterate_records(namespace=QUARANTINE):
        yield key, _parsed(kept)


def _parsed(kept: bytes) -> QuarantinedValue | None:
    line, end, value = kept.partition(b"\n")
    name, space, key = line.partition(b" ")
    if not (end and space):
        return None
    try:
        return QuarantinedValue(
            namespace=None if name == b"-" else bytes.fromhex(name.decode("ascii")).decode(),
            key=None if key == b"metadata" else bytes.fromhex(key.decode("ascii")),
            value=value,
        )
    except ValueError:
        return None


def repair(
    database: Any,
    target: str | os.PathLike[str] | None = None,
    namespaces: Iterable[str | None] | None = None,
    *,
    progress: Progress | None = None,
) -> RepairReport:
    """Put aside what cannot be read, so that the rest is sound.

    Values that cannot be decoded, keys that are no timestamps, and metadata that cannot be read are
    moved, unchanged, into the namespace `eosdb_quarantine`, which no sequence should use for
    itself; :func:`quarantined` shows them. They are written there before they are deleted; a crash
    in between leaves them in both places, and the next repair goes on. What belongs to no namespace
    at all, such as another program's database in an LMDB file, stays where it is, and is told.

    Where the *file* is damaged, a target is needed: what its sound pages hold is copied there.
    Nobody may use the database meanwhile; the damaged file is left as it is.

    Args:
        database: An open database, or the directory of one, which is then opened.
        target: A directory that does not exist or is empty. If it is given, a copy there is
            repaired, and the original is not touched. It appears when that is complete.
        namespaces: Which namespaces to look at; all if not given.
        progress: Is told, now and then, how many of how many records were looked at. What it
            raises ends the work; what was put aside by then stays there.

    Returns:
        What was done. `str()` makes it readable.

    Raises:
        InvalidArgumentError: If the file is damaged and there is no target, or the target is taken.
        DamagedDatabaseError: If the page that describes the file is damaged: nothing else can be
            read then.
        StorageError: If there is no database, or it cannot be written.
        DiskFullError: If there is no space.
        ConflictError: If others keep changing what is to be put aside.
    """
    place = _place_of(database)
    damage = [] if place is None else _damaged_pages(*place)
    if target is not None:
        lost: list[Damage] = []
        with new_directory(Path(target)) as draft:
            if damage and place is not None:
                engine, source = place
                salvage = Store.sqlite_salvage if engine is SQLiteDatabase else Store.lmdb_salvage
                _, places = salvage(source, draft)
                lost = [Damage(cause, page=page) for page, cause in places]
            else:
                with _opened(database, read_only=True) as opened:
                    opened.copy_to(draft)
            return replace(_repaired(draft, namespaces, progress), lost=lost)
    if damage and place is not None:
        raise InvalidArgumentError(
            f"the database file in '{place[1]}' is damaged ({damage[0]}): name a target, a new "
            "directory that will hold what can be read of it"
        )
    return _repaired(database, namespaces, progress)


def _repaired(
    database: Any, namespaces: Iterable[str | None] | None, progress: Progress | None
) -> RepairReport:
    """Put aside what cannot be read of a database with a sound file."""
    moved: list[Damage] = []
    with _opened(database, read_only=False) as opened:
        names = _names(opened, namespaces)
        for _, found in _walk(opened, names, _put_aside, progress):
            moved += found.damage
        records = {name: opened.count_records(namespace=name) for name in names}
        left = _immovable(opened, None if namespaces is None else names)
    return RepairReport(records, moved, left=left)


@dataclass(frozen=True)
class _Found:
    """What was found in some rows: their number, the damage, and what is needed to move it."""

    rows: int
    damage: list[Damage]
    keys: list[bytes]
    generation: int
    following: bytes | None


def _walk(
    database: Any,
    names: list[str | None],
    look: Callable[[Any, str | None, bytes | None], _Found],
    progress: Progress | None,
) -> Iterator[tuple[str | None, _Found]]:
    """Yield what `look` finds in each namespace, from its start or a key on, piece by piece."""
    counts = (database.count_records(namespace=name) for name in names)
    total = 0 if progress is None else sum(counts)
    done = 0
    for name in names:
        start: bytes | None = None
        while True:
            found = look(database, name, start)
            done += found.rows
            if progress is not None:
                progress(done, max(total, done))
            yield name, found
            if (start := found.following) is None:
                break


_SHOWN: Final = 64
"""How many bytes are shown of a name that is no namespace's."""

_ATTEMPTS: Final = 100
"""How often rows are looked at again because somebody changed the database meanwhile."""


def _put_aside(database: Any, name: str | None, start: bytes | None) -> _Found:
    """Look at the rows from a key on, and put aside what cannot be read of them."""
    for _ in range(_ATTEMPTS):
        found = _look(database, name, start)
        if not found.damage:
            return found
        with_metadata = any(damage.key is None for damage in found.damage)
        try:
            quarantine(database, name, found.keys, with_metadata, found.generation)
        except ConflictError:
            continue
        return found
    raise ConflictError("others keep changing the database: repair it when they pause")


def _look(database: Any, name: str | None, start: bytes | None) -> _Found:
    rows, generation, following, damaged = inspect_records(database, name, start)
    damage = damage_in(dict(damaged), name)
    # The unnamed database's metadata are the original's, shared by all: nobody here reads them.
    if start is None and name is not None and (cause := inspect_metadata(database, name)):
        damage.insert(0, Damage(cause, name))
    return _Found(rows, damage, [key for key, _ in damaged], generation, following)


def _names(database: Any, namespaces: Iterable[str | None] | None) -> list[str | None]:
    """Return the namespaces to look at."""
    if namespaces is not None:
        return list(namespaces)
    if not hasattr(database, "namespaces"):
        hint = "give its 'database'" if hasattr(database, "database") else "name those to look at"
        raise InvalidArgumentError(f"{type(database).__name__} cannot list its namespaces: {hint}")
    names: list[str | None] = [name for name in database.namespaces() if name != QUARANTINE]
    # The unnamed one is always there; it is of interest where it holds records.
    if isinstance(database, NativeDatabase) and database._store.count(None, None, None) > 0:
        names.insert(0, None)
    return names


def _place_of(database: Any) -> tuple[Engine, Path] | None:
    """Return the engine and directory of a database; `None` for those without a file."""
    if isinstance(database, (str, os.PathLike)):
        return engine_in(Path(database)), Path(database)
    for engine in (LMDBDatabase, SQLiteDatabase):
        if isinstance(database, engine):
            return engine, database.storage_path
    return None


def _damaged_pages(engine: Engine, path: Path) -> list[Damage]:
    pages = Store.sqlite_damage if engine is SQLiteDatabase else Store.lmdb_damage
    return [Damage(cause, page=page) for page, cause in pages(path)]


@contextmanager
def _opened(database: Any, *, read_only: bool) -> Iterator[Any]:
    place = _place_of(database)
    if place is not None and isinstance(database, (str, os.PathLike)):
        with place[0](place[1], read_only=read_only) as opened:
            yield opened
    else:
        yield database
