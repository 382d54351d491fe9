"""Makes pickles: of values, of opcodes in any order, and damaged ones."""

from __future__ import annotations

import datetime
import decimal
import pickle
import pickletools
import random
import struct
import uuid
import zoneinfo
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pendulum
from pendulum.tz.timezone import FixedTimezone
from pydantic_extra_types.pendulum_dt import DateTime

GOLDEN: Final = Path(__file__).parent / "golden" / "pickle"

BERLIN: Final = pendulum.timezone("Europe/Berlin")

LONGEST: Final = 4096

EDGES: Final = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
)

NUMPY_KINDS: Final = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")

PIECES: Final = (
    b"K\x01", b"J\xff\xff\xff\xff", b"G\x7f\xf8\0\0\0\0\0\0", b"h\0", b"h\x01", b"q\0", b"p1\n",
    b"g0\n", b"I01\n", b"I-7\n", b"I007\n", b"L12345678901234567890L\n", b"F-inf\n", b"F1e400\n",
    b"V\\u20ac\\\\u20ac\n", b"S'a\\n\\x41'\n", b"\x8a\x09\0\0\0\0\0\0\0\0\x01", b"\x8a\0",
    b"\x8c\x01a",
    b"C\x01a", b"(K\x01", b")R", b"}b", b"2\x86", b"20", b"(0", b"(e", b"\x80\x02", b"\x80\x05",
    b"cbuiltins\nset\n", b"c__builtin__\nset\n](K\x01K\x02e\x85R", b"c_codecs\nencode\n",
    b"cuuid\nUUID\n)\x81", b"ccollections\nOrderedDict\n)R", b"cdecimal\nDecimal\n\x8c\x031.5\x85R",
    b"cbuiltins\nrange\nK\x02\x85R", b"cdatetime\ntimedelta\nK\x01\x85R", b"cos\nsystem\n",
)  # fmt: skip


