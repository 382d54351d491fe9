"""Pickles that nobody wrote are read as Python reads them, or not at all."""

from __future__ import annotations

import decimal
import json
import os
import pickle
import subprocess
import sys
import uuid
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pendulum
import pytest
from pickle_oracle import compare
from support import WITH_TESTS

import eosdb
from eosdb import _core

ORACLE: Final = Path(__file__).with_name("pickle_oracle.py")

SEED: Final = int(os.environ.get("EOSDB_FUZZ_SEED", "1"))

FOUND: Final[dict[str, bytes]] = {
    "octal digits": b"I010\n.",
    "a truth value with a sign": b"I+1\n.",
    "a leading zero": b"L010L\n.",
    "a float that is too large": b"F1e999\n.",
    "a backslash before a backslash": b"V\\\\u0041\n.",
    "a state unlike the arguments": (
        b"cpendulum.datetime\nDateTime\n(M\xe8\x07K\x01K\x01K\0K\0K\0K\0"
        b"cpendulum.tz.timezone\nFixedTimezone\nM\x10\x0e\x8c\x01a\x86R}(\x8c\x05_nameN"
        b"\x8c\x07_offsetK\0\x8c\x0a_utcoffsetcdatetime\ntimedelta\nK\0K\0K\0\x87RubtR."
    ),
    "a frame that ends within an opcode": (
        b"\x80\x05\x95\4\0\0\0\0\0\0\0(\x91cdecimal\nDecimal\n\x8c\x031.5\x85R."
    ),
}

TEXT: Final = b"X" + (9_000).to_bytes(4, "little") + b"1" * 9_000 + b"q\x01"
MANY: Final = b"](" + b"K\0" * 9_000 + b"eq\x01"
PAIRS: Final = (
    b"}(" + b"".join(b"M" + n.to_bytes(2, "little") + b"N" for n in range(9_000)) + b"uq\x01"
)
CALLED: Final = b"h\0h\x01\x85R0" * 9_000 + b"."
# Each level doubles what hashing the tuple takes, and adds two bytes.
DOUBLING: Final = b")" + b"2\x86" * 20

DEAR: Final[dict[str, bytes]] = {
    "a tuple of tuples as a key": b"}" + DOUBLING + b"Ns.",
    "a tuple of tuples as one of several keys": b"}(" + DOUBLING + b"Nu.",
    "a tuple of tuples as a key of a dictionary made at once": b"(" + DOUBLING + b"Nd.",
    "a tuple of tuples in a set": b"\x8f(" + DOUBLING + b"\x90.",
    "a tuple of tuples in a frozen set": b"(" + DOUBLING + b"\x91.",
    "a tuple of tuples in a list for a set": b"cbuiltins\nset\n]" + DOUBLING + b"a\x85R.",
    "a tuple of tuples as a key of an ordered dictionary": (
        b"ccollections\nOrderedDict\n)R" + DOUBLING + b"Ns."
    ),
    "a slice of tuples as a key": b"}cbuiltins\nslice\n" + DOUBLING + b"NN\x87RNs.",
    "a long tuple as a key again and again": (
        b"(" + b"K\0" * 9_000 + b"tq\x01" + b"}h\x01Ns0" * 9_000 + b"."
    ),
    "a long number as a key again and again": (
        b"cdecimal\nDecimal\n" + TEXT + b"\x85Rq\x01" + b"}h\x01Ns0" * 9_000 + b"."
    ),
    "bytes again and again": (
        b"c_codecs\nencode\nq\0X\x06\0\0\0latin1q\x02" + TEXT
        + b"h\0h\x01h\x02\x86R0" * 9_000 + b"."
    ),
    "a bytearray again and again": b"cbuiltins\nbytearray\nq\0B" + TEXT[1:] + CALLED,
    "a set again and again": b"cbuiltins\nset\nq\0" + MANY + CALLED,
    "a frozen set again and again": b"cbuiltins\nfrozenset\nq\0" + MANY + CALLED,
    "an ordered dictionary again and again": b"ccollections\nOrderedDict\nq\0" + PAIRS + CALLED,
    "a decimal number again and again": b"cdecimal\nDecimal\nq\0" + TEXT + CALLED,
    "keywords again and again": (
        b"cdecimal\nDecimal\nq\0}X\x05\0\0\0value" + TEXT
        + b"sq\x01" + b"h\0)h\x01\x920" * 9_000 + b"."
    ),
    "a state again and again": (
        b"cpendulum.duration\nDuration\nq\0" + PAIRS + b"h\0)\x81h\x01b0" * 9_000 + b"."
    ),
}  # fmt: skip


