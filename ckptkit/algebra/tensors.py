"""Tensors made of others without reading them: views, and bytes that are computed on request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ckptkit.containers.logical import logical_source
from ckptkit.errors import MigrationError
from ckptkit.nodes import ByteSource, Node, Storage, TensorNode
from ckptkit.types import DType, contiguous_strides

Shape = tuple[int, ...]
META = "meta"


def plain(node: Node, where: str) -> TensorNode:
    """Return ``node`` if it is a tensor that may be reshaped. Raises: MigrationError."""
    if not isinstance(node, TensorNode):
        raise MigrationError(
            where, f"is no tensor but {type(node).__name__}", "a tensor",
            "values can be renamed and dropped; a function can do more",
        )  # fmt: skip
    odd = ""
    if node.dtype.kind == "q":
        odd = f"is quantized ({node.dtype.name})"
    elif node.numpy_dtype:
        odd = f"is an array of {node.numpy_dtype}"
    elif node.rule is not None or node.extra is not None:
        odd = "carries attributes or rules of its own, which would not fit any more"
    if odd:
        raise MigrationError(where, odd, "a plain tensor", "it can be renamed and dropped")
    return node


def view(node: TensorNode, shape: Shape, strides: Shape, offset: int) -> TensorNode:
    """The same storage, seen otherwise; the caller vouches that it stays inside."""
    return replace(node, shape=shape, strides=strides, offset=offset)


def computed(
    like: TensorNode, shape: Shape, source: ByteSource | None, dtype: DType | None = None
) -> TensorNode:
    """A contiguous tensor of its own over ``source``; None makes a meta tensor."""
    dtype = dtype or like.dtype
    nbytes = math.prod(shape) * dtype.nbytes
    storage = Storage(f"{like.storage.key}'", nbytes, source, like.storage.device)
    return TensorNode(
        dtype=dtype, shape=shape, strides=contiguous_strides(shape), offset=0, storage=storage,
        flavour=like.flavour, requires_grad=like.requires_grad,
    )  # fmt: skip


def bytes_of(node: TensorNode) -> ByteSource | None:
    """The contiguous bytes of a tensor, made on request; None of a meta tensor."""
    return None if node.flavour == META else DeferredBytes(node)


class DeferredBytes:
    """The contiguous bytes of a tensor; nothing of it is looked at before the first read.

    Until then its storage may still get another source, such as one that checks what it reads.
    """

    __slots__ = ("_node", "_source", "nbytes")

    def __init__(self, node: TensorNode) -> None:
        self._node, self.nbytes = node, node.nbytes
        self._source: ByteSource | None = None

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes from ``offset`` on."""
        if self._source is None:  # two threads may both make one: each is as good as the other
            self._source = logical_source(self._node)
        self._source.read_into(offset, out)


def axis_of(axis: int, rank: int, where: str) -> int:
    """The axis counted from the front. Raises: MigrationError if there is none."""
    if not -rank <= axis < rank:
        raise MigrationError(where, f"has {rank} axes", f"an axis {axis}")
    return axis % rank


def sizes_of(length: int, sizes: Sequence[int], parts: int, where: str) -> tuple[int, ...]:
    """How an axis of ``length`` is cut: into equal ``parts``, or in the proportions of ``sizes``.

    Raises: MigrationError if that leaves a rest.
    """
    shares = tuple(sizes) or (1,) * parts
    if len(shares) != parts:
        raise MigrationError(where, f"{len(shares)} sizes", f"{parts}, one for each name")
    total = sum(shares)
    if min(shares) < 0 or not total or length % total:
        raise MigrationError(
            where, f"an axis of {length} cannot be cut in the proportions {shares}",
            f"a multiple of {total}", "give the sizes of the parts",
        )  # fmt: skip
    return tuple(share * (length // total) for share in shares)


def cut(node: TensorNode, axis: int, start: int, stop: int) -> TensorNode:
    """The view of ``start`` to ``stop`` along one axis."""
    shape = (*node.shape[:axis], stop - start, *node.shape[axis + 1 :])
    return view(node, shape, node.strides, node.offset + start * node.strides[axis])
