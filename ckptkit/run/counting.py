"""Optimizer steps, counted where they happen: by hooks of the optimizers themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch


class StepCounter:
    """Counts completed steps of a set of optimizers that step together.

    The first optimizer of the set counts, the others (a GAN's second) do not. ``torn`` is true
    while any of them is inside ``step()``: an exception from there leaves weights that are neither
    the old nor the new ones. ``moved``: one has completed a step since that was last set back.
    ``before`` is called before each step.
    """

    def __init__(
        self, optimizers: Iterable[torch.optim.Optimizer], before: Callable[[], None]
    ) -> None:
        self.steps, self._before = 0, before
        self.torn = self.moved = False
        self._handles: list[Any] = []
        for number, optimizer in enumerate(optimizers):
            self._handles.append(optimizer.register_step_pre_hook(self._begin))
            end = self._end_counted if number == 0 else self._end
            self._handles.append(optimizer.register_step_post_hook(end))

    def _begin(self, *_: Any) -> None:
        self._before()
        self.torn = True

    def _end(self, *_: Any) -> None:
        self.torn, self.moved = False, True

    def _end_counted(self, *_: Any) -> None:
        self.torn, self.moved = False, True
        self.steps += 1

    def detach(self) -> None:
        """Leave the optimizers as they were."""
        while self._handles:
            self._handles.pop().remove()


def optimizers_in(state: Any) -> list[torch.optim.Optimizer]:
    """Every optimizer of a run's state, at any depth of its mappings, in order."""
    if isinstance(state, torch.optim.Optimizer):
        return [state]
    if isinstance(state, Mapping):
        return [found for value in state.values() for found in optimizers_in(value)]
    return []
