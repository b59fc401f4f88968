"""The words of the flat form: codes, kinds, and how text that is no UTF-8 is written.

Source: docs/format.md section "Tokens".
"""

from __future__ import annotations

from typing import Any

# First element of every token that is an array. A released number never changes its meaning.
REF, MAP, SEQ, RECORD, ATOM, NAME, TENSOR, BLOB, TEXT, INTEGER, COMPLEX = range(11)

MAP_KINDS = ("dict", "OrderedDict", "defaultdict", "Counter")
SEQ_KINDS = ("list", "tuple", "set", "frozenset", "deque", "torch.Size")
HOWS = ("call", "new", "persistent", "extension")
FLAVOURS = ("tensor", "parameter", "ndarray", "meta", "blob")
RULES = {"coo": 0, "compressed": 2, "plain": 1}  # name: limits that it needs at least

HAS_ATTRS = 1  # of MAP and SEQ: a MAP with the attributes follows the children
HAS_FACTORY = 2  # of MAP: a defaultdict's factory comes before the attributes
HAS_KWARGS = 1  # of RECORD
HAS_ENTRIES = 2

MIN_INT, MAX_INT = -(2**63), 2**64 - 1  # what a msgpack integer can be


def pack_text(text: str) -> str | bytes:
    """Return ``text`` itself, or its bytes where it holds a lone surrogate, which no UTF-8 has."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def parse_text(packed: Any) -> str:
    """Undo ``pack_text``. Raises: ValueError for anything that it does not make."""
    if type(packed) is str:
        return packed
    if type(packed) is not bytes:
        raise ValueError(f"a {type(packed).__name__} where text belongs")
    text = packed.decode("utf-8", "surrogatepass")
    if type(pack_text(text)) is str:
        raise ValueError("text as bytes although it is plain UTF-8")
    return text


def pack_integer(value: int) -> bytes:
    """Write an integer beyond 64 bits as the shortest big-endian two's complement."""
    return value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True)


def parse_integer(packed: Any) -> int:
    """Undo ``pack_integer``. Raises: ValueError for a small or a padded integer."""
    if type(packed) is not bytes:
        raise ValueError(f"a {type(packed).__name__} where the bytes of an integer belong")
    value = int.from_bytes(packed, "big", signed=True)
    if MIN_INT <= value <= MAX_INT or len(packed) != (value.bit_length() + 8) // 8:
        raise ValueError("an integer token for an integer that is not one")
    return value
