"""How much of what is wanted gets filled; tensors that share memory count once."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ckptkit.match.board import Board
from ckptkit.match.shapes import common_corner
from ckptkit.match.values import Entry, Pair
from ckptkit.types import DTYPES, Coverage


def measure(board: Board, pairs: Sequence[Pair]) -> Coverage:
    """Count the parameters; where there are none, all tensors that are not defaulted.

    A sliced tensor counts as one, with the bytes of the corner that is copied.
    """
    tensors = [e for e in board.wanted.values() if e.dtype and e.name not in board.defaulted]
    counted = [e for e in tensors if e.kind == "parameter"] or tensors
    if all(entry.tie < 0 for entry in counted):
        return _measure_untied(board, counted, pairs)
    wanted: dict[object, int] = {}
    for entry in counted:
        wanted[_memory(entry)] = max(entry.nbytes, wanted.get(_memory(entry), 0))
    filled: dict[object, int] = {}
    for pair in pairs:
        entry = board.wanted[pair.target]
        if pair.action != "skip" and (memory := _memory(entry)) in wanted:
            nbytes = _filled_nbytes(board.stored[pair.source], entry, pair)
            filled[memory] = max(nbytes, filled.get(memory, 0))
    return Coverage(len(filled), len(wanted), sum(filled.values()), sum(wanted.values()))


def _measure_untied(board: Board, counted: Sequence[Entry], pairs: Sequence[Pair]) -> Coverage:
    """The same where nobody shares memory: names are enough, and 100,000 of them are common."""
    sizes = {entry.name: entry.nbytes for entry in counted}
    filled = nbytes = 0
    for pair in pairs:
        size = sizes.get(pair.target)
        if size is None or pair.action == "skip":
            continue
        filled += 1
        if pair.action == "slice":
            size = _filled_nbytes(board.stored[pair.source], board.wanted[pair.target], pair)
        nbytes += size
    return Coverage(filled, len(sizes), nbytes, sum(sizes.values()))


def _memory(entry: Entry) -> object:
    return entry.tie if entry.tie >= 0 else entry.name


def _filled_nbytes(stored: Entry, wanted: Entry, pair: Pair) -> int:
    if pair.action != "slice":
        return wanted.nbytes
    corner = common_corner(stored.shape, wanted.shape) or ()
    return math.prod(corner) * DTYPES[wanted.dtype].nbytes
