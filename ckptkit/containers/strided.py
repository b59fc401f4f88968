"""Gather a strided view into contiguous bytes, in bounded memory and without numpy.

The work is one loop over short tuples around copies between memoryview slices, which run in C:
the longest axis is the one that is copied, whatever its place, so that transposed, expanded and
sliced views cost about what a plain copy costs.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Literal, NamedTuple

from ckptkit.containers.bytesource import check_span
from ckptkit.containers.byteswap import negate, negate_imaginary, swap_bytes
from ckptkit.nodes import ByteSource
from ckptkit.types import DType

BLOCK_NBYTES = 4 << 20  # of the result, made at a time
EXTENT_NBYTES = 8 << 20  # of the source, held at a time
_SMALL_EXTENT_NBYTES = 64 << 10  # reading this much costs no more than a call of its own
_MAX_WASTE = 4  # read a whole extent when at least a quarter of it is wanted

_Format = Literal["B", "H", "I", "Q"]
FORMATS: dict[int, _Format] = {
    1: "B",
    2: "H",
    4: "I",
    8: "Q",
}  # only moved, never looked at: native order is fine


class Axis(NamedTuple):
    """One axis of a copy: its length, and the steps it makes there and here, in items."""

    length: int
    target_step: int
    source_step: int


class Change(NamedTuple):
    """What happens to gathered elements before they are little-endian values."""

    dtype: DType
    swap: bool = False
    conj: bool = False
    neg: bool = False

    def apply(self, data: memoryview) -> None:
        """Change ``data``, whole elements, in place."""
        if self.swap:
            swap_bytes(data, self.dtype.swap_nbytes)
        if self.conj:
            negate_imaginary(data, self.dtype)
        if self.neg:
            negate(data, self.dtype)


def merged_dims(shape: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """The (length, stride) pairs of a view, as few as describe it.

    Axes of length one are left out, and axes that follow each other in memory are joined: a
    contiguous view becomes one pair of stride 1.
    """
    dims: list[tuple[int, int]] = []
    for length, stride in zip(shape, strides, strict=True):
        if length == 1:
            continue
        if dims and dims[-1][1] == length * stride:
            dims[-1] = (dims[-1][0] * length, stride)
        else:
            dims.append((length, stride))
    return dims


class StridedBytes:
    """The contiguous bytes of a view of ``source``: a ByteSource made block by block.

    Shapes: ``shape`` and ``strides`` are in elements, ``offset`` too; none of them leaves the
    source (``geometry.check_view`` was there before) and no length is zero.
    """

    __slots__ = (
        "_base", "_block", "_block_start", "_change", "_dims", "_item", "_lock", "_row_nbytes",
        "_rows", "_source", "_split", "nbytes",
    )  # fmt: skip

    def __init__(
        self,
        source: ByteSource,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        offset: int,
        change: Change,
    ) -> None:
        self._source, self._change = source, change
        dims = merged_dims(shape, strides) or [(1, 1)]
        item, base = change.dtype.nbytes, offset
        if item not in FORMATS:  # complex128: two items of eight bytes an element
            dims = merged_dims(
                [*(length for length, _ in dims), item // 8],
                [*(stride * (item // 8) for _, stride in dims), 1],
            )
            item, base = 8, offset * (item // 8)
        self._dims, self._item, self._base = dims, item, base
        self._plan_blocks()
        self._lock = threading.Lock()
        self._block = bytearray()
        self._block_start = -1

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes of the gathered tensor from ``offset`` on."""
        check_span("a strided tensor", offset, out.nbytes, self.nbytes)
        done = 0
        with self._lock:
            while done < out.nbytes:
                self._load_block(offset + done)
                skip = offset + done - self._block_start
                count = min(len(self._block) - skip, out.nbytes - done)
                out[done : done + count] = memoryview(self._block)[skip : skip + count]
                done += count
            if offset + done == self.nbytes:  # read to the end: as a rule nobody comes back
                self._block, self._block_start = bytearray(), -1

    def _plan_blocks(self) -> None:
        """Find the axis to cut at: what lies right of it fits into a block."""
        inner = self._item
        split = len(self._dims) - 1
        while split > 0 and inner * self._dims[split][0] <= BLOCK_NBYTES:
            inner *= self._dims[split][0]
            split -= 1
        self._split, self._row_nbytes = split, inner
        self._rows = max(1, min(BLOCK_NBYTES // inner, self._dims[split][0]))
        self.nbytes = inner
        for length, _ in self._dims[: split + 1]:
            self.nbytes *= length

    def _load_block(self, position: int) -> None:
        start = self._block_start
        if start >= 0 and start <= position < start + len(self._block):
            return
        length, stride = self._dims[self._split]
        outer, rest = divmod(position, length * self._row_nbytes)
        first = rest // (self._row_nbytes * self._rows) * self._rows
        rows = min(self._rows, length - first)
        self._block_start = -1  # a failure below must not leave a half-made block behind
        if len(self._block) != rows * self._row_nbytes:
            self._block = bytearray(rows * self._row_nbytes)
        axes = self._axes(rows, stride)
        base = self._base + self._outer_offset(outer) + first * stride
        block = memoryview(self._block)
        _fill(self._source, block.cast(FORMATS[self._item]), axes, 0, base)
        self._change.apply(block)
        self._block_start = outer * length * self._row_nbytes + first * self._row_nbytes

    def _axes(self, rows: int, stride: int) -> list[Axis]:
        axes, step = [], 1
        for length, inner_stride in reversed(self._dims[self._split + 1 :]):
            axes.append(Axis(length, step, inner_stride))
            step *= length
        axes.append(Axis(rows, step, stride))
        return [axis for axis in axes if axis.length > 1]

    def _outer_offset(self, index: int) -> int:
        offset = 0
        for length, stride in reversed(self._dims[: self._split]):
            index, place = divmod(index, length)
            offset += place * stride
        return offset


def _fill(
    source: ByteSource, target: memoryview, axes: list[Axis], target_start: int, source_start: int
) -> None:
    """Read the items of ``axes`` and put them in place, in as few reads as are worth it."""
    item = target.itemsize
    count = 1
    extent = 1
    for axis in axes:
        count *= axis.length if axis.source_step else 1
        extent += (axis.length - 1) * axis.source_step
    nbytes = extent * item
    dense = nbytes <= max(_SMALL_EXTENT_NBYTES, _MAX_WASTE * count * item)
    if not axes or (nbytes <= EXTENT_NBYTES and dense):
        scratch = memoryview(bytearray(nbytes))
        source.read_into(source_start * item, scratch)
        ordered = sorted(axes, key=lambda axis: axis.length)
        copy_items(target, target_start, scratch.cast(FORMATS[item]), 0, ordered)
        return
    widest = max(range(len(axes)), key=lambda i: axes[i].source_step * (axes[i].length - 1))
    length, target_step, source_step = axes[widest]
    half = length // 2
    for first, size in ((0, half), (half, length - half)):
        part = [*axes[:widest], *axes[widest + 1 :]]
        if size > 1:
            part.insert(widest, Axis(size, target_step, source_step))
        _fill(
            source, target, part,
            target_start + first * target_step, source_start + first * source_step,
        )  # fmt: skip


def copy_items(target: memoryview, t: int, source: memoryview, s: int, axes: list[Axis]) -> None:
    """Copy items; the last axis of ``axes`` is the longest, and moves in one slice."""
    if not axes:
        target[t] = source[s]
        return
    if len(axes) > 2:
        length, target_step, source_step = axes[0]
        rest = axes[1:]
        for i in range(length):
            copy_items(target, t + i * target_step, source, s + i * source_step, rest)
        return
    lines, line_target, line_source = axes[0] if len(axes) == 2 else Axis(1, 0, 0)
    length, target_step, source_step = axes[-1]
    target_span = (length - 1) * target_step + 1
    source_span = (length - 1) * source_step + 1
    for _ in range(lines):
        if source_step:
            items = source[s : s + source_span : source_step]
        else:
            items = memoryview(bytes(source[s : s + 1]) * length).cast(FORMATS[target.itemsize])
        target[t : t + target_span : target_step] = items
        t += line_target
        s += line_source
