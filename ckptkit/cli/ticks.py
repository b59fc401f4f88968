"""Round numbers along an axis."""

from __future__ import annotations

import math
from itertools import pairwise


def ticks(low: float, high: float, count: int) -> list[float]:
    """At most about ``count`` multiples of 1, 2 or 5 times a power of ten in the range."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low] if math.isfinite(low) else []
    rough = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 1e-300 else rough
    width = next((m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9)), 10 * power)
    if not width or math.isinf(low / width):
        return [low, high]
    first, last = math.ceil(low / width - 1e-9), math.floor(high / width + 1e-9)
    return [number * width for number in range(first, last + 1)]


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """Powers of ten; with few decades, 2 and 5 times them too. Both ends are above 0."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, -(-(last - first) // max(count, 1)))
    few = last - first <= max(1, count // 3)
    wanted = [
        m * 10.0**power
        for power in range(first, last + 1, every)
        for m in ((1, 2, 5) if few else (1,))
    ]
    inside = [one for one in wanted if low * (1 - 1e-9) <= one <= high * (1 + 1e-9)]
    return inside if len(inside) > 1 else [low, high]


def labels(values: list[float], *, log: bool = False) -> list[str]:
    """The numbers in one form: as many digits as tell them apart, no more."""
    if not values:
        return []
    largest = max(abs(value) for value in values)
    if log or largest >= 1e6 or 0 < largest < 1e-3:
        return [_short(value) for value in values]
    gap = min((b - a for a, b in pairwise(values)), default=largest or 1.0)
    digits = max(0, -math.floor(math.log10(gap) + 1e-9)) if gap > 0 else 0
    return [f"{value:.{min(digits, 9)}f}" for value in values]


def _short(value: float) -> str:
    text = f"{value:.3g}"
    mantissa, e, power = text.partition("e")
    return f"{mantissa}e{int(power)}" if e else text
