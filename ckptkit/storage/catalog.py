"""Is this folder a whole checkpoint? Told by names alone; no byte of a file is read."""

from __future__ import annotations

import os
from pathlib import Path

from ckptkit.storage.leftovers import parse_leftover
from ckptkit.types import MANIFEST_NAME


def is_leftover(name: str) -> bool:
    """Whether a name is a stage, or a checkpoint moved aside by a replace."""
    return parse_leftover(Path(name)) is not None


def is_stage_name(name: str) -> bool:
    """Whether a name is that of a save in progress or of one that died."""
    found = parse_leftover(Path(name))
    return found is not None and found.kind == "stage"


def state_of(path: Path) -> str:
    """What the names say of a folder.

    "stage": a save in progress or dead; "leftover": moved aside by a replace; "whole": sealed
    by a manifest; "unsealed": a folder without one.
    """
    found = parse_leftover(path)
    if found is not None:
        return "stage" if found.kind == "stage" else "leftover"
    return "whole" if os.path.lexists(path / MANIFEST_NAME) else "unsealed"
