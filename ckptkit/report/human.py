"""Numbers as people read them."""

from __future__ import annotations

import math

_HUGE = 10**15
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size_text(nbytes: int) -> str:
    """Bytes in decimal units with three digits: ``999 B``, ``4.21 MB``, ``124 MB``."""
    if nbytes < 1000:
        return f"{nbytes} B"
    unit, scale = 1, 1000  # integers all the way: a hostile file has sizes beyond any float
    while 2 * nbytes >= 1999 * scale and unit < len(_UNITS) - 1:
        unit, scale = unit + 1, scale * 1000
    for digits in (2, 1, 0):
        rounded = (2 * nbytes * 10**digits + scale) // (2 * scale)
        if rounded < 1000 or not digits:
            break
    if rounded >= _HUGE:
        return f"{_huge(rounded)} {_UNITS[unit]}"
    whole, part = divmod(rounded, 10**digits)
    return f"{whole}.{part:0{digits}} {_UNITS[unit]}" if digits else f"{whole} {_UNITS[unit]}"


def count_text(count: int, noun: str) -> str:
    """``1 tensor``, ``1,024 tensors``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def number_text(value: float) -> str:
    """A statistic in at most four significant digits."""
    if isinstance(value, int) and abs(value) >= _HUGE:
        return ("-" if value < 0 else "") + _huge(abs(value))
    return f"{value:.4g}"


def _huge(value: int) -> str:
    """Three digits and a power of ten, of what no float may hold, nor a string of all digits."""
    power = int(math.log10(value))
    digits = value // 10 ** (power - 2)
    if digits >= 1000:  # the logarithm was rounded down
        digits, power = digits // 10, power + 1
    return f"{digits / 100:.2f}e+{power}"


def sparkline(counts: tuple[int, ...]) -> str:
    """A histogram as one line of blocks; a bin that holds anything is never empty."""
    top = max(counts, default=0)
    if not top:
        return ""
    steps = " ▁▂▃▄▅▆▇█"
    return "".join(steps[-(-count * 8 // top)] for count in counts)
