"""Regenerates the pickles in ``tests/golden/pickle`` that ``tests/codec.rs`` reads and rewrites.

Run it with a Python that has ``numpy``, ``pendulum`` and ``pydantic-extra-types``::

    python tests/golden/make_pickles.py

The files were written by CPython 3.11, numpy 2.4 and pendulum 3.2. Pickles of one protocol differ
little between versions; a difference shows up as a failing test, not as a silent change.
"""

from __future__ import annotations

import datetime
import decimal
import gzip
import os
import pathlib
import pickle
import uuid
import zoneinfo
from collections import OrderedDict
from typing import Any

import numpy as np
import pendulum
from pendulum.tz.timezone import FixedTimezone
from pydantic_extra_types.pendulum_dt import DateTime as RecordDateTime

FOLDER = pathlib.Path(__file__).parent / "pickle"
BERLIN = pendulum.timezone("Europe/Berlin")
DST_NIGHT = (2024, 10, 27, 2, 30, 15, 123456)


class Command:
    """Pickles as a call of ``os.system``."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("exit 1",)


class Lookup:
    """Pickles as a call of what ``getattr`` finds in another class than a zone's."""

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (pathlib.Path, "unlink")


def write(name: str, value: Any, protocol: int = 5) -> None:
    """Writes one pickle.

    Args:
        name: The file's name without its suffix.
        value: What to pickle.
        protocol: The pickle protocol.
    """
    (FOLDER / f"{name}.pickle").write_bytes(pickle.dumps(value, protocol))


def record(date_time: Any, **fields: Any) -> dict[str, Any]:
    """Returns a record as ``model_dump`` of Akkudoktor-EOS returns one.

    Args:
        date_time: When.
        **fields: The fields behind ``date_time`` and ``configured_data``.

    Returns:
        The dictionary.
    """
    return {"date_time": date_time, "configured_data": {}, **fields}


def plain(with_set: bool) -> list[Any]:
    """Returns plain values of every kind.

    Args:
        with_set: Whether there are sets, whose order is not fixed beyond one element.

    Returns:
        The values.
    """
    sets: list[Any] = [{"one"}, frozenset({"two"}), set(), frozenset()] if with_set else []
    return [
        None,
        True,
        False,
        0,
        255,
        256,
        65535,
        65536,
        -1,
        2**31 - 1,
        -(2**31),
        2**31,
        -(2**31) - 1,
        2**63 - 1,
        -(2**63),
        0.1,
        -0.0,
        float("inf"),
        float("-inf"),
        float("nan"),
        "",
        "text",
        "zwölf €\n\\ 𝛑",
        b"",
        b"\x00\xff\n",
        [],
        (),
        {},
        [1],
        (1,),
        (1, 2),
        (1, 2, 3),
        (1, 2, 3, 4),
        {"a": 1},
        {"a": 1, "b": [{"c": (None, [])}]},
        *sets,
    ]


def records() -> None:
    """Writes records as a database holds them."""
    parts = (2024, 10, 27, 12, 45, 0, 0)
    floats = {"load0_emr": 123.456, "load1_emr": 7.7, "grid_emr": 12055.812, "pv_power": 310.5}
    write("record_floats", record(RecordDateTime(*parts, tzinfo=BERLIN), **floats))
    write("record_none", record(RecordDateTime(*parts, tzinfo=BERLIN), load0_emr=None, mode=None))
    configured = {"load0_emr": np.float64(1.5), "load1_emr": np.float64(-2.5), "grid": 3.5}
    write(
        "record_configured",
        {"date_time": pendulum.DateTime(*parts, tzinfo=BERLIN), "configured_data": configured},
    )
    for fold in (0, 1):
        write(f"dst_fold{fold}", record(RecordDateTime(*DST_NIGHT, tzinfo=BERLIN, fold=fold)))
    for protocol in range(5):
        write(f"record_p{protocol}", record(pendulum.DateTime(*parts, tzinfo=BERLIN)), protocol)


def date_times() -> None:
    """Writes dates with time of every class and zone."""
    parts = DST_NIGHT
    zones: dict[str, datetime.tzinfo | None] = {
        "naive": None,
        "utc": pendulum.UTC,
        "fixed": FixedTimezone(19800),
        "fixed_west": FixedTimezone(-12600, "west"),
        "stdlib_utc": datetime.UTC,
        "zoneinfo": zoneinfo.ZoneInfo("Europe/Berlin"),
    }
    for name, zone in zones.items():
        write(f"pendulum_{name}", pendulum.DateTime(*parts, tzinfo=zone))
    east = datetime.timezone(datetime.timedelta(hours=1))
    named = datetime.timezone(datetime.timedelta(hours=-2), "boat")
    for name, zone in {**zones, "offset": east, "named": named, "berlin": BERLIN}.items():
        write(f"stdlib_{name}", datetime.datetime(*parts, fold=1, tzinfo=zone))
    for protocol in range(4):
        value = datetime.datetime(*parts, tzinfo=zones["zoneinfo"])
        write(f"stdlib_zoneinfo_p{protocol}", value, protocol)
    first, second = (RecordDateTime(*parts, tzinfo=BERLIN) for _ in range(2))
    write("two_date_times", [first, second, first])
    oslo = pendulum.timezone("Europe/Oslo")
    both = [pendulum.DateTime(*parts, tzinfo=zone) for zone in (BERLIN, oslo)]
    write("two_classes_and_zones", [first, *both])
    fixed = [pendulum.DateTime(*parts, tzinfo=FixedTimezone(hours * 3600)) for hours in (1, 2)]
    write("two_fixed_zones", fixed)
    three = (datetime.UTC, datetime.UTC, east)
    write("stdlib_three", [datetime.datetime(*parts, tzinfo=zone) for zone in three])


