"""Where every leaf of a source went: the proof that a migration lost nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ckptkit.nodes import BlobNode, MapNode, Node, Path, Record, SeqNode, TensorNode
from ckptkit.protocols import Move
from ckptkit.tree import equal, resolve, walk

_CONTAINERS = (MapNode, SeqNode, Record)


class Placed(NamedTuple):
    """One leaf: its place in the source, its place in the result (None: it is not there)."""

    source: Path
    target: Path | None
    nbytes: int  # of a tensor or side file; 0 for a scalar
    note: str = ""
    derived: bool = False  # its values went into what lies there, which is not the same leaf


class MoveBook:
    """Answers where a path of the source lies now; of two moves that cover it the longer one."""

    def __init__(self, moves: Sequence[Move]) -> None:
        self._moves = {move.source: move for move in moves}
        self._lengths = sorted({len(source) for source in self._moves}, reverse=True)

    def find(self, path: Path) -> tuple[Path, Move] | None:
        """The path in the result and the move that tells it, or None."""
        for length in self._lengths:
            if length <= len(path):
                move = self._moves.get(path[:length])
                if move is not None:
                    return move.target + _renamed(move, path[length:]), move
        return None


def _renamed(move: Move, rest: Path) -> Path:
    if move.renamed and rest:
        return (move.renamed.get(rest[0], rest[0]), *rest[1:])
    return rest


def account_for(root: Node, document: MapNode, moves: Sequence[Move]) -> Iterator[Placed]:
    """Yield every leaf of ``root`` with the place where ``document`` has the very same value.

    A container that is the same object in both vouches for all that lies in it.
    """
    book, parents = MoveBook(moves), _Parents(document)
    whole: dict[Path, Move] = {}  # places of such containers, and by which move they got there
    for path, node in walk(root):
        found = book.find(path)
        if isinstance(node, _CONTAINERS) and not _is_empty(node):
            if found is not None and _vouched(whole, parents, path, found, node):
                whole[path] = found[1]
            continue
        nbytes = node.nbytes if isinstance(node, (TensorNode, BlobNode)) else 0
        if found is not None and _vouched(whole, parents, path, found, node):
            yield Placed(path, found[0], nbytes, found[1].note)
        else:
            yield Placed(path, None, nbytes)


def _vouched(
    whole: dict[Path, Move], parents: _Parents, path: Path, found: tuple[Path, Move], node: Node
) -> bool:
    """Say whether ``node`` is where it was ``found``: its container is there, or it is."""
    target, move = found
    # A child's place is one key below its container's, or two: (".keys", 3), (".args", 0).
    if whole.get(path[:-1]) is move or whole.get(path[:-2]) is move:
        return True
    return parents.has(target, node)


def _is_empty(node: Node) -> bool:
    """An empty container says something too: it is a leaf."""
    if isinstance(node, Record):
        return not (node.args or node.states or node.items or node.entries or node.kwargs)
    return len(node) == 0 and node.attrs is None


class _Parents:
    """Looks places up in the result; siblings share the way to their parent."""

    def __init__(self, document: MapNode) -> None:
        self._document = document
        self._known: dict[Path, Node] = {}

    def has(self, path: Path, node: Node) -> bool:
        """Say whether the very same value lies at ``path``."""
        try:
            other = self._resolve(path)
        except KeyError:
            return False
        if other is node:
            return True
        filled = isinstance(node, _CONTAINERS) and not _is_empty(node)
        return not filled and equal(other, node)

    def _resolve(self, path: Path) -> Node:
        try:
            parent = self._known.get(path[:-1])
            if parent is None:
                parent = self._known[path[:-1]] = resolve(self._document, path[:-1])
            return resolve(parent, path[-1:])
        except (KeyError, TypeError):
            return resolve(self._document, path)  # places such as (".args", 3) take two keys