def run(seed: int, cases: int, folder: Path) -> dict[str, Any]:
    """Compare pickles in a process of its own; return how often what came of it."""
    under_way = folder / "under-way"
    arguments = ["--seed", str(seed), "--cases", str(cases), "--under-way", str(under_way)]
    result = subprocess.run(  # noqa: S603  our own program
        [sys.executable, ORACLE, *arguments],
        env=WITH_TESTS,
        capture_output=True,
        text=True,
        check=False,
    )
    last = under_way.read_text(errors="replace").rstrip("\0 ") if under_way.exists() else ""
    assert result.returncode == 0, f"ended at {last}\n{result.stderr[-2000:]}"
    found = json.loads(result.stdout)
    assert not found["differences"], "\n\n".join(found["differences"])
    outcomes: dict[str, Any] = found["outcomes"]
    assert sum(outcomes.values()) == cases
    return outcomes


def test_python_reads_the_same(tmp_path: Path) -> None:
    outcomes = run(SEED, 8_000, tmp_path)
    # Both sides are met often enough to say anything.
    assert outcomes["read"] > 1_000
    assert outcomes["damaged"] > 1_000
    assert outcomes["refused"] > 100


@pytest.mark.soak
def test_python_reads_the_same_for_long(tmp_path: Path) -> None:
    cases = int(os.environ.get("EOSDB_FUZZ_CASES", "400000"))
    run(SEED + 1, cases, tmp_path)


@pytest.mark.parametrize("case", FOUND)
def test_what_was_found(case: str) -> None:
    _, difference = compare(FOUND[case])
    assert difference is None


@pytest.mark.parametrize("case", DEAR)
def test_what_would_take_forever_or_all_memory_is_refused(case: str) -> None:
    with pytest.raises(eosdb.DamagedRecordError, match="over and over"):
        _core.unpickle(b"\x80\x04" + DEAR[case])


WORDS: Final = [f"a rather long name of a sensor, number {number}" for number in range(20)]
ZONE: Final = "America/Argentina/ComodRivadavia"
NOON: Final = pendulum.datetime(2026, 1, 1, 12, tz=ZONE)

SHARED: Final[dict[str, Callable[[], Any]]] = {
    "an instant as a key": lambda: [{NOON: 1.5} for _ in range(300)],
    "a tuple as a key": lambda: [{("power_w", 3, NOON): None} for _ in range(300)],
    "a number as a key": lambda: [{decimal.Decimal("0.1"): None} for _ in range(300)],
    "an identifier as a key": lambda: [{uuid.UUID(int=7): None} for _ in range(300)],
    "a set as a key": lambda: [{frozenset(WORDS): None} for _ in range(300)],
    "words of sets": lambda: [set(WORDS) for _ in range(300)],
    "words of frozen sets": lambda: [frozenset(WORDS) for _ in range(300)],
    "words of ordered dictionaries": lambda: [OrderedDict.fromkeys(WORDS) for _ in range(300)],
    "a zone": lambda: [NOON.add(hours=hour) for hour in range(300)],
    "the ends of intervals": lambda: [pendulum.interval(NOON, NOON) for _ in range(300)],
    "the bytes of arrays": lambda: [bytearray(b"a") for _ in range(300)],
    "a NumPy type": lambda: [np.float64(number) for number in range(300)],
    "all the words there are": lambda: dict(zip(WORDS, [WORDS, tuple(WORDS)] * 10, strict=True)),
}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("case", SHARED)
def test_what_python_shares_is_read(case: str, protocol: int) -> None:
    value = SHARED[case]()
    assert _core.unpickle(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("code", ["S8", "V8", "O", "U1", "i4,i4"])
def test_a_dtype_of_anything_but_numbers_is_refused(code: str) -> None:
    text = b"\x8c" + bytes([len(code)]) + code.encode()
    state = b"(K\x03\x8c\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    with pytest.raises(eosdb.DamagedRecordError, match="refused"):
        _core.unpickle(b"\x80\x04cnumpy\ndtype\n" + text + b"\x89\x88\x87R" + state + b".")
