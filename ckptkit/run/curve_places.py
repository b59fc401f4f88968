"""Where rows and events stand along the axis of a picture: in epochs, or in steps. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ckptkit.errors import NotFoundError
from ckptkit.run.columns import as_float

EPOCH, STEP = "epoch", "step"


class Places:
    """The axis of several runs. ``x`` is "epoch" or "step".

    Left open, it is the epoch wherever each has one row, else the step, where that is recorded.
    Raises: NotFoundError if steps are asked for and no history has any.
    """

    def __init__(self, histories: Sequence[Mapping[str, Sequence[Any]]], x: str = "") -> None:
        self._epochs = [_numbers(one, EPOCH) for one in histories]
        self._steps = [_numbers(one, STEP) for one in histories]
        has_steps = any(step > 0 for steps in self._steps for step in steps)
        if x == STEP and not has_steps:
            raise NotFoundError(
                STEP, "no history says at which step its rows were made", "a column of steps",
                "draw over epochs",
            )  # fmt: skip
        one_each = all(_grows(epochs) for epochs in self._epochs)
        self.x = x or (STEP if has_steps and not one_each else EPOCH)

    def of_rows(self, run: int) -> list[float]:
        """The place of each row; NaN for one that is not drawn: of an epoch the last row counts."""
        if self.x == STEP:
            return self._steps[run]
        epochs = self._epochs[run]
        return [
            math.nan if row + 1 < len(epochs) and epochs[row + 1] == epoch else epoch
            for row, epoch in enumerate(epochs)
        ]

    def of_event(self, run: int, epoch: int, step: int) -> float:
        """The place of an event; inside an epoch it stands between the rows around its step."""
        epochs, steps = self._epochs[run], self._steps[run]
        if self.x == STEP:
            if step or epoch not in epochs:
                return float(step)
            return steps[epochs.index(epoch)]
        points = [(0.0, 0.0), *((s, e) for s, e in zip(steps, epochs, strict=True) if s > 0)]
        if not step or len(points) < 2:
            return float(epoch)
        for (s0, e0), (s1, e1) in pairwise(points):
            if s0 <= step <= s1 and s1 > s0:
                return e0 + (e1 - e0) * (step - s0) / (s1 - s0)
        return float(epoch)


def _numbers(history: Mapping[str, Sequence[Any]], name: str) -> list[float]:
    """A column of places; what is no number is none."""
    return [as_float(value) for value in history.get(name, ())]


def _grows(values: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(values))
