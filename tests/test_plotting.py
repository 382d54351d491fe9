"""Lines and bars are where the values are, and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import matplotlib as mpl
import matplotlib.dates
import matplotlib.pyplot as plt
import numpy as np
import pytest
from reading_support import Rows, fill, minute

import eosdb
from eosdb import LMDBDatabase, NamespaceView

mdates: Any = matplotlib.dates  # whose functions have no types

BERLIN: Final = ZoneInfo("Europe/Berlin")
DAY: Final = datetime(2024, 1, 1, tzinfo=BERLIN)


@pytest.fixture(autouse=True)
def _no_windows() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


@pytest.fixture
def house(tmp_path: Path) -> NamespaceView:
    with LMDBDatabase(tmp_path) as database:
        rows = Rows(database=database)
        # Hourly, then every quarter, then every minute, as compaction leaves it; then an outage.
        for number in (*range(0, 600, 60), *range(600, 1200, 15), *range(1200, 1300)):
            rows.update_value(minute(number, DAY), power_w=float(number), v=100 + number / 60)
        for number in (1350, *range(1400, 1440)):
            rows.update_value(minute(number, DAY), power_w=float(number), v=100 + number / 60)
        rows.update_value(minute(5, DAY), note="text", w="text")
        rows.save()
    return eosdb.open(tmp_path)["house"]


def drawn(axes: Any) -> list[tuple[list[float], list[float]]]:
    """Return the lines as minutes of the day and values."""
    lines = []
    for line in axes.lines:
        minutes = (np.asarray(line.get_xdata()) - mdates.date2num(DAY)) * 1440
        lines.append((minutes.round(3).tolist(), np.asarray(line.get_ydata()).tolist()))
    return lines


def test_a_line_has_all_values_and_is_broken_by_gaps_only(house: NamespaceView) -> None:
    axes = house.plot(["power_w"])
    (minutes, values), (alone, single) = drawn(axes)
    gaps = [at for at, value in zip(minutes, values, strict=True) if np.isnan(value)]
    assert gaps == [(1299 + 1350) / 2, (1350 + 1400) / 2]
    known = [value for value in values if not np.isnan(value)]
    assert known == house.key_to_lists("power_w")[1]
    assert [at for at in minutes if at not in gaps] == known
    # What stands alone is a dot.
    assert (alone, single) == ([1350.0], [1350.0])


def test_the_longest_bridge_can_be_chosen(house: NamespaceView) -> None:
    ((minutes, values), _) = drawn(house.plot(["power_w"], max_gap="2 hours"))
    assert not np.isnan(values).any()
    assert len(minutes) == len(house.key_to_lists("power_w")[1])
    ((_, values), _) = drawn(house.plot(["power_w"], max_gap="30 minutes"))
    assert np.isnan(values).sum() == 9 + 1 + 2  # the hours, the first quarter, the outages


def test_without_keys_all_numbers_of_the_window_are_drawn(house: NamespaceView) -> None:
    axes = house.plot(start_datetime=minute(0, DAY), end_datetime=minute(20 * 60, DAY))
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["power_w", "v"]
    assert max(drawn(axes)[0][0]) < 1200
    with pytest.raises(eosdb.ArgumentTypeError, match="'note' cannot be drawn"):
        house.plot(["note"])
    assert not any(times for times, _ in drawn(house.plot(["note"], minute(9000, DAY))))


def test_times_are_shown_in_the_zone_of_the_records_or_the_view(house: NamespaceView) -> None:
    axes = house.plot(["power_w"], minute(0, DAY), minute(1440, DAY))
    axes.figure.canvas.draw()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert "12:00" in labels
    places = axes.get_xticks()
    noon = places[labels.index("12:00")]
    assert mdates.num2date(noon).astimezone(BERLIN).hour == 12
    with eosdb.open(house.path, timezone="Asia/Tokyo") as view:
        axes = view["house"].plot(["power_w"])
        axes.figure.canvas.draw()
        locator: Any = axes.xaxis.get_major_locator()
        assert str(locator.tz) == "Asia/Tokyo"


def bars(container: Any) -> dict[float, float]:
    """Return the bars by the minute of the day that they stand at, to the hour."""
    start = mdates.date2num(DAY)
    return {
        float((round((bar.get_x() - start) * 1440, 3)) // 60): bar.get_height() for bar in container
    }


def test_bars_are_the_energy_of_their_interval(house: NamespaceView) -> None:
    axes = house.plot_energy(["v"], minute(0, DAY), minute(1440, DAY))
    energy = house.key_to_energy("v", minute(0, DAY), minute(1440, DAY))
    known = {float(hour): value for hour, value in enumerate(energy) if not np.isnan(value)}
    assert bars(axes.containers[0]) == known
    assert len(known) > 20
    both = house.plot_energy(["v", "power_w"])
    assert [len(container) for container in both.containers] == [24, 24]
    left = [container[0].get_x() for container in both.containers]
    width = both.containers[0][0].get_width()
    assert left[1] - left[0] == pytest.approx(width)
    assert 2 * width < 1 / 24
    # Without a start, days begin at the records' midnight.
    daily = house.plot_energy(["v"], interval="1 day").containers[0]
    assert bars(daily) == {1.0: pytest.approx(np.nansum(energy), abs=1e-6)}


def test_what_is_given_is_drawn_on(house: NamespaceView) -> None:
    _, axes = plt.subplots()
    assert house.plot(["power_w"], ax=axes) is axes
    assert house.plot_energy(["v"], ax=axes) is axes
    assert len(axes.containers) == 1


def test_a_picture_of_hostile_names_is_made(tmp_path: Path) -> None:
    names = ["_hidden", "$x$", "$\\frac{", "a\nb", "<b>"]

    class Odd(Rows):
        records: list[Any] = []  # noqa: RUF012  as with any model

        @classmethod
        def record_class(cls) -> type[Any]:
            return OddRow

    class OddRow(eosdb.DataRecord):
        @classmethod
        def configured_data_keys(cls) -> list[str]:
            return names

    with LMDBDatabase(tmp_path / "db") as database:
        rows = Odd(database=database)
        for name in names:
            fill(rows, {0: 1.0, 1: 2.0}, key=name)
        rows.save()
    with eosdb.open(tmp_path / "db") as view:
        axes = view["house"].plot()
        plt.savefig(tmp_path / "odd.png")
        legend = axes.get_legend()
        assert legend is not None
        assert len(legend.get_texts()) == len(names)
        assert (tmp_path / "odd.png").read_bytes().startswith(b"\x89PNG")


def test_who_lacks_matplotlib_is_told(
    house: NamespaceView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(eosdb.MissingDependencyError, match=r"pip install eosdb\[plot\]"):
        house.plot(["power_w"])
