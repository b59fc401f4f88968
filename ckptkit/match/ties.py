"""Names that share memory: filling one fills all, and storing one stores all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ckptkit.match.board import Board, Claim
from ckptkit.match.faults import some
from ckptkit.match.values import Entry


def groups(entries: Mapping[str, Entry], names: Iterable[str]) -> dict[int, list[str]]:
    """The names of each tie number, sorted; those that share with nobody are left out."""
    found: dict[int, list[str]] = {}
    for name in names:
        if entries[name].tie >= 0:
            found.setdefault(entries[name].tie, []).append(name)
    return {tie: sorted(members) for tie, members in found.items() if len(members) > 1}


def match_ties(board: Board) -> None:
    """Fill wanted names through a mate that is filled, and leave stored mates of what was used."""
    for members in groups(board.wanted, board.wanted).values():
        filled = [name for name in members if name in board.claims]
        if not filled:
            continue
        first = board.wanted[filled[0]]
        for name in members:
            if name in board.free_wanted and board.wanted[name].nbytes == first.nbytes:
                del board.free_wanted[name]
                board.claims[name] = Claim(board.claims[filled[0]].source, "tie")
        _tell_apart(board, [name for name in board.wanted if name in {*filled}])
    used = {claim.source for claim in board.claims.values()}
    for members in groups(board.stored, board.stored).values():
        if used.isdisjoint(members):
            continue
        for name in members:
            if name in board.free_stored:
                del board.free_stored[name]
                board.benign.add(name)


def _tell_apart(board: Board, filled: list[str]) -> None:
    """Note mates that are stored as tensors of their own: the last of them is taken."""
    ties = {
        entry.tie if (entry := board.stored[board.claims[name].source]).tie >= 0 else entry.name
        for name in filled
    }
    if len(ties) > 1:
        board.notes.append(
            f"{some(filled)} share memory in the model and are {len(ties)} tensors in the "
            f"checkpoint: the values of {board.claims[filled[-1]].source} are taken"
        )
