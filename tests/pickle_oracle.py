"""Python's own unpickler as the measure of ours, for pickles that nobody wrote.

Run as a program, it makes pickles, has both read them and prints what differs as JSON. It is a
process of its own, because such a pickle may ask for more memory than there is, or for ever.
"""

from __future__ import annotations

import argparse
import builtins
import collections
import datetime
import faulthandler
import importlib
import io
import json
import math
import mmap
import pickle
import resource
import sys
import warnings
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pendulum.tz.timezone
from pickle_maker import Maker

import eosdb
from eosdb import _core

SAFE: Final[dict[str, frozenset[str]]] = {
    module: frozenset(names.split())
    for module, names in {
        "_codecs": "encode",
        "builtins": "bytearray bytes complex frozenset getattr range set slice",
        "collections": "OrderedDict",
        "datetime": "date datetime time timedelta timezone",
        "decimal": "Decimal",
        "numpy": "dtype",
        "numpy._core.multiarray": "scalar",
        "numpy.core.multiarray": "scalar",
        "pendulum.date": "Date",
        "pendulum.datetime": "DateTime",
        "pendulum.duration": "Duration",
        "pendulum.interval": "Interval",
        "pendulum.time": "Time",
        "pendulum.tz.timezone": "FixedTimezone Timezone",
        "pydantic_core._pydantic_core": "TzInfo",
        "pydantic_extra_types.pendulum_dt": "Date DateTime Duration Time",
        "uuid": "SafeUUID UUID",
        "zoneinfo": "ZoneInfo",
    }.items()
}
"""What a stored value may name, stated a second time."""

REFUSED: Final = (
    "persistent ids",
    "extension registry",
    "old-style instance",
    "out-of-band buffers",
    "may hold itself",
    "nested too deeply",
    "large values over and over",
    "in a way that is refused",
    "calls what another call returns",
)
"""What is refused however sound it is: section 11 of the design document."""

NEVER_WRITTEN: Final = (
    "a number is malformed",  # hexadecimal, octal, grouped, or of more than 64 bits in digits
    "a text is malformed",  # octal and unknown escapes; half of a surrogate pair
    "a memo index is out of range",
    "only lists can be appended to",
    "only dictionaries take items",
    "only sets take elements",
    "only a called object can take a state",
    "an object takes two states",
)
"""What Python's unpickler takes and its pickler writes for no value that could be stored."""

FRAME: Final = b"\x95"

MEMORY: Final = 2 << 30
HANGS_AFTER: Final = 120.0
REARMED_EVERY: Final = 200


class Source:
    """A file in which frames are no more than said: as for `pickle.loads`, which has it all.

    From a file, the unpickler takes a frame at a time, and loses bytes where an opcode reaches
    beyond one. Only damage makes one do so.
    """

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)
        self.left = len(data)
        self.last = b""

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.left -= len(data)
        if len(data) == 8 and self.last == FRAME:
            if int.from_bytes(data, "little") > self.left:
                raise EOFError
            data = bytes(8)
        self.last = data
        return data

    def readline(self) -> bytes:
        self.last = self.file.readline()
        self.left -= len(self.last)
        return self.last


class Inert:
    """Stands for any class, function and object: whatever is done with it, nothing happens."""

    def __init__(self, *_arguments: object, **_keywords: object) -> None:
        pass

    def __call__(self, *_arguments: object, **_keywords: object) -> Inert:
        return self

    def __setstate__(self, _state: object) -> None:
        pass

    def __setitem__(self, _key: object, _value: object) -> None:
        pass

    def append(self, _value: object) -> None:
        pass

    def extend(self, _values: object) -> None:
        pass

    def add(self, _value: object) -> None:
        pass


class Machine(pickle.Unpickler):
    """Tells whether the opcodes can be carried out at all."""

    def find_class(self, module: str, name: str, /) -> Any:
        return Inert


def lookup(owner: object, name: object) -> Any:
    """Return the one attribute that a pickle may look up."""
    if owner not in (pendulum.tz.timezone.Timezone, zoneinfo.ZoneInfo) or name != "_unpickle":
        raise pickle.UnpicklingError(f"{owner}.{name}")
    return getattr(owner, name)


