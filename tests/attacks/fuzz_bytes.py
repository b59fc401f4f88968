"""The smallest breakages: of bytes and of numbers. All draw from one Random: replayable."""

from __future__ import annotations

import random
import struct
from typing import Any

INTEGERS = (
    0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 127, 128, 255, 256, 65535, 65536, -1, -2, -8, -128, 2**31 - 1, 2**31, -(2**31),
    2**32 - 1, 2**32, 2**61 - 1, 2**62, 2**63 - 1, 2**63, -(2**63), 2**64 - 1, 2**64, 2**70,
)  # fmt: skip
JUNK: tuple[Any, ...] = (
    None,
    True,
    "",
    "x",
    "\x1b[2J",
    [],
    {},
    [[]],
    1.5,
    -0.0,
    {"a": []},
    "F32",
    [0],
    [1, 2, 3],
)
FORMATS = ("<B", "<H", "<I", "<Q", "<i", "<q", ">I", ">Q")

Dice = random.Random
Files = dict[str, bytes]  # one file has the name ""


def bump(dice: Dice, data: bytes) -> bytes:
    """Break some bytes."""
    if not data:
        return dice.randbytes(4)
    out = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 4, 16))):
        at = dice.randrange(len(out))
        what = dice.randrange(6)
        if what == 0:
            out[at] ^= 1 << dice.randrange(8)
        elif what == 1:
            out[at] = dice.randrange(256)
        elif what == 2:
            fmt = dice.choice(FORMATS)
            raw = struct.pack(
                fmt,
                dice.choice(INTEGERS) % (1 << 8 * struct.calcsize(fmt))
                if fmt[1].isupper()
                else dice.choice((0, -1, 1, 100)),
            )
            out[at : at + len(raw)] = raw
        elif what == 3:
            del out[at : at + dice.choice((1, 2, 4, 8, 64))]
        elif what == 4:
            out[at:at] = dice.randbytes(dice.choice((1, 2, 4, 8)))
        else:
            start = dice.randrange(len(out))
            out[at:at] = out[start : start + dice.choice((1, 4, 16, 128))]
        if not out:
            return b""
    return bytes(out)
