"""The memory that revived tensors look into: one block for a storage, read once."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ckptkit.errors import TensorBoundsError, UnrepresentableError
from ckptkit.nodes import Node, TensorNode
from ckptkit.torch_bridge.raw_view import raw_view
from ckptkit.tree import walk

_ALIGN_NBYTES = 64  # what torch gives its own storages, and what any dtype is content with


class _Extent(NamedTuple):
    """The bytes of a storage that somebody looks at."""

    start: int
    stop: int


class RevivedMemory:
    """Hands out strided views of storages, each of which is read once, as far as it is used."""

    def __init__(self, root: Node, *, share: bool) -> None:
        self._share = share
        self._extents: dict[object, _Extent] = {}
        self._blocks: dict[object, torch.Tensor] = {}
        for _, node in walk(root) if share else ():
            if isinstance(node, TensorNode) and node.flavour != "meta":
                self._widen(node)

    def view(self, node: TensorNode) -> torch.Tensor:
        """Return the tensor of ``node``, with its strides, conjugate and negative bits."""
        if not node.numel:
            return torch.empty(node.shape, dtype=torch_dtype(node))
        extent = self._extents.get(_key(node)) if self._share else None
        extent = extent or _extent(node)
        block = self._blocks.get(_key(node))
        if block is None:
            block = _read(node, extent)
            if self._share:
                self._blocks[_key(node)] = block
        start = node.offset - extent.start // node.dtype.nbytes
        tensor = torch.empty(0, dtype=torch_dtype(node))
        tensor.set_(block.untyped_storage(), start, node.shape, node.strides)
        tensor = tensor.conj() if node.conj else tensor
        return torch._neg_view(tensor) if node.neg else tensor  # noqa: SLF001

    def read_into(self, node: TensorNode, made: torch.Tensor) -> None:
        """Fill the memory of a quantized tensor, whose integers are ``node``'s elements."""
        bits = torch.uint8 if node.dtype.nbytes == 1 else torch.int32
        integers = torch.empty(0, dtype=bits)
        integers.set_(made.untyped_storage(), 0, made.shape, made.stride())
        if node.numel:
            extent = _extent(node)
            stored = torch.empty(0, dtype=bits)
            stored.set_(_read(node, extent).untyped_storage(),
                        node.offset - extent.start // node.dtype.nbytes,
                        node.shape, node.strides)  # fmt: skip
            integers.copy_(stored)

    def _widen(self, node: TensorNode) -> None:
        if not node.numel:
            return
        mine, known = _extent(node), self._extents.get(_key(node))
        if known is not None:
            mine = _Extent(min(mine.start, known.start), max(mine.stop, known.stop))
        self._extents[_key(node)] = mine


def torch_dtype(node: TensorNode) -> torch.dtype:
    """Return torch's dtype. Raises: UnrepresentableError if this torch has none of the name."""
    dtype = getattr(torch, node.dtype.name, None)
    if not isinstance(dtype, torch.dtype):
        raise UnrepresentableError(
            f"storage {node.storage.key}", f"a tensor of dtype {node.dtype.name}",
            f"a dtype of torch {torch.__version__}", "use a newer torch",
        )  # fmt: skip
    return dtype


def _key(node: TensorNode) -> object:
    """What shares a block: elements of another width are swapped otherwise."""
    swap = node.dtype.swap_nbytes if node.storage.byteorder == "big" else 0
    return id(node.storage), swap


def _extent(node: TensorNode) -> _Extent:
    """Return the bytes from the first element to the last, the start aligned downwards."""
    width = node.dtype.nbytes
    last = sum((n - 1) * stride for n, stride in zip(node.shape, node.strides, strict=True))
    start = node.offset * width
    return _Extent(start - start % _ALIGN_NBYTES, start + (last + 1) * width)


def _read(node: TensorNode, extent: _Extent) -> torch.Tensor:
    """Read an extent into fresh memory, in the byte order of this machine.

    Raises: TensorBoundsError for a tensor that has no bytes; what the source raises.
    """
    source = node.storage.source
    if source is None:
        raise TensorBoundsError(f"storage {node.storage.key}", "a tensor without bytes")
    block = torch.empty(extent.stop - extent.start, dtype=torch.uint8)
    source.read_into(extent.start, raw_view(block))
    width = node.dtype.swap_nbytes
    if node.storage.byteorder == "big" and width > 1:
        block = block.view(-1, width).flip(1).reshape(-1)
    return block
