"""Pickles that nobody means well with: Python's own reader runs most of them.

Those that execute something leave the file :data:`MARK` in the current folder.
"""

from __future__ import annotations

import contextlib
import gzip
import marshal
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

MARK: Final = "executed"
COMMAND: Final = f"touch {MARK}"
CODE: Final = f"open({MARK!r}, 'w').close()"

PROTO: Final = b"\x80\x05"
FRAME: Final = 20
"""Bytes from which on a pickle is put into a frame, which says how many there are."""


class Registered:
    """A class that the application has registered; what it can do besides is its own affair."""

    @staticmethod
    def run() -> None:
        """Leave the mark."""
        Path(MARK).touch()


# ---- an assembler -------------------------------------------------------------------------------


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value.encode())]) + value.encode()


def number(value: int) -> bytes:
    return b"K" + bytes([value])


def line(module: str, name: str) -> bytes:
    """Name a thing as old protocols do."""
    return f"c{module}\n{name}\n".encode()


def named(module: str, name: str) -> bytes:
    """Name a thing by texts, which may be dotted."""
    return text(module) + text(name) + b"\x93"


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def list_of(*items: bytes) -> bytes:
    return b"](" + b"".join(items) + b"e"


def dict_of(*items: tuple[bytes, bytes]) -> bytes:
    return b"}(" + b"".join(key + value for key, value in items) + b"u"


def call(callee: bytes, *arguments: bytes) -> bytes:
    return callee + tuple_of(*arguments) + b"R"


SYSTEM: Final = named("os", "system")
GETATTR: Final = named("builtins", "getattr")
TIMEZONE: Final = named("pendulum.tz.timezone", "Timezone")
OS: Final = call(named("builtins", "__import__"), text("os"))
PARTIAL: Final = named("functools", "partial")
TOUCH: Final = text(COMMAND)


def attribute(thing: bytes, name: str) -> bytes:
    return call(GETATTR, thing, text(name))


def item(thing: bytes, key: str) -> bytes:
    return call(named("operator", "getitem"), thing, text(key))


def walk() -> bytes:
    """Find a module by way of the subclasses of `object`."""
    subclasses = call(attribute(named("builtins", "object"), "__subclasses__"))
    names = call(
        named("builtins", "map"),
        call(named("operator", "attrgetter"), text("__name__")),
        subclasses,
    )
    by_name = call(named("builtins", "dict"), call(named("builtins", "zip"), names, subclasses))
    of_os = attribute(attribute(item(by_name, "_wrap_close"), "__init__"), "__globals__")
    return call(item(of_os, "system"), TOUCH)


def from_timezone(function: bytes) -> bytes:
    """Reach the builtins from a function of a class that values may name."""
    builtins = call(attribute(attribute(function, "__globals__"), "get"), text("__builtins__"))
    return call(call(attribute(builtins, "get"), text("exec")), text(CODE))


