"""Opens torch.distributed.checkpoint folders and turns their nodes into what torch would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ckptkit.containers.dcp_folder import DcpFolderContainer
from ckptkit.containers.logical import logical_source
from ckptkit.containers.probe import make_probe
from ckptkit.nodes import MapNode, Node, SeqNode, TensorNode
from ckptkit.protocols import Opened
from ckptkit.types import DEFAULT_LIMITS
from ckptkit.verbs.open import open_container

CONTAINER = DcpFolderContainer()


def open_folder(folder: Path) -> Opened:
    probe = make_probe(folder)
    assert CONTAINER.matches(probe)
    return CONTAINER.open(probe, DEFAULT_LIMITS, open_container)


def live(node: Node) -> Any:
    """Turn nodes into what torch would give."""
    if isinstance(node, MapNode):
        return {key: live(value) for key, value in node.items()}
    if isinstance(node, SeqNode):
        items = [live(value) for value in node.items]
        return tuple(items) if node.kind == "tuple" else items
    if isinstance(node, TensorNode):
        source = logical_source(node)
        out = bytearray(source.nbytes)
        source.read_into(0, memoryview(out))
        flat = torch.frombuffer(out or bytearray(1), dtype=torch.uint8)[: len(out)]
        return flat.view(getattr(torch, node.dtype.name)).reshape(node.shape)
    return node


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)
