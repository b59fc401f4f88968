"""A whole tensor out of its boxes: checked to tile it exactly, gathered only as bytes are asked."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

from ckptkit.containers.bytesource import check_span
from ckptkit.errors import CorruptFileError, LimitExceededError, TensorBoundsError
from ckptkit.nodes import ByteSource

PIECE_NBYTES = 1 << 20  # gathered at a time, so that memory does not grow with the request
MAX_GRID_CELLS = 200_000  # of the grid that the edges of all boxes of one tensor make


class Box(NamedTuple):
    """One box of a tensor: where it begins, how far it reaches, and its row-major bytes."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    open_source: Callable[[], ByteSource]


def check_tiling(shape: tuple[int, ...], boxes: Sequence[Box], where: str) -> None:
    """Refuse boxes that do not cover every element of ``shape`` exactly once.

    Boxes without elements count for nothing.
    Raises: TensorBoundsError for a box outside; CorruptFileError for a hole or an overlap.
    """
    for box in boxes:
        _check_inside(shape, box, where)
    full = [box for box in boxes if 0 not in box.sizes]
    covered = sum(math.prod(box.sizes) for box in full)
    if covered != math.prod(shape):
        fault = "a hole" if covered < math.prod(shape) else "an overlap"
        seen = f"the chunks hold {covered} of {math.prod(shape)} elements"
        raise CorruptFileError(where, f"{fault}: {seen}", "every element once")
    if len(full) > 1:
        _check_disjoint(shape, full, where)


def _check_inside(shape: tuple[int, ...], box: Box, where: str) -> None:
    if not len(shape) == len(box.offsets) == len(box.sizes):
        seen = f"a chunk has {len(box.offsets)} offsets and {len(box.sizes)} sizes"
        raise TensorBoundsError(where, seen, f"{len(shape)} of each")
    for length, offset, size in zip(shape, box.offsets, box.sizes, strict=True):
        if offset < 0 or size < 0 or offset + size > length:
            seen = f"a chunk reaches from {offset} to {offset + size}"
            raise TensorBoundsError(where, seen, f"inside a dimension of {length}")


def _check_disjoint(shape: tuple[int, ...], boxes: list[Box], where: str) -> None:
    """Colour the grid of all edges: equal volumes and no cell twice mean an exact tiling."""
    edges = [
        sorted({box.offsets[axis] for box in boxes} | {length}) for axis, length in enumerate(shape)
    ]
    n_cells = math.prod(len(axis_edges) for axis_edges in edges)
    if n_cells > max(MAX_GRID_CELLS, len(boxes) * 4):
        raise LimitExceededError(where, f"{len(boxes)} chunks cut it into {n_cells} cells")
    taken: set[tuple[int, ...]] = set()
    for box in boxes:
        ranges = [
            range(bisect_left(cuts, start), bisect_left(cuts, start + size))
            for cuts, start, size in zip(edges, box.offsets, box.sizes, strict=True)
        ]
        for cell in product(*ranges):
            if cell in taken:
                seen = f"an overlap: two chunks hold element {box.offsets}"
                raise CorruptFileError(where, seen, "every element once")
            taken.add(cell)


class GatheredBytes:
    """The row-major bytes of a tensor whose boxes lie in different places.

    A box is opened when its first byte is wanted. Elements of one box keep their order in the
    whole, so each piece needs one read of each box that it touches.
    """

    __slots__ = ("_boxes", "_itemsize", "nbytes")

    def __init__(self, shape: tuple[int, ...], itemsize: int, boxes: Sequence[Box]) -> None:
        self.nbytes = math.prod(shape) * itemsize
        self._itemsize = itemsize
        self._boxes = [_PlacedBox(shape, box, itemsize) for box in boxes if 0 not in box.sizes]

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` from ``offset`` on. Raises: ContainerError, as the boxes do."""
        check_span("an assembled tensor", offset, out.nbytes, self.nbytes)
        if len(self._boxes) == 1:  # it is the whole: nothing to gather
            self._boxes[0].source.read_into(offset, out)
            return
        flat = out.cast("B") if out.format != "B" or out.ndim != 1 else out
        for start in range(0, flat.nbytes, PIECE_NBYTES):
            piece = flat[start : start + PIECE_NBYTES]
            self._gather(offset + start, piece)

    def _gather(self, offset: int, out: memoryview) -> None:
        first = offset // self._itemsize
        last = -(-(offset + out.nbytes) // self._itemsize)
        for box in self._boxes:
            if box.first < last and box.last >= first:
                box.copy_range(first, last, offset, out)


class _PlacedBox:
    """A box as runs: stretches of elements that follow each other in box and whole alike."""

    __slots__ = ("_box", "_itemsize", "_outer", "_run", "_source", "_steps", "first", "last")

    def __init__(self, shape: tuple[int, ...], box: Box, itemsize: int) -> None:
        self._box, self._itemsize = box, itemsize
        self._source: ByteSource | None = None
        steps = [1] * len(shape)
        for axis in range(len(shape) - 2, -1, -1):
            steps[axis] = steps[axis + 1] * shape[axis + 1]
        self._steps = steps
        axis, self._run = len(shape), 1
        while axis and (axis == len(shape) or box.sizes[axis] == shape[axis]):
            axis -= 1
            self._run *= box.sizes[axis]
        self._outer = box.sizes[:axis]
        pairs = list(zip(steps, box.offsets, box.sizes, strict=True))
        self.first = sum(step * offset for step, offset, _ in pairs)
        self.last = sum(step * (offset + size - 1) for step, offset, size in pairs)

    def copy_range(self, first: int, last: int, offset: int, out: memoryview) -> None:
        """Copy the elements of the box between ``first`` and ``last`` of the whole into ``out``.

        Units: elements for the range; ``offset`` is the byte of the whole that ``out`` begins at.
        """
        begin, end = self._rank(first), self._rank(last)
        if begin >= end:
            return
        size = self._itemsize
        data = memoryview(bytearray((end - begin) * size))
        self.source.read_into(begin * size, data)
        at = begin
        while at < end:
            run, inside = divmod(at, self._run)
            stop = min(end, (run + 1) * self._run)
            target = (self._run_start(run) + inside) * size - offset
            source, stop_byte = (at - begin) * size, (stop - begin) * size
            # The first and the last element may stick out of ``out``.
            cut = max(0, -target)
            length = min(stop_byte - source, out.nbytes - target)
            out[target + cut : target + length] = data[source + cut : source + length]
            at = stop

    @property
    def source(self) -> ByteSource:
        """The bytes of the box itself; it is opened by the first who asks."""
        if self._source is None:
            self._source = self._box.open_source()
        return self._source

    def _run_start(self, run: int) -> int:
        """Where in the whole a run begins."""
        start = self.first
        for axis in range(len(self._outer) - 1, -1, -1):
            run, coordinate = divmod(run, self._outer[axis])
            start += coordinate * self._steps[axis]
        return start

    def _rank(self, index: int) -> int:
        """How many elements of the box come before element ``index`` of the whole."""
        if index <= self.first:
            return 0
        if index > self.last:
            return math.prod(self._box.sizes)
        rank, rest, inner = 0, index, math.prod(self._box.sizes)
        for step, offset, size in zip(self._steps, self._box.offsets, self._box.sizes, strict=True):
            inner //= size
            coordinate, rest = divmod(rest, step)
            if coordinate < offset:
                return rank
            if coordinate >= offset + size:
                return rank + size * inner
            rank += (coordinate - offset) * inner
        return rank
