"""A mapping of names to tensors, as the algebra takes it, and back with all that is around it."""

from __future__ import annotations

from collections.abc import Iterable

from ckptkit.algebra import Action
from ckptkit.nodes import MapNode, Node

METADATA = "_metadata"  # module path -> version, an attribute of a state_dict


def state_of(node: MapNode) -> dict[str, Node]:
    """The names and what they name; keys that are no text are no names, and stay apart."""
    return {key: value for key, value in node.items() if type(key) is str}


def with_state(node: MapNode, state: dict[str, Node], actions: Iterable[Action] = ()) -> MapNode:
    """The same mapping with other names; what is no name follows at its end."""
    rest = [(key, value) for key, value in node.items() if type(key) is not str]
    made = MapNode([*state.items(), *rest], node.kind, _attributes(node, state, actions))
    made.factory = node.factory
    return made


def _attributes(node: MapNode, state: dict[str, Node], actions: Iterable[Action]) -> MapNode | None:
    metadata = node.attrs.get(METADATA) if node.attrs is not None else None
    if node.attrs is None or not isinstance(metadata, MapNode):
        return node.attrs
    moved = _moved_modules(actions)
    if not moved:
        return node.attrs
    owners = {owner for name in state for owner in _owners(name)}
    pairs: list[tuple[Node, Node]] = []
    for module, version in metadata.items():
        places = moved.get(module, set()) - {module} if type(module) is str else set()
        if not places or module in owners:
            pairs.append((module, version))
        pairs += [(place, _own(version)) for place in sorted(places)]
    changed = MapNode(pairs, metadata.kind, metadata.attrs)
    kept = [(k, changed if k == METADATA else v) for k, v in node.attrs.items()]
    return MapNode(kept, node.attrs.kind)


def _own(version: Node) -> Node:
    """A mapping of its own for each module."""
    return MapNode(version.items(), version.kind) if isinstance(version, MapNode) else version


def _moved_modules(actions: Iterable[Action]) -> dict[str, set[str]]:
    """Old module path -> new ones: as far up as both names end alike."""
    moved: dict[str, set[str]] = {}
    for action in actions:
        for source in action.sources:
            for target in action.targets:
                old, new = source.split("."), target.split(".")
                if old[-1] != new[-1]:
                    continue
                while len(old) > 1 and len(new) > 1 and old[-1] == new[-1]:
                    old, new = old[:-1], new[:-1]
                    moved.setdefault(".".join(old), set()).add(".".join(new))
    return {old: new for old, new in moved.items() if new != {old}}


def _owners(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(len(parts))]