def allowed(module: str, name: str) -> None:
    """Raise an error unless a stored value may name this."""
    # Python 2's name; whether it may be used depends on the protocol, which the unpickler knows.
    known = "builtins" if module == "__builtin__" else module
    if name not in SAFE.get(known, ()):
        raise pickle.UnpicklingError(f"{module}.{name}")


class Reader(pickle.Unpickler):
    """Reads what our reader has accepted, so that no more can be called than it allows."""

    def find_class(self, module: str, name: str, /) -> Any:
        allowed(module, name)
        found = super().find_class(module, name)
        return lookup if found is builtins.getattr else found


def forgiven(opcode: bytes, *, replaces: bool) -> Callable[[Any], None]:
    """Return what an opcode does; where that fails, a stand-in is what comes of it."""
    load = PYTHON.dispatch[opcode[0]]

    def forgiving(self: Any) -> None:
        try:
            load(self)
        except Exception:  # noqa: BLE001  hostile data may raise anything
            if replaces:
                self.stack[-1] = Inert()
            else:
                self.append(Inert())

    return forgiving


def by_c(opcode: bytes) -> Callable[[Any], None]:
    """Return what an opcode does with its line in C; in Python it takes other numbers."""

    def load(self: Any) -> None:
        self.append(pickle.loads(opcode + self.readline() + pickle.STOP))

    return load


PYTHON: Final[Any] = vars(pickle)["_Unpickler"]
"""The unpickler that is written in Python, whose opcodes can be changed."""


class Forgiving(PYTHON):  # type: ignore[misc]  # it has no type of its own
    """Reads as `Reader` does, but goes on where an object cannot be made."""

    def find_class(self, module: str, name: str, /) -> Any:
        allowed(module, name)
        found = super().find_class(module, name)
        return lookup if found is builtins.getattr else found

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **PYTHON.dispatch,
        **{
            opcode[0]: by_c(opcode)
            for opcode in (pickle.INT, pickle.LONG, pickle.FLOAT, pickle.STRING, pickle.UNICODE)
        },
        **{
            opcode[0]: forgiven(opcode, replaces=replaces)
            for replaces, opcodes in {
                True: (
                    pickle.REDUCE,
                    pickle.BUILD,
                    pickle.SETITEM,
                    pickle.SETITEMS,
                    pickle.ADDITEMS,
                ),
                False: (pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.DICT, pickle.FROZENSET),
            }.items()
            for opcode in opcodes
        },
    }


class Text:
    """Writes a value as text that has every bit and type of it, and says what is one object."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}
        self.kept: list[object] = []
        self.parts: list[str] = []

    def write(self, value: Any) -> None:
        kind = type(value)
        add = self.parts.append
        if value is None or kind in (bool, int, str, bytes):
            add(repr(value))
        elif kind is float:
            add("nan" if math.isnan(value) else value.hex())
        elif kind is complex:
            self.several("complex", (value.real, value.imag))
        elif isinstance(value, type) or kind in BUILT_IN_FUNCTIONS:
            add(f"<{value.__module__}.{value.__qualname__}>")
        elif isinstance(value, np.generic):
            nan = isinstance(value, np.floating) and np.isnan(value)
            add(f"{kind.__name__}({'nan' if nan else value.tobytes().hex()})")
        elif id(value) in self.seen:
            add(f"@{self.seen[id(value)]}")
        else:
            if kind is not tuple or value:
                self.seen[id(value)] = len(self.seen)
                self.kept.append(value)
            self.container(kind, value)

    def several(self, name: str, values: Any) -> None:
        self.parts.append(f"{name}(")
        for value in values:
            self.write(value)
            self.parts.append(",")
        self.parts.append(")")

    def container(self, kind: type, value: Any) -> None:
        if kind in (list, tuple):
            self.several(kind.__name__, value)
        elif kind in (set, frozenset):
            # The order means nothing, and what is one object matters less than the elements.
            elements = sorted(text_of(element) for element in value)
            self.parts.append(f"{kind.__name__}{elements}")
        elif kind in (dict, collections.OrderedDict):
            self.several(kind.__name__, (part for item in value.items() for part in item))
        elif kind is bytearray:
            self.parts.append(repr(value))
        else:
            self.object(kind, value)

    def object(self, kind: type, value: Any) -> None:
        self.parts.append(f"{kind.__module__}.{kind.__qualname__}:")
        if isinstance(value, zoneinfo.ZoneInfo):
            # Whether it came out of a cache shows nowhere else.
            self.parts.append(repr(value.key))
            return
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:  # noqa: BLE001  an object may be half made
            self.parts.append(type(error).__name__)
            return
        self.several("", reduced if isinstance(reduced, tuple) else (reduced,))
        if isinstance(value, datetime.datetime | datetime.time):
            self.parts.append(f"fold={value.fold}")


BUILT_IN_FUNCTIONS: Final = (type(len), type(pickle.dumps), type(lookup), type(Inert.append))


def text_of(value: object) -> str:
    """Return the text of a value."""
    text = Text()
    text.write(value)
    return "".join(text.parts)


def attempt(read: Callable[[bytes], Any], data: bytes) -> tuple[Any, Exception | None]:
    """Return what is read, or why nothing is."""
    try:
        return read(data), None
    except Exception as error:  # noqa: BLE001  hostile data may raise anything
        return None, error


def machine(data: bytes) -> object:
    """Carry the opcodes out with stand-ins."""
    return Machine(Source(data)).load()


def python(data: bytes) -> object:
    """Read what our reader has accepted, with Python's."""
    return Reader(Source(data)).load()