class Maker:
    """Makes the pickle of a case; the same seed and case make the same pickle."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.golden = [path.read_bytes() for path in sorted(GOLDEN.glob("*.pickle"))]
        self.random = random.Random(seed)

    def make(self, case: int) -> bytes:
        self.random.seed(self.seed * 1_000_003 + case)
        choice = self.random.randrange(8)
        if choice == 0:
            return bytes(self.mutated(self.opcodes()))
        if choice < 3:
            return bytes(self.mutated(bytearray(self.random.choice(self.golden))))
        data = bytearray(pickle.dumps(self.value(4, []), self.random.randrange(6)))
        return bytes(data if choice == 3 else self.mutated(data))

    # Values.

    def scalar(self) -> Any:
        pick = self.random
        number = pick.getrandbits(pick.choice((1, 8, 16, 31, 32, 63, 64, 200)))
        return pick.choice((
            None,
            pick.random() < 0.5,
            number,
            -number,
            struct.unpack("<d", pick.randbytes(8))[0],
            pick.choice((0.0, -0.0, float("inf"), float("nan"), 310.5)),
            pick.choice(("", "a", "zwölf €\n\\ 𝛑", "power_w", "b" * 300, "\x00'\"\x7f\x85")),
            pick.randbytes(pick.randrange(12)),
        ))  # fmt: skip

    def instant(self) -> Any:
        pick = self.random
        hours = pick.randrange(-23, 24)
        zone = pick.choice((
            None,
            datetime.UTC,
            BERLIN,
            pendulum.UTC,
            zoneinfo.ZoneInfo("Europe/Berlin"),
            FixedTimezone(hours * 3600),
            datetime.timezone(datetime.timedelta(hours=hours)),
            datetime.timezone(datetime.timedelta(hours=hours), "boat"),
        ))  # fmt: skip
        kind = pick.choice((datetime.datetime, pendulum.DateTime, DateTime))
        parts = (pick.randrange(1, 10_000), pick.randrange(1, 13), pick.randrange(1, 29))
        wall = (pick.randrange(24), pick.randrange(60), pick.randrange(60))
        microsecond = pick.choice((0, 1, 999_999))
        return kind(*parts, *wall, microsecond, tzinfo=zone, fold=pick.randrange(2))

    def special(self) -> Any:
        pick = self.random
        number = pick.randrange(-1000, 1000)
        numpy_kind = pick.choice(NUMPY_KINDS)
        makers = (
            self.instant,
            self.instant,
            lambda: decimal.Decimal(number) / 8,
            lambda: uuid.UUID(int=abs(number)),
            lambda: complex(number, 0.5),
            lambda: range(number),
            lambda: slice(number, None, 2),
            lambda: bytearray(b"abc"),
            lambda: np.dtype(numpy_kind).type(abs(number) % 100),
            lambda: datetime.date(2024, 2, 29),
            lambda: datetime.time(12, 30, fold=1),
            lambda: datetime.timedelta(seconds=number),
            lambda: pendulum.duration(days=number, hours=2),
            lambda: pendulum.datetime(2024, 1, 2) - pendulum.datetime(2024, 1, 1),
            lambda: pendulum.date(2024, 1, 1),
            lambda: pendulum.time(12),
        )
        return pick.choice(makers)()

    def value(self, depth: int, shared: list[Any]) -> Any:
        pick = self.random
        if shared and pick.random() < 0.1:
            return pick.choice(shared)
        if depth == 0 or pick.random() < 0.3:
            made = self.special() if pick.random() < 0.4 else self.scalar()
        else:
            values = [self.value(depth - 1, shared) for _ in range(pick.randrange(5))]
            made = self.container(values)
        if pick.random() < 0.3:
            shared.append(made)
        return made

    def container(self, values: list[Any]) -> Any:
        pick = self.random
        match pick.randrange(6):
            case 0 | 1:
                return values
            case 2:
                return tuple(values)
            case 3:
                return {f"key {number}": value for number, value in enumerate(values)}
            case 4:
                return OrderedDict((self.scalar(), value) for value in values)
            case _:
                elements = {self.scalar() for _ in values}
                return elements if pick.random() < 0.5 else frozenset(elements)

    # Opcodes.

    def opcodes(self) -> bytearray:
        data = bytearray(b"\x80" + bytes([self.random.randrange(6)]))
        for _ in range(self.random.randrange(25)):
            if self.random.random() < 0.3:
                data += self.random.choice(PIECES)
            else:
                data += self.opcode(self.random.choice(pickletools.opcodes))
        return data + b"."

    def opcode(self, opcode: pickletools.OpcodeInfo) -> bytes:
        pick = self.random
        code = opcode.code.encode("latin-1")
        if opcode.arg is None:
            return code if opcode.name != "STOP" else b""
        if opcode.arg.n >= 0:
            return code + pick.choice((b"\0" * opcode.arg.n, pick.randbytes(opcode.arg.n)))
        text = pick.choice((b"1", b"a", b"\xc3\xa4", b"-12", b"1.5", b"'a'", b"abc"))
        match opcode.arg.n:
            case pickletools.UP_TO_NEWLINE:
                return code + text + b"\n" * (2 if opcode.name in ("GLOBAL", "INST") else 1)
            case pickletools.TAKEN_FROM_ARGUMENT1:
                return code + bytes([len(text)]) + text
            case pickletools.TAKEN_FROM_ARGUMENT8U:
                return code + struct.pack("<Q", len(text)) + text
            case _:
                return code + struct.pack("<I", len(text)) + text

    # Damage.

    def mutated(self, data: bytearray) -> bytearray:
        for _ in range(self.random.choice((1, 1, 1, 2, 3, 5))):
            self.change(data)
        return data[:LONGEST]

    def change(self, data: bytearray) -> None:
        pick = self.random
        at = pick.randrange(len(data) + 1)
        end = min(len(data), at + pick.choice((1, 2, 4, 16, 200)))
        match pick.randrange(10):
            case 0:
                data[at : at + 1] = bytes(b ^ (1 << pick.randrange(8)) for b in data[at : at + 1])
            case 1:
                data[at : at + 1] = pick.randbytes(1)
            case 2 | 3:
                data[at:at] = pick.choice(PIECES)
            case 4:
                data[at:at] = self.opcode(pick.choice(pickletools.opcodes))
            case 5:
                del data[at:end]
            case 6:
                data[at:at] = data[at:end] * pick.choice((1, 2, 20))
            case 7:
                del data[at:]
                other = pick.choice(self.golden)
                data += other[pick.randrange(len(other)) :]
            case 8:
                width = pick.choice((1, 2, 4, 8))
                data[at : at + width] = (pick.choice(EDGES) % 256**width).to_bytes(width, "little")
            case _:
                data[at : at + 1] = pick.choice(pickletools.opcodes).code.encode("latin-1")
