"""Lines of values and bars of energy, drawn by matplotlib."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from . import _core
from .datetimes import to_datetime, to_duration
from .errors import ArgumentTypeError, MissingDependencyError

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
    zone: Any = view.timezone
    for key in view.keys_between(start, end) if keys is None else keys:
        table = _core.table(view._loaded(start, end), [key], start, end, True, False)
        micros, stored_zone, (values,) = cast("tuple[Micros, Any, list[Any]]", table)
        zone = zone or stored_zone
        if isinstance(values, np.ndarray):
            lines.append((key, micros, values.astype(float)))
        elif keys is not None and values:
            raise ArgumentTypeError(f"'{key}' cannot be drawn: its values are not all numbers")
    axes = _axes(ax, zone)
    handles = []
    for key, micros, numbers in lines:
        times, broken = _broken(micros, numbers, gap)
        (line,) = axes.plot(_dates(times), broken, linewidth=1.2, label=_label(key))
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
    zone: Any = view.timezone
    if zone is None:
        newest = view.max_datetime
        dates = [] if newest is None else view.key_to_lists("date_time", newest)[0]
        zone = dates[-1].tzinfo if dates else None
    first = start or view.min_datetime
    energies = []
    if first is not None:
        # Days, and hours of zones like India's, begin where those who look at them expect it.
        first = start or to_datetime(first, in_timezone=zone).start_of("day")
        energies = [view.key_to_energy(key, first, end, interval, max_gap=max_gap) for key in keys]
    axes = _axes(ax, zone)
    handles = []
    share = 0.9 * width / max(len(keys), 1)
    for number, (key, energy) in enumerate(zip(keys, energies, strict=False)):
        begin = round(cast("datetime", first).timestamp() * _MICROSECOND)
        known = np.flatnonzero(~np.isnan(energy))
        left = begin + known * width + round(0.05 * width + number * share)
        handles.append(
            axes.bar(
                _dates(left.astype(np.int64)),
                energy[known],
                width=share / _DAY,
                align="edge",
                label=_label(key),
            )
        )
    _finish(axes, handles)
    return axes


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


def _axes(ax: Axes | None, zone: Any) -> Axes:
    """Return the axes to draw on, with a time axis in a zone."""
    try:
        dates = importlib.import_module("matplotlib.dates")
        pyplot = importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise MissingDependencyError(
            "plots need matplotlib: install it, or eosdb with it by 'pip install eosdb[plot]'"
        ) from error
    axes: Axes
    if ax is None:
        _, axes = pyplot.subplots(figsize=(9, 3.2), layout="constrained")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
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
    if handles:
        # Above the axes, where nothing is drawn.
        axes.legend(
            frameon=False,
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=4,
            borderaxespad=0.2,
        )
