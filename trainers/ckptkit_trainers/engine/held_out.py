"""Who is held out of a folder that does not say it itself."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

_LOTS = 1 << 256  # of a SHA-256


def by_lot(names: Iterable[str], *shares: float, salt: str = "") -> tuple[set[str], ...]:
    """Draw about so large a share of the names for each of ``shares``; return those parts.

    Each name's lot is its own digest: where names come or go, all others stay in their part, so
    that what was held out of a training is not trained on when it goes on. Of a few names a part
    that would be empty gets one of the largest part.
    """
    lots = sorted((_lot(f"{salt}{name}"), name) for name in set(names))
    edges = list(accumulate(shares))
    parts: list[list[str]] = [[] for _ in (*shares, None)]
    for lot, name in lots:
        parts[bisect_right(edges, lot)].append(name)
    for part in reversed(parts):  # that of those that are trained on first
        largest = max(parts, key=len)
        if not part and len(largest) > 1:
            part.append(largest.pop(0))
    return tuple(map(set, parts[:-1]))


def _lot(name: str) -> float:
    """A number from 0 to 1 that follows from a name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()) / _LOTS
