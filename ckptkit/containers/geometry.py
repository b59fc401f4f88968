"""Whether a strided view stays inside its storage: asked before any tensor is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ckptkit.errors import LimitExceededError, TensorBoundsError
from ckptkit.nodes import Node
from ckptkit.types import DEFAULT_LIMITS, DType, Limits

_INT64_END = 1 << 63  # torch counts offsets, sizes and strides in int64


def check_view(  # noqa: PLR0917 - the hot path passes by position
    dtype: DType,
    offset: Node,
    shape: Sequence[Node],
    strides: Sequence[Node],
    storage_nbytes: int | None,
    where: object,
    limits: Limits = DEFAULT_LIMITS,
) -> int:
    """Say how many elements the view has, once it is certain that all lie inside the storage.

    Units:  ``offset`` and ``strides`` in elements; ``storage_nbytes`` None for a meta tensor.
    Raises: TensorBoundsError; LimitExceededError for a rank or an expansion beyond ``limits``.
    """
    if type(offset) is not int or not 0 <= offset < _INT64_END:
        _refuse(where, f"a tensor offset of {_show(offset)}", "a count of elements")
    if len(shape) != len(strides):
        _refuse(where, f"{len(shape)} sizes but {len(strides)} strides", "one stride a size")
    if len(shape) > limits.max_rank:
        raise LimitExceededError(
            str(where), f"a tensor of {len(shape)} dimensions", f"at most {limits.max_rank}",
            "raise --limit max_rank=N",
        )  # fmt: skip
    numel, last = 1, offset
    for size, stride in zip(shape, strides, strict=True):
        if type(size) is not int or not 0 <= size < _INT64_END:
            _refuse(where, f"a tensor size of {_show(size)}", "a count of elements")
        if type(stride) is not int or not 0 <= stride < _INT64_END:
            _refuse(where, f"a tensor stride of {_show(stride)}", "a count of elements")
        numel *= size
        last += (size - 1) * stride
    if numel and storage_nbytes is not None:
        _check_bytes(dtype, numel, last, storage_nbytes, where, limits)
    return numel


def _check_bytes(  # noqa: PLR0917
    dtype: DType, numel: int, last: int, storage_nbytes: int, where: object, limits: Limits
) -> None:
    if (last + 1) * dtype.nbytes > storage_nbytes:
        _refuse(
            where,
            f"a {dtype.name} tensor whose last element ends at byte {(last + 1) * dtype.nbytes:#x}",
            f"the end of its storage, {storage_nbytes:#x}, or less",
        )
    # An honest expand() repeats one row; one that claims more than any memory is a trap.
    most = max(limits.max_expand_nbytes, limits.max_expand_ratio * storage_nbytes)
    if numel * dtype.nbytes > most:
        raise LimitExceededError(
            str(where), f"an expanded tensor of {numel * dtype.nbytes:#x} bytes",
            f"at most {most:#x} for a storage of {storage_nbytes:#x}",
            "raise --limit max_expand_nbytes=N",
        )  # fmt: skip


def _refuse(where: object, seen: str, expected: str) -> NoReturn:
    raise TensorBoundsError(
        str(where), seen, expected, "the file is damaged or was made to mislead"
    )


def _show(value: Node) -> str:
    """A value for a message; huge integers in hex, because decimal takes quadratic time."""
    if type(value) is int:
        return f"{value:#x}" if value.bit_length() < 256 else f"{value.bit_length()} bits"
    return f"type {type(value).__name__}"
