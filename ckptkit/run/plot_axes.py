"""Axes of values: labels that a person reads at a glance, on linear and logarithmic scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PLAIN = (1e-4, 1e5)  # numbers between these are written out


def label_values(axes: Axes, ys: Sequence[float]) -> None:
    """Make the axis logarithmic; below a decade its labels are as on a linear one.

    ``ys`` are the values drawn: some above 0, none below it.
    """
    from matplotlib.ticker import LogFormatter, MaxNLocator, NullLocator, ScalarFormatter

    axes.set_yscale("log")
    low, high = min(ys), max(ys)
    if low < high < low * 10:
        axes.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(ScalarFormatter())
    elif _PLAIN[0] <= low and high <= _PLAIN[1]:

        class Plain(LogFormatter):
            def __call__(self, x: float, pos: int | None = None) -> str:
                return f"{x:g}" if super().__call__(x, pos) else ""

        axes.yaxis.set_major_formatter(Plain())
        axes.yaxis.set_minor_formatter(Plain(minor_thresholds=(1.5, 0.4)))


def positive(ys: Sequence[float]) -> list[float]:
    """Those that stand on a logarithmic axis."""
    return [y for y in ys if math.isfinite(y) and y > 0]
