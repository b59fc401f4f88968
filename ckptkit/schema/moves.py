"""Where subtrees went: moves joined end to end, and a path followed through them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ckptkit.nodes import Path
from ckptkit.protocols import Move


def compose_moves(first: Iterable[Move], second: Iterable[Move]) -> tuple[Move, ...]:
    """Join moves A to B with moves B to C into moves A to C.

    A move that the second round takes apart becomes several; what no second move covers is
    left out, because it went nowhere. Notes of both are kept.
    """
    second = tuple(second)
    joined: list[Move] = []
    for move in first:
        outer = _covering(second, move.target)
        if outer is not None:
            rest = move.target[len(outer.source) :]
            target = outer.target + _rename_first(outer, rest)
            joined.append(Move(move.source, target, move.renamed, _notes(move, outer)))
        joined.extend(
            Move(
                move.source + _rename_back(move, inner.source[len(move.target) :]),
                inner.target,
                inner.renamed,
                _notes(move, inner),
            )
            for inner in second
            if len(inner.source) > len(move.target)
            and same_start(inner.source, move.target, len(move.target))
        )
    return tuple(joined)


def follow(moves: Sequence[Move], path: Path) -> Path | None:
    """Return where ``path`` went by the longest move that covers it; None if by none."""
    move = _covering(moves, path)
    if move is None:
        return None
    return move.target + _rename_first(move, path[len(move.source) :])


def same_start(left: Path, right: Path, length: int) -> bool:
    """Say whether two paths have the same first keys, types included: 1 is not True."""
    pairs = zip(left[:length], right[:length], strict=False)
    return all(type(a) is type(b) and (a is b or a == b) for a, b in pairs)


def _covering(moves: Iterable[Move], path: Path) -> Move | None:
    best = None
    for move in moves:
        length = len(move.source)
        if length > len(path) or not same_start(move.source, path, length):
            continue
        if best is None or length > len(best.source):
            best = move
    return best


def _rename_first(move: Move, rest: Path) -> Path:
    if rest and move.renamed and type(rest[0]) is str:
        return (move.renamed.get(rest[0], rest[0]), *rest[1:])
    return rest


def _rename_back(move: Move, rest: Path) -> Path:
    for old, new in (move.renamed or {}).items():
        if rest[0] == new:
            return (old, *rest[1:])
    return rest


def _notes(*moves: Move) -> str:
    return "; ".join(move.note for move in moves if move.note)
