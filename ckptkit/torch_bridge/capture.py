"""Live objects into nodes: modules, optimizers and all that has a state_dict, and plain data."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from ckptkit.nodes import MapNode, Node
from ckptkit.torch_bridge.average import average_state
from ckptkit.torch_bridge.kinds import kind_of
from ckptkit.torch_bridge.memory import LiveMemory
from ckptkit.torch_bridge.module_state import live_state
from ckptkit.torch_bridge.parameter_names import (
    ParameterNames,
    live_objects,
    parameter_names,
    parameters_entry,
)
from ckptkit.tree import to_node


class Captured(NamedTuple):
    """A state as nodes. ``modules``: the sections in which there is a module."""

    document: MapNode
    modules: frozenset[str]


def capture_state(state: Mapping[str, object]) -> Captured:
    """Return a whole state as the document of a checkpoint: section -> node.

    No tensor is copied: the nodes read the live memory when they are written. What shares memory,
    in whatever sections, stays shared.
    Raises: UnrepresentableError, with the place, for what is no data; what a state_dict raises.
    """
    names = parameter_names(state)
    plain = {name: plain_state(value, names) for name, value in state.items()}
    document = to_node(plain, tensor=LiveMemory().node)
    assert isinstance(document, MapNode)
    found = (path[0] for path, value in live_objects(state) if kind_of(value) == "module")
    return Captured(document, frozenset(found))


def capture(value: object, names: ParameterNames) -> Node:
    """Return one object, or a tree with objects in its mappings, as nodes. Raises: as above."""
    return to_node(plain_state(value, names), tensor=LiveMemory().node)


def plain_state(value: Any, names: ParameterNames) -> Any:
    """Return ``value`` with the state of every object that has one in the object's place.

    A mapping in which there is none is handed back itself.
    """
    kind = kind_of(value)
    if kind == "tree":
        return _Mappings(names).plain(value) if isinstance(value, dict) else value
    if kind == "module":
        return live_state(value)
    if kind == "average":
        return average_state(value, names)
    state = value.state_dict()
    if kind == "optimizer" and type(state) is dict:
        return {**state, "parameters": parameters_entry(value, names)}
    return state


class _Mappings:
    """Copies the mappings that lead to live objects, and no others."""

    def __init__(self, names: ParameterNames) -> None:
        self._names = names
        self._open: set[int] = set()

    def plain(self, mapping: dict[Any, Any]) -> dict[Any, Any]:
        """Return ``mapping``, or a copy of its kind where something in it is to be replaced."""
        if id(mapping) in self._open:
            return mapping  # a mapping inside itself holds no more than it holds already
        self._open.add(id(mapping))
        changed = {}
        for key, value in mapping.items():
            if isinstance(value, dict) and kind_of(value) == "tree":
                new = self.plain(value)
            else:
                new = value if kind_of(value) == "tree" else plain_state(value, self._names)
            if new is not value:
                changed[key] = new
        self._open.discard(id(mapping))
        if not changed:
            return mapping
        made = copy.copy(mapping)
        made.update(changed)
        return made
