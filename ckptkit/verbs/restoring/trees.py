"""The planner of plain data: dicts and lists are filled in place, objects in them by their kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ckptkit.nodes import MapNode, Node, SeqNode, TensorNode
from ckptkit.report.values import ComponentReport, Line
from ckptkit.torch_bridge.kinds import kind_of
from ckptkit.torch_bridge.trees import TreeFill, is_array
from ckptkit.torch_bridge.values import Fill
from ckptkit.types import Coverage
from ckptkit.verbs.restoring.absent import absent
from ckptkit.verbs.restoring.planned import Planned, Request
from ckptkit.verbs.restoring.sections import Place
from ckptkit.verbs.restoring.stateful import coverage_of

KIND = "tree"
_IMMUTABLE = "cannot be changed in place; take it from Checkpoint.state() instead"


class _Inner(NamedTuple):
    """An object with a state of its own inside the tree, and how it was planned."""

    path: tuple[Any, ...]
    planned: Planned


def plan_tree(name: str, live: Any, request: Request) -> Planned:
    """Plan one dict, list or tensor whose section bears its name; a Planner.

    None as a target takes nothing: the report says what is there.
    """
    document = request.checkpoint.document
    if name not in document and not _holds_objects(live):
        return absent(name, KIND, Place(name, None, "the checkpoint has nothing for it"), request)
    place = Place(name, document.get(name))
    if live is None:
        return _nothing(name, place)
    if not isinstance(live, (dict, list)) and not is_array(live):
        fault = f"{name}: a {type(live).__name__} {_IMMUTABLE}"
        return Planned(
            ComponentReport(name=name, kind=KIND, status="refused", source=name, faults=(fault,))
        )
    return _planned(name, live, place, request)


def _nothing(name: str, place: Place) -> Planned:
    coverage = coverage_of(place.node)
    note = f"asked for nothing: the section has {coverage.of_tensors} tensors, "
    note += f"{coverage.of_nbytes} bytes; Checkpoint.state() gives them"
    line = Line("dropped", name, detail="None was given for it", nbytes=coverage.of_nbytes)
    return Planned(
        ComponentReport(
            name=name,
            kind=KIND,
            status="fresh",
            source=place.source,
            coverage=coverage._replace(tensors=0, nbytes=0),
            lines=(line,),
            notes=(note,),
        )
    )


def _planned(name: str, live: Any, place: Place, request: Request) -> Planned:
    inner: list[_Inner] = []
    lines: list[Line] = []
    kept = _pruned((name,), live, place.node, request, inner)
    fill = TreeFill(live, kept)
    lines += [Line("defaulted", path, detail="not in the checkpoint; stays") for path in fill.extra]
    faults = [f"{name}: {text}" for text in fill.faults]
    faults += [text for one in inner for text in one.planned.report.faults]
    own = coverage_of(kept)
    coverage = _sum([own, *(one.planned.report.coverage for one in inner)])
    report = ComponentReport(
        name=name,
        kind=KIND,
        status="refused" if faults else _status(inner),
        source=place.source,
        coverage=coverage,
        lines=(*lines, *(_below(one, line) for one in inner for line in one.planned.report.lines)),
        settings=tuple(row for one in inner for row in one.planned.report.settings),
        faults=tuple(faults),
        notes=tuple(note for one in inner for note in one.planned.report.notes),
    )

    def prepare() -> Sequence[Fill]:
        fills = list(fill.prepare(place.source))
        for one in inner:
            fills += one.planned.prepare()
        return fills

    def finish() -> None:
        fill.finish()
        for one in inner:
            one.planned.finish()

    return Planned(report, prepare, finish)


def _status(inner: list[_Inner]) -> str:
    states = {one.planned.report.status for one in inner}
    return "restored" if states <= {"restored"} else "partly"


def _below(one: _Inner, line: Line) -> Line:
    path = "/".join(map(str, one.path[1:]))
    return line._replace(name=f"{path}/{line.name}")


def _sum(parts: list[Coverage]) -> Coverage:
    return Coverage(*(sum(part[column] for part in parts) for column in range(4)))


def _pruned(
    path: tuple[Any, ...], live: Any, node: Node, request: Request, inner: list[_Inner]
) -> Node:
    """Plan the objects inside the tree, and return the node without their state."""
    if isinstance(live, dict):
        held = {key: value for key, value in live.items() if _holds_objects(value)}
        for key, value in held.items():
            below = node.get(key) if isinstance(node, MapNode) else None
            _plan_inner((*path, key), value, below, request, inner)
        if held and isinstance(node, MapNode):
            rest = [(key, value) for key, value in node.items() if key not in held]
            return MapNode(rest, node.kind, node.attrs)
        return MapNode() if held and node is None else node
    if isinstance(live, list) and _holds_objects(live):
        items = node.items if isinstance(node, SeqNode) else []
        for index, value in enumerate(live):
            below = items[index] if index < len(items) else None
            _plan_inner((*path, index), value, below, request, inner)
        return SeqNode([])
    return node


def _plan_inner(
    path: tuple[Any, ...], live: Any, node: Node, request: Request, inner: list[_Inner]
) -> None:
    from ckptkit.verbs.restoring.inner import plan_inner  # it knows every kind, this one too

    if kind_of(live) == KIND:
        children = live.items() if isinstance(live, dict) else enumerate(live)
        for key, value in children if isinstance(live, (dict, list)) else ():
            below: Node = None
            if isinstance(node, MapNode):
                below = node.get(key)
            elif isinstance(node, SeqNode) and isinstance(key, int) and key < len(node.items):
                below = node.items[key]
            _plan_inner((*path, key), value, below, request, inner)
        return
    why = "" if node is not None else "the checkpoint has nothing for it"
    place = Place("/".join(map(str, path)), node, why)
    inner.append(_Inner(path, plan_inner("/".join(map(str, path)), live, request, place)))


def _holds_objects(value: Any) -> bool:
    """Say whether an object with a state of its own is inside."""
    seen: set[int] = set()
    stack = [value]
    while stack:
        one = stack.pop()
        if kind_of(one) != KIND:
            return True
        if isinstance(one, (dict, list)) and id(one) not in seen:
            seen.add(id(one))
            stack.extend(one.values() if isinstance(one, dict) else one)
    return False


__all__ = ["TensorNode", "plan_tree"]
