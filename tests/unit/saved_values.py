"""Saving a value and getting it back as live Python: what the tests of save have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ckptkit
from ckptkit.containers.logical import logical_source
from ckptkit.nodes import TensorNode
from ckptkit.torch_bridge.revive import revive


def save_plain(path: Path, state: dict[str, Any], **options: Any) -> ckptkit.SaveReport:
    """Save without provenance, so that only what is asked for lies there."""
    return ckptkit.save(path, state, provenance=False, **options)


def restored(path: Path) -> Any:
    """Every section of a checkpoint, live."""
    with ckptkit.load(path) as checkpoint:
        return revive(checkpoint.document)


def bytes_of(tensor: TensorNode) -> bytes:
    """The contiguous bytes of a node."""
    if tensor.flavour == "meta":
        return b""
    data = bytearray(tensor.nbytes)
    if data:
        logical_source(tensor).read_into(0, memoryview(data))
    return bytes(data)


def same_tensor(one: TensorNode, other: TensorNode) -> bool:
    """Whether two nodes are the same tensor, apart from where its bytes lie."""
    facts = [(t.dtype, t.shape, t.flavour, t.requires_grad, t.numpy_dtype) for t in (one, other)]
    return facts[0] == facts[1] and bytes_of(one) == bytes_of(other)


def names_in(path: Path) -> set[str]:
    """The names of the files of a folder."""
    return {file.name for file in path.iterdir()}
