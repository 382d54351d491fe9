"""What databases, views and sequences show of themselves in a notebook."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest
from reading_support import Rows, fill, minute
from upstream_format import pack, put

import eosdb
from eosdb import LMDBDatabase, MemoryDatabase, summaries

EVIL: Final = """<script>alert("1")</script>&'\u2028"""
TAGS: Final = {"div", "strong", "br", "table", "thead", "tbody", "tr", "th", "td"}


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " | ".join(self.texts)


def page(shown: Any) -> Page:
    found = Page(shown._repr_html_())
    assert found.tags <= TAGS
    assert found.attributes <= {"style"}
    return found


class Evil(Rows):
    def db_namespace(self) -> str:
        return EVIL


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "<b>db"
    with LMDBDatabase(path) as database:
        fill(Rows(database=database), {5 * number: 0.5 * number for number in range(300)}).save()
        fill(Evil(database=database), {0: EVIL}).save()
    key = eosdb.DatabaseTimestamp.from_datetime(minute(1)).encode()
    put(path, EVIL, {key: pack({"date_time": minute(1), EVIL: {EVIL: EVIL}}, 9)})
    return path


def test_a_view_shows_its_namespaces(path: Path) -> None:
    with eosdb.open(path, timezone="Europe/Berlin") as view:
        shown = page(view).texts
        assert shown[0] == "DatabaseView"
        assert shown[1].startswith(f"{path} · LMDB · ")
        assert shown[1].endswith("kB · read-only")
        row = shown.index("house")
        assert shown[row : row + 6] == [
            "house",
            "300",
            "2024-01-01 01:00:00+01:00",
            "2024-01-02 01:55:00+01:00",
            "5 min",
            "v",
        ]
        assert EVIL in shown
        text = repr(view)
        assert "302 records in [" in text
        assert "'house'" in text


def test_a_namespace_shows_its_newest_values(path: Path) -> None:
    with eosdb.open(path) as view:
        shown = page(view["house"])
        assert "NamespaceView 'house'" in shown.text
        assert "300 records · from 2024-01-01 00:00:00+00:00" in shown.text
        assert "typically every 5 min" in shown.text
        row = shown.texts.index("v")
        assert shown.texts[row : row + 3] == ["v", "149.5", "2024-01-02 00:55:00+00:00"]
        assert repr(view["house"]) == (
            "<NamespaceView 'house': 300 records, 2024-01-01 00:00:00+00:00 to "
            "2024-01-02 00:55:00+00:00>"
        )
        evil = page(view[EVIL])
        assert EVIL in evil.texts


def test_the_newest_is_shown_without_reading_the_rest(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with eosdb.open(path) as view:
        page(view["house"])
        assert len(view["house"]._sequence._db_enter()) < 300
    # A record of a far future tells nothing of the others, and makes nobody read all of them.
    with LMDBDatabase(path) as database:
        far = Rows(database=database)
        far.update_value(eosdb.to_datetime("2100-01-01T00:00:00Z"), v=1.0)
        far.save()
    monkeypatch.setattr(summaries, "_TOO_MANY", 200)
    with eosdb.open(path) as view:
        assert "2100-01-01 00:00:00+00:00" in page(view["house"]).text
        assert len(view["house"]._sequence._db_enter()) == 1


def test_many_keys_and_frequent_records_cost_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summaries, "_TOO_MANY", 500)
    with LMDBDatabase(tmp_path) as database:
        rows = Rows(database=database)
        fill(rows, {number / 60: float(number) for number in range(3_600)}).save()
    many = {"date_time": minute(60), **{f"k{number:03}": number for number in range(60)}}
    key = eosdb.DatabaseTimestamp.from_datetime(minute(60)).encode()
    put(tmp_path, "house", {key: pack(many, 9)})
    with eosdb.open(tmp_path) as view:
        shown = page(view["house"])
        assert 100 <= len(view["house"]._sequence._db_enter()) <= 250
        assert "typically every 1 s" in shown.text
        assert "k049" in shown.texts
        assert "k050" not in shown.texts
        assert "and 11 more" in shown.texts


def test_old_times_are_written_in_full(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path) as database:
        fill(Rows(database=database), {0: 1.0}).save()
        old = Rows(database=database)
        old.update_value(eosdb.to_datetime("0001-01-02T00:00:00Z"), v=1.0)
        old.save()
    with eosdb.open(tmp_path, timezone="Europe/Berlin") as view:
        assert "from 0001-01-02 00:53:28+00:53:28" in page(view["house"]).text


@pytest.mark.parametrize("opened", [True, False])
def test_a_database_shows_its_namespaces(path: Path, opened: bool) -> None:
    database = LMDBDatabase(path)
    if opened:
        database.open()
    shown = page(database)
    database.close()
    assert shown.texts[0] == "LMDBDatabase"
    assert (EVIL in shown.texts) == ("300" in shown.texts) == opened
    assert ("writable" in shown.text) == opened
    assert ("closed" in shown.text) == (not opened)


def test_a_sequence_shows_what_is_known_and_loads_nothing(path: Path) -> None:
    with LMDBDatabase(path) as database:
        rows = Rows(database=database)
        assert "300 records · 0 known to this process · 0 changes not saved" in page(rows).text
        assert len(rows.records) == 0
        rows.update_value(minute(7), v=1.0)
        shown = page(rows)
        assert "301 records · 1 known to this process · 1 changes not saved" in shown.text
        assert "namespace house" in shown.text
        row = shown.texts.index("power_w")
        assert shown.texts[row + 1] == "float | None"
    assert "0 records" in page(Rows()).text
    with MemoryDatabase() as memory:
        assert "0 records" in page(Rows(database=memory)).text
        assert "MemoryDatabase" in page(memory).text
