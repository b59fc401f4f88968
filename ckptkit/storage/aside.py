"""Move what stands in the way of a save aside, where a person sees it; nothing is deleted."""

from __future__ import annotations

import itertools
import os
from pathlib import Path


def set_aside(path: Path) -> Path:
    """Rename ``path`` to a free name beside it, ``NAME.aside-1`` and so on; return that.

    For the one writer of a folder, who holds its lock. Raises: OSError.
    """
    others = (path.with_name(f"{path.name}.aside-{number}") for number in itertools.count(1))
    other = next(one for one in others if not os.path.lexists(one))
    return path.rename(other)