def forgiving(data: bytes) -> object:
    """Read as `python` does, whatever cannot be made."""
    return Forgiving(Source(data)).load()


def compare(data: bytes) -> tuple[str, str | None]:
    """Have both read a pickle; return the outcome, and what is wrong with it."""
    value, refusal = attempt(_core.unpickle, data)
    if isinstance(refusal, eosdb.DamagedRecordError):
        return refused(data, str(refusal))
    read, theirs = attempt(python, data)
    if refusal is not None:
        wrong = f"raises {refusal!r}, but Python reads {read!r:.200}"
        return "raised", wrong if theirs is None else None
    ours = text_of(value)
    if theirs is not None:
        # What is dropped again need not be made, so it cannot fail either.
        kept, failed = attempt(forgiving, data)
        if failed is None and text_of(kept) == ours:
            return "dropped", None
        return "read", f"read as {ours:.400}, but Python raises {theirs!r}"
    other = text_of(read)
    return "read", None if ours == other else f"read as {ours:.400}, by Python as {other:.400}"


def refused(data: bytes, cause: str) -> tuple[str, str | None]:
    """Return whether what our reader refuses is damaged, or else refused for a known reason."""
    if any(known in cause for known in REFUSED):
        return "refused", None
    # Half of a surrogate pair has an encoding for Python, which begins like that.
    half = "a text is no UTF-8" in cause and b"\xed" in data
    if half or any(known in cause for known in NEVER_WRITTEN):
        return "never written", None
    read, theirs = attempt(machine, data)
    wrong = f"refused because of {cause!r}, but Python reads {read!r:.200}"
    return "damaged", wrong if theirs is None else None


def main() -> None:
    """Compare as many pickles as told; the number under way stays in a file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--cases", type=int, required=True)
    parser.add_argument("--under-way", type=Path, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for module in SAFE:
        if module != "numpy.core.multiarray":  # there for old files, with a warning
            importlib.import_module(module)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
    outcomes: collections.Counter[str] = collections.Counter()
    differences: list[str] = []
    maker = Maker(options.seed)
    options.under_way.write_bytes(bytes(mmap.PAGESIZE))
    with (
        options.under_way.open("r+b") as file,
        mmap.mmap(file.fileno(), mmap.PAGESIZE) as under_way,
    ):
        for case in range(options.cases):
            if case % REARMED_EVERY == 0:
                faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
            data = maker.make(case)
            head = f"seed {options.seed}, case {case}: {data.hex()}"
            under_way[:] = head.encode()[: mmap.PAGESIZE].ljust(mmap.PAGESIZE)
            outcome, difference = compare(data)
            outcomes[outcome] += 1
            if difference is not None:
                differences.append(f"{head}\n{difference}")
                if len(differences) == 20:
                    break
    faulthandler.cancel_dump_traceback_later()
    json.dump({"outcomes": outcomes, "differences": differences}, sys.stdout)


if __name__ == "__main__":
    main()
