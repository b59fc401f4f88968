"""Whose hyper-parameters win, field by field: the checkpoint's or those that run now."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ckptkit.match.values import SettingPolicy


class Differing(NamedTuple):
    """One field that differs: asked for now, saved then, and what is used."""

    place: str  # "optimizer, group 0"
    field: str
    asked: Any
    saved: Any
    used: Any


class Resolved(NamedTuple):
    """The settings to use, what differed, and a sentence for each difference that is forbidden."""

    used: dict[str, Any]
    differing: tuple[Differing, ...] = ()
    faults: tuple[str, ...] = ()


def resolve_settings(
    place: str, saved: Mapping[str, Any], current: Mapping[str, Any], policy: SettingPolicy
) -> Resolved:
    """Choose a value for every field of either side; raises nothing.

    A field that one side alone has is no conflict: it stays (an old file knows no ``foreach``, and
    a fresh optimizer no ``initial_lr``). Under "error" the live value stays, with a fault.
    """
    used = {**saved, **current}
    differing, faults = [], []
    for name, now in current.items():
        if name not in saved or is_same(saved[name], now):
            continue
        choice = policy.of(name)
        used[name] = saved[name] if choice == "checkpoint" else now
        differing.append(Differing(place, name, now, saved[name], used[name]))
        if choice == "error":
            faults.append(
                f"{place}: {name} is {saved[name]!r} in the checkpoint and {now!r} here, "
                'and on_conflict="error" lets neither win'
            )
    return Resolved(used, tuple(differing), tuple(faults))


def is_same(saved: Any, current: Any) -> bool:
    """Tell whether two settings mean the same: 1 and 1.0, (0.9, 0.999) and [0.9, 0.999], nan.

    A flag is no number: True and 1 differ.
    """
    if isinstance(saved, bool) != isinstance(current, bool):
        return False
    if isinstance(saved, float) and isinstance(current, float) and math.isnan(saved):
        return math.isnan(current)
    if isinstance(saved, list | tuple) and isinstance(current, list | tuple):
        return len(saved) == len(current) and all(map(is_same, saved, current))
    if isinstance(saved, Mapping) and isinstance(current, Mapping):
        return saved.keys() == current.keys() and all(
            is_same(saved[key], current[key]) for key in saved
        )
    return _is_equal(saved, current)


def _is_equal(saved: Any, current: Any) -> bool:
    try:
        return bool(saved == current)
    except (ValueError, TypeError, RuntimeError):  # arrays answer for each element, or not at all
        return repr(saved) == repr(current)
