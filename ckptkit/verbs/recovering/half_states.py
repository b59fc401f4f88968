"""The state of a parameter that lost a part: half of it is set aside, where no optimizer finds it.

A step count without its moments breaks, or quietly misleads, everybody who loads it; nothing that
is whole is thrown away for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ckptkit.nodes import MapNode, Node, SeqNode, TensorNode
from ckptkit.tree import path_text, walk
from ckptkit.verbs.recovering.telling import with_extra

HALF_KEY = "incomplete_state"  # below `extra`; there each lies under its own old place


class HalfState(NamedTuple):
    """The state of one parameter: its place in the document, and how many tensors are left."""

    place: str
    tensors: int


def set_half_states_aside(
    document: MapNode, lost: Iterable[tuple[Node, ...]]
) -> tuple[MapNode, tuple[HalfState, ...]]:
    """Move every state that lost a tensor below ``extra``; ``lost`` are the paths of those.

    A state of which no value is left goes, so that its parameter begins anew.
    """
    half: list[HalfState] = []
    aside = MapNode()
    for path in dict.fromkeys(filter(None, (_state_of(document, one) for one in lost))):
        owner = _at(document, path[:-1])
        state = owner[path[-1]] if isinstance(owner, MapNode) and path[-1] in owner else None
        if not isinstance(state, MapNode):
            continue
        del owner[path[-1]]
        tensors = sum(isinstance(node, TensorNode) for _, node in walk(state))
        if len(state):
            half.append(HalfState(path_text(path), tensors))
            _put(aside, path, state)
    return (with_extra(document, HALF_KEY, aside) if half else document), tuple(half)


def _state_of(document: MapNode, path: tuple[Node, ...]) -> tuple[Node, ...]:
    """The path of the parameter's state in which a lost leaf was; empty if it was in none."""
    for index, key in enumerate(path[:-2]):
        if key == "state":
            owner = _at(document, path[:index])
            if isinstance(owner, MapNode) and "param_groups" in owner:
                return path[: index + 2]
    return ()


def _at(document: Node, path: Iterable[Node]) -> Node:
    node = document
    for key in path:
        if isinstance(node, MapNode) and key in node:
            node = node[key]
        elif isinstance(node, SeqNode) and type(key) is int and key < len(node.items):
            node = node.items[key]
        else:
            return None
    return node


def _put(aside: MapNode, path: tuple[Node, ...], state: MapNode) -> None:
    """Put a state under its own old place, made of maps alone."""
    node = aside
    for key in path[:-1]:
        if key not in node:
            node[key] = MapNode()
        node = node[key]
    node[path[-1]] = state
