"""Whose hyper-parameters win, field by field, with the differences as rows of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ckptkit.match.settings import resolve_settings
from ckptkit.match.values import OnConflict, SettingPolicy
from ckptkit.report.values import Setting

#: How an optimizer computes, not what: they belong to the code and the machine that run now, so
#: the live value wins unless a policy names the field itself.
IMPLEMENTATION = ("foreach", "fused", "capturable", "differentiable")

#: Fields that follow the choice made for another word, where nothing is said of themselves. Who
#: asks for a new ``lr`` means the optimizer's and the schedule's; phases are computed from steps.
FOLLOWS = {
    "initial_lr": "lr",
    "base_lrs": "lr",
    "max_lrs": "max_lr",
    "min_lrs": "min_lr",
    "default_min_lr": "min_lr",
    "base_momentums": "base_momentum",
    "max_momentums": "max_momentum",
    "_schedule_phases": "total_steps",
    "step_ratio": "total_size",
    "mode_worse": "mode",
}


class Settled(NamedTuple):
    """The values to use, the differences, and a sentence for each that the policy forbids."""

    used: dict[str, Any]
    rows: tuple[Setting, ...] = ()
    faults: tuple[str, ...] = ()


def choice_of(name: str, policy: SettingPolicy) -> OnConflict:
    """Return the choice for a field: its own, that of its plain name, of what it follows."""
    for word in (name, name.lstrip("_"), FOLLOWS.get(name, name)):
        if word in policy.fields:
            return policy.fields[word]
    if name in IMPLEMENTATION:
        return "current"
    return policy.default


def settle(
    place: str,
    saved: Mapping[str, Any],
    current: Mapping[str, Any],
    policy: SettingPolicy,
    hidden: Sequence[str] = (),
) -> Settled:
    """Choose for every field that both sides have; one that a single side has stays as it is.

    ``hidden`` fields are chosen like all, but make neither row nor fault.
    """
    shared = [key for key in saved if key in current]
    exact = replace(policy, fields={key: choice_of(key, policy) for key in shared})
    used, differing, *_ = resolve_settings(
        place, {key: saved[key] for key in shared}, {key: current[key] for key in shared}, exact
    )
    shown = [Setting(*row) for row in differing if row[1] not in hidden]
    faults = [
        f"{row.place}: {row.field} is {row.saved!r} in the checkpoint and {row.asked!r} here, "
        'and on_conflict="error"'
        for row in shown
        if exact.of(row.field) == "error"
    ]
    return Settled({**current, **saved, **used}, tuple(shown), tuple(faults))
