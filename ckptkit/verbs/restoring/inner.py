"""Objects inside a tree: each is planned by its kind, from the place that the tree has for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ckptkit.nodes import MapNode
from ckptkit.torch_bridge.kinds import kind_of
from ckptkit.verbs.restoring.absent import absent
from ckptkit.verbs.restoring.averages import plan_average_at
from ckptkit.verbs.restoring.modules import plan_module
from ckptkit.verbs.restoring.optimizers import plan_optimizer_at
from ckptkit.verbs.restoring.planned import Planned, Request
from ckptkit.verbs.restoring.rates import is_schedule
from ckptkit.verbs.restoring.scalers import is_scaler, plan_scaler_at
from ckptkit.verbs.restoring.schedulers import plan_scheduler_at
from ckptkit.verbs.restoring.sections import Place
from ckptkit.verbs.restoring.stateful import plan_stateful_at
from ckptkit.verbs.restoring.stored_optimizer import is_optimizer

PlacedPlanner = Callable[[str, Any, Request, Place], Planned]


def plan_module_at(name: str, live: Any, request: Request, place: Place) -> Planned:
    """Plan a module whose state_dict lies at ``place``."""
    document = MapNode({name: place.node})
    checkpoint = replace(request.checkpoint, document=document)
    return plan_module(name, live, replace(request, checkpoint=checkpoint, use="raw"))


_FORMS: dict[str, Callable[[Any], bool]] = {
    "optimizer": is_optimizer,
    "scheduler": is_schedule,
    "scaler": is_scaler,
    "module": lambda node: isinstance(node, MapNode),
    "average": lambda node: isinstance(node, MapNode),
}
_PLANNERS: dict[str, PlacedPlanner] = {
    "optimizer": plan_optimizer_at,
    "scheduler": plan_scheduler_at,
    "scaler": plan_scaler_at,
    "module": plan_module_at,
    "average": plan_average_at,
    "stateful": plan_stateful_at,
}


def plan_inner(name: str, live: Any, request: Request, place: Place) -> Planned:
    """Plan one live object from a known place."""
    kind = kind_of(live)
    form = _FORMS.get(kind)
    if place.why or (form is not None and not form(place.node)):
        why = place.why or f"the checkpoint has no {kind} at this place"
        return absent(name, kind, Place(place.source, None, why), request)
    return _PLANNERS[kind](name, live, request, place)
