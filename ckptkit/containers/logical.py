"""A tensor's own bytes, whatever its strides, byte order and lazy bits: the form all verbs use."""

from __future__ import annotations

import threading

from ckptkit.containers.bytesource import MemoryBytes, SlicedBytes
from ckptkit.containers.byteswap import can_negate
from ckptkit.containers.index_rules import check_indices
from ckptkit.containers.strided import Change, StridedBytes, merged_dims
from ckptkit.errors import CorruptFileError, TensorBoundsError
from ckptkit.nodes import ByteSource, TensorNode


def logical_source(tensor: TensorNode) -> ByteSource:
    """The contiguous, row-major, little-endian bytes of ``tensor``, read only on request.

    A view that has them already is handed through without a copy; every other one is made in
    blocks of a few MiB. Index tensors are checked, once and whole, before their first byte.
    Raises: TensorBoundsError for a tensor without bytes; CorruptFileError for impossible bits.
    """
    if 0 in tensor.shape:
        return MemoryBytes(b"")
    source = tensor.storage.source
    if source is None:
        raise TensorBoundsError(
            f"storage {tensor.storage.key}", "a meta tensor has a shape, but no bytes"
        )
    logical = _plain(tensor, source)
    return logical if tensor.rule is None else CheckedIndices(logical, tensor)


def _plain(tensor: TensorNode, source: ByteSource) -> ByteSource:
    dtype = tensor.dtype
    swap = dtype.swap_nbytes > 1 and tensor.storage.byteorder == "big"
    change = Change(dtype, swap, tensor.conj, tensor.neg)
    if tensor.conj and dtype.kind != "c":
        raise CorruptFileError(
            f"storage {tensor.storage.key}", f"a {dtype.name} tensor is marked as conjugated"
        )
    if tensor.neg and not can_negate(dtype):
        raise CorruptFileError(
            f"storage {tensor.storage.key}", f"a {dtype.name} tensor is marked as negated"
        )
    dims = merged_dims(tensor.shape, tensor.strides)
    has_gaps = bool(dims) and (len(dims) > 1 or dims[0][1] != 1)
    if has_gaps or swap or tensor.conj or tensor.neg:
        gather = getattr(source, "gather", None)
        if gather is not None and not swap:
            gathered: ByteSource = gather(tensor)
            return gathered
        return StridedBytes(source, tensor.shape, tensor.strides, tensor.offset, change)
    start, nbytes = tensor.offset * dtype.nbytes, tensor.nbytes
    if start == 0 and nbytes == source.nbytes:
        return source
    return SlicedBytes(source, start, nbytes)


class CheckedIndices:
    """The bytes of an index tensor, handed out only if every index obeys its rule."""

    __slots__ = ("_checked", "_lock", "_source", "_tensor", "nbytes")

    def __init__(self, source: ByteSource, tensor: TensorNode) -> None:
        self._source, self._tensor, self.nbytes = source, tensor, source.nbytes
        self._lock = threading.Lock()
        self._checked = False

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` from ``offset`` on.

        Raises: TensorBoundsError if any index, wherever it lies, breaks the rule.
        """
        with self._lock:
            if not self._checked:
                check_indices(self._tensor, self._source)
                self._checked = True
        self._source.read_into(offset, out)
