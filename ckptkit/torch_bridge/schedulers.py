"""Live schedulers: what they are, and their learning rates at a position with other settings."""

from __future__ import annotations

import copy
import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR

from ckptkit.torch_bridge.scheduler_fields import DRIVEN, SETTINGS

#: Beyond this many steps the closed form is used where torch has one: about a second of replay.
MAX_REPLAYED_STEPS = 200_000
_DIRECT = ("LambdaLR", "CyclicLR", "OneCycleLR")  # their rate is a function of the position alone
_NO_REPLAY = ("ReduceLROnPlateau", "SWALR")


class ReplayError(Exception):
    """The rate at this position cannot be computed; the text says why."""


class ScheduleEndError(ReplayError):
    """The schedule that was asked for has no rate at this position; the text says why."""


class Replayed(NamedTuple):
    """The scheduler's state at the position, and what it writes into each group there."""

    state: dict[str, Any]
    groups: list[dict[str, Any]]


def class_of(scheduler: Any) -> str:
    """Return the name of a class of torch itself; "" for a subclass or a class of one's own."""
    kind = type(scheduler)
    home = SWALR if kind.__name__ == "SWALR" else getattr(lr_scheduler, kind.__name__, None)
    return kind.__name__ if kind is home and kind.__name__ in SETTINGS else ""


def children(scheduler: Any) -> list[Any]:
    """Return the schedulers inside SequentialLR or ChainedScheduler."""
    return list(getattr(scheduler, "_schedulers", ()))


