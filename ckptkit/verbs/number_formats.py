"""Bytes of a dtype as numbers, summed up a chunk at a time, with numpy or without."""

from __future__ import annotations

import math
import struct
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

from ckptkit.types import DType


class Chunk(Protocol):
    """Figures of some elements. ``squares``: sum of squared distances from the mean."""

    n_finite: int
    n_nan: int
    n_inf: int
    n_zero: int
    low: float
    high: float
    mean: float
    squares: float

    def bin_counts(self, low: float, high: float, n_bins: int) -> Sequence[int]:
        """Count the finite elements in equal bins from ``low`` to ``high``."""


def reader_of(dtype: DType) -> Callable[[bytes], Chunk] | None:
    """The way to read contiguous little-endian bytes of a dtype; None if they are no numbers."""
    if dtype.kind == "x" or dtype.name in ("quint4x2", "quint2x4"):
        return None
    if find_spec("numpy") is not None:
        return partial(_numpy_chunk, dtype)
    if dtype.nbytes <= 2:
        return partial(_pattern_chunk, dtype)
    return partial(_array_chunk, dtype)


# -- small floating point formats by their bits ---------------------------------------------------


class _Format(NamedTuple):
    """A floating point format.

    ``special``: "ieee" (inf, NaN), "fn" (NaN only, all ones), "fnuz" (NaN is minus zero),
    "e8m0" (a power of two, no sign).
    """

    exponent_bits: int
    mantissa_bits: int
    bias: int
    special: str


# Source: OCP 8-bit floating point specification 1.0; the "fnuz" kinds: arXiv 2206.02915.
_FORMATS = {
    "float16": _Format(5, 10, 15, "ieee"),
    "bfloat16": _Format(8, 7, 127, "ieee"),
    "float8_e4m3fn": _Format(4, 3, 7, "fn"),
    "float8_e5m2": _Format(5, 2, 15, "ieee"),
    "float8_e4m3fnuz": _Format(4, 3, 8, "fnuz"),
    "float8_e5m2fnuz": _Format(5, 2, 16, "fnuz"),
    "float8_e8m0fnu": _Format(8, 0, 127, "e8m0"),
}


def decode_bits(name: str, bits: int) -> float:
    """The value of one element of a small floating point dtype from its bits."""
    form = _FORMATS[name]
    if form.special == "e8m0":
        return math.nan if bits == 0xFF else 2.0 ** (bits - form.bias)
    sign_bit = form.exponent_bits + form.mantissa_bits
    sign = -1.0 if bits >> sign_bit else 1.0
    if form.special == "fnuz" and bits == 1 << sign_bit:
        return math.nan
    exponent = (bits >> form.mantissa_bits) & ((1 << form.exponent_bits) - 1)
    mantissa = bits & ((1 << form.mantissa_bits) - 1)
    top = exponent == (1 << form.exponent_bits) - 1
    if form.special == "ieee" and top:
        return math.nan if mantissa else sign * math.inf
    if form.special == "fn" and top and mantissa == (1 << form.mantissa_bits) - 1:
        return math.nan
    scale = 2.0**-form.mantissa_bits
    if exponent == 0:
        return sign * mantissa * scale * 2.0 ** (1 - form.bias)
    return sign * (1 + mantissa * scale) * 2.0 ** (exponent - form.bias)


# -- without numpy --------------------------------------------------------------------------------


class _Weighted:
    """Figures of values that each occur a number of times."""

    def __init__(self, counts: dict[float, int], n_nan: int) -> None:
        finite = {value: n for value, n in counts.items() if math.isfinite(value)}
        self._finite = finite
        self.n_nan = n_nan
        self.n_inf = sum(n for value, n in counts.items() if math.isinf(value))
        self.n_zero = counts.get(0.0, 0)
        self.n_finite = n_finite = sum(finite.values())
        self.low, self.high = (min(finite), max(finite)) if finite else (0.0, 0.0)
        total = sum(value * n for value, n in finite.items())  # fsum raises where this is inf
        self.mean = mean = total / n_finite if n_finite else 0.0
        self.squares = sum((value - mean) * (value - mean) * n for value, n in finite.items())

    def bin_counts(self, low: float, high: float, n_bins: int) -> list[int]:
        bins = [0] * n_bins
        low, width, scale = _bin_scale(low, high)
        for value, n in self._finite.items():
            share = (value * scale - low) / width
            bins[min(max(int(share * n_bins), 0), n_bins - 1)] += n
        return bins


