"""Learning rates at the stored position, where the schedule that runs now is not the stored one."""

from __future__ import annotations

from typing import Any, NamedTuple

from ckptkit.nodes import MapNode
from ckptkit.torch_bridge.kinds import kind_of
from ckptkit.torch_bridge.optimizers import in_form_of
from ckptkit.torch_bridge.scheduler_fields import DRIVEN
from ckptkit.verbs.restoring.nested import flat_targets
from ckptkit.verbs.restoring.optimizer_groups import SettledGroups, Source, settle_own
from ckptkit.verbs.restoring.optimizer_match import match_parameters
from ckptkit.verbs.restoring.planned import Request
from ckptkit.verbs.restoring.scheduler_state import SettledSchedule, settle_schedule, with_rates
from ckptkit.verbs.restoring.sections import Place, find_place
from ckptkit.verbs.restoring.stored_optimizer import (
    is_optimizer,
    parse_optimizer,
)


class Attached(NamedTuple):
    """A scheduler among the targets, and the part of the checkpoint that fills it."""

    name: str
    scheduler: Any
    place: Place


def attached_schedules(optimizer: Any, request: Request) -> list[Attached]:
    """List the schedulers among the targets that drive this optimizer and will be restored."""
    if request.mode != "resume":
        return []
    found = []
    for name, value in _of_kind("scheduler", request):
        place = find_place(name, "scheduler", request, is_schedule)
        if getattr(value, "optimizer", None) is optimizer and place.node is not None:
            found.append(Attached(name, value, place))
    return found


def is_schedule(node: Any) -> bool:
    """Say whether a node has the form of one scheduler's state."""
    words = ("last_epoch", "_schedulers", "base_lrs", "num_bad_epochs")
    return isinstance(node, MapNode) and any(word in node for word in words)


def driven_fields(optimizer: Any, request: Request) -> tuple[str, ...]:
    """Name the settings that a schedule writes at every step: they are position.

    A schedule that only reacts (on a plateau) keeps no start to compute from: there the rate is
    a setting like any other.
    """
    schedules = [one.scheduler for one in attached_schedules(optimizer, request)]
    if not schedules or not all("initial_lr" in group for group in optimizer.param_groups):
        return ()
    if all(type(one).__name__ == "ReduceLROnPlateau" for one in schedules):
        return ()
    moves_momentum = any(_moves_momentum(one) for one in schedules)
    return DRIVEN if moves_momentum else ("lr",)


def _moves_momentum(scheduler: Any) -> bool:
    inner = getattr(scheduler, "_schedulers", ())
    return bool(getattr(scheduler, "cycle_momentum", False)) or any(map(_moves_momentum, inner))


def settle_groups(name: str, live: Any, request: Request, source: Source) -> SettledGroups:
    """Decide every field of an optimizer, with the rates that its schedule will have."""
    driven = driven_fields(live, request)
    settled = settle_own(name, live, request, source, driven)
    schedules = attached_schedules(live, request) if driven else []
    if len(schedules) != 1:  # of several nobody knows how they were stepped
        return settled
    one = schedules[0]
    schedule = settle_schedule(one.name, one.scheduler, one.place, request, settled)
    schedule = with_rates(one.scheduler, schedule, settled)
    if schedule.rates is None:
        return settled
    groups = [
        {**own, **{key: in_form_of(own.get(key), value) for key, value in rate.items()}}
        for own, rate in zip(settled.groups, schedule.rates, strict=True)
    ]
    return settled._replace(groups=groups)


def schedule_of(name: str, scheduler: Any, place: Place, request: Request) -> SettledSchedule:
    """Settle a scheduler after the optimizer that it drives, if that is restored too."""
    optimizer = getattr(scheduler, "optimizer", None)
    settled = _settled_optimizer(optimizer, request)
    schedule = settle_schedule(name, scheduler, place, request, settled)
    if not schedule.is_moved or len(attached_schedules(optimizer, request)) <= 1:
        return with_rates(scheduler, schedule, settled)
    note = (
        "several schedulers drive this optimizer: its rate at this step stays that of the "
        "checkpoint, and the settings that were asked for count from here on"
    )
    return schedule._replace(notes=(*schedule.notes, note))


def _settled_optimizer(optimizer: Any, request: Request) -> SettledGroups | None:
    """Decide the groups of the optimizer exactly as its own planner does."""
    for name, value in _of_kind("optimizer", request):
        if value is not optimizer:
            continue
        place = find_place(name, "optimizer", request, is_optimizer)
        if place.node is None:
            break
        stored = parse_optimizer(place.source, place.node)
        count = len(optimizer.param_groups)
        alone = count == 1 and len(stored.groups) == 1  # the common case needs no matching
        origins = (0,) if alone else match_parameters(stored, optimizer, request).plan.groups
        hidden = driven_fields(optimizer, request)
        return settle_own(name, optimizer, request, Source(stored, origins), hidden)
    return None


def _of_kind(kind: str, request: Request) -> list[tuple[str, Any]]:
    return [(name, one) for name, one in flat_targets(request.targets) if kind_of(one) == kind]
