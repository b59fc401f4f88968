"""Several tensors side by side along any axis, as one run of bytes."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from ckptkit.algebra.blocks import BlockedBytes
from ckptkit.containers.bytesource import check_span
from ckptkit.containers.strided import FORMATS, Axis, copy_items
from ckptkit.nodes import ByteSource

_LONG_ROW_NBYTES = 64 << 10  # a row this long is worth a read for each of its pieces


def joined(sources: Sequence[ByteSource], rows: int) -> ByteSource:
    """Interleave ``sources`` row by row: each has ``rows`` rows, of a length of its own.

    Along axis 0 there is one row, and the result is one source after the other.
    """
    parts = [source for source in sources if source.nbytes]
    if len(parts) == 1:
        return parts[0]
    lengths = [source.nbytes // rows for source in parts]
    row_nbytes = sum(lengths)
    if rows <= 1 or row_nbytes >= _LONG_ROW_NBYTES:
        return _LongRows(parts, lengths, rows)
    rule = _ShortRows(parts, lengths)
    return BlockedBytes(rows * row_nbytes, row_nbytes, rule.make)


class _LongRows:
    """Reads go straight to the source whose piece it is."""

    __slots__ = ("_lengths", "_sources", "_starts", "nbytes")

    def __init__(self, sources: Sequence[ByteSource], lengths: Sequence[int], rows: int) -> None:
        self._sources, self._lengths = sources, lengths
        self._starts = [0, *accumulate(lengths)]
        self.nbytes = rows * self._starts[-1]

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes from ``offset`` on."""
        check_span("a computed tensor", offset, out.nbytes, self.nbytes)
        out, done = out.cast("B"), 0
        while done < out.nbytes:
            row, within = divmod(offset + done, self._starts[-1])
            part = bisect_right(self._starts, within) - 1
            skip = within - self._starts[part]
            count = min(self._lengths[part] - skip, out.nbytes - done)
            place = row * self._lengths[part] + skip
            self._sources[part].read_into(place, out[done : done + count])
            done += count


class _ShortRows:
    """Many rows of each source are read at once and spread over a block."""

    def __init__(self, sources: Sequence[ByteSource], lengths: Sequence[int]) -> None:
        self._sources, self._lengths = sources, lengths
        self._item = math.gcd(8, *lengths)

    def make(self, offset: int, nbytes: int) -> bytearray:
        """The block of whole rows at ``offset``."""
        width = sum(self._lengths)
        first, rows = offset // width, nbytes // width
        block = bytearray(nbytes)
        target = memoryview(block).cast(FORMATS[self._item])
        place = 0
        for source, length in zip(self._sources, self._lengths, strict=True):
            piece = memoryview(bytearray(rows * length))
            source.read_into(first * length, piece)
            items = length // self._item
            axes = [Axis(rows, width // self._item, items), Axis(items, 1, 1)]
            axes.sort(key=lambda axis: axis.length)
            copy_items(target, place, piece.cast(FORMATS[self._item]), 0, axes)
            place += items
        return block
