"""What the live optimizers and schedulers ask for before anything is restored into them.

It is stored with every checkpoint. On resume a hyper-parameter that is asked for differently than
last time was changed on purpose, and wins; one that is asked for as before keeps the stored value,
which a schedule or the script itself may have moved since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

#: What a scheduler's state says of its place, not of its shape.
_POSITION = frozenset({
    "last_epoch", "_step_count", "_last_lr", "_get_lr_called_within_step", "_is_initial", "best",
    "num_bad_epochs", "cooldown_counter", "T_cur", "T_i",
})  # fmt: skip


def asked_settings(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return "component/group/field" -> value for every plain hyper-parameter."""
    return dict(_asked(state, ""))


def _asked(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, torch.optim.Optimizer):
        for number, group in enumerate(value.param_groups):
            for name, one in group.items():
                if name not in ("params", "param_names") and _is_plain(one):
                    yield f"{place}/{number}/{name}", _plain(one)
    elif isinstance(value, torch.optim.lr_scheduler.LRScheduler):
        for name, one in value.state_dict().items():
            if name not in _POSITION and _is_plain(one):
                yield f"{place}/{name}", _plain(one)
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _asked(one, f"{place}/{name}" if place else str(name))


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, torch.Tensor):
        return value.numel() == 1
    return value is None or isinstance(value, (bool, int, float, str))


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, torch.Tensor) else value


def changed_fields(now: Mapping[str, Any], then: Mapping[str, Any]) -> set[str]:
    """Names of fields ("lr", "T_max") that are asked for differently than they were."""
    return {
        place.rpartition("/")[2] for place, value in now.items()
        if place in then and then[place] != value
    }  # fmt: skip


#: A learning rate is written down in several places: where one is changed, all are.
_LR = frozenset({"lr", "initial_lr", "base_lrs", "max_lr", "learning_rate"})


def winning_fields(changed: set[str]) -> dict[str, str]:
    """The ``on_conflict`` of a resume: whose value counts for the fields that were changed."""
    fields = set(changed)
    if fields & _LR:
        fields |= _LR - {"learning_rate"}
    return dict.fromkeys(sorted(fields), "current")
