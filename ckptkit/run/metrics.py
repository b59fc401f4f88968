"""What a run measures: means of the epoch under way, and the best value so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from ckptkit.errors import UnrepresentableError

Mode = Literal["min", "max"]


def as_number(name: str, value: Any) -> float:
    """A metric as a float: a number, or anything with one element. Raises: UnrepresentableError."""
    item = getattr(value, "item", None)
    try:
        return float(item() if callable(item) else value)
    except (TypeError, ValueError, RuntimeError) as exc:
        raise UnrepresentableError(
            f"metric {name!r}", f"a {type(value).__name__}", "a number, or a tensor of one element",
            "log its mean, or another number that stands for it",
        ) from exc  # fmt: skip


class Means:
    """Running means by name, in double precision; their state is plain data.

    A sum and a count give the same bits whether or not the epoch was interrupted.
    """

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float]] = {}

    def add(self, values: Mapping[str, float], weight: float = 1.0) -> None:
        """Take one more value of each name, ``weight`` times."""
        for name, value in values.items():
            total, count = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = (total + weight * value, count + weight)

    def values(self) -> dict[str, float]:
        """Return the mean of every name."""
        return {name: total / count for name, (total, count) in self._sums.items() if count}

    def clear(self) -> None:
        """Begin a new epoch."""
        self._sums.clear()

    def state(self) -> dict[str, list[float]]:
        """Return sums and counts as data."""
        return {name: [total, count] for name, (total, count) in self._sums.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self._sums = {name: (float(total), float(count)) for name, (total, count) in state.items()}


class Best(NamedTuple):
    """The best value of the watched metric, and where it was reached."""

    name: str
    mode: Mode
    value: float | None = None
    epoch: int = 0
    step: int = 0

    def beaten_by(self, value: float) -> bool:
        """Say whether ``value`` is better; NaN never is, and equal is not better."""
        if math.isnan(value):
            return False
        if self.value is None:
            return True
        return value < self.value if self.mode == "min" else value > self.value

    def updated(self, value: float, *, epoch: int, step: int) -> Best:
        """Return the new best, which is this one unless ``value`` beats it."""
        if not self.beaten_by(value):
            return self
        return self._replace(value=value, epoch=epoch, step=step)

    def as_tree(self) -> dict[str, Any]:
        """The mapping ``metrics.best``. Source: docs/format.md section "Sections (v2)"."""
        tree: dict[str, Any] = {"name": self.name, "mode": self.mode}
        if self.value is not None:
            tree |= {"value": self.value, "epoch": self.epoch, "step": self.step}
        return tree

    def from_tree(self, tree: Mapping[str, Any]) -> Best:
        """Take over a stored best of the same metric; of another metric nothing counts.

        A best without a name, as older formats have it, is taken for this metric's.
        """
        value = tree.get("value")
        same = tree.get("name", self.name) in (self.name, None)
        if not same or tree.get("mode", self.mode) != self.mode or value is None:
            return self
        return self._replace(
            value=float(value), epoch=int(tree.get("epoch") or 0), step=int(tree.get("step") or 0)
        )
