"""One part of a document that a migration makes anew."""

from __future__ import annotations

from typing import NamedTuple

from ckptkit.nodes import MapNode, Node, Path
from ckptkit.report.values import Line
from ckptkit.verbs.evolving.trace import Gone


class Piece(NamedTuple):
    """What is to lie at ``path``, what became of its names, and what could not follow."""

    path: Path
    node: Node
    lines: tuple[Line, ...] = ()
    gone: tuple[Gone, ...] = ()
    notes: tuple[str, ...] = ()


def with_pieces(document: MapNode, pieces: list[Piece]) -> MapNode:
    """The document with each piece in its place; the rest is the very same."""
    for piece in pieces:
        document = _put(document, piece.path, piece.node)
    return document


def _put(node: MapNode, path: Path, value: Node) -> MapNode:
    if len(path) > 1:
        value = _put(node[path[0]], path[1:], value)
    pairs = [(key, value if key == path[0] else old) for key, old in node.items()]
    made = MapNode(pairs, node.kind, node.attrs)
    made.factory = node.factory
    return made
