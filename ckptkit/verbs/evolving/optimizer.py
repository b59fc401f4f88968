"""The section of an optimizer, taken apart by parameter and put together again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ckptkit.errors import OptimizerMatchError
from ckptkit.match.listing import places, trust_of
from ckptkit.match.state_shapes import known_shape
from ckptkit.nodes import MapNode, Node, Path, SeqNode, TensorNode
from ckptkit.report.values import Line
from ckptkit.verbs.evolving.moments import Kept
from ckptkit.verbs.evolving.trace import Gone
from ckptkit.verbs.restoring.stored_optimizer import StoredOptimizer, is_optimizer, parse_optimizer

MODEL = "model"
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


class Found(NamedTuple):
    """One optimizer of the document: where it lies, its node, its parameters.

    ``why`` says why nobody knows the names of its parameters; then nothing follows them.
    """

    path: Path
    node: MapNode
    stored: StoredOptimizer
    kept: tuple[Kept, ...]
    why: str = ""


def find_optimizers(document: MapNode) -> Iterator[Found]:
    """Every optimizer that is a section, or lies directly in one under a name."""
    for section, node in document.items():
        if is_optimizer(node):
            yield from _found((section,), node, document)
        elif isinstance(node, MapNode):
            for key, inner in node.items():
                if is_optimizer(inner):
                    yield from _found((section, key), inner, document)


def _found(path: Path, node: MapNode, document: MapNode) -> Iterator[Found]:
    try:
        stored = parse_optimizer("/".join(map(str, path)), node)
    except (
        OptimizerMatchError
    ) as exc:  # a form that contradicts itself: whoever restores it says so
        yield Found(path, node, StoredOptimizer((), (), (), ()), (), exc.seen)
        return
    if "param_groups" not in node:
        why = "it is flattened, a form that is matched by the names it has"
        yield Found(path, node, stored, (), why)
        return
    names = [(s, p.name) for s, p in zip(stored.sections, stored.parameters, strict=True)]
    shapes, why = [p.shape for p in stored.parameters], ""
    if not all(name for _, name in names):
        inferred, why = _inferred(stored, document.get(MODEL))
        if inferred:  # with their shapes: one whose name stays is told by nothing else
            names = [(MODEL, name) for name, _ in inferred]
            shapes = [shape for _, shape in inferred]
    kept = tuple(
        Kept(
            section=section or MODEL, name=name, shape=shape, group=p.group,
            state=stored.states[p.number], origins=(p.number,),
        )
        for (section, name), shape, p in zip(names, shapes, stored.parameters, strict=True)
    )  # fmt: skip
    yield Found(path, node, stored, () if why else kept, why)


def _inferred(
    stored: StoredOptimizer, model: Node
) -> tuple[list[tuple[str, tuple[int, ...]]], str]:
    """Names and shapes by the order of the stored model, where it proves each; else why not.

    Source: match/order.py has what counts as proof.
    """
    order = _parameters_of(model) if isinstance(model, MapNode) else []
    if not order:
        return [], "its parameters have no names, and there is no model whose order could tell them"
    if trust_of([name for name, _ in order], order_kept=False) != "kept":
        return [], "its parameters have no names, and the model's order may not be its own"
    shapes = {shape for _, shape in order}
    found: dict[int, int] = {}
    for group in range(len(stored.groups)):
        members = [p for p in stored.parameters if p.group == group]
        at = places([known_shape(p, shapes) for p in members], [shape for _, shape in order])
        if at is None or -1 in at:
            return [], "its parameters have no names, and their shapes do not tell them"
        found |= {p.number: place for p, place in zip(members, at, strict=True)}
    if len(set(found.values())) != len(stored.parameters):
        return [], "its parameters have no names, and two of them could be one"
    return [order[found[p.number]] for p in stored.parameters], ""


def _parameters_of(model: MapNode) -> list[tuple[str, tuple[int, ...]]]:
    order, seen = [], set()
    for name, node in model.items():
        if not isinstance(node, TensorNode) or type(name) is not str:
            continue
        if name.rpartition(".")[2] in _BUFFERS or node.same_view() in seen:
            continue
        seen.add(node.same_view())
        order.append((name, node.shape))
    return order


def rebuilt(found: Found, kept: Sequence[Kept]) -> MapNode:
    """The optimizer's node with these parameters, numbered anew, group by group.

    Where only names changed, everything but the names is the very same.
    """
    ordered = in_order(kept)
    if _only_named(found, ordered):
        pairs = [(k, v) for k, v in found.node.items() if k != "parameters"]
        return MapNode([*pairs, ("parameters", _entry(ordered))], found.node.kind, found.node.attrs)
    state = MapNode(
        [*((n, one.state) for n, one in enumerate(ordered) if one.state is not None),
         *found.stored.loose]
    )  # fmt: skip
    numbers: dict[int, list[int]] = {}
    for number, one in enumerate(ordered):
        numbers.setdefault(one.group, []).append(number)
    groups = [
        MapNode({**settings, "params": SeqNode(list(numbers.get(g, [])))})
        for g, settings in enumerate(found.stored.groups)
    ]
    fresh = {"state": state, "param_groups": SeqNode(groups), "parameters": _entry(ordered)}
    return MapNode([*fresh.items(), *found.stored.other], found.node.kind, found.node.attrs)


def _only_named(found: Found, ordered: Sequence[Kept]) -> bool:
    states = found.stored.states
    return len(ordered) == len(states) and all(
        one.origins == (number,) and one.state is states[number]
        for number, one in enumerate(ordered)
    )


def in_order(kept: Sequence[Kept]) -> list[Kept]:
    """The parameters as they are numbered: group by group."""
    return sorted(kept, key=lambda one: one.group)


def _entry(kept: Sequence[Kept]) -> MapNode:
    """Source: docs/format.md section "Sections (v2)", ``optimizer``."""
    shapes: list[Node] = [SeqNode(list(one.shape or ()), "tuple") for one in kept]
    return MapNode(
        {
            "sections": SeqNode([one.section for one in kept]),
            "names": SeqNode([one.name for one in kept]),
            "shapes": SeqNode(shapes),
        }
    )


def account(found: Found, kept: Sequence[Kept]) -> list[Gone]:
    """Say where the state of each stored parameter is now."""
    ordered = in_order(kept)
    if _only_named(found, ordered):
        return [_own(found, "parameters", "names as they are now")]
    targets: dict[int, list[int]] = {p.number: [] for p in found.stored.parameters}
    for number, one in enumerate(ordered):
        for origin in one.origins:
            targets[origin].append(number)
    moved = [_own(found, "parameters", "as they are now")]
    for number in range(len(found.stored.groups)):
        moved.append(_own(found, ("param_groups", number, "params"), "numbered anew"))
        moved.append(_own(found, ("param_groups", number, "param_names"), "as they are now"))
    for key, (origin, numbers) in zip(_state_keys(found), targets.items(), strict=True):
        old = found.stored.states[origin]
        if old is None:
            continue
        exact = len(numbers) == 1 and ordered[numbers[0]].state is old
        alive = [n for n in numbers if ordered[n].state is not None]
        why = next((ordered[n].why for n in numbers if ordered[n].why), "the parameter is gone")
        note = "" if exact else "went with its parameter" if alive else f"dropped: {why}"
        places = tuple((*found.path, "state", n) for n in (numbers if exact else alive))
        moved.append(Gone((*found.path, "state", key), places, exact, note))
    return moved


def _own(found: Found, place: str | Path, note: str) -> Gone:
    path = (*found.path, *((place,) if isinstance(place, str) else place))
    target = (*found.path, "parameters") if path[-1] == "param_names" else path
    return Gone(path, (target,), exact=False, note=note)


def _state_keys(found: Found) -> list[Node]:
    groups = found.node.get("param_groups")
    listed = groups.items if isinstance(groups, SeqNode) else []
    return [key for group in listed for key in group["params"].items]


def lines_of(found: Found, kept: Sequence[Kept]) -> Iterator[Line]:
    """What became of state that is not simply where its parameter is."""
    before: Mapping[int, MapNode | None] = dict(enumerate(found.stored.states))
    for one in kept:
        if one.why:
            yield Line("dropped", one.name, detail=f"its state: {one.why}")
        elif one.state is not None and (
            len(one.origins) > 1 or one.state is not before[one.origins[0]]
        ):
            yield Line("migrated", one.name, detail="its state went with it")
    left = {origin for one in kept for origin in one.origins}
    names = {old.origins[0]: old.name for old in found.kept}
    for number, state in before.items():
        if number not in left and state is not None:
            yield Line("dropped", names.get(number, str(number)), detail="its parameter is gone")
