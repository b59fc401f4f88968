"""The children of a node, in the one order that flatten, walk and equal all follow."""

from __future__ import annotations

from collections.abc import Iterator

from ckptkit.nodes import Atom, MapNode, Node, Path, Record, SeqNode, TensorNode

SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes})

Part = tuple[Path, Node]  # where below its parent, and the child itself
ATTRS: Path = (".attrs",)  # compare by identity: a mapping can have this very key


def parts(node: Node) -> Iterator[Part]:
    """Yield every child of ``node`` with its path below it; nothing for a leaf.

    The keys of a mapping are children too, at ``(".keys", i)``, each before its value.
    """
    kind = type(node)
    if kind is MapNode:
        return _map_parts(node)
    if kind is SeqNode:
        return _seq_parts(node)
    if isinstance(node, Record):  # containers have subclasses of it
        return _record_parts(node)
    if kind is Atom:
        return (((".args", i), arg) for i, arg in enumerate(node.args))
    if kind is TensorNode and node.extra is not None:
        return iter([((".extra",), node.extra)])
    return iter(())


def _map_parts(node: MapNode) -> Iterator[Part]:
    for index, (key, value) in enumerate(node.items()):
        yield (".keys", index), key
        yield (key,), value
    if node.factory is not None:
        yield (".factory",), node.factory
    yield from _attr_parts(node.attrs)


def _seq_parts(node: SeqNode) -> Iterator[Part]:
    for index, item in enumerate(node.items):
        yield (index,), item
    yield from _attr_parts(node.attrs)


def _attr_parts(attrs: MapNode | None) -> Iterator[Part]:
    if attrs is not None:
        yield ATTRS, attrs


def attribute_parts(attrs: MapNode) -> Iterator[Part]:
    """Yield the same children, but at ".name" where an attribute has a plain name."""
    for sub, child in parts(attrs):
        if len(sub) == 1 and sub is not ATTRS and type(sub[0]) is str:
            yield ("." + sub[0],), child
        else:
            yield sub, child


def _record_parts(node: Record) -> Iterator[Part]:
    for index, arg in enumerate(node.args):
        yield (".args", index), arg
    if node.kwargs is not None:
        yield (".kwargs",), node.kwargs
    states = node.states or []
    for index, state in enumerate(states[:-1]):
        yield (".states", index), state
    if states:
        yield (".state",), states[-1]
    for index, item in enumerate(node.items or []):
        yield (".items", index), item
    if node.entries is not None:
        yield (".entries",), node.entries