class Reduced:
    """An object with a recipe for its making."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return os.system, (COMMAND,)


def marshalled() -> bytes:
    code = marshal.dumps(compile(CODE, "", "exec"))
    loaded = call(named("marshal", "loads"), b"B" + len(code).to_bytes(4, "little") + code)
    empty = dict_of((text("__builtins__"), named("builtins", "__dict__")))
    return call(call(named("types", "FunctionType"), loaded, empty))


EXECUTING: Final[dict[str, bytes]] = {
    "os.system": call(SYSTEM, TOUCH),
    "os.system by lines": call(line("os", "system"), TOUCH),
    "posix.system": call(named("posix", "system"), TOUCH),
    "subprocess.call": call(named("subprocess", "call"), list_of(text("touch"), text(MARK))),
    "subprocess.getoutput": call(named("subprocess", "getoutput"), TOUCH),
    "eval": call(named("builtins", "eval"), text(CODE)),
    "eval of Python 2": b"\x80\x02"
    + call(line("__builtin__", "eval"), b"X" + bytes([len(CODE)]) + bytes(3) + CODE.encode())
    + b".",
    "exec": call(named("builtins", "exec"), text(CODE)),
    "open": call(named("builtins", "open"), text(MARK), text("w")),
    "io.open": call(named("io", "open"), text(MARK), text("w")),
    "pathlib": call(attribute(call(named("pathlib", "Path"), text(MARK)), "touch")),
    "__import__ and getattr": call(attribute(OS, "system"), TOUCH),
    "importlib": call(
        attribute(call(named("importlib", "import_module"), text("os")), "system"), TOUCH
    ),
    "pkgutil": call(call(named("pkgutil", "resolve_name"), text("os:system")), TOUCH),
    "from a zone by getattr": from_timezone(attribute(TIMEZONE, "convert")),
    "from a zone by a dotted name": call(
        call(
            attribute(
                call(
                    named("pendulum.tz.timezone", "Timezone.convert.__globals__.get"),
                    text("__builtins__"),
                ),
                "get",
            ),
            text("exec"),
        ),
        text(CODE),
    ),
    "a module in a module that values name": call(named("uuid", "os.system"), TOUCH),
    "a class that is registered, by a dotted name": call(
        named("hostile_pickles", "Registered.run")
    ),
    "a class that is registered, by getattr": call(
        attribute(named("hostile_pickles", "Registered"), "run")
    ),
    "subclasses of object": walk(),
    "an instance of protocol 0": f"(S'{COMMAND}'\nios\nsystem\n".encode(),
    "an instance of protocol 1": b"(" + SYSTEM + f"S'{COMMAND}'\no".encode(),
    "NEWOBJ": call(PARTIAL + tuple_of(SYSTEM, TOUCH) + b"\x81"),
    "NEWOBJ_EX": call(PARTIAL + tuple_of(SYSTEM, TOUCH) + b"}\x92"),
    "copyreg.__newobj__": call(call(named("copyreg", "__newobj__"), PARTIAL, SYSTEM, TOUCH)),
    "BUILD": call(
        call(PARTIAL, named("builtins", "print"))
        + tuple_of(SYSTEM, tuple_of(TOUCH), b"}", b"N")
        + b"b"
    ),
    "memo: another thing in its place": named("decimal", "Decimal")
    + b"q\x000"
    + SYSTEM
    + b"q\x000"
    + call(b"h\x00", TOUCH),
    "memo: a name in two parts": text("os")
    + b"q\x000"
    + text("system")
    + b"q\x010"
    + call(b"h\x00h\x01\x93", TOUCH),
    "memo: called twice": SYSTEM + b"2" + tuple_of(TOUCH) + b"R\x85R",
    "attrgetter": call(call(call(named("operator", "attrgetter"), text("system")), OS), TOUCH),
    "methodcaller": call(call(named("operator", "methodcaller"), text("system"), TOUCH), OS),
    "partial": call(call(PARTIAL, SYSTEM, TOUCH)),
    "reduce": call(
        named("functools", "reduce"), named("os", "getenv"), list_of(call(SYSTEM, TOUCH))
    ),
    "map": call(named("builtins", "list"), call(named("builtins", "map"), SYSTEM, list_of(TOUCH))),
    "marshal": marshalled(),
    "timeit": call(
        named("timeit", "Timer.timeit"), call(named("timeit", "Timer"), text(CODE)), number(1)
    ),
    "runpy": call(named("runpy", "_run_code"), text(CODE), b"}"),
    "cProfile": call(named("cProfile", "run"), text(CODE), text("profile")),
    "numpy: array of objects": call(
        named("numpy._core.multiarray", "_reconstruct"),
        named("numpy", "ndarray"),
        tuple_of(number(0)),
        b"C\x01b",
    )
    + tuple_of(
        number(1),
        tuple_of(number(1)),
        call(named("numpy", "dtype"), text("O8"), b"\x89", b"\x88"),
        b"\x89",
        list_of(call(SYSTEM, TOUCH)),
    )
    + b"b",
    "numpy.fromfunction": call(
        named("numpy", "fromfunction"), PARTIAL + tuple_of(SYSTEM, TOUCH) + b"\x81", b")"
    ),
    "numpy.vectorize": call(call(named("numpy", "vectorize"), SYSTEM), TOUCH),
    "pydantic's import of a name": call(
        call(named("pydantic._internal._validators", "import_string"), text("os.system")), TOUCH
    ),
    "pydantic's default of a field": call(
        attribute(
            call(named("pydantic.fields", "FieldInfo"))
            + tuple_of(b"N", dict_of((text("default_factory"), call(PARTIAL, SYSTEM, TOUCH))))
            + b"b",
            "default_factory",
        )
    ),
    "pickle in a pickle": call(
        named("pickle", "loads"),
        b"C" + bytes([len(call(SYSTEM, TOUCH)) + 3]) + PROTO + call(SYSTEM, TOUCH) + b".",
    ),
    "a key": dict_of((call(SYSTEM, TOUCH), b"N")),
    "popped": call(SYSTEM, TOUCH) + b"0N",
    **{
        f"__reduce_ex__, protocol {protocol}": pickle.dumps(Reduced(), protocol)
        for protocol in range(6)
    },
    # These change what is imported: they come last.
    "an extension code": call(
        named("copyreg", "add_extension"), text("os"), text("system"), number(77)
    )
    + b"0"
    + call(b"\x82\x4d", TOUCH),
    "BUILD of a class": TIMEZONE
    + tuple_of(b"N", dict_of((text("touched"), SYSTEM)))
    + b"b0"
    + call(attribute(TIMEZONE, "touched"), TOUCH),
}


def value(payload: bytes) -> bytes:
    """Return a pickle of what was put together."""
    return payload if payload.startswith(b"\x80") else PROTO + payload + b"."


def inside(payload: bytes) -> bytes:
    """Return the pickle of a record that holds it where a record may hold anything."""
    # Without the protocol, the frame and the end.
    bare = payload[2:-1] if payload.startswith(b"\x80") else payload
    bare = bare[9:] if bare.startswith(b"\x95") and len(bare) > FRAME else bare
    anything = dict_of((text("anything"), bare))
    fields = dict_of((text("power_w"), number(3)), (text("configured_data"), anything))
    return value(payload)[:2] + fields + b"."


PLACES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "as the value": value,
    "as the value, compressed": lambda payload: gzip.compress(value(payload)),
    "in configured data": inside,
}


def prove() -> None:
    """Have Python read everything; print what has left no mark."""
    for name, payload in EXECUTING.items():
        for place, placed in PLACES.items():
            stored = placed(payload)
            with contextlib.suppress(Exception):
                pickle.loads(gzip.decompress(stored) if "compressed" in place else stored)
            mark = Path(MARK)
            if mark.exists():
                mark.unlink()
            else:
                print(f"no mark: {name} {place}")  # noqa: T201  the report


# ---- what takes time or memory, or holds what is not to be held ---------------------------------


def long(opcode: bytes, width: int, claimed: int, content: bytes = b"abc") -> bytes:
    """Return something whose length is claimed."""
    return opcode + claimed.to_bytes(width, "little") + content


def laughs(levels: int) -> bytes:
    """Return lists of ten times the same list, level by level."""
    levels_up = [
        b"](" + bytes([ord("h"), n - 1] * 10) + b"e" + bytes([ord("q"), n]) + b"0"
        for n in range(1, levels + 1)
    ]
    return b"]q\x000" + b"".join(levels_up) + bytes([ord("h"), levels])


MIB: Final = 1024**2
LARGE_TEXT: Final = long(b"X", 4, MIB, b"y" * MIB) + b"q\x000"

PAYLOADS: Final[dict[str, bytes]] = {
    "a billion laughs": laughs(9),
    "as many as there are atoms": laughs(80),
    "a large text a hundred thousand times": LARGE_TEXT + b"](" + b"h\x00" * 100_000 + b"e",
    "nested lists": b"]" * 100_000 + b"a" * 99_999,
    "nested tuples": b")" + b"\x85" * 1_000_000,
    "nested dictionaries": (b"}" + text("a")) * 50_000 + b"N" + b"s" * 50_000,
    "nested calls": line("decimal", "Decimal") * 500 + b")" * 500 + b"R" * 500,
    "a list in itself": b"]q\x00h\x00a",
    "a dictionary in itself": b"}q\x00" + text("a") + b"h\x00s",
    "a tuple in itself": b"]q\x00h\x00\x85q\x01a0h\x01",
    "an object in its state": line("uuid", "UUID") + b")\x81q\x00}" + text("a") + b"h\x00sb",
    "a text of 4 GiB": long(b"X", 4, 2**32 - 1),
    "a text of 8 EiB": long(b"\x8d", 8, 2**63 - 1),
    "bytes of 8 EiB": long(b"\x8e", 8, 2**63 - 1),
    "a bytearray of 8 EiB": long(b"\x96", 8, 2**63 - 1),
    "a bytearray of 2 GiB by a call": call(named("builtins", "bytearray"), b"J\xff\xff\xff\x7f"),
    "a frame of 8 EiB": long(b"\x95", 8, 2**63 - 1, b"N"),
    "a set of a range": call(
        named("builtins", "set"), call(named("builtins", "range"), b"J\xff\xff\xff\x7f")
    ),
    "a number of a million digits": b"I" + b"9" * 1_000_000 + b"\n",
    "a long of a million digits": b"L" + b"9" * 1_000_000 + b"L\n",
    "an integer of a megabyte": long(b"\x8b", 4, MIB, b"\x7f" * MIB),
    "a decimal of a billion digits": call(named("decimal", "Decimal"), text("1E+999999999")),
    "a decimal in other digits": call(named("decimal", "Decimal"), text("1E+\u0669" + "_9" * 8)),
    "a zone that is a file": call(named("zoneinfo", "ZoneInfo"), text("../../../../dev/zero")),
    "a memo with four billion places": b"Nr\xff\xff\xff\xff",
    "a persistent id of protocol 0": b"Pname\n",
    "a persistent id": b"NQ",
    "an unknown extension code": b"\x84\xff\xff\xff\x7f",
    "an out-of-band buffer": b"\x97",
    "an array of objects": pickle.dumps(__import__("numpy").array([object], dtype=object), 5),
    "a dtype of objects": call(named("numpy", "dtype"), text("O8"), b"\x89", b"\x88"),
}
"""Each may stand where a record holds anything, and is refused there."""

STORED: Final[dict[str, bytes]] = {
    **{
        f"{name} {place}": PLACES[place](payload)
        for name, payload in PAYLOADS.items()
        for place in ("as the value", "in configured data")
    },
    "a billion laughs as a number": PROTO + dict_of((text("power_w"), laughs(9))) + b".",
    "a decimal as a number": PROTO
    + dict_of((text("count"), call(named("decimal", "Decimal"), text("1E+999999999"))))
    + b".",
    "a range as a text": PROTO
    + dict_of((text("note"), call(named("builtins", "range"), b"J\xff\xff\xff\x7f")))
    + b".",
    "4 GiB of gzip in members of 1 MiB": gzip.compress(bytes(MIB)) * 4096,
    "gzip that claims 4 GiB": gzip.compress(b"N.")[:-4] + b"\xff" * 4,
    "gzip in gzip": gzip.compress(gzip.compress(PROTO + b"}.")),
    "gzip of a bomb in gzip": gzip.compress(gzip.compress(bytes(MIB)) * 2048),
}
"""Stored values that cannot be read."""

MANY_NAMES: Final = (
    PROTO + LARGE_TEXT + b"0}(" + b"".join(text(str(n)) + b"h\x00" for n in range(10_000)) + b"u."
)
"""A dictionary of plain values that takes 10 GiB where each is copied."""
