"""The planner of averaged weights: torch's AveragedModel and lists of shadow parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ckptkit.match.plan import plan_load
from ckptkit.match.values import Entry
from ckptkit.nodes import MapNode, Node, SeqNode, TensorNode
from ckptkit.report.values import ComponentReport, Line
from ckptkit.torch_bridge.average import AVERAGED_MODEL, shadow_names
from ckptkit.torch_bridge.averages import (
    COUNTERS,
    buffer_names,
    fields_of,
    form_of,
    inner_module,
    is_setting,
    set_count,
    set_fields,
    shadow_facts,
    shadows,
)
from ckptkit.torch_bridge.optimizers import plain
from ckptkit.torch_bridge.parameter_names import names_of
from ckptkit.torch_bridge.revive import revive
from ckptkit.torch_bridge.values import Fill
from ckptkit.verbs.restoring.absent import absent
from ckptkit.verbs.restoring.lines import lines_of
from ckptkit.verbs.restoring.modules import plan_module
from ckptkit.verbs.restoring.nested import flat_targets
from ckptkit.verbs.restoring.optimizer_match import target_names
from ckptkit.verbs.restoring.planned import Planned, Request
from ckptkit.verbs.restoring.sections import Place, find_place
from ckptkit.verbs.restoring.settling import Settled, settle
from ckptkit.verbs.restoring.stored_state import read_state

KIND, SECTION = "average", "ema"
_WEIGHTS = ("weights", "shadow_params", "shadow", "averaged_params")


class _Stored(NamedTuple):
    """The parts of a stored average. ``updates`` is None where nobody counted."""

    weights: Node
    updates: int | None
    fields: dict[str, Any]


def plan_average_component(name: str, live: Any, request: Request) -> Planned:
    """Plan one average; a Planner."""
    place = find_place(name, SECTION, request, is_average)
    if place.node is None:
        return absent(name, KIND, place, request)
    stored = _read(place.node)
    if form_of(live) == AVERAGED_MODEL:
        return _plan_model(name, live, request, place, stored)
    return _plan_shadows(name, live, request, place, stored)


def is_average(node: Node) -> bool:
    """Say whether a node has the form of one average: its weights apart, or nothing else."""
    return isinstance(node, MapNode) and any(
        isinstance(node.get(word), (MapNode, SeqNode)) for word in _WEIGHTS
    )


def _read(node: MapNode) -> _Stored:
    word = next(word for word in _WEIGHTS if isinstance(node.get(word), (MapNode, SeqNode)))
    counts = [plain(revive(node[key])) for key in COUNTERS if key in node]
    whole = [int(n) for n in counts if isinstance(n, (int, float)) and int(n) == n]
    fields = {
        key: value if isinstance(value, (bool, int, float, str)) else plain(revive(value))
        for key, value in node.items()
        if isinstance(key, str) and key != word and _is_small(value)
    }
    return _Stored(node[word], whole[0] if whole else None, fields)


def _is_small(node: Node) -> bool:
    return not isinstance(node, (MapNode, SeqNode)) and not (
        isinstance(node, TensorNode) and node.numel > 1
    )


def _plan_model(name: str, live: Any, request: Request, place: Place, stored: _Stored) -> Planned:
    """Match the weights with the module inside, as any module's are."""
    module = inner_module(live)
    weights, notes = _named_weights(stored.weights, module)
    if isinstance(weights, str):
        return _refused(name, place, f"{name}: {weights}")
    weights, borrowed = _with_buffers(weights, module, request)
    document = MapNode({name: weights})
    checkpoint = replace(request.checkpoint, document=document)
    planned = plan_module(name, module, replace(request, checkpoint=checkpoint, use="raw"))
    lines = list(planned.report.lines)
    if stored.updates is None:
        detail = "the checkpoint does not say how many updates were averaged; it keeps its count"
        lines.append(Line("defaulted", "n_averaged", detail=detail))
    report = replace(
        planned.report, kind=KIND, source=place.source, lines=tuple(lines),
        notes=(*notes, *borrowed, *planned.report.notes),
    )  # fmt: skip

    def finish() -> None:
        planned.finish()
        if stored.updates is not None:
            set_count(live, stored.updates)

    return planned._replace(report=report, finish=finish)


def _named_weights(weights: Node, module: Any) -> tuple[Any, tuple[str, ...]]:
    """Give a list the names of the module's parameters, if every shape agrees in order."""
    if isinstance(weights, MapNode):
        return weights, ()
    names = names_of([(("average",), module)])
    parameters = names.in_section("average")
    return _by_order(weights, list(parameters.items()))


def _by_order(
    weights: SeqNode, parameters: Sequence[tuple[str, tuple[int, ...]]]
) -> tuple[Any, tuple[str, ...]]:
    shapes = [item.shape if isinstance(item, TensorNode) else None for item in weights.items]
    if shapes != [shape for _, shape in parameters]:
        return (
            f"the stored average is a list of {len(shapes)} tensors without names, and their "
            f"shapes are not those of the {len(parameters)} parameters here in order"
        ), ()
    node = MapNode(
        [(name, item) for (name, _), item in zip(parameters, weights.items, strict=True)]
    )
    return node, ("nobody stored names: matched in order, because every shape agrees one to one",)


