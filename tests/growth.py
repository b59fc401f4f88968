"""How much work a function does, counted instead of timed: a busy machine changes no count."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def work_of(function: Callable[[], object]) -> int:
    """The lines of Python that ``function`` runs, loops counted every time round."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def grows_in_step(make: Callable[[int], Callable[[], object]], size: int) -> bool:
    """Say whether four times the size means about four times the work, and not sixteen."""
    return work_of(make(4 * size)) < 6 * work_of(make(size))
