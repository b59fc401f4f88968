"""Write stored bytes into live tensors: straight into their memory, or block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import prod
from typing import Any

import torch

from ckptkit.torch_bridge.raw_view import raw_bytes, raw_view
from ckptkit.torch_bridge.values import Fill

BLOCK_NBYTES = 1 << 20  # of stored elements, converted at a time

Read = Callable[[int, memoryview], None]  # bytes from an offset on
Seen = Callable[[memoryview], None]  # every stored byte passes by once, in order
_Index = tuple[int | slice, ...]


def direct_address(fill: Fill) -> int | None:
    """Return where the stored bytes can be written as they are; None if they cannot.

    They can where the live tensor is contiguous memory of this process and of the stored dtype.
    """
    tensor: torch.Tensor = fill.tensor
    if fill.factor is not None or fill.whole is not None or not tensor.is_cpu:
        return None
    if _WORDS.get(tensor.dtype) != fill.node.dtype.name or not tensor.is_contiguous():
        return None
    if tensor.is_neg() or (fill.node.dtype.kind == "c" and tensor.is_conj()):
        return None
    return tensor.data_ptr()


_WORDS = {
    dtype: str(dtype).removeprefix("torch.")
    for dtype in vars(torch).values()
    if isinstance(dtype, torch.dtype)
}


def memory_at(address: int, nbytes: int) -> memoryview:
    """Return the live memory itself."""
    return raw_bytes(address, nbytes)


def copy_in_blocks(fill: Fill, read: Read, read_factor: Read | None, seen: Seen) -> None:
    """Copy stored elements into ``fill.tensor``, whatever its dtype, strides and device.

    Every block is converted by torch's own ``copy_``. Memory: two blocks.
    """
    target = fill.tensor.detach()
    flat = target.view(-1) if target.is_contiguous() else None
    shape = tuple(target.shape) if flat is None else (target.numel(),)
    stored = _Blocks(fill.node.dtype.name, fill.node.dtype.nbytes, read)
    other = None
    if fill.factor is not None and read_factor is not None:
        other = _Blocks(fill.factor.dtype.name, fill.factor.dtype.nbytes, read_factor)
    limit = BLOCK_NBYTES // max(fill.node.dtype.nbytes, target.element_size())
    start = 0
    with torch.no_grad():
        for index, block_shape in _cuts(shape, limit):
            count = prod(block_shape)
            block = stored.take(start, count, seen)
            if other is not None:
                block = block * other.take(start, count, None)
            place = (target if flat is None else flat)[index]
            place.copy_(block.view(block_shape))
            start += count


class _Blocks:
    """Reads runs of elements of one stored tensor through memory that is used again."""

    def __init__(self, dtype: str, width: int, read: Read) -> None:
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._width, self._read = width, read
        self._scratch = torch.empty(0, dtype=torch.uint8)

    def take(self, start: int, count: int, seen: Seen | None) -> torch.Tensor:
        """Return ``count`` elements from number ``start`` on; good until the next call."""
        nbytes = count * self._width
        if self._scratch.numel() < nbytes:
            self._scratch = torch.empty(nbytes, dtype=torch.uint8)
        block = self._scratch[:nbytes]
        view = raw_view(block)
        self._read(start * self._width, view)
        if seen is not None:
            seen(view)
        return block.view(self._dtype)


def _cuts(shape: tuple[int, ...], limit: int) -> Iterator[tuple[_Index, tuple[int, ...]]]:
    """Cut a tensor into blocks of at most ``limit`` elements that follow each other row-major."""
    if prod(shape) <= limit:
        if prod(shape):
            yield (), shape
        return
    rows = limit // max(prod(shape[1:]), 1)
    if rows:
        for first in range(0, shape[0], rows):
            stop = min(first + rows, shape[0])
            yield (slice(first, stop),), (stop - first, *shape[1:])
        return
    for row in range(shape[0]):
        for index, inner in _cuts(shape[1:], limit):
            yield (row, *index), inner


def mark_changed(tensors: Iterable[Any]) -> None:
    """Tell autograd that the values are others than those it may have saved."""
    changed = list(tensors)
    try:
        torch.autograd.graph.increment_version(changed)
    except RuntimeError:  # one of them was made in inference mode, and counts nothing
        counted = [tensor for tensor in changed if not tensor.is_inference()]
        torch.autograd.graph.increment_version(counted)
