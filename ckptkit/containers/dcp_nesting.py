"""Flat names back to the nested state that torch.distributed.checkpoint flattened."""

from __future__ import annotations

from collections.abc import Mapping

from ckptkit.containers.safetensors_header import shown
from ckptkit.errors import CorruptFileError
from ckptkit.nodes import MapNode, Node, SeqNode


def nest(
    leaves: Mapping[str, Node], paths: Mapping[str, tuple[str | int, ...]], where: str
) -> MapNode:
    """Put every leaf at its path; a leaf without one stands at the top under its own name.

    A map whose keys are exactly 0 to n-1 was a list, and comes as one.
    Raises: CorruptFileError for two leaves at one place, or a leaf that is also a map.
    """
    root = MapNode()
    inner: set[int] = {id(root)}  # the maps that stand for paths, not for stored values
    order: list[tuple[MapNode, str | int, MapNode]] = []
    for name, leaf in leaves.items():
        path = paths.get(name, (name,))
        node = root
        for key in path[:-1]:
            child = node.get(key)
            if key not in node:
                child = node[key] = MapNode()
                inner.add(id(child))
                order.append((node, key, child))
            if id(child) not in inner:
                raise CorruptFileError(where, f"'{shown(name)}' lies inside another item")
            node = child
        if path[-1] in node:
            raise CorruptFileError(where, f"'{shown(name)}' has the place of another item")
        node[path[-1]] = leaf
    for parent, key, child in reversed(order):  # children before their parents
        if all(type(k) is int for k in child) and _is_a_count(child):
            parent[key] = SeqNode([child[index] for index in range(len(child))])
    return root


def _is_a_count(node: MapNode) -> bool:
    return all(index in node for index in range(len(node)))
