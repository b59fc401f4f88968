"""The component table: what each mode does with each kind of live object, and who plans it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

from ckptkit.errors import MissingExtraError
from ckptkit.report.values import ComponentReport
from ckptkit.verbs.restoring.absent import refuse_nothing
from ckptkit.verbs.restoring.planned import MODES, Planned, Planner, Request


class Component(NamedTuple):
    """One row: a kind of live object.

    ``planner`` is ``module:function``, imported when such an object is met. ``modes`` are those
    that fill it; the others leave it as it is.
    """

    kind: str
    planner: str
    modes: tuple[str, ...]
    what: str


_HERE = "ckptkit.verbs.restoring"
_RESUME, _, _FORK = MODES

#: In the order in which the components are finished: a scheduler finds its optimizer done.
COMPONENTS = (
    Component("module", f"{_HERE}.modules:plan_module", MODES, "weights and buffers"),
    Component(
        "average", f"{_HERE}.averages:plan_average_component", (_RESUME, _FORK),
        "averaged weights with their count of updates",
    ),
    Component(
        "optimizer", f"{_HERE}.optimizers:plan_optimizer_component", (_RESUME, _FORK),
        "state by parameter, and hyper-parameters",
    ),
    Component(
        "scheduler", f"{_HERE}.schedulers:plan_scheduler_component", (_RESUME,),
        "position and hyper-parameters of a learning-rate schedule",
    ),
    Component(
        "scaler", f"{_HERE}.scalers:plan_scaler_component", (_RESUME, _FORK),
        "the loss scale, which belongs to the weights and their gradients",
    ),
    Component(
        "stateful", f"{_HERE}.stateful:plan_stateful_component", (_RESUME,),
        "anything else with a state_dict: the place in the data, counters",
    ),
    Component("tree", f"{_HERE}.trees:plan_tree_component", (_RESUME,), "plain data"),
)  # fmt: skip


def component_of(kind: str) -> Component:
    """Return the row of a kind. Raises: KeyError."""
    for component in COMPONENTS:
        if component.kind == kind:
            return component
    raise KeyError(kind)


def plan_components(targets: Sequence[tuple[str, Any]], request: Request) -> list[Planned]:
    """Plan every target, in the order of the table and otherwise as they were given."""
    kinds = import_bridge("kinds")
    named = [(component_of(kinds.kind_of(value)), name, value) for name, value in targets]
    named.sort(key=lambda row: COMPONENTS.index(row[0]))
    parts = [_plan(component, name, value, request) for component, name, value in named]
    return refuse_nothing(parts)


def import_bridge(name: str) -> Any:
    """Import a module that needs torch. Raises: MissingExtraError."""
    try:
        return import_module(f"ckptkit.torch_bridge.{name}")
    except ModuleNotFoundError as exc:
        if exc.name != "torch":
            raise
        raise MissingExtraError(
            "torch", "is not installed, and live objects are made of it", "",
            "install ckptkit with its extra: pip install 'ckptkit[torch]'",
        ) from exc  # fmt: skip


def _plan(component: Component, name: str, value: Any, request: Request) -> Planned:
    if request.mode not in component.modes:
        note = f"{request.mode} leaves every {component.kind} as it is: {component.what}"
        return Planned(
            ComponentReport(name=name, kind=component.kind, status="fresh", notes=(note,))
        )
    module, _, function = component.planner.partition(":")
    planner: Planner = getattr(import_module(module), function)
    return planner(name, value, request)
