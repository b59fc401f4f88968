"""Which stored parameter of an optimizer is which live one: by names, then by what is proven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ckptkit.match.optimizer import plan_optimizer
from ckptkit.match.plan import plan_load
from ckptkit.match.values import Entry, LiveParameter, OptimizerPlan, Shape, StoredParameter
from ckptkit.nodes import MapNode, Node, TensorNode
from ckptkit.torch_bridge.optimizers import live_parameters
from ckptkit.torch_bridge.parameter_names import ParameterNames, names_of
from ckptkit.torch_bridge.wanted import describe_module
from ckptkit.verbs.restoring.nested import flat_targets
from ckptkit.verbs.restoring.optimizer_groups import plain_settings
from ckptkit.verbs.restoring.parameter_names import is_qualified, other_names
from ckptkit.verbs.restoring.planned import Request
from ckptkit.verbs.restoring.stored_optimizer import StoredOptimizer
from ckptkit.verbs.restoring.stored_state import StoredState, read_state

#: Buffers by their names, for modules that are not here to be asked.
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


class Matched(NamedTuple):
    """The decision, with both sides as it was made on."""

    source: StoredOptimizer
    plan: OptimizerPlan
    stored: tuple[StoredParameter, ...]
    live: tuple[LiveParameter, ...]
    nbytes: tuple[int, ...]  # of each live parameter


def match_parameters(stored: StoredOptimizer, optimizer: Any, request: Request) -> Matched:
    """Match by the names that the modules among the targets give; the optimizer follows them."""
    named = target_names(request)
    found = live_parameters(optimizer, named)
    live_sections = tuple(dict.fromkeys(name.section for _, name, _ in found if name.section))
    qualify = is_qualified(live_sections, stored.sections, request.checkpoint.document)
    renamed = _renamed(live_sections, request)
    aliases = other_names({(at.section, at.name) for _, at, _ in found}, named, request)
    order, shapes = _model_order(live_sections, request, renamed)
    told = tuple(
        _told(parameter, section, shapes, qualify=qualify)
        for parameter, section in zip(stored.parameters, stored.sections, strict=True)
    )
    live = tuple(
        LiveParameter(number, group, _full(at.section, at.name, qualify=qualify), at.shape)
        for number, (group, at, _) in enumerate(found)
    )
    beyond = tuple(dict.fromkeys(at for at, _ in aliases if at not in live_sections))
    follows = {key: aliases.get((key[0], new), (key[0], new))
               for key, new in (renamed | _renamed(beyond, request)).items()}  # fmt: skip
    names = {
        _full(*old, qualify=qualify): _full(*new, qualify=qualify) for old, new in follows.items()
    }
    plan = plan_optimizer(
        told, live, renamed=names, model_order=order,
        live_order=_live_order(live_sections, request, qualify=qualify),
        settings=[plain_settings(group) for group in stored.groups],
    )  # fmt: skip
    return Matched(stored, plan, told, live, tuple(nbytes for _, _, nbytes in found))


def _full(section: str, name: str, *, qualify: bool) -> str:
    return f"{section}/{name}" if qualify and section and name else name


def _told(
    parameter: StoredParameter, section: str, shapes: Mapping[tuple[str, str], Shape], *,
    qualify: bool,
) -> StoredParameter:  # fmt: skip
    """Add the shape that the stored model has for this name, where the optimizer has none."""
    shape = parameter.shape
    if shape is None and parameter.name:
        known = {s for (place, name), s in shapes.items() if name == parameter.name}
        shape = known.pop() if len(known) == 1 else None
    return parameter._replace(name=_full(section, parameter.name, qualify=qualify), shape=shape)


def _renamed(sections: Sequence[str], request: Request) -> dict[tuple[str, str], str]:
    """For each module: stored name -> live name, as its own weights would be matched."""
    found: dict[tuple[str, str], str] = {}
    for section in sections:
        weights, module = stored_weights(section, request), live_module(section, request)
        if weights is None or module is None:
            continue
        plan = plan_load(weights.entries, _live_entries(module), request.policy)
        for pair in plan.pairs:
            found.setdefault((section, pair.source), pair.target)
        tied: dict[int, list[str]] = {}
        for entry in weights.entries:
            if entry.tie >= 0:
                tied.setdefault(entry.tie, []).append(entry.name)
        for mates in tied.values():  # a mate that the model has no more was the same parameter
            heirs = [found[section, name] for name in mates if (section, name) in found]
            for name in mates if heirs else ():
                found.setdefault((section, name), heirs[0])
    return found


def _model_order(
    sections: Sequence[str], request: Request, renamed: Mapping[tuple[str, str], str]
) -> tuple[tuple[tuple[str, Shape], ...], dict[tuple[str, str], Shape]]:
    """Names and shapes of the stored models' parameters in order, ties once; and all shapes."""
    order: list[tuple[str, Shape]] = []
    shapes: dict[tuple[str, str], Shape] = {}
    for section in sections:
        module, weights = live_module(section, request), stored_weights(section, request)
        buffers = {entry.name for entry in _live_entries(module) if entry.kind != "parameter"}
        seen: set[object] = set()
        for name, node in _tensors(weights):
            shapes[section, name] = node.shape
            is_buffer = name.rpartition(".")[2] in _BUFFERS
            if is_buffer or renamed.get((section, name), name) in buffers:
                continue
            if node.same_view() not in seen:
                seen.add(node.same_view())
                order.append((name, node.shape))
    return tuple(order), shapes


def _live_order(sections: Sequence[str], request: Request, *, qualify: bool) -> tuple[str, ...]:
    return tuple(
        _full(section, entry.name, qualify=qualify)
        for section in sections
        for entry in _live_entries(live_module(section, request))
        if entry.kind == "parameter"
    )


def stored_weights(section: str, request: Request) -> StoredState | None:
    """Read the stored state_dict of a module; one inside a mapping is ``models/generator``."""
    node: Node = request.checkpoint.document.get(section)
    return read_state(section, node) if isinstance(node, MapNode) else None


def live_module(section: str, request: Request) -> Any:
    """Return the live object of this name among the targets, or None."""
    return dict(flat_targets(request.targets)).get(section)


def target_names(request: Request) -> ParameterNames:
    """Name the parameters of all modules among the targets, however deep they lie."""
    return names_of(((name,), value) for name, value in flat_targets(request.targets))


def _tensors(weights: StoredState | None) -> list[tuple[str, TensorNode]]:
    pairs = [] if weights is None else weights.nodes.items()
    return [(name, node) for name, node in pairs if isinstance(node, TensorNode)]


def _live_entries(module: Any) -> list[Entry]:
    return [] if module is None else [Entry(*one) for one in describe_module(module).entries]
