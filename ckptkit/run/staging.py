"""A second place for a state's bytes, so that training may go on while they are written."""

from __future__ import annotations

from typing import Any

import torch

from ckptkit.containers.bytesource import MemoryBytes
from ckptkit.containers.logical import logical_source
from ckptkit.nodes import MapNode, Storage, TensorNode
from ckptkit.tree import walk
from ckptkit.types import contiguous_strides

_ALIGN_NBYTES = 64  # a cache line: copies of small tensors do not share one


class Staging:
    """One buffer, allocated at the first save and used again: fresh memory costs more than a copy.

    It is page-locked where there is an accelerator to copy from.
    """

    def __init__(self) -> None:
        self._buffer = torch.empty(0, dtype=torch.uint8)

    def take(self, document: MapNode) -> int:
        """Copy every tensor of ``document`` into the buffer, and let its nodes point there.

        ``document`` was made by ``capture_state`` for this alone. Ties stay ties. Returns how
        many bytes were copied; until they are written, nobody may call this again.
        """
        leaves = [node for _, node in walk(document) if _has_bytes(node)]
        places: dict[Any, tuple[int, int]] = {}
        end = 0
        for node in leaves:
            view = node.same_view()
            if view not in places:
                places[view] = (end, node.nbytes)
                end += -(-node.nbytes // _ALIGN_NBYTES) * _ALIGN_NBYTES
        memory = self._room_for(end)
        staged: dict[Any, Storage] = {}
        for node in leaves:
            view = node.same_view()
            storage = staged.get(view)
            if storage is None:
                start, nbytes = places[view]
                part = memory[start : start + nbytes]
                logical_source(node).read_into(0, part)
                storage = Storage(node.storage.key, nbytes, MemoryBytes(part), node.storage.device)
                staged[view] = storage
            _point_at(node, storage)
        return end

    def _room_for(self, nbytes: int) -> memoryview:
        if self._buffer.numel() < nbytes:
            self._buffer = torch.empty(0, dtype=torch.uint8)  # give the old one back first
            pinned = torch.cuda.is_available()
            self._buffer = torch.empty(nbytes, dtype=torch.uint8, pin_memory=pinned)
        return memoryview(self._buffer.numpy().data)


def _has_bytes(node: Any) -> bool:
    return isinstance(node, TensorNode) and node.storage.source is not None and bool(node.nbytes)


def _point_at(node: TensorNode, storage: Storage) -> None:
    node.storage, node.offset = storage, 0
    node.strides = contiguous_strides(node.shape)
    node.conj = node.neg = False
