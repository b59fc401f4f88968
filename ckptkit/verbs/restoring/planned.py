"""The two halves of restoring one component: what would happen, and the acts that do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ckptkit.match.values import MatchPolicy, SettingPolicy
from ckptkit.report.values import ComponentReport
from ckptkit.torch_bridge.values import Fill
from ckptkit.verbs.open import Checkpoint

MODES = ("resume", "warm-start", "fork")


def _nothing_to_fill() -> Sequence[Fill]:
    return ()


def _nothing_to_finish() -> None:
    return None


class Planned(NamedTuple):
    """One component. ``prepare`` and ``finish`` run only if no component was refused.

    ``prepare`` makes the live tensors that are to be filled (materialises, allocates) and names
    them; ``finish`` runs when all bytes of all components are in, in the order of the components
    (counters, hyper-parameters, ``load_state_dict`` of those that must be asked).
    """

    report: ComponentReport
    prepare: Callable[[], Sequence[Fill]] = _nothing_to_fill
    finish: Callable[[], None] = _nothing_to_finish


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What one restore was asked to do; the same for every component.

    ``targets`` are all live objects by component name, so that an optimizer finds the names of
    its parameters. ``use``: which weights fill ``model``: "raw" or "ema".
    """

    checkpoint: Checkpoint
    targets: Mapping[str, Any]
    mode: str = "resume"
    policy: MatchPolicy = field(default_factory=MatchPolicy)
    settings: SettingPolicy = field(default_factory=SettingPolicy)
    use: str = "raw"
    device: Any = None  # where meta tensors are materialised; None: the CPU


#: Plans one component: (name in targets, live object, request).
Planner = Callable[[str, Any, Request], Planned]
