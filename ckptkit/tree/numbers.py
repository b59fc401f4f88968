"""The numbers that leaves store, whatever clothes they wear: plain, numpy's, or as text."""

from __future__ import annotations

import math
import struct

from ckptkit.nodes import Atom, Node

#: Beyond this nothing is counted. Longer integers are data, and cost quadratic time to print.
MAX_COUNT = 1 << 64
_MAX_DIGITS = 18
_CODES = {
    "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
}  # fmt: skip


def number_of(node: Node) -> int | float | None:
    """The finite real number of a plain leaf or of a numpy scalar; None where there is none.

    A bool is no number here, and neither is an integer beyond MAX_COUNT. Reads no tensor.
    """
    value = _scalar(node) if type(node) is Atom else node
    if type(value) is int:
        return value if -MAX_COUNT < value < MAX_COUNT else None
    if type(value) is float:
        return value if math.isfinite(value) else None
    return None


def count_of(node: Node) -> int | float | None:
    """The same for what counts epochs, steps or samples: digits count, and 5.0 is 5."""
    if type(node) is str and len(node) <= _MAX_DIGITS and node.isascii() and node.isdigit():
        return int(node)
    value = number_of(node)
    if type(value) is float and value.is_integer() and abs(value) < MAX_COUNT:
        return int(value)
    return value


def _scalar(atom: Atom) -> Node:
    if atom.kind != "numpy.scalar" or len(atom.args) != 2:
        return None
    text, content = atom.args
    if type(text) is not str or type(content) is not bytes:
        return None
    code = _CODES.get(text.lstrip("<>|=")) if len(text) <= 3 else None
    if code is None or len(content) != struct.calcsize(f"<{code}"):
        return None
    return struct.unpack(f"{'>' if text[0] == '>' else '<'}{code}", content)[0]
