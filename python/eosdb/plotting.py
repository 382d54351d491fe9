"""Lines of values and bars of energy, drawn by matplotlib."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from . import _core
from .datetimes import to_datetime, to_duration
from .errors import (
    ArgumentTypeError,
    InvalidArgumentError,
    MissingDependencyError,
    TimestampRangeError,
)
from .texts import duration_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .views import NamespaceView

__all__ = ["plot", "plot_energy"]

_MICROSECOND: Final = 1_000_000
_DAY: Final = 86_400 * _MICROSECOND

_AROUND: Final = 5
"""How many distances on either side tell which one is usual at a place."""

_GAP: Final = 3
"""A distance of so many usual ones is a gap."""

_BETWEEN: Final = 0.1
"""How much of an interval lies between its bars and the next ones."""

_APART: Final = 60
"""Of more bars the spaces between them are less than a pixel, and come and go."""

_MOST_BARS: Final = 100_000

_YEARS: Final = ("0001-01-02", "9999-12-30")

Micros = NDArray[np.int64]
Numbers = NDArray[np.float64]


def plot(  # noqa: PLR0917  the signature of NamespaceView.plot
    view: NamespaceView,
    keys: Iterable[str] | None,
    start: datetime | None,
    end: datetime | None,
    max_gap: timedelta | str | float | None,
    ax: Axes | None,
) -> Axes:
    """Draw the values of keys; see :meth:`NamespaceView.plot`."""
    gap = None if max_gap is None else _micros(max_gap)
    lines: list[tuple[str, Micros, Numbers]] = []
    for key in view.keys_between(start, end) if keys is None else keys:
        # One key at a time: of several, a stored nan and a missing value were the same.
        table = _core.table(view._loaded(start, end), [key], start, end, True, False)
        micros, _, (values,) = cast("tuple[Micros, Any, list[Any]]", table)
        if isinstance(values, np.ndarray):
            lines.append((key, micros, values.astype(float)))
        elif keys is not None and values:
            raise ArgumentTypeError(f"'{key}' cannot be drawn: its values are not all numbers")
    axes = _axes(view, ax)
    handles = []
    for key, micros, numbers in lines:
        times, broken = _broken(micros, numbers, gap)
        (line,) = axes.plot(_dates(times), broken, linewidth=1.2, label=_label(key), gid=key)
        handles.append(line)
        alone = _alone(broken)
        # A line through one point is nothing to be seen.
        axes.plot(_dates(times[alone]), broken[alone], ".", color=line.get_color(), markersize=3)
    _finish(axes, handles)
    return axes


def plot_energy(  # noqa: PLR0917  the signature of NamespaceView.plot_energy
    view: NamespaceView,
    keys: Iterable[str],
    start: datetime | None,
    end: datetime | None,
    interval: timedelta | str | float,
    max_gap: timedelta | str | float | None,
    ax: Axes | None,
) -> Axes:
    """Draw the energy of meters; see :meth:`NamespaceView.plot_energy`."""
    keys = list(keys)
    width = _micros(interval)
    try:
        spans = list(_spans(view, start, end, width))
    except OverflowError as error:
        raise TimestampRangeError(
            "the intervals reach beyond the year 9999: give the plot an end"
        ) from error
    gap = timedelta(microseconds=2 * width) if max_gap is None else max_gap
    axes = _axes(view, ax)
    collections = importlib.import_module("matplotlib.collections")
    handles = []
    for number, key in enumerate(keys):
        corners = _corners(*_energy(view, key, spans, gap), place=number, places=len(keys))
        # One object for all bars: with one for each, matplotlib takes seconds for a year of hours.
        drawn = collections.PolyCollection(
            corners, facecolors=f"C{number % 10}", label=_label(key), gid=key
        )
        drawn.sticky_edges.y.append(0)
        axes.add_collection(drawn)
        handles.append(drawn)
    axes.autoscale_view()
    _finish(axes, handles)
    return axes


@dataclass(frozen=True)
class _Span:
    """Some intervals of the same width.

    Attributes:
        start: Where the first of them begins.
        end: Where the last of them ends.
        width: How wide they are, in microseconds.
    """

    start: datetime
    end: datetime
    width: int


def _spans(
    view: NamespaceView, start: datetime | None, end: datetime | None, width: int
) -> Iterator[_Span]:
    """Yield what intervals lie in `[start, end)`.

    Whole days begin with the day of the zone, so that the two on which the clock is changed have
    intervals of 23 and 25 hours.
    """
    first, last = start or view.min_datetime, end or view.max_datetime
    if first is None or last is None:
        return
    count = (last - first).total_seconds() * _MICROSECOND / width
    if count > _MOST_BARS:
        raise InvalidArgumentError(
            f"{count:,.0f} bars for each key cannot be told apart: take longer intervals than "
            f"{duration_text(timedelta(microseconds=width))}, or less time"
        )
    begin = to_datetime(first, in_timezone=view.timezone)
    if start is None:
        # Hours of zones like India's, too, begin where those who look at them expect it.
        begin = begin.start_of("day")
    if width % _DAY:
        stop = last if end is not None else last + timedelta(microseconds=width)
        yield _Span(begin, stop, width)
        return
    former: _Span | None = None
    while begin < last or (begin == last and end is None):
        following = begin.add(days=width // _DAY)
        length = round((following.timestamp() - begin.timestamp()) * _MICROSECOND)
        if former is not None and former.width == length:
            former = replace(former, end=following)
        else:
            if former is not None:
                yield former
            former = _Span(begin, following, length)
        begin = following
    if former is not None:
        yield former if end is None else replace(former, end=min(former.end, end))


def _energy(
    view: NamespaceView, key: str, spans: list[_Span], max_gap: Any
) -> tuple[Micros, Micros, Numbers]:
    """Return where the intervals with a known energy begin, how wide they are, and the energy."""
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for span in spans:
        interval = timedelta(microseconds=span.width)
        energy = view.key_to_energy(key, span.start, span.end, interval, max_gap=max_gap)
        known = np.flatnonzero(~np.isnan(energy))
        begin = round(span.start.timestamp() * _MICROSECOND)
        widths = np.full(len(known), span.width)
        parts.append((begin + known * span.width, widths, energy[known]))
    begins, widths, energies = (np.concatenate(column) for column in zip(*parts, strict=True))
    return begins, widths, energies


def _corners(
    begins: Micros, widths: Micros, heights: Numbers, *, place: int, places: int
) -> NDArray[np.float64]:
    """Return the corners of bars, of shape (bars, 4, 2).

    Args:
        begins: Where their intervals begin.
        widths: How wide those are.
        heights: How high the bars are.
        place: Which of the bars that stand beside one another in an interval these are.
        places: How many there are.
    """
    between = _BETWEEN if len(begins) <= _APART else 0.0
    share = (1 - between) * widths / places
    left = _dates(begins) + (between / 2 * widths + place * share) / _DAY
    right, foot = left + share / _DAY, np.zeros(len(heights))
    x = np.stack([left, left, right, right], axis=1)
    y = np.stack([foot, heights, heights, foot], axis=1)
    return np.stack([x, y], axis=2)


def _micros(duration: timedelta | str | float) -> int:
    return round(to_duration(duration).total_seconds() * _MICROSECOND)


def _dates(micros: Micros) -> Any:
    """Return times as matplotlib has them."""
    return importlib.import_module("matplotlib.dates").date2num(micros.view("datetime64[us]"))


def _broken(micros: Micros, numbers: Numbers, gap: int | None) -> tuple[Micros, Numbers]:
    """Return a line with a point that is no number in the midst of every gap.

    Args:
        micros: The times.
        numbers: The values.
        gap: The longest distance of two values that is none. By default that is told by the
            distances around it, which change where old records are fewer.
    """
    distances = np.diff(micros)
    if not len(distances):
        return micros, numbers
    if gap is None:
        padded = np.pad(distances.astype(float), _AROUND, constant_values=np.nan)
        around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1)
        is_gap = distances > _GAP * np.nanmedian(around, axis=1)
    else:
        is_gap = distances > gap
    before = np.flatnonzero(is_gap)
    middle = micros[before] + distances[before] // 2
    return np.insert(micros, before + 1, middle), np.insert(numbers, before + 1, np.nan)


def _alone(numbers: Numbers) -> NDArray[np.bool_]:
    """Return which numbers have no number beside them."""
    missing = np.concatenate(([True], np.isnan(numbers), [True]))
    return ~missing[1:-1] & missing[:-2] & missing[2:]


def _label(key: str) -> str:
    """Return a key such that matplotlib shows it as it is."""
    text = key.replace("$", r"\$")
    # What begins with an underscore is left out of legends.
    return f"\u200b{text}" if text.startswith("_") else text


def _axes(view: NamespaceView, ax: Axes | None) -> Axes:
    """Return the axes to draw on, with a time axis in the view's zone."""
    try:
        dates = importlib.import_module("matplotlib.dates")
        pyplot = importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise MissingDependencyError(
            "plots need matplotlib: install it, or eosdb with it by 'pip install eosdb[plot]'"
        ) from error
    zone = view.timezone
    axes: Axes
    if ax is None:
        _, axes = pyplot.subplots(figsize=(9, 3.2), layout="constrained")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_title(_label(view.namespace), loc="left", fontsize="medium")
        axes.set_xlabel(zone.name if zone is not None else "UTC", fontsize="small", loc="left")
    else:
        axes = ax
    axes.xaxis_date(zone)
    locator = dates.AutoDateLocator(tz=zone)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=zone))
    return axes


def _finish(axes: Axes, handles: list[Any]) -> None:
    """Add the legend, and leave no room beside the lines."""
    axes.margins(x=0.01)
    # Beyond these matplotlib has no dates, and fails when it is asked to draw.
    first, last = _dates(np.array(_YEARS, "datetime64[us]").view(np.int64))
    left, right = axes.get_xlim()
    axes.set_xlim(max(left, first), min(right, last))
    if handles:
        # Above the axes, where nothing is drawn.
        axes.legend(
            handles=handles,
            frameon=False,
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=4,
            borderaxespad=0.2,
        )
