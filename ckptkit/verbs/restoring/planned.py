"""The two halves of restoring one component: what would happen, and the acts that do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ckptkit.errors import RestoreError
from ckptkit.match.values import MatchPolicy, SettingPolicy
from ckptkit.report.values import ComponentReport
from ckptkit.torch_bridge.values import Fill
from ckptkit.verbs.open import Checkpoint
from ckptkit.verbs.restoring.digests import DigestBook

MODES = ("resume", "warm-start", "fork")


def _nothing_to_fill() -> Sequence[Fill]:
    return ()


def _nothing_to_finish() -> None:
    return None


def _as_planned(report: ComponentReport) -> ComponentReport:
    return report


class Planned(NamedTuple):
    """One component. ``prepare`` and ``finish`` run only if no component was refused.

    ``prepare`` makes the live tensors that are to be filled (materialises, allocates) and names
    them; ``finish`` runs when all bytes of all components are in, in the order of the components
    (counters, hyper-parameters, ``load_state_dict`` of those that must be asked). ``outcome``
    makes the report of what happened out of the planned one, where the two may differ.
    ``error`` is what the component's faults are raised as; None leaves it to the orchestrator.
    """

    report: ComponentReport
    prepare: Callable[[], Sequence[Fill]] = _nothing_to_fill
    finish: Callable[[], None] = _nothing_to_finish
    outcome: Callable[[ComponentReport], ComponentReport] = _as_planned
    error: type[RestoreError] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What one restore was asked to do; the same for every component.

    ``targets`` are all live objects as they were given (mappings may hold more of them), so that
    an optimizer finds the names of its parameters. ``use``: which weights fill modules: "raw" or
    "ema".
    """

    checkpoint: Checkpoint
    targets: Mapping[str, Any]
    mode: str = "resume"
    policy: MatchPolicy = field(default_factory=MatchPolicy)
    settings: SettingPolicy = field(default_factory=SettingPolicy)
    use: str = "raw"
    device: Any = None  # where meta tensors are materialised; None: the CPU
    planned: bool = False  # a dry run: the model may be on the meta device for that alone
    digests: DigestBook | None = None  # what the checkpoint's tensors are checked by


#: Plans one component: (name in targets, live object, request).
Planner = Callable[[str, Any, Request], Planned]
