"""Optimizer steps, counted where they happen: by hooks of the optimizers themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch


class StepCounter:
    """Counts completed steps of the optimizers in a state, which step together.

    The first of them counts, the others (a GAN's second) do not. ``torn`` is true while any of
    them is inside ``step()``: an exception from there leaves weights that are neither the old nor
    the new ones. ``moved``: one has completed a step since the mark. ``before`` is called before
    each step, ``tell`` where the script has put another optimizer into the state.
    """

    def __init__(
        self, state: Mapping[str, Any], before: Callable[[], None], tell: Callable[[str], None]
    ) -> None:
        self._state, self._before, self._tell = state, before, tell
        self.steps, self.torn, self.moved = 0, False, False
        self._handles: list[Any] = []
        self._hook(optimizers_in(state))
        self._at_mark = self._hooked

    def _hook(self, optimizers: list[torch.optim.Optimizer]) -> None:
        self._hooked = optimizers
        for number, optimizer in enumerate(map(_stepping, optimizers)):
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

    @property
    def has_any(self) -> bool:
        """Whether there is an optimizer that counts: else every body is a step."""
        return bool(self._hooked)

    def follow(self) -> None:
        """Count with the optimizers that the state holds now."""
        found = optimizers_in(self._state)
        if found != self._hooked:
            self.detach()
            self._hook(found)
            self._tell("the state has another optimizer now: its steps are counted from here on")

    def at_mark(self) -> None:
        """All that was done until now is part of the mark."""
        self.follow()
        self.moved, self._at_mark = False, self._hooked

    @property
    def replaced(self) -> bool:
        """Whether the state holds another optimizer than at the mark."""
        return optimizers_in(self._state) != self._at_mark

    def detach(self) -> None:
        """Leave the optimizers as they were."""
        while self._handles:
            self._handles.pop().remove()


def _stepping(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The one that steps: a wrapper of another library, such as Accelerate's, has no hooks."""
    inner = getattr(optimizer, "optimizer", None)
    has_hooks = "_optimizer_step_pre_hooks" in vars(optimizer)
    return inner if isinstance(inner, torch.optim.Optimizer) and not has_hooks else optimizer


def optimizers_in(state: Any) -> list[torch.optim.Optimizer]:
    """Every optimizer of a run's state, at any depth of its mappings, in order."""
    if isinstance(state, torch.optim.Optimizer):
        return [state]
    if isinstance(state, torch.Tensor) or not isinstance(state, Mapping):
        return []  # the first is for speed: an average is a mapping of many
    return [found for value in state.values() for found in optimizers_in(value)]
