"""The settings of every group of an optimizer: decided by policy, moved by its schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ckptkit.match.settings import is_same
from ckptkit.match.values import SettingPolicy
from ckptkit.nodes import Node
from ckptkit.report.values import Setting
from ckptkit.torch_bridge.optimizers import group_settings, in_form_of, plain
from ckptkit.torch_bridge.revive import revive
from ckptkit.torch_bridge.scheduler_fields import GROUP_FIELDS
from ckptkit.verbs.restoring.planned import Request
from ckptkit.verbs.restoring.settling import IMPLEMENTATION, choice_of, settle
from ckptkit.verbs.restoring.stored_optimizer import StoredOptimizer

#: Fields of torch.optim that were added over the years, or that only say how to compute.
_YOUNG = (*IMPLEMENTATION, "maximize", "amsgrad", "nesterov", "decoupled_weight_decay",
          "initial_lr", "lr", "weight_decay", "eps")  # fmt: skip

#: What tells one algorithm from another.
_ALGORITHM = frozenset((
    "betas", "momentum", "dampening", "rho", "alpha", "centered", "momentum_decay", "lambd", "t0",
    "etas", "step_sizes", "lr_decay", "initial_accumulator_value", "max_iter", "max_eval",
    "tolerance_grad", "tolerance_change", "history_size", "line_search_fn", "beta2_decay", "d",
    "ns_coefficients", "ns_steps", "adjust_lr_fn",
))  # fmt: skip


class SettledGroups(NamedTuple):
    """What each live group will hold, the differences, and what came of the stored groups.

    ``saved`` are the stored settings in the order of the live groups (the live ones for a group
    that is new). ``moved``: whether a setting that a schedule builds on is not the stored one.
    """

    groups: list[dict[str, Any]]
    saved: list[dict[str, Any]]
    rows: tuple[Setting, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    moved: bool = False
    conflicts: tuple[str, ...] = ()  # those of the faults that on_conflict="error" made
    origins: tuple[int | None, ...] = ()  # the stored group of each live one


class Source(NamedTuple):
    """A stored optimizer, and for each live group the number of the stored one it goes on from."""

    stored: StoredOptimizer
    origins: Sequence[int | None]


def settle_own(
    name: str, live: Any, request: Request, source: Source, hidden: Sequence[str] = ()
) -> SettledGroups:
    """Decide every field of every group, as if no schedule were there to move it.

    ``hidden`` fields are written by a schedule: they are position, so the stored value is used.
    """
    policy = _policy(request, hidden)
    revived = [{key: _value(node) for key, node in group.items()} for group in source.stored.groups]
    groups, saved_groups, notes = [], [], []
    rows: list[Setting] = []
    faults = list(_class_faults(live, revived))
    conflicts: list[str] = []
    moved = False
    for index, current in enumerate(group_settings(live)):
        origin = source.origins[index] if index < len(source.origins) else None
        if origin is None or not 0 <= origin < len(revived):
            groups.append(current)
            saved_groups.append(current)
            notes.append(f"group {index} is new: its settings are those that were asked for")
            continue
        saved = revived[origin]
        place = f"{name}, group {index}"
        settled = settle(place, _plain(saved), _plain(current), policy, hidden)
        used = {key: _chosen(key, value, saved, current) for key, value in settled.used.items()}
        groups.append(used)
        saved_groups.append(saved)
        rows += settled.rows
        conflicts += settled.faults
        moved = moved or _is_moved(used, saved)
    return SettledGroups(
        groups, saved_groups, tuple(rows), (*faults, *conflicts), tuple(notes), moved,
        tuple(conflicts),
        tuple(source.origins),
    )  # fmt: skip


def _policy(request: Request, driven: Sequence[str]) -> SettingPolicy:
    """Under "fork" the new schedule's fields are those of the live optimizer.

    What a schedule drives is its position: the stored value, whatever was asked for at step 0.
    """
    fields = dict(request.settings.fields)
    if request.mode == "fork":
        for field in ("lr", *GROUP_FIELDS):
            fields.setdefault(field, "current")
    if "lr" in driven:  # it would follow the choice for lr, which is made here
        fields.setdefault(
            "initial_lr", choice_of("initial_lr", replace(request.settings, fields=fields))
        )
    return replace(request.settings, fields={**fields, **dict.fromkeys(driven, "checkpoint")})


def plain_settings(group: Mapping[str, Node]) -> dict[str, Any]:
    """Return the stored settings of one group as values that can be compared and printed."""
    return {key: plain(_value(node)) for key, node in group.items()}


def _value(node: Node) -> Any:
    return node if node is None or isinstance(node, (bool, int, float, str)) else revive(node)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: plain(value) for key, value in settings.items()}


def _chosen(key: str, value: Any, saved: Mapping[str, Any], current: Mapping[str, Any]) -> Any:
    """Return the value itself for its plain form, kept as the live one is kept."""
    if key not in saved:
        return current[key]
    if key not in current:
        return saved[key]
    if is_same(value, plain(current[key])):
        return current[key]
    return in_form_of(current[key], saved[key])


def _is_moved(used: Mapping[str, Any], saved: Mapping[str, Any]) -> bool:
    shared = [key for key in GROUP_FIELDS if key in saved and key in used]
    return any(not is_same(plain(saved[key]), plain(used[key])) for key in shared)


def _class_faults(live: Any, stored: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tell another algorithm by its fields: torch takes its state, and fails at the first step."""
    mine = set(getattr(live, "defaults", {}))
    theirs = {key for group in stored for key in group}
    foreign = sorted((theirs - mine) & _ALGORITHM)
    lacking = sorted(mine - theirs - {*_YOUNG})
    if not theirs or not foreign or not (set(lacking) & _ALGORITHM):
        return []
    told = (
        f"the checkpoint is of another kind of optimizer than {type(live).__name__}: it has "
        f"{', '.join(foreign)} and lacks {', '.join(lacking)}"
    )
    return [told]
