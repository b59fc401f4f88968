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
    LiveObject,
    ParameterNames,
    live_objects,
    names_of,
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
    found = list(live_objects(state))
    names = names_of(found)
    document = to_node(_replaced(state, found, names), tensor=LiveMemory().node)
    assert isinstance(document, MapNode)
    modules = (path[0] for path, value in found if kind_of(value) == "module")
    return Captured(document, frozenset(modules))


def capture(value: object, names: ParameterNames) -> Node:
    """Return one object, or a tree with objects in its mappings, as nodes. Raises: as above."""
    holder = {"": value}
    plain = _replaced(holder, list(live_objects(holder)), names)[""]
    return to_node(plain, tensor=LiveMemory().node)


def _replaced(
    state: Mapping[Any, Any], found: list[LiveObject], names: ParameterNames
) -> dict[Any, Any]:
    """Return ``state`` with the state of every live object in the object's place.

    Only the mappings on the way to one are copied, each as its own kind.
    """
    copies: dict[tuple[Any, ...], Any] = {(): dict(state)}
    for path, value in found:
        for depth in range(1, len(path)):
            above, key = path[: depth - 1], path[depth - 1]
            if path[:depth] not in copies:
                copies[path[:depth]] = copies[above][key] = copy.copy(copies[above][key])
        copies[path[:-1]][path[-1]] = _state_of(value, names)
    made: dict[Any, Any] = copies[()]
    return made


def _state_of(value: Any, names: ParameterNames) -> Any:
    kind = kind_of(value)
    if kind == "module":
        return live_state(value)
    if kind == "average":
        return average_state(value, names)
    state = value.state_dict()
    if kind == "optimizer" and type(state) is dict:
        return {**state, "parameters": parameters_entry(value, names)}
    return state
