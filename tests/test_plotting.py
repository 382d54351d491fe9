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


def bars(axes: Any) -> list[list[tuple[float, float, float]]]:
    """Return for each key the bars: begin and width in hours from the day on, and height."""
    found = []
    for collection in axes.collections:
        corners = np.array([path.vertices[:4] for path in collection.get_paths()])
        left, right = corners[:, 0, 0], corners[:, 2, 0]
        begin = (left - mdates.date2num(DAY)) * 24
        found.append(list(zip(begin, (right - left) * 24, corners[:, 1, 1], strict=True)))
    return found


def heights(axes: Any) -> dict[float, float]:
    """Return the heights of the first key's bars by the hour that they stand in."""
    return {float(begin // 1): height for begin, _, height in bars(axes)[0]}


def test_bars_are_the_energy_of_their_interval(house: NamespaceView) -> None:
    axes = house.plot_energy(["v"], minute(0, DAY), minute(1440, DAY))
    energy = house.key_to_energy("v", minute(0, DAY), minute(1440, DAY))
    known = {float(hour): value for hour, value in enumerate(energy) if not np.isnan(value)}
    assert heights(axes) == known
    assert len(known) > 20
    first, second = bars(house.plot_energy(["v", "power_w"]))
    assert len(first) == len(second) == 24
    # Beside one another, with a tenth of the interval between two intervals.
    assert (first[0][0], first[0][1]) == pytest.approx((0.05, 0.45), abs=1e-5)
    assert (second[0][0], second[0][1]) == pytest.approx((0.5, 0.45), abs=1e-5)
    # Without a start, days begin at the records' midnight.
    ((begin, _, height),) = bars(house.plot_energy(["v"], interval="1 day"))[0]
    assert begin == pytest.approx(1.2, abs=1e-5)
    assert height == pytest.approx(np.nansum(energy), abs=1e-6)


@pytest.mark.parametrize(("month", "hours"), [(3, 23), (10, 25)])
def test_days_are_those_of_the_zone(month: int, hours: int, tmp_path: Path) -> None:
    noon = datetime(2024, month, 25, 12, tzinfo=BERLIN)
    # One kilowatt, with something in between that a day's end must not meet.
    counted = {float(n): n / 60 + (0.1 if n % 60 else 0.0) for n in range(0, 14 * 1440, 15)}
    with LMDBDatabase(tmp_path) as database:
        fill(Rows(database=database), counted, base=noon).save()
    axes = eosdb.open(tmp_path)["house"].plot_energy(["v"], interval="1 day")
    days = bars(axes)[0]
    ((changed, _, height),) = [day for day in days if round(day[1], 3) != 21.6]
    assert height == pytest.approx(hours, abs=1e-6)
    others = [height for _, width, height in days[1:-1] if round(width, 3) == 21.6]
    assert others == pytest.approx([24] * 12)
    axes.figure.canvas.draw()
    locator: Any = axes.xaxis.get_major_locator()
    assert str(locator.tz) == "Europe/Berlin"
    midnight = mdates.date2num(datetime(2024, month, 31 if month == 3 else 27, tzinfo=BERLIN))
    assert changed / 24 + mdates.date2num(DAY) == pytest.approx(midnight + 0.05 * hours / 24)


def test_many_bars_are_one_object(house: NamespaceView) -> None:
    axes = house.plot_energy(["v"], interval="1 minute", max_gap="2 hours")
    assert len(axes.patches) == 0
    assert [artist.get_gid() for artist in axes.collections] == ["v"]
    ((first, width, _), *more) = bars(axes)[0]
    assert len(more) > 1000
    # They touch.
    assert more[0][0] == pytest.approx(first + width)


def test_intervals_begin_where_the_day_of_the_zone_does(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path) as database:
        base = datetime(2024, 1, 1, 7, 13, tzinfo=ZoneInfo("Asia/Kolkata"))
        fill(
            Rows(database=database), {5 * step: float(step) for step in range(30)}, base=base
        ).save()
    (hours,) = bars(eosdb.open(tmp_path)["house"].plot_energy(["v"]))
    (days,) = bars(eosdb.open(tmp_path)["house"].plot_energy(["v"], interval="1 day"))
    midnight = (mdates.date2num(base.replace(hour=0, minute=0)) - mdates.date2num(DAY)) * 24
    # Between two bars there is a tenth of the interval.
    assert [begin - midnight - 0.05 for begin, *_ in hours] == pytest.approx([7, 8, 9], abs=1e-5)
    assert [begin - midnight - 1.2 for begin, *_ in days] == pytest.approx([0], abs=1e-5)


def test_what_is_given_is_drawn_on(house: NamespaceView) -> None:
    _, axes = plt.subplots()
    assert house.plot(["power_w"], ax=axes) is axes
    assert house.plot_energy(["v"], ax=axes) is axes
    assert len(axes.collections) == 1


def test_a_picture_of_hostile_names_is_made(tmp_path: Path) -> None:
    names = ["_hidden", "$x$", "$\\frac{$", "a\nb", "<b>"]

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


def test_the_ends_of_time_are_drawn_or_refused(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path / "db") as database:
        rows = Rows(database=database)
        for year in (1, 9999):
            rows.update_value(eosdb.to_datetime(f"{year:04}-12-31T12:00:00Z"), v=1.0)
        rows.save()
    with eosdb.open(tmp_path / "db") as view:
        house = view["house"]
        house.plot()
        plt.savefig(tmp_path / "old.png")
        with pytest.raises(eosdb.InvalidArgumentError, match="take longer intervals than 1 d"):
            house.plot_energy(["v"], interval="1 day")
        with pytest.raises(eosdb.TimestampRangeError, match="give the plot an end"):
            house.plot_energy(["v"], "9999-12-01", interval="1 day")
        house.plot_energy(["v"], "9999-12-01", "9999-12-31", interval="1 day")
        plt.savefig(tmp_path / "future.png")


def test_who_lacks_matplotlib_is_told(
    house: NamespaceView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(eosdb.MissingDependencyError, match=r"pip install eosdb\[plot\]"):
        house.plot(["power_w"])
