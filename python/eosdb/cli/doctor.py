"""`eosdb doctor`."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import click

import eosdb
from eosdb._core import Store
from eosdb.files import may_write, size_on_disk
from eosdb.moving.copying import kind_of
from eosdb.native_database import NativeDatabase
from eosdb.opening import database_at
from eosdb.survey import Survey
from eosdb.texts import counted, duration_text, size_text

from .stats import surveys
from .verb import DATABASE, Console, Outcome, time_text, verb
from .verify import what_to_do

__all__ = ["doctor", "readers"]

_COLOURS: Final = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "red"}

_IN_MEMORY: Final = {"tmpfs", "ramfs"}

_HEADER, _SLOT = 128, 64
_IDLE: Final = 2**64 - 1
_OLD: Final = 100
"""A reader this many transactions behind keeps much of what was deleted."""


@dataclass(frozen=True)
class _Finding:
    check: str
    state: str
    message: str


@verb("doctor")
@DATABASE
@click.option(
    "--backup-to",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Where backups go: whether there is room.",
)
def doctor(console: Console, *, database: Path, backup_to: Path | None) -> Outcome:
    """Look at a database and what is around it: is anything wrong, or about to be?

    It looks at the file system, durability, free space, stale readers, room for a backup, damaged
    rows, records of a wrong clock, and meters that go backwards. Nothing is changed. The exit code
    is 1 if there is a warning or a problem.
    """
    db = database_at(database, read_only=True)
    path = db.storage_path
    findings = [*_file_system(path), *_space(path, backup_to)]
    if kind_of(db) == "lmdb":
        # Opening gives back the slots of processes that died.
        findings += readers(path)
    findings += _content(console, db)
    data = {
        "path": str(path),
        "findings": [vars(finding) for finding in findings],
    }
    width = max(len(finding.check) for finding in findings)
    lines = [
        f"{click.style(finding.state.ljust(7), fg=_COLOURS[finding.state])}  "
        f"{finding.check.ljust(width)}  {finding.message}"
        for finding in findings
    ]
    failed = any(finding.state in {"warning", "problem"} for finding in findings)
    return Outcome(data, "\n".join(lines), failed)


def _file_system(path: Path) -> Iterator[_Finding]:
    device, kind, options = _mount(path)
    if network := Store.network_file_system(path):
        yield _Finding(
            "file system",
            "problem",
            f"{network}: other machines may use it too. Move the database to a local disk",
        )
    elif kind in _IN_MEMORY:
        yield _Finding(
            "file system", "problem", f"{kind}: it is memory, and lost when the machine restarts"
        )
    elif "ro" in options:
        yield _Finding("file system", "warning", f"{kind} on {device} is mounted read-only")
    else:
        yield _Finding("file system", "ok", f"{kind} on {device}")
    if {"nobarrier", "barrier=0"} & options:
        yield _Finding(
            "durability",
            "problem",
            "mounted without barriers: a power cut may destroy what was saved",
        )
    elif "mmcblk" in device:
        yield _Finding(
            "durability",
            "note",
            "an SD card: saves are on it when they return, but cards wear out. Keep a backup "
            "elsewhere",
        )
    else:
        yield _Finding("durability", "ok", "saves are on disk when they return, by default")
    if not all(may_write(place) for place in (path, *path.glob("data.*"))):
        yield _Finding("permissions", "note", "you may read it, but not write to it")


def _mount(path: Path) -> tuple[str, str, set[str]]:
    """Return device, kind and options of the file system that a path lies on."""
    found = ("?", "unknown", set[str]())
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return found
    real, longest = path.resolve(), -1
    for line in lines:
        device, place, kind, options = line.split(" ")[:4]
        place = place.replace("\\040", " ")
        if real.is_relative_to(place) and len(place) >= longest:
            found, longest = (device, kind, set(options.split(","))), len(place)
    return found


def _space(path: Path, backup_to: Path | None) -> Iterator[_Finding]:
    size = size_on_disk(path)
    free = shutil.disk_usage(path).free
    state = "ok" if free > size + 64 * 10**6 else "warning"
    tail = "" if state == "ok" else ": too little to compact it, or to copy it here"
    yield _Finding(
        "free space", state, f"{size_text(free)}, the database has {size_text(size)}{tail}"
    )
    if backup_to is None:
        return
    place = backup_to if backup_to.exists() else backup_to.parent
    if not place.is_dir():
        yield _Finding("backup", "problem", f"there is no directory '{place}'")
    elif not may_write(place):
        yield _Finding("backup", "problem", f"you may not write to '{place}'")
    elif shutil.disk_usage(place).free < size:
        yield _Finding("backup", "problem", f"'{place}' has no room for {size_text(size)}")
    elif place.stat().st_dev == path.stat().st_dev:
        yield _Finding(
            "backup", "warning", f"'{place}' is on the same disk: it would be lost with it"
        )
    else:
        yield _Finding("backup", "ok", f"'{place}' has room")


def readers(path: Path) -> Iterator[_Finding]:
    """Look at LMDB's table of readers, which fills its lock file behind a header.

    Args:
        path: The directory of the database.
    """
    lock = path / "lock.mdb"
    try:
        table = lock.read_bytes()[_HEADER:] if lock.is_file() else b""
    except OSError as error:
        yield _Finding("readers", "note", f"lock.mdb cannot be looked at: {error.strerror}")
        return
    slots = (struct.unpack_from("=QI", table, at) for at in range(0, len(table) - _SLOT + 1, _SLOT))
    found = [(process, transaction) for transaction, process in slots if process]
    dead = sorted({process for process, _ in found if not Path(f"/proc/{process}").exists()})
    if dead and Path("/proc/self").exists():
        yield _Finding(
            "readers",
            "note",
            f"process {dead[0]} ended without giving its slot back ({len(dead)} in all): whoever "
            "opens the database for writing gives it back",
        )
    busy = [pair for pair in found if pair[1] != _IDLE and pair[0] not in dead]
    newest = max((transaction for _, transaction in busy), default=0)
    old = [pair for pair in busy if newest - pair[1] >= _OLD]
    for process, transaction in old:
        yield _Finding(
            "readers",
            "warning",
            f"process {process} has been reading for {newest - transaction} transactions: the "
            "file grows meanwhile. End it if it hangs",
        )
    if not dead and not old:
        yield _Finding("readers", "ok", f"{len({process for process, _ in found})} processes")


def _content(console: Console, database: NativeDatabase) -> Iterator[_Finding]:
    try:
        with database as db:
            with console.progress("Verifying") as progress:
                report = eosdb.verify(db, progress=progress)
            yield _records(report, database.storage_path)
            if any(damage.page is not None for damage in report.damage):
                return  # who reads on, only meets them again
            for each in surveys(console, db, None):
                yield from _clock(each)
                yield from _meters(each)
    except eosdb.DamagedDatabaseError as error:
        advice = f"See 'eosdb verify {database.storage_path}'"
        yield _Finding("pages", "problem", f"{error}. {advice}")
    except eosdb.StorageError as error:
        yield _Finding("records", "problem", f"they cannot be looked at: {error}")


def _records(report: eosdb.VerifyReport, path: Path) -> _Finding:
    records = sum(report.records.values())
    if report.is_sound:
        return _Finding("records", "ok", f"{records:,}, all sound")
    advice = what_to_do(report, path) or f"See 'eosdb verify {path}'"
    first = report.damage[0]
    if first.page is not None:
        return _Finding(
            "pages", "problem", f"{len(report.damage):,} damaged, first {first}. {advice}"
        )
    return _Finding(
        "records",
        "problem",
        f"{len(report.damage):,} of {records:,} damaged, first {first}. {advice}",
    )


_FAR: Final = 10
"""A leap into the future is this many times longer than the distance of records usually is."""


def _clock(found: Survey) -> Iterator[_Finding]:
    """Tell a forecast, which goes on from now, from what a wrong clock has left."""
    usual = found.typical_interval or timedelta(0)
    far = next((leap for leap in found.leaps if leap.length > _FAR * usual), None)
    if far is not None:
        yield _Finding(
            "clock",
            "warning",
            f"{found.namespace}: {counted(found.records - far.former, 'record')} from "
            f"{time_text(far.time)} on, {duration_text(far.length)} behind all others or now: the "
            "clock was wrong",
        )
    elif found.last is not None and found.last > eosdb.to_datetime().add(days=1):
        yield _Finding(
            "clock",
            "note",
            f"{found.namespace}: records go on from now up to {time_text(found.last)}, as those of "
            "a forecast do",
        )


def _meters(found: Survey) -> Iterator[_Finding]:
    for name, key in found.keys.items():
        if not key.looks_like_a_meter:
            continue
        label = f"{found.namespace}: {name}"
        resets = f"it begins anew {counted(key.resets, 'time')}" if key.resets else ""
        if key.falls:
            first = key.listed_falls[0]
            yield _Finding(
                "meters",
                "warning",
                f"{label} goes backwards {counted(key.falls, 'time')}, first at "
                f"{time_text(first.time)}: {first.before:.10g}, then {first.after:.10g}"
                + (f"; {resets}" if resets else ""),
            )
        elif resets:
            yield _Finding(
                "meters", "note", f"{label}: {resets}, and only rises otherwise, if it is a meter"
            )
        else:
            yield _Finding("meters", "ok", f"{label} only rises")
