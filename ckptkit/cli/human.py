"""Numbers as people read them."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size_text(nbytes: int) -> str:
    """Bytes in decimal units with three digits: ``999 B``, ``4.21 MB``, ``124 MB``."""
    if nbytes < 1000:
        return f"{nbytes} B"
    value, unit = float(nbytes), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {_UNITS[unit]}"


def count_text(count: int, noun: str) -> str:
    """``1 tensor``, ``1,024 tensors``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def number_text(value: float) -> str:
    """A statistic in at most four significant digits."""
    return f"{value:.4g}"


def sparkline(counts: tuple[int, ...]) -> str:
    """A histogram as one line of blocks; a bin that holds anything is never empty."""
    top = max(counts, default=0)
    if not top:
        return ""
    steps = " ▁▂▃▄▅▆▇█"
    return "".join(steps[-(-count * 8 // top)] for count in counts)
