"""Bytes of a dtype as numbers, summed up a chunk at a time, with numpy or without."""

from __future__ import annotations

import math
import struct
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import repeat
from operator import mul, sub, truediv
from typing import Any, Protocol

from ckptkit.types import DType
from ckptkit.verbs.small_floats import SMALL_FLOATS, decode_bits


class Chunk(Protocol):
    """Figures of some elements."""

    @property
    def n_finite(self) -> int:
        """Count the finite ones."""

    @property
    def n_nan(self) -> int:
        """Count the NaN."""

    @property
    def n_inf(self) -> int:
        """Count the infinities."""

    @property
    def n_zero(self) -> int:
        """Count the zeros of either sign."""

    @property
    def low(self) -> float:
        """The least finite one, or 0."""

    @property
    def high(self) -> float:
        """The greatest finite one, or 0."""

    @property
    def mean(self) -> float:
        """The mean of the finite ones, or 0."""

    @property
    def squares(self) -> float:
        """The sum of squared distances of the finite ones from their mean."""

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


class _Plain:
    """Figures of wide values, few of which are equal: C loops over a list, no dictionary.

    The figures that only the first of two passes asks for are made when they are asked for.
    """

    def __init__(self, numbers: list[float]) -> None:
        self.n_nan = self.n_inf = 0
        if not math.isfinite(sum(numbers)):  # NaN, Inf, or merely large ones
            finite = list(filter(math.isfinite, numbers))
            self.n_nan = sum(map(math.isnan, numbers))
            self.n_inf = len(numbers) - len(finite) - self.n_nan
            numbers = finite
        self._finite = numbers
        self.n_finite = len(numbers)

    @property
    def n_zero(self) -> int:
        return self._finite.count(0.0)

    @property
    def low(self) -> float:
        return float(min(self._finite, default=0.0))

    @property
    def high(self) -> float:
        return float(max(self._finite, default=0.0))

    @property
    def mean(self) -> float:
        return sum(self._finite) / self.n_finite if self._finite else 0.0

    @property
    def squares(self) -> float:
        distances = list(map(sub, self._finite, repeat(self.mean)))
        return float(sum(map(mul, distances, distances)))

    def bin_counts(self, low: float, high: float, n_bins: int) -> list[int]:
        low, width, scale = _bin_scale(low, high)
        numbers = self._finite if scale == 1.0 else [value * scale for value in self._finite]
        shares = map(truediv, map(sub, numbers, repeat(low)), repeat(width))
        bins = [0] * n_bins
        for index, n in Counter(map(int, map(mul, shares, repeat(n_bins)))).items():
            bins[min(max(index, 0), n_bins - 1)] += n
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
    if dtype.name in SMALL_FLOATS:
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


_SAMPLE = 65_536  # elements that show whether most are equal


def _array_chunk(dtype: DType, data: bytes) -> Chunk:
    numbers: Sequence[float]
    if dtype.name == "complex32":
        numbers = [item[0] for item in struct.iter_unpack("<e", data)]
    else:
        numbers = _little(_ARRAY_CODES[dtype.name], data)
    if dtype.kind == "c":
        numbers = list(map(math.hypot, numbers[::2], numbers[1::2]))
    sample = numbers[:_SAMPLE]
    if 4 * len(set(sample)) <= len(sample):
        return _counted(numbers)
    if isinstance(numbers, array):
        numbers = numbers.tolist() if numbers.typecode in "fd" else list(map(float, numbers))
    return _Plain(list(numbers))


def _counted(numbers: Sequence[float]) -> _Weighted:
    """Count equal values first: many times faster for masks, steps and constants."""
    counts: dict[float, int] = Counter(map(float, numbers))
    n_nan = sum(n for value, n in counts.items() if math.isnan(value))  # each a key of its own
    return _Weighted({value: n for value, n in counts.items() if not math.isnan(value)}, n_nan)


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