def numpy_scalars() -> None:
    """Writes NumPy's scalars."""
    write("numpy_float64", np.float64(1.5))
    write("numpy_shared", [np.float64(1.5), np.float64(2.5), np.float32(1), np.True_, np.True_])
    kinds = ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
    write("numpy_kinds", [np.dtype(kind).type(1) for kind in kinds])
    for protocol in range(5):
        write(f"numpy_float64_p{protocol}", np.float64(1.5), protocol)
    old = pickle.dumps(np.float64(1.5), 2).replace(b"numpy._core.", b"numpy.core.")
    (FOLDER / "numpy_1.pickle").write_bytes(old)
    write("numpy_object", np.array([Command()], dtype=object))


def others() -> None:
    """Writes the other values that may be named, and what may not."""
    write("ordered_dict", OrderedDict(a=1, b=2))
    write("decimal", decimal.Decimal("12.50"))
    write("uuid", uuid.UUID(int=1))
    write("uuid_p2", uuid.UUID(int=1), 2)
    write("complex", 1 + 2j)
    write("bytearray", bytearray(b"abc"))
    duration = pendulum.duration(days=1, hours=2)
    interval = pendulum.datetime(2024, 1, 2) - pendulum.datetime(2024, 1, 1)
    write("pendulum_others", [duration, interval, pendulum.date(2024, 1, 1), pendulum.time(12)])
    text, items = "shared text", [1, 2]
    write("shared", {"a": text, "b": text, "c": items, "d": items, "e": (text, items)})

    recursive_list: list[Any] = [1]
    recursive_list.append(recursive_list)
    write("recursive_list", recursive_list)
    recursive_dict: dict[str, Any] = {}
    recursive_dict["self"] = recursive_dict
    write("recursive_dict", recursive_dict)
    inner: list[Any] = []
    recursive_tuple = (inner, 1)
    inner.append(recursive_tuple)
    write("recursive_tuple", recursive_tuple)
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    write("deep", deep)

    write("os_system", record(pendulum.DateTime(2024, 1, 1, tzinfo=BERLIN), value=Command()))
    write("os_system_p0", Command(), 0)
    write("getattr_other", Lookup())
    write("getattr_bare", [getattr, pendulum.DateTime(2024, 1, 1, tzinfo=BERLIN)])


def shapes() -> None:
    """Writes plain values whose bytes the writer must reproduce."""
    write("plain", plain(with_set=False))
    for protocol in range(6):
        write(f"plain_p{protocol}", plain(with_set=protocol >= 2), protocol)
    write("big_ints", [2**63, -(2**63) - 1, 2**64, 2**2040, -(2**2047), 2**2047])
    write("texts", ["x" * 255, "y" * 256, b"x" * 255, b"y" * 256])
    for size in (999, 1000, 1001, 2000):
        write(f"list_{size}", list(range(size)))
        write(f"dict_{size}", {str(key): None for key in range(size)})
    write("one", 1)
    write("none", None)
    write("long_memo", [f"x{number:03d}" for number in range(300)] * 2)

    large = ["a" * 65535, "b" * 65536, "c", *(["d" * 40000] * 2), "e" * 40000, *([7] * 40000)]
    (FOLDER / "frames.pickle.gz").write_bytes(gzip.compress(pickle.dumps(large, 5), mtime=0))


def metadata() -> None:
    """Writes a namespace's metadata."""
    values = {
        "version": 1,
        "created": "2024-10-27T12:00:00+01:00",
        "provider_id": "unknown",
        "compression": True,
        "backend": "Database",
        "last_compact_cutoff_900": 20241027.5,
        "last_compact_cutoff_3600": None,
    }
    write("metadata", values, 4)
    write("metadata_nested", {"version": [1]}, 4)
    write("metadata_command", {"version": Command()}, 4)


def main() -> None:
    """Writes all files."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    records()
    date_times()
    numpy_scalars()
    others()
    shapes()
    metadata()


if __name__ == "__main__":
    main()
