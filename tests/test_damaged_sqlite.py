"""What can be read of a damaged SQLite file is saved, and what cannot is told."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest
from support import House, house, when

import eosdb
from eosdb import DamagedDatabaseError, SQLiteDatabase, repair, verify

PAGE: Final = 4096
ROWS: Final = 0x0D
KEYS: Final = 0x0A
INNER: Final = 0x05
"""What a page begins with that holds rows, keys of an index, or leads to rows."""

Content = dict[bytes, bytes]


def stored(path: Path, namespace: str = "house") -> Content:
    with SQLiteDatabase(path, read_only=True) as database:
        return dict(database.iterate_records(namespace=namespace))


def pages_of(path: Path, kind: int) -> list[int]:
    """Return the numbers of the pages of a kind but the first, counted from 1 as by SQLite."""
    content = (path / "data.db").read_bytes()
    return [n + 1 for n in range(1, len(content) // PAGE) if content[n * PAGE] == kind]


def wipe(path: Path, pages: Iterable[int], size: int = PAGE) -> bytes:
    """Overwrite pages, or their beginnings; return what the file is now."""
    content = bytearray((path / "data.db").read_bytes())
    for page in pages:
        content[(page - 1) * PAGE : (page - 1) * PAGE + size] = b"\xa5" * size
    (path / "data.db").write_bytes(content)
    return bytes(content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of two namespaces whose rows lie side by side."""
    path = tmp_path / "db"
    with SQLiteDatabase(path) as database:
        for number in range(5):
            house(database, 100, start=number * 1_000_000)
            some = list(database.iterate_records(namespace="house"))[-20:]
            database.save_records(some, "other")
    return path


def test_damaged_pages_are_reported(path: Path) -> None:
    page = pages_of(path, ROWS)[7]
    before = wipe(path, [page])
    report = verify(path)
    assert page in {damage.page for damage in report.damage}
    assert not any("\n" in damage.cause for damage in report.damage)
    with pytest.raises(eosdb.InvalidArgumentError, match="name a target"):
        repair(path)
    with pytest.raises(DamagedDatabaseError, match=r"backup.*eosdb\.repair"):
        stored(path)
    assert (path / "data.db").read_bytes() == before


@pytest.mark.parametrize("size", [64, PAGE])
@pytest.mark.parametrize("which", [[7], [5, 9, 20], [12, 13]])
def test_what_lies_on_other_pages_is_saved(which: list[int], size: int, path: Path) -> None:
    rows, others = stored(path), stored(path, "other")
    leaves = pages_of(path, ROWS)
    pages = [leaves[n] for n in which]
    content = (path / "data.db").read_bytes()
    heads = [content[(page - 1) * PAGE :][:5] for page in pages]
    on_them = sum(int.from_bytes(head[3:], "big") for head in heads)
    before = wipe(path, pages, size)
    target = path.with_name("saved")
    report = repair(path, target)
    assert (path / "data.db").read_bytes() == before
    assert report.quarantined == []
    assert {damage.page for damage in report.lost} - {0} == set(pages)

    found, found_others = stored(target), stored(target, "other")
    assert found.items() < rows.items()
    assert found_others.items() <= others.items()
    assert report.records == {"house": len(found), "other": len(found_others)}
    # What is missing is what the report says, page by page.
    missing = {("house", key) for key in rows.keys() - found.keys()}
    missing |= {("other", key) for key in others.keys() - found_others.keys()}
    told = set()
    for damage in report.lost:
        for count, name, first, last in re.findall(LOST, damage.cause):
            between = {key for key in missing if key[0] == name}
            between = {key for key in between if first.encode() <= key[1] <= last.encode()}
            assert len(between) == int(count)
            assert {(name, first.encode()), (name, last.encode())} <= between
            told |= between
    assert told == missing
    assert len(missing) == on_them
    with SQLiteDatabase(target) as database:
        assert verify(database).is_sound
        assert database.get_metadata("house") is not None
        assert len(list(House(database=database))) == len(found)


LOST: Final = r"(\d+) of '(\w+)', the keys from (\w+) to (\w+)"


def test_a_value_on_a_damaged_page_of_its_own_is_lost_alone(tmp_path: Path) -> None:
    keys = [eosdb.DatabaseTimestamp.from_datetime(when(n)).encode() for n in range(20)]
    rows = {key: pickle.dumps({"note": key.decode() * 2000}) for key in keys}
    path = tmp_path / "db"
    with SQLiteDatabase(path) as database:
        database.save_records(rows.items(), "house")
    content = bytearray((path / "data.db").read_bytes())
    # The second page of the value: it begins with the number of the third.
    page = content.index(keys[7] * 200) // PAGE + 1
    content[page * PAGE : page * PAGE + 4] = b"\xff" * 4
    (path / "data.db").write_bytes(content)
    report = repair(path, tmp_path / "saved")
    (lost,) = report.lost
    assert f"1 of 'house', the keys from {keys[7].decode()} to" in lost.cause
    del rows[keys[7]]
    assert stored(tmp_path / "saved") == rows


def test_metadata_are_told_too(path: Path) -> None:
    rows = stored(path)
    page = pages_of(path, ROWS)[0]
    wipe(path, [page])
    (lost,) = repair(path, path.with_name("saved")).lost
    assert lost.page == page
    assert "metadata are missing" in lost.cause
    assert stored(path.with_name("saved")) == rows


def test_nothing_is_lost_where_only_an_index_is_damaged(path: Path) -> None:
    rows = stored(path)
    wipe(path, [pages_of(path, KEYS)[3]])
    assert not verify(path).is_sound
    report = repair(path, path.with_name("saved"))
    assert report.lost == []
    assert stored(path.with_name("saved")) == rows


def test_what_no_index_tells_is_missing_by_its_numbers(path: Path) -> None:
    rows = stored(path)
    wipe(path, [*pages_of(path, KEYS), pages_of(path, ROWS)[7]])
    report = repair(path, path.with_name("saved"))
    (lost,) = report.lost
    assert re.search(r"rows \d+ to \d+ of the table are missing, and no index tells", lost.cause)
    assert stored(path.with_name("saved")).items() < rows.items()


def test_what_hangs_below_a_damaged_page_is_lost_and_told(path: Path) -> None:
    (page,) = pages_of(path, INNER)
    total = len(stored(path)) + len(stored(path, "other"))
    wipe(path, [page])
    report = repair(path, path.with_name("saved"))
    (lost,) = report.lost
    assert lost.page == page
    assert sum(int(found[0]) for found in re.findall(LOST, lost.cause)) == total
    assert verify(path.with_name("saved")).is_sound


def test_without_the_page_that_describes_the_file_it_is_refused(path: Path) -> None:
    content = bytearray((path / "data.db").read_bytes())
    content[100:200] = b"\xa5" * 100
    (path / "data.db").write_bytes(content)
    with pytest.raises(DamagedDatabaseError, match="recover"):
        repair(path, path.with_name("saved"))
