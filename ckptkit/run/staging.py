"""A second place for a state's bytes, so that training may go on while they are written."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import torch

from ckptkit.containers.bytesource import MemoryBytes
from ckptkit.containers.logical import logical_source
from ckptkit.nodes import ByteSource, MapNode, Storage, TensorNode
from ckptkit.tree import walk
from ckptkit.types import contiguous_strides

_ALIGN_NBYTES = 64  # a cache line: copies of small tensors do not share one
_PIECE_NBYTES = 8 << 20  # what one thread copies at a time: the last one is not waited for long
_MAX_THREADS = 4  # they fill the memory bus of a server; the training stands still meanwhile
_BY_HAND_NBYTES = 64 << 10  # from here on a call of the C library, without Python's lock, pays


class _Piece(NamedTuple):
    """A run of one tensor's bytes, and where it goes."""

    source: ByteSource
    offset: int
    target: memoryview


class Staging:
    """One buffer, allocated at the first save and used again: fresh memory costs more than a copy.

    It is page-locked where there is an accelerator to copy from.
    """

    def __init__(self) -> None:
        self._buffer = torch.empty(0, dtype=torch.uint8)
        self._later: list[_Piece] = []

    def take(self, document: MapNode, later: Collection[int] = ()) -> int:
        """Copy every tensor of ``document`` into the buffer, and let its nodes point there.

        ``document`` was made by ``capture_state`` for this alone. Ties stay ties. Storages at the
        addresses in ``later`` are copied by ``finish``. Returns how many bytes there are; until
        they are written, nobody may call this again.
        """
        # a tied tensor may be one node at two places: it is turned to the copy once
        leaves = list({id(node): node for _, node in walk(document) if _has_bytes(node)}.values())
        places: dict[Any, tuple[int, int]] = {}
        end = 0
        for node in leaves:
            view = node.same_view()
            if view not in places:
                places[view] = (end, node.nbytes)
                end += -(-node.nbytes // _ALIGN_NBYTES) * _ALIGN_NBYTES
        memory = self._room_for(end)
        staged: dict[Any, Storage] = {}
        now: list[_Piece] = []
        self._later = []
        for node in leaves:
            view = node.same_view()
            storage = staged.get(view)
            if storage is None:
                start, nbytes = places[view]
                part = memory[start : start + nbytes]
                wait = bool(later) and _address_of(node.storage) in later
                (self._later if wait else now).extend(_pieces(logical_source(node), part))
                storage = Storage(node.storage.key, nbytes, MemoryBytes(part), node.storage.device)
                staged[view] = storage
            _point_at(node, storage)
        _copy_all(now)
        return end

    def finish(self) -> None:
        """Copy what ``take`` has left for later. Raises: what reading it raises."""
        later, self._later = self._later, []
        _copy_all(later)

    def _room_for(self, nbytes: int) -> memoryview:
        if self._buffer.numel() < nbytes:
            self._buffer = torch.empty(0, dtype=torch.uint8)  # give the old one back first
            pinned = torch.cuda.is_available()
            self._buffer = torch.empty(nbytes, dtype=torch.uint8, pin_memory=pinned)
        return memoryview(self._buffer.numpy().data)


def _pieces(source: ByteSource, target: memoryview) -> Iterator[_Piece]:
    for offset in range(0, target.nbytes, _PIECE_NBYTES):
        yield _Piece(source, offset, target[offset : offset + _PIECE_NBYTES])


def _copy_all(pieces: list[_Piece]) -> None:
    """Copy every piece, by several threads that each take the next one. Raises: what one raised."""
    threads = min(_MAX_THREADS, torch.get_num_threads(), len(pieces))
    waiting = iter(pieces)

    def work(_number: int) -> None:
        for piece in waiting:
            _copy(piece)

    if threads < 2:
        work(0)
        return
    with ThreadPoolExecutor(threads, "ckptkit-copy") as pool:
        list(pool.map(work, range(threads)))


def _copy(piece: _Piece) -> None:
    target, nbytes = piece.target, piece.target.nbytes
    memory = getattr(piece.source, "memory", None)
    if memory is None or memory.readonly or nbytes < _BY_HAND_NBYTES:
        piece.source.read_into(piece.offset, target)
        return
    source = memory[piece.offset : piece.offset + nbytes]
    ctypes.memmove(_address(target), _address(source), nbytes)


def _address_of(storage: Storage) -> int:
    """Where a live storage lies; 0 for one that is not in the host's memory."""
    memory = getattr(storage.source, "memory", None)
    return 0 if memory is None or memory.readonly else _address(memory)


def _address(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def _has_bytes(node: Any) -> bool:
    return isinstance(node, TensorNode) and node.storage.source is not None and bool(node.nbytes)


def _point_at(node: TensorNode, storage: Storage) -> None:
    node.storage, node.offset = storage, 0
    node.strides = contiguous_strides(node.shape)
    node.conj = node.neg = False
