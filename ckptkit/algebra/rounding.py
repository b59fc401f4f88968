"""Numbers as the bytes of a dtype, exactly as torch's ``.to(dtype)`` rounds them, without torch.

Slow, by Python's measure: whoever has torch lets torch do it (``cast.py``). Floats round to the
nearest, ties to even; what a 16-bit float is made of is rounded to 32 bits first, as in torch.
NaN stays NaN, infinity comes of what is too large.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Sequence

from ckptkit.errors import MigrationError, MissingExtraError
from ckptkit.types import DType

FLOATS = ("float16", "bfloat16", "float32", "float64")
_INTEGERS = {
    "bool": "B", "uint8": "B", "int8": "b", "uint16": "H", "int16": "h", "uint32": "I",
    "int32": "i", "uint64": "Q", "int64": "q",
}  # fmt: skip
_HALF_MAX = 65520.0  # from here on a number rounds to infinity in float16


def pack(value: object, dtype: DType, where: str) -> bytes:
    """The bytes of one number. Raises: MigrationError if the dtype cannot have it."""
    if isinstance(value, (int, float)) and dtype.name in _INTEGERS:
        number = int(value) if math.isfinite(value) else None
        bits, signed = 8 * dtype.nbytes, dtype.kind == "i"
        low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
        if number == value and low <= value < (2 if dtype.kind == "b" else high):
            return int(value).to_bytes(dtype.nbytes, "little", signed=signed)
    elif isinstance(value, (int, float, complex)) and dtype.kind == "c":
        value = complex(value)
        part = {"complex32": "float16", "complex64": "float32", "complex128": "float64"}
        return _floats([value.real, value.imag], part[dtype.name])
    elif isinstance(value, (int, float)):
        if dtype.name in FLOATS:
            return pack_floats([value], dtype, where)
        if value == 0 and dtype.name.startswith(("float8_e4", "float8_e5")):
            return bytes(dtype.nbytes)
    raise MigrationError(where, f"the value {value!r} for {dtype.name}", "a value of that dtype")


def pack_floats(values: Sequence[float], dtype: DType, where: str) -> bytes:
    """The bytes of floats. Raises: MigrationError for a dtype that is none of ``FLOATS``."""
    if dtype.name not in FLOATS:
        raise MigrationError(where, f"dtype {dtype.name}", f"one of {', '.join(FLOATS)}")
    return _floats(values, dtype.name)


def convert(data: bytes | bytearray, stored: DType, wanted: DType, where: str) -> bytes:
    """Cast elements. Raises: MissingExtraError for a pair of dtypes that needs torch."""
    if stored.name in FLOATS and wanted.name in FLOATS:
        return _floats(_read_floats(data, stored.name), wanted.name)
    if stored.name in _INTEGERS and wanted.name in _INTEGERS:
        return _integers(array(_INTEGERS[stored.name], _ordered(data, stored.nbytes)), wanted)
    raise MissingExtraError(
        where, f"casting {stored.name} to {wanted.name} needs torch", "torch",
        "install ckptkit[torch]",
    )  # fmt: skip


def _ordered(data: bytes | bytearray, nbytes: int) -> bytes:
    """Little-endian items in the order of this machine, and back."""
    if sys.byteorder == "little" or nbytes == 1:
        return bytes(data)
    swapped = bytearray(len(data))
    for place in range(nbytes):
        swapped[place::nbytes] = data[nbytes - 1 - place :: nbytes]
    return bytes(swapped)


def _read_floats(data: bytes | bytearray, name: str) -> Sequence[float]:
    if name == "float16":
        return struct.unpack(f"<{len(data) // 2}e", data)
    if name == "bfloat16":  # the upper half of a float32
        wide = bytearray(2 * len(data))
        wide[2::4], wide[3::4] = data[0::2], data[1::2]
        return array("f", _ordered(wide, 4))
    return array("f", _ordered(data, 4)) if name == "float32" else array("d", _ordered(data, 8))


def _floats(values: Sequence[float], name: str) -> bytes:
    if name == "float64":
        return _ordered(array("d", values).tobytes(), 8)
    single = array("f", values)
    if name == "float32":
        return _ordered(single.tobytes(), 4)
    if name == "float16":
        small = [_half(value) for value in single]
        return struct.pack(f"<{len(small)}e", *small)
    bits = array("I", single.tobytes())
    rounded = array("H", [_upper_half(word) for word in bits])
    return _ordered(rounded.tobytes(), 2)


def _half(value: float) -> float:
    """What float16 takes without complaint."""
    return math.copysign(math.inf, value) if abs(value) >= _HALF_MAX else value


def _upper_half(word: int) -> int:
    """A float32 as bfloat16, both as bits."""
    if word & 0x7FFFFFFF > 0x7F800000:
        return 0x7FC0  # NaN must not round to infinity
    return (word + 0x7FFF + ((word >> 16) & 1)) >> 16


def _integers(values: array[int], wanted: DType) -> bytes:
    """Wrap around, as C does; a bool is whether it is not zero."""
    if wanted.kind == "b":
        return bytes(value != 0 for value in values)
    mask = (1 << (8 * wanted.nbytes)) - 1
    unsigned = {1: "B", 2: "H", 4: "I", 8: "Q"}[wanted.nbytes]
    return _ordered(array(unsigned, [value & mask for value in values]).tobytes(), wanted.nbytes)
