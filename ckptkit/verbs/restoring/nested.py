"""Live objects inside mappings: each becomes a component of its own, on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ckptkit.nodes import MapNode, Node, SeqNode

JOINT = "/"  # between the keys in the name of a component: "optimizer/g"


def flat_targets(targets: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return every target by name; a mapping or list that holds live objects is walked."""
    return list(_walk("", targets, set()))


def _walk(prefix: str, held: Any, above: set[int]) -> Iterator[tuple[str, Any]]:
    pairs = held.items() if isinstance(held, Mapping) else enumerate(held)
    for key, value in pairs:
        name = f"{prefix}{key}"
        if id(value) not in above and _holds_objects(value, {*above, id(held)}):
            yield from _walk(f"{name}{JOINT}", value, {*above, id(held)})
        else:
            yield name, value


def _is_object(value: Any) -> bool:
    return callable(getattr(value, "state_dict", None))


def _holds_objects(value: Any, above: set[int]) -> bool:
    """Say whether an object with a state_dict lies somewhere in it."""
    if _is_object(value) or not isinstance(value, (Mapping, list, tuple)) or id(value) in above:
        return False
    inner = value.values() if isinstance(value, Mapping) else value
    return any(_is_object(one) or _holds_objects(one, {*above, id(value)}) for one in inner)


def with_nested_sections(document: MapNode, names: list[str]) -> MapNode:
    """Return the document with what lies at ``optimizer/g`` under that very key as well."""
    nested = [(name, node_at(document, name)) for name in names if JOINT in name]
    found = [(name, node) for name, node in nested if node is not None and name not in document]
    if not found:
        return document
    return MapNode([*document.items(), *found], document.kind, document.attrs)


def node_at(document: MapNode, name: str) -> Node:
    """Return what lies at ``optimizer/g``; None where nothing does."""
    node: Node = document
    for key in name.split(JOINT):
        if isinstance(node, SeqNode):
            within = key.isascii() and key.isdigit() and int(key) < len(node.items)
            node = node.items[int(key)] if within else None
        else:
            node = node.get(key) if isinstance(node, MapNode) else None
    return node
