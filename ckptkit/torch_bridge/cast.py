"""Bytes of one dtype as bytes of another, by torch's own rounding."""

from __future__ import annotations

import torch

from ckptkit.types import DType


def cast_bytes(data: bytearray, stored: DType, wanted: DType) -> bytes:
    """Cast contiguous little-endian elements as ``Tensor.to`` does; ``data`` is not changed."""
    if not data:
        return b""
    numbers = torch.frombuffer(data, dtype=getattr(torch, stored.name))
    made = numbers.to(getattr(torch, wanted.name)).view(torch.uint8)
    result: bytes = made.numpy().tobytes()
    return result
