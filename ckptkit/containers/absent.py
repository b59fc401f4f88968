"""What is said where nothing lies at a path: the same words everywhere, and the nearest name."""

from __future__ import annotations

import os
from pathlib import Path as FilePath

from ckptkit.errors import NotFoundError

_MAX_ENTRIES = 10_000  # names of the folder that are compared


def absent(path: object) -> NotFoundError:
    """The error for a path at which there is nothing; it names what may have been meant."""
    near = _nearest(FilePath(str(path)))
    advice = "check the spelling; `ckptkit list FOLDER` shows the checkpoints below a folder"
    if near:
        advice = f"did you mean {near}?"
    return NotFoundError(path, "there is nothing at this path", "a file or a folder", advice)


def _nearest(path: FilePath) -> str:
    """A name that is there and is spelled nearly so; "" if there is none."""
    parent = path.parent
    try:
        if not parent.is_dir():
            return _nearest(parent) if parent.name else ""
        with os.scandir(parent) as found:
            names = [entry.name for entry, _ in zip(found, range(_MAX_ENTRIES), strict=False)]
    except (OSError, ValueError):
        return ""
    from difflib import get_close_matches

    seen = [name for name in names if not name.startswith(".")]
    folded = {name.casefold(): name for name in sorted(seen)}
    near = get_close_matches(path.name.casefold(), folded, 1)
    return str(parent / folded[near[0]]) if near else ""
