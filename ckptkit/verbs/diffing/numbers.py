"""Bytes of any dtype as numbers, for pairs of tensors: with numpy, or exactly without it.

numpy's values are float64 arrays, or integer ones for integers of 64 bits; the others are lists
of Python's own numbers. A complex element is two numbers.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

from ckptkit.types import DType
from ckptkit.verbs.small_floats import SMALL_FLOATS, decode_bits

_CODES = {
    "bool": "B", "uint8": "B", "int8": "b", "uint16": "H", "int16": "h", "uint32": "I",
    "int32": "i", "uint64": "Q", "int64": "q", "float32": "f", "float64": "d", "complex64": "f",
    "complex128": "d", "qint8": "b", "quint8": "B", "qint32": "i",
}  # fmt: skip


def values_of(dtype: DType) -> Callable[[bytes], Any] | None:
    """The way to read contiguous little-endian bytes of ``dtype``; None if they are no numbers."""
    if dtype.name not in _CODES and dtype.name not in SMALL_FLOATS and dtype.name != "complex32":
        return None
    return partial(_arrays if has_numpy() else _lists, dtype)


@cache
def has_numpy() -> bool:
    """Whether numpy is installed; it is exact, and a hundred times as fast."""
    return find_spec("numpy") is not None


def _lists(dtype: DType, data: bytes) -> Sequence[float]:
    if dtype.name in ("float16", "complex32"):
        return [item[0] for item in struct.iter_unpack("<e", data)]
    if dtype.name in SMALL_FLOATS:
        table = _table(dtype.name, dtype.nbytes)
        return [table[bits] for bits in _little("B" if dtype.nbytes == 1 else "H", data)]
    numbers = _little(_CODES[dtype.name], data)
    return [float(n != 0) for n in numbers] if dtype.kind == "b" else numbers.tolist()


def _little(code: str, data: bytes) -> array[Any]:
    numbers: array[Any] = array(code)
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


@cache
def _table(name: str, nbytes: int) -> list[float]:
    """The value of every pattern of a narrow format."""
    return [decode_bits(name, bits) for bits in range(1 << (8 * nbytes))]


def _arrays(dtype: DType, data: bytes) -> Any:
    import numpy as np

    with np.errstate(invalid="ignore"):  # a signalling NaN, which only has to stay a NaN
        return _widened(dtype, data)


def _widened(dtype: DType, data: bytes) -> Any:
    import numpy as np

    if dtype.name == "bfloat16":
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).astype(np.float64)
    if dtype.name in ("float16", "complex32"):
        return np.frombuffer(data, "<f2").astype(np.float64)
    if dtype.name in SMALL_FLOATS:
        return np.array(_table(dtype.name, 1))[np.frombuffer(data, np.uint8)]
    code = _CODES[dtype.name]
    kind = "f" if code in "fd" else "u" if code.isupper() else "i"
    values = np.frombuffer(data, np.dtype(f"<{kind}{array(code).itemsize}"))
    if dtype.kind == "b":
        return (values != 0).astype(np.float64)
    return values if kind != "f" and values.itemsize == 8 else values.astype(np.float64)
