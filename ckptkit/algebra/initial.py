"""First values: the bytes of a tensor that nobody stored, the same on every machine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ckptkit.algebra.blocks import BLOCK_NBYTES, BlockedBytes
from ckptkit.algebra.rounding import pack, pack_floats
from ckptkit.containers.bytesource import check_span
from ckptkit.errors import MigrationError
from ckptkit.nodes import ByteSource
from ckptkit.types import DType

_WORDS = 12  # uniform 16-bit words that are summed for one normal number: variance 1
_MEAN = _WORDS * 65535 / 2
_RUN = 4096  # elements of one stream of random bytes


@dataclass(frozen=True, slots=True)
class Eye:
    """Ones on the diagonal of a matrix, zeros elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Normal:
    """About normally distributed numbers that depend on ``seed`` and their place alone.

    Each is the sum of twelve uniform ones, so that no machine's logarithm has a say; none is
    further than six deviations from the mean.
    """

    seed: int
    mean: float = 0.0
    std: float = 0.02


#: A number for every element, or one of the above.
Initial: TypeAlias = complex | float | Eye | Normal


def source_of(value: Initial, dtype: DType, shape: tuple[int, ...], where: str) -> ByteSource:
    """The bytes of a new tensor. Raises: MigrationError for a value that it cannot have."""
    nbytes = math.prod(shape) * dtype.nbytes
    if isinstance(value, Eye):
        if len(shape) != 2:
            raise MigrationError(where, f"shape {list(shape)}", "two axes for a diagonal")
        zero, one = pack(0, dtype, where), pack(1, dtype, where)
        return BlockedBytes(nbytes, dtype.nbytes, _diagonal(zero, one, shape[1]))
    if isinstance(value, Normal):
        pack_floats([value.mean], dtype, where)  # refuse an integer dtype now, not when it is read
        return BlockedBytes(nbytes, dtype.nbytes * _RUN, _normal(value, dtype))
    return ConstantBytes(pack(value, dtype, where), nbytes)


class ConstantBytes:
    """One element again and again."""

    __slots__ = ("_item", "nbytes")

    def __init__(self, item: bytes, nbytes: int) -> None:
        self._item, self.nbytes = item, nbytes

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes from ``offset`` on."""
        check_span("a constant", offset, out.nbytes, self.nbytes)
        out, size = out.cast("B"), len(self._item)
        run = self._item * (min(out.nbytes, BLOCK_NBYTES) // size + 2)
        width = (len(run) // size - 1) * size
        skip = offset % size
        for start in range(0, out.nbytes, width):
            count = min(width, out.nbytes - start)
            out[start : start + count] = run[skip : skip + count]


def _diagonal(zero: bytes, one: bytes, columns: int) -> Callable[[int, int], bytearray]:
    def make(offset: int, nbytes: int) -> bytearray:
        size = len(zero)
        first, count = offset // size, nbytes // size
        block = bytearray(zero * count)
        step = columns + 1
        for index in range(-first % step, count, step):
            if first + index < columns * columns:  # below a square there are zeros alone
                block[index * size : (index + 1) * size] = one
        return block

    return make


def _normal(value: Normal, dtype: DType) -> Callable[[int, int], bytes]:
    def make(offset: int, nbytes: int) -> bytes:
        first, count = offset // dtype.nbytes, nbytes // dtype.nbytes
        numbers: list[float] = []
        for run in range(first // _RUN, -(-(first + count) // _RUN)):
            numbers += _run(value.seed, run)
        scaled = [value.mean + value.std * number for number in numbers[:count]]
        return pack_floats(scaled, dtype, "normal numbers")

    return make


def _run(seed: int, run: int) -> list[float]:
    from hashlib import shake_128
    from struct import unpack

    words = _RUN * _WORDS
    data = shake_128(f"ckptkit normal {seed} {run}".encode()).digest(2 * words)
    numbers = unpack(f"<{words}H", data)
    return [(sum(group) - _MEAN) / 65536 for group in zip(*[iter(numbers)] * _WORDS, strict=True)]
