"""Take what is lost out of a document, so that nothing in it claims bytes that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ckptkit.containers.salvage import Findings, leaves
from ckptkit.nodes import Atom, BlobNode, MapNode, Node, Path, Record, SeqNode, TensorNode
from ckptkit.tree import flatten_sections, path_text, walk
from ckptkit.types import Limits

_LEAVES = (TensorNode, BlobNode)
_OF_A_WHOLE = "it is a part of something that is nothing without its other parts"


class Lost(NamedTuple):
    """One thing that the recovered checkpoint lacks, by its place in the document.

    ``shape`` is None and ``dtype`` "" where nothing says them any more; ``path`` is its place in
    the document, empty for what stood in none.
    """

    name: str
    shape: tuple[int, ...] | None
    dtype: str
    reason: str
    path: Path = ()


def prune(document: MapNode, findings: Findings, limits: Limits) -> tuple[Lost, ...]:
    """Remove every leaf that is lost, in place, and say which those are.

    A key goes with its value; in a list or tuple None takes the place, so that the others keep
    theirs. An object that was to be made of its arguments (a sparse tensor) goes as a whole.
    Raises: LimitExceededError, UnrepresentableError.
    """
    if not any(findings.why_lost(leaf) for leaf in leaves(document)):
        return ()
    flatten_sections(document, limits)  # refuses what is nested too deeply, before paths are built
    before = dict(_places(document))
    gone = _Judge(findings)
    for container in [node for _, node in walk(document) if isinstance(node, _CONTAINERS)]:
        _prune_one(container, gone)
    after = dict(_places(document))
    return tuple(_lost(path, leaf, findings) for path, leaf in before.items() if path not in after)


_CONTAINERS = (MapNode, SeqNode, Record, Atom, TensorNode)


def _places(document: MapNode) -> Iterator[tuple[Path, TensorNode | BlobNode]]:
    for path, node in walk(document):
        if isinstance(node, _LEAVES):
            yield path, node


def _lost(path: Path, leaf: TensorNode | BlobNode, findings: Findings) -> Lost:
    reason = findings.why_lost(leaf) or _OF_A_WHOLE
    name = path_text(path)
    if isinstance(leaf, BlobNode):
        return Lost(name, None, "", reason, path)
    return Lost(name, leaf.shape, leaf.dtype.name, reason, path)


class _Judge:
    """Says of a value whether it is lost, and with it what is made of it."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._known: dict[int, tuple[Node, bool]] = {}

    def __call__(self, node: Node) -> bool:
        if not isinstance(node, (*_LEAVES, Record, Atom)):
            return False
        known = self._known.get(id(node))
        if known is None:
            known = self._known[id(node)] = node, self._look(node)
        return known[1]

    def _look(self, node: Node) -> bool:
        """Follow the arguments of calls and what a tensor carries; nothing else binds its owner."""
        pending, met = [node], set()
        while pending:
            one = pending.pop()
            if id(one) in met:
                continue
            met.add(id(one))
            if isinstance(one, _LEAVES) and self._findings.why_lost(one):
                return True
            pending += _bound(one)
        return False


def _bound(node: Node) -> list[Node]:
    if isinstance(node, Record):
        return [*node.args, *([node.kwargs] if node.kwargs is not None else [])]
    if isinstance(node, Atom):
        return [*node.args]
    if isinstance(node, TensorNode):
        return [] if node.extra is None else [node.extra]
    if isinstance(node, SeqNode):
        return node.items
    return node.values() if isinstance(node, MapNode) else []


def _prune_one(node: Node, gone: _Judge) -> None:
    if isinstance(node, MapNode):
        for key, value in node.items():
            if gone(value):
                del node[key]
    elif isinstance(node, SeqNode) and any(map(gone, node.items)):
        if node.kind in ("set", "frozenset"):
            node.items = [item for item in node.items if not gone(item)]
        else:
            node.items = [None if gone(item) else item for item in node.items]
    elif isinstance(node, Record) and not gone(node):
        if node.states:
            node.states = [None if gone(state) else state for state in node.states]
        if node.items:
            node.items = [None if gone(item) else item for item in node.items]
