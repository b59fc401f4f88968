"""Everything that is known of a module's restore before anything is touched."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ckptkit.match.values import Entry, LoadPlan
from ckptkit.torch_bridge.wanted import WantedState
from ckptkit.verbs.restoring.asking import Asked, is_below
from ckptkit.verbs.restoring.stored_state import StoredState

_COUNTER = "num_batches_tracked"  # counts from 0 in a new module


class Unfilled(NamedTuple):
    """Names without memory (on the meta device) that no stored tensor fills.

    ``counters`` begin at 0, ``lost`` have no value at all, ``hidden`` are buffers that are never
    saved: only the code that made the module can make them again.
    """

    counters: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulePlan:
    """A module, what it wants, what is stored, which goes where, and who loads himself."""

    live: Any
    wanted: WantedState
    entries: Mapping[str, Entry]
    stored: StoredState
    plan: LoadPlan
    asked: tuple[Asked, ...] = ()
    unfilled: Unfilled


def find_unfilled(
    wanted: WantedState, entries: Mapping[str, Entry], plan: LoadPlan, roots: Collection[str]
) -> Unfilled:
    """Find what stays without memory when the plan is carried out."""
    meta = [name for name, tensor in wanted.tensors.items() if tensor.is_meta]
    hidden = [name for name, tensor in wanted.hidden.items() if tensor.is_meta]
    if not meta:
        return Unfilled(hidden=tuple(hidden))
    filled = {pair.target for pair in plan.pairs if pair.action not in ("skip", "slice")}
    ties = {entries[name].tie for name in filled if name in entries} - {-1}
    left = [
        name
        for name in meta
        if name not in filled and entries[name].tie not in ties and not is_below(name, roots)
    ]
    counters = tuple(name for name in left if name.rpartition(".")[2] == _COUNTER)
    lost = tuple(name for name in left if name not in counters)
    return Unfilled(counters, lost, tuple(hidden))
