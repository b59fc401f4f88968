"""From a path to the node that lies there: the inverse of ``walk``."""

from __future__ import annotations

from typing import Any

from ckptkit.nodes import Atom, MapNode, Node, Path, Record, SeqNode, TensorNode
from ckptkit.tree.parts import SCALARS, parts

_ABSENT = object()
#: First keys of the places that are no plain keys of a mapping.
_PART_WORDS = frozenset(
    (
        ".keys",
        ".factory",
        ".attrs",
        ".args",
        ".kwargs",
        ".states",
        ".state",
        ".items",
        ".entries",
        ".extra",
    )
)


def resolve(root: Node, path: Path) -> Node:
    """Return the node at ``path``, in the words of ``walk``. Raises: KeyError if none is there."""
    node, at = root, 0
    while at < len(path):
        node, used = _step(node, path, at)
        at += used
    return node


def _step(node: Node, path: Path, at: int) -> tuple[Node, int]:
    """One child of ``node`` and how many keys of the path its place takes."""
    key = path[at]
    if isinstance(node, MapNode):
        value = _in_mapping(node, key)
        if value is not _ABSENT:
            return value, 1
    elif isinstance(node, SeqNode) and type(key) is int and 0 <= key < len(node.items):
        return node.items[key], 1
    attribute = _attribute(node, key)
    if attribute is not _ABSENT:
        return attribute, 1
    # A plain key that is absent must not cost a walk over all the others.
    if _may_name_a_part(key) and isinstance(node, (MapNode, Record, Atom, TensorNode)):
        for sub, child in parts(node):
            if sub[0] is not None and sub == path[at : at + len(sub)]:
                return child, len(sub)
    raise KeyError(path[: at + 1])


def _may_name_a_part(key: Any) -> bool:
    return key in _PART_WORDS if type(key) is str else type(key) not in SCALARS


def _in_mapping(node: MapNode, key: Any) -> Node:
    try:
        return node.get(key, _ABSENT)
    except TypeError:  # a path key that is no mapping key
        return _ABSENT


def _attribute(node: Node, key: Any) -> Node:
    attrs = node.attrs if isinstance(node, (MapNode, SeqNode)) else None
    if attrs is None:
        return _ABSENT
    for name, value in attrs.items():
        if key == ("." + name if type(name) is str else name):
            return value
    return _ABSENT
