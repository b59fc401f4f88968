"""Where in a checkpoint the state of one live object lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ckptkit.nodes import MapNode, Node, SeqNode
from ckptkit.torch_bridge.kinds import kind_of
from ckptkit.verbs.restoring.nested import JOINT, flat_targets
from ckptkit.verbs.restoring.planned import Request

NOTHING = "the checkpoint has nothing for it"
IsOne = Callable[[Node], bool]  # says whether a node is the state of one such object


class Place(NamedTuple):
    """A part of the document. ``node`` is None where there is none, and ``why`` says why."""

    source: str
    node: Node = None
    why: str = ""


def find_place(name: str, section: str, request: Request, is_one: IsOne) -> Place:
    """Find the state of the object called ``name``, of a kind that lives in ``section``.

    A section of that very name is it. Else the kind's section holds it: under the name
    (``optimizer_g`` also under ``g``), or, for the only target of its kind, as the only one.
    """
    document = request.checkpoint.document
    own = document.get(name)
    if own is not None:
        return _inside(name, name, own, is_one, is_alone=True)
    shared = document.get(section)
    if shared is None or JOINT in name or (is_one(shared) and not _is_alone(name, request)):
        return Place(name, None, NOTHING)
    return _inside(name, section, shared, is_one, is_alone=_is_alone(name, request))


def _is_alone(name: str, request: Request) -> bool:
    """Say whether no other target is of the kind of this one."""
    targets = flat_targets(request.targets)
    kind = kind_of(dict(targets).get(name))
    return sum(kind_of(value) == kind for _, value in targets) <= 1


def _inside(name: str, source: str, node: Node, is_one: IsOne, *, is_alone: bool) -> Place:
    if is_one(node):
        return Place(source, node)
    several = _children(node, is_one)
    if not several:
        return Place(source, None, f"the section {source} has another form")
    short = name.removeprefix(f"{source}_").removesuffix(f"_{source}")
    for word in (name, short):
        if word in several:
            return Place(f"{source}/{word}", several[word])
    if len(several) == 1 and is_alone:
        word, only = next(iter(several.items()))
        return Place(f"{source}/{word}", only)
    return Place(
        source, None, f"the section {source} holds {', '.join(several)}, and nothing says which one"
    )


def _children(node: Node, is_one: IsOne) -> dict[str, Node]:
    if isinstance(node, MapNode):
        pairs = [(str(key), value) for key, value in node.items() if isinstance(key, (str, int))]
    elif isinstance(node, SeqNode):
        pairs = [(str(index), value) for index, value in enumerate(node.items)]
    else:
        pairs = []
    return {key: value for key, value in pairs if is_one(value)}
