"""Every place of a tree, in order."""

from __future__ import annotations

from collections.abc import Iterator

from ckptkit.nodes import Atom, BlobNode, GlobalName, MapNode, Node, Path, TensorNode
from ckptkit.tree.parts import ATTRS, SCALARS, Part, parts

_LEAVES = frozenset({*SCALARS, GlobalName})


def walk(node: Node) -> Iterator[tuple[Path, Node]]:
    """Yield ``(path, node)`` in preorder: leaves at every place, containers at their first.

    Attributes are at "._metadata" and the like, the parts of a Record at ".args", ".kwargs",
    ".states", ".state", ".items" and ".entries", what a tensor carries at ".extra". The keys of
    a mapping are no places of their own unless they are compound: those are at (".keys", i).
    Neither are the plain arguments of an Atom. No depth is too deep; the tree must not change
    meanwhile.
    """
    met: set[int] = set()
    frames: list[tuple[Iterator[Part], Path, type]] = [(iter([((), node)]), (), type(None))]
    while frames:
        children, prefix, parent = frames[-1]
        for sub, child in children:
            kind = type(child)
            if kind in _LEAVES:
                if parent is not Atom and (parent is not MapNode or len(sub) == 1):
                    yield prefix + sub, child
                continue
            is_new = id(child) not in met
            if sub is not ATTRS and (is_new or kind is TensorNode or kind is BlobNode):
                yield prefix + sub, child
            if is_new:
                met.add(id(child))
                frames.append(_frame(child, prefix, sub))
                break
        else:
            frames.pop()


def _frame(node: Node, prefix: Path, sub: Path) -> tuple[Iterator[Part], Path, type]:
    if sub is ATTRS:  # attributes are places of their owner
        return _attributes(node), prefix, type(None)
    return parts(node), prefix + sub, type(node)


def _attributes(attrs: MapNode) -> Iterator[Part]:
    return ((("." + key if type(key) is str else key,), value) for key, value in attrs.items())
