"""How much of what is wanted gets filled; tensors that share memory count once."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

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
    by_tie: dict[object, Entry] = {}
    for entry in counted:
        by_tie.setdefault(_memory(entry), entry)
    filled: dict[object, int] = {}
    for pair in pairs:
        entry = board.wanted[pair.target]
        if pair.action != "skip" and _memory(entry) in by_tie:
            filled.setdefault(
                _memory(entry), _filled_nbytes(board.stored[pair.source], entry, pair)
            )
    return Coverage(len(filled), len(by_tie), sum(filled.values()), _total(by_tie.values()))


def _total(entries: Collection[Entry]) -> int:
    return sum(entry.nbytes for entry in entries)


def _memory(entry: Entry) -> object:
    return entry.tie if entry.tie >= 0 else entry.name


def _filled_nbytes(stored: Entry, wanted: Entry, pair: Pair) -> int:
    if pair.action != "slice":
        return wanted.nbytes
    corner = common_corner(stored.shape, wanted.shape) or ()
    return math.prod(corner) * DTYPES[wanted.dtype].nbytes