def replay(live: Any, state: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> Replayed:
    """Run a copy from the start to the position of ``state`` with its settings.

    That is what an unbroken run with these settings has, to the bit: torch's own steps multiply
    the last rate, so a closed form differs in the last bits. The live scheduler and its optimizer
    are not touched. Raises: ReplayError where nobody can know; ScheduleEndError beyond its end.
    """
    scratch = _Scratch(groups)
    steps = _position(live, state)
    try:
        clone = _started(live, state, scratch, reset=True)
        _advance(clone, steps, state)
    except ReplayError:
        raise
    except Exception as exc:
        raise ScheduleEndError(f"at step {steps}: {exc}") from exc
    driven = [{key: own[key] for key in DRIVEN if key in own} for own in scratch.param_groups]
    return Replayed(clone.state_dict(), driven)


class _Scratch(torch.optim.Optimizer):
    """An optimizer of no parameters that matter, with the settings of the real groups."""

    def __init__(self, groups: Sequence[Mapping[str, Any]]) -> None:
        super().__init__([{"params": [torch.zeros(())]} for _ in groups], {"lr": 0.0})
        for group, settings in zip(self.param_groups, groups, strict=True):
            group.update(copy.deepcopy(dict(settings)))
        self._opt_called = True  # schedulers warn if they are stepped first

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Do nothing."""


_Scratch.step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]  # noqa: SLF001


def _position(live: Any, state: Mapping[str, Any]) -> int:
    inner = children(live)
    if class_of(live) == "ChainedScheduler":
        places = {_position(c, s) for c, s in zip(inner, state["_schedulers"], strict=True)}
        if len(places) != 1:
            raise ReplayError("its parts stand at different steps")
        return places.pop()
    last = state.get("last_epoch")
    if not isinstance(last, int):
        raise ReplayError("its position is unknown")
    return last


def _started(live: Any, state: Mapping[str, Any], scratch: _Scratch, *, reset: bool) -> Any:
    """Return a copy as its constructor leaves it, on the scratch optimizer."""
    kind = class_of(live)
    if not kind or kind in _NO_REPLAY:
        raise ReplayError(f"a {type(live).__name__} depends on more than its position")
    clone = object.__new__(type(live))
    clone.__dict__.update({k: v for k, v in live.__dict__.items() if k != "optimizer"})
    clone.optimizer = scratch
    for field in (*SETTINGS[kind], "base_lrs"):
        if field in state:
            setattr(clone, field, copy.deepcopy(state[field]))
    if reset:
        _reset_rates(clone, scratch)
    if kind in ("SequentialLR", "ChainedScheduler"):
        return _started_nest(kind, clone, live, state, scratch)
    _own_functions(clone, state)
    clone.last_epoch = -1
    if kind == "CosineAnnealingWarmRestarts":
        clone.T_cur, clone.T_i = -1, clone.T_0
    clone._initial_step()
    return clone


def _started_nest(
    kind: str, clone: Any, live: Any, state: Mapping[str, Any], scratch: _Scratch
) -> Any:
    parts = [
        _started(child, own, scratch, reset=False)
        for child, own in zip(children(live), state["_schedulers"], strict=True)
    ]
    if kind == "SequentialLR":
        milestones = list(state.get("_milestones", clone._milestones))  # noqa: SLF001
        return lr_scheduler.SequentialLR(scratch, parts, milestones)
    return lr_scheduler.ChainedScheduler(parts, optimizer=scratch)


def _reset_rates(clone: Any, scratch: _Scratch) -> None:
    base = getattr(clone, "base_lrs", None) or [None] * len(scratch.param_groups)
    for group, fallback in zip(scratch.param_groups, base, strict=True):
        start = group.get("initial_lr", fallback)
        if start is not None:
            group["lr"] = copy.deepcopy(start)
            group.setdefault("initial_lr", copy.deepcopy(start))


def _own_functions(clone: Any, state: Mapping[str, Any]) -> None:
    """Give the copy functions of its own, with the stored attributes of callable objects."""
    if hasattr(clone, "lr_lambdas"):
        stored = state.get("lr_lambdas") or [None] * len(clone.lr_lambdas)
        clone.lr_lambdas = [_own(f, own) for f, own in zip(clone.lr_lambdas, stored, strict=False)]
    if hasattr(clone, "_init_scale_fn"):
        clone._scale_fn_custom = _own(clone._scale_fn_custom, state.get("_scale_fn_custom"))  # noqa: SLF001
        clone._init_scale_fn()  # noqa: SLF001


def _own(function: Any, attributes: Any) -> Any:
    if function is None or isinstance(function, types.FunctionType):
        return function
    twin = copy.copy(function)
    if isinstance(attributes, Mapping):
        twin.__dict__.update(attributes)
    return twin


def _advance(clone: Any, steps: int, state: Mapping[str, Any]) -> None:
    kind = class_of(clone)
    if kind in _DIRECT or (steps > MAX_REPLAYED_STEPS and hasattr(clone, "_get_closed_form_lr")):
        _jump(clone, steps)
    elif kind == "CosineAnnealingWarmRestarts" and isinstance(state.get("T_cur"), float):
        clone.step(steps + state["T_cur"] % 1)  # stepped by fractions of an epoch
    else:
        for _ in range(steps):
            clone.step()


def _jump(clone: Any, steps: int) -> None:
    clone.last_epoch, clone._step_count = steps, steps + 1  # noqa: SLF001
    clone._get_lr_called_within_step = True  # noqa: SLF001
    direct = class_of(clone) in _DIRECT
    rates = clone.get_lr() if direct else clone._get_closed_form_lr()  # noqa: SLF001
    clone._get_lr_called_within_step = False  # noqa: SLF001
    for group, rate in zip(clone.optimizer.param_groups, rates, strict=True):
        write_field(group, "lr", rate)
    clone._last_lr = [copy.deepcopy(group["lr"]) for group in clone.optimizer.param_groups]  # noqa: SLF001


def write_field(group: dict[str, Any], key: str, value: Any) -> None:
    """Set a field of a group as torch does: in place where it is kept in a tensor."""
    if isinstance(group.get(key), torch.Tensor):
        group[key].fill_(value.item() if isinstance(value, torch.Tensor) else value)
    else:
        group[key] = value.item() if isinstance(value, torch.Tensor) else value


def swa_rates(
    used: Mapping[str, Any], saved: Mapping[str, Any],
    used_groups: Sequence[Mapping[str, Any]], saved_groups: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the rates of an SWALR at its place, on the way from the same start to a new end.

    The start is not stored: it follows from the stored rate, unless the annealing is over.
    Raises: ReplayError.
    """
    swa: Any = SWALR
    anneal = {"cos": swa._cosine_anneal, "linear": swa._linear_anneal}  # noqa: SLF001
    if any("swa_lr" not in own for own in (*used_groups, *saved_groups)):
        raise ReplayError("a group has no swa_lr")
    step = used["_step_count"] - 1

    def alpha(state: Mapping[str, Any]) -> float:
        done = max(0.0, min(1.0, step / max(1, state["anneal_epochs"])))
        return float(anneal[state["_anneal_strategy"]](done))

    rates = []
    for own, old in zip(used_groups, saved_groups, strict=True):
        start = swa._get_initial_lr(old["lr"], old["swa_lr"], alpha(saved))  # noqa: SLF001
        rates.append({"lr": own["swa_lr"] * alpha(used) + start * (1 - alpha(used))})
    return rates


def give_state(live: Any, state: Mapping[str, Any]) -> None:
    """Hand the state to the scheduler's own load_state_dict; what it lacks stays as it is.

    torch takes keys out of what it is given, and older files lack some that it asks for.
    """
    whole = {**live.state_dict(), **state}
    if "_schedulers" in whole:
        whole["_schedulers"] = [
            {**child.state_dict(), **own}
            for child, own in zip(children(live), whole["_schedulers"], strict=True)
        ]
    live.load_state_dict(whole)


def write_rates(optimizer: Any, rates: Sequence[Mapping[str, Any]]) -> None:
    """Write what a schedule drives into the groups of its optimizer."""
    for group, own in zip(optimizer.param_groups, rates, strict=True):
        for key, value in own.items():
            write_field(group, key, value)