def _bin_scale(low: float, high: float) -> tuple[float, float, float]:
    """Low end, width and the factor that values need: halves, where the width overflows."""
    scale = 1.0 if math.isfinite(high - low) else 0.5
    return low * scale, (high * scale - low * scale) or 1.0, scale


def _pattern_chunk(dtype: DType, data: bytes) -> Chunk:
    """Count bit patterns, then read each pattern once."""
    code = "B" if dtype.nbytes == 1 else "H"
    counts: Counter[float] = Counter()
    n_nan = 0
    for bits, n in Counter(_little(code, data)).items():
        value = _pattern_value(dtype, bits)
        if value != value:  # noqa: PLR0124  NaN, the one value that differs from itself
            n_nan += n
        else:
            counts[value] += n
    return _Weighted(counts, n_nan)


def _pattern_value(dtype: DType, bits: int) -> float:
    if dtype.name in _FORMATS:
        return decode_bits(dtype.name, bits)
    if dtype.kind == "b":
        return float(bits != 0)
    signed = dtype.kind == "i" or dtype.name == "qint8"
    half = 1 << (8 * dtype.nbytes - 1)
    return float(bits - 2 * half if signed and bits >= half else bits)


_ARRAY_CODES = {
    "float32": "f", "float64": "d", "complex64": "f", "complex128": "d",
    "int32": "i", "int64": "q", "uint32": "I", "uint64": "Q", "qint32": "i",
}  # fmt: skip


def _array_chunk(dtype: DType, data: bytes) -> Chunk:
    numbers: Sequence[float]
    if dtype.name == "complex32":
        numbers = [item[0] for item in struct.iter_unpack("<e", data)]
    else:
        numbers = _little(_ARRAY_CODES[dtype.name], data)
    if dtype.kind == "c":
        numbers = list(map(math.hypot, numbers[::2], numbers[1::2]))
    n_nan = sum(map(math.isnan, numbers)) if dtype.kind in "fc" else 0
    counts = Counter(map(float, numbers))
    if n_nan:  # every NaN is a key of its own
        counts = Counter({value: n for value, n in counts.items() if not math.isnan(value)})
    return _Weighted(counts, n_nan)


def _little(code: str, data: bytes) -> array[Any]:
    import sys

    numbers: array[Any] = array(code)
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


# -- with numpy -----------------------------------------------------------------------------------


class _Numpy:
    """The same figures by numpy, in double precision."""

    def __init__(self, values: Any) -> None:
        import numpy as np

        finite_mask = np.isfinite(values)
        finite = self._finite = values[finite_mask] if not finite_mask.all() else values
        self.n_nan = int(np.isnan(values).sum())
        self.n_inf = int(values.size - finite.size - self.n_nan)
        self.n_zero = int((values == 0).sum())
        self.n_finite = int(finite.size)
        self.low = self.high = self.mean = self.squares = 0.0
        if finite.size:
            self.low, self.high = float(finite.min()), float(finite.max())
            with np.errstate(over="ignore", invalid="ignore"):
                self.mean = float(finite.mean())
                self.squares = float(np.square(finite - self.mean).sum())

    def bin_counts(self, low: float, high: float, n_bins: int) -> list[int]:
        import numpy as np

        low, width, scale = _bin_scale(low, high)
        share = (self._finite * scale - low) / width
        index = np.clip((share * n_bins).astype(np.int64), 0, n_bins - 1)
        counts: list[int] = np.bincount(index, minlength=n_bins).tolist()
        return counts


def _numpy_chunk(dtype: DType, data: bytes) -> Chunk:
    import numpy as np

    if dtype.name == "bfloat16":
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return _Numpy(bits.view(np.float32).astype(np.float64))
    if dtype.name.startswith("float8"):
        table = np.array([decode_bits(dtype.name, bits) for bits in range(256)])
        return _Numpy(table[np.frombuffer(data, np.uint8)])
    if dtype.name == "complex32":
        pairs = np.frombuffer(data, "<f2").astype(np.float64).reshape(-1, 2)
        return _Numpy(np.hypot(pairs[:, 0], pairs[:, 1]))
    name = dtype.name.removeprefix("q")
    values = np.frombuffer(data, np.dtype(name).newbyteorder("<"))
    if dtype.kind == "c":
        return _Numpy(np.abs(values.astype(np.complex128)))
    return _Numpy(values.astype(np.float64))
