"""Check the indices of sparse tensors before anybody uses them to address memory."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from operator import sub

from ckptkit.containers.byteswap import swap_bytes
from ckptkit.errors import TensorBoundsError
from ckptkit.nodes import ByteSource, IndexRule, TensorNode

_CODES = {"int64": "q", "int32": "i", "int16": "h", "int8": "b", "uint8": "B"}
_CHUNK_ITEMS = 1 << 16


def check_indices(tensor: TensorNode, logical: ByteSource) -> None:
    """Read all indices once, a chunk at a time, and hold them against ``tensor.rule``.

    ``logical`` is the tensor's contiguous little-endian bytes.
    Raises: TensorBoundsError naming the first offence.
    """
    rule = tensor.rule
    if rule is None or not logical.nbytes:
        return
    code = _CODES.get(tensor.dtype.name)
    if code is None or tensor.conj or tensor.neg:
        raise _offence(tensor, f"indices are of dtype {tensor.dtype.name}")
    row_items = tensor.shape[-1] if tensor.shape else 1
    if rule.kind == "coo" and (len(tensor.shape) != 2 or len(rule.limits) != tensor.shape[0]):
        raise _offence(tensor, f"coo indices have the shape {list(tensor.shape)}")
    for row in range(logical.nbytes // tensor.dtype.nbytes // row_items):
        chunks = _row_chunks(logical, code, row * row_items, row_items)
        if rule.kind == "compressed":
            _check_compressed(tensor, rule, chunks)
        elif rule.kind in ("coo", "plain"):
            _check_range(tensor, rule.limits[row if rule.kind == "coo" else 0], chunks)
        else:
            raise _offence(tensor, f"the rule {rule.kind!r} is unknown")


def _row_chunks(source: ByteSource, code: str, start: int, count: int) -> Iterator[array[int]]:
    item = array(code).itemsize
    for first in range(start, start + count, _CHUNK_ITEMS):
        items = min(_CHUNK_ITEMS, start + count - first)
        data = memoryview(bytearray(items * item))
        source.read_into(first * item, data)
        if sys.byteorder == "big":
            swap_bytes(data, item)
        yield array(code, bytes(data))


def _check_range(tensor: TensorNode, limit: int, chunks: Iterator[array[int]]) -> None:
    for chunk in chunks:
        low, high = min(chunk), max(chunk)
        if low < 0 or high >= limit:
            raise _offence(tensor, f"index {low if low < 0 else high} is outside of 0 to {limit}")


def _check_compressed(tensor: TensorNode, rule: IndexRule, chunks: Iterator[array[int]]) -> None:
    total, widest = rule.limits
    last: int | None = None
    for chunk in chunks:
        if last is None:
            if chunk[0] != 0:
                raise _offence(tensor, f"compressed indices start at {chunk[0]}, not at 0")
        else:
            chunk.insert(0, last)
        if len(chunk) > 1:
            steps = array("q", map(sub, chunk[1:], chunk[:-1])) if _narrow(chunk) else None
            if steps is None or min(steps) < 0 or max(steps) > widest:
                raise _offence(tensor, f"a compressed step is outside of 0 to {widest}")
        last = chunk[-1]
    if last != total:
        raise _offence(tensor, f"compressed indices end at {last}, not at {total}")


def _narrow(chunk: array[int]) -> bool:
    """No difference of two of these overflows 64 bits."""
    return min(chunk) >= 0


def _offence(tensor: TensorNode, seen: str) -> TensorBoundsError:
    return TensorBoundsError(
        f"index tensor in storage {tensor.storage.key}", seen, "indices inside the tensor's size"
    )