def _with_buffers(
    weights: MapNode, module: Any, request: Request
) -> tuple[MapNode, tuple[str, ...]]:
    """Take buffers that no average was made of from the raw model, as averaging does."""
    raw = request.checkpoint.document.get("model")
    lacking = [
        key
        for key in buffer_names(module)
        if isinstance(raw, MapNode) and key in raw and key not in weights
    ]
    if not lacking or not set(weights) & set(raw):
        return weights, ()
    added = MapNode([*weights.items(), *((key, raw[key]) for key in lacking)], weights.kind)
    are = "1 buffer is" if len(lacking) == 1 else f"{len(lacking):,} buffers are"
    note = f"{are} not averaged in the checkpoint: taken from its model"
    return added, (note,)


def _plan_shadows(name: str, live: Any, request: Request, place: Place, stored: _Stored) -> Planned:
    """Match the weights with the list by the names that the live model gives it."""
    facts = shadow_facts(live)
    names = shadow_names(shadows(live), target_names(request))
    weights: Any = stored.weights
    notes: tuple[str, ...] = ()
    if isinstance(weights, SeqNode):
        numbered = [(names[i] if names else str(i), shape) for i, (_, shape) in enumerate(facts)]
        weights, notes = _by_order(weights, numbered)
    elif names is None:
        weights = (
            "the stored average has names, and no module among the targets has parameters of "
            "these shapes in this order to name the live one's"
        )
    if isinstance(weights, str):
        return _refused(name, place, f"{name}: {weights}")
    labels = names or [str(index) for index in range(len(facts))]
    return _matched_shadows(name, live, request, place, (stored, weights, labels, notes))


def _matched_shadows(
    name: str, live: Any, request: Request, place: Place,
    parts: tuple[_Stored, MapNode, list[str], tuple[str, ...]],
) -> Planned:  # fmt: skip
    stored, weights, labels, notes = parts
    state = read_state(f"{place.source}/weights", weights)
    wanted = tuple(
        Entry(label, dtype, shape, "parameter")
        for label, (dtype, shape) in zip(labels, shadow_facts(live), strict=True)
    )
    buffers = _buffers_of(request, state.nodes, labels)
    entries = [entry for entry in state.entries if entry.name not in buffers]
    plan = plan_load(entries, wanted, request.policy)
    settled = _fields(name, live, stored, request)
    odd = [p.target for p in plan.pairs if p.action not in ("copy", "skip")]
    faults = [*plan.faults, *settled.faults]
    faults += [f"{name}: {target} would have to be changed to fit" for target in odd]
    partly = plan.missing or plan.allowed_missing or plan.allowed_unexpected
    report = ComponentReport(
        name=name, kind=KIND, source=place.source, coverage=plan.coverage,
        status="refused" if faults else ("partly" if partly else "restored"),
        lines=(*lines_of(plan, {e.name: e for e in entries}, {e.name: e for e in wanted}),
               *(Line("benign", key, detail="a buffer; this average has none") for key in buffers)),
        settings=settled.rows, faults=tuple(map(str, faults)), notes=(*notes, *plan.notes),
    )  # fmt: skip

    def prepare() -> Sequence[Fill]:
        tensors = dict(zip(labels, shadows(live), strict=True))
        return [
            Fill(tensors[pair.target], state.nodes[pair.source], f"{state.source}/{pair.source}")
            for pair in plan.pairs
            if pair.action == "copy"
        ]

    return Planned(report, prepare, lambda: set_fields(live, settled.used))


def _fields(name: str, live: Any, stored: _Stored, request: Request) -> Settled:
    """Decay and warm-up by policy; the count of updates as it was."""
    mine = {key: plain(value) for key, value in fields_of(live).items()}
    told = {key: stored.fields[key] for key in mine if key in stored.fields and is_setting(key)}
    now = {key: mine[key] for key in told}
    settled = settle(name, told, now, request.settings)
    position = {
        key: stored.updates
        for key in mine
        if key in COUNTERS and stored.updates is not None and not isinstance(mine[key], tuple)
    }
    rest = {
        key: stored.fields[key]
        for key in mine
        if key in stored.fields and not is_setting(key) and key not in COUNTERS
    }
    return settled._replace(used={**rest, **settled.used, **position})


def _buffers_of(request: Request, stored: Mapping[str, Node], labels: Sequence[str]) -> list[str]:
    """Name stored entries that are buffers of the model that gives the names."""
    wanted = set(labels)
    buffers: set[str] = set()
    for _, value in flat_targets(request.targets):
        if callable(getattr(value, "named_buffers", None)):
            buffers |= set(buffer_names(value))
    return [key for key in stored if key in buffers and key not in wanted]


def _refused(name: str, place: Place, fault: str) -> Planned:
    return Planned(
        ComponentReport(
            name=name, kind=KIND, status="refused", source=place.source, faults=(fault,)
        )
    )
