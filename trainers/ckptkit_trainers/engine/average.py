"""Averaged weights: what is judged and shipped."""

from __future__ import annotations

from torch import Tensor, _foreach_lerp_, nn
from torch.optim.swa_utils import AveragedModel

WARM_UP = 10  # early on, the average forgets within about so many steps
Tensors = tuple[Tensor, ...] | list[Tensor]


def average_of(model: nn.Module, decay: float) -> AveragedModel | None:
    """Return an exponential moving average of the weights, or None for a decay of 0.

    It follows the weights closely at first, and as slowly as ``decay`` says later.
    """
    if not decay:
        return None

    def follow(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        n_steps = float(count)
        now = min(decay, (1 + n_steps) / (WARM_UP + n_steps))
        _foreach_lerp_(averaged, current, 1 - now)

    return AveragedModel(model, multi_avg_fn=follow)
