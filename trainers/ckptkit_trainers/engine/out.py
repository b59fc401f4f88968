"""Where ``ckptkit sample`` writes, alike for every trainer; imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ckptkit_trainers.engine.settings import option

SAMPLES, CHECKPOINTS = "samples", "checkpoints"  # of a run's folder


def out_option(what: str) -> Any:
    """Return the dataclass field of the folder for ``what``."""
    return option("", f"folder for {what}; empty: samples/ of the run, ./samples without a run")


def out_folder(asked: str, checkpoint: Path) -> Path:
    """Return the folder that was asked for, else the run's for samples, else the one here."""
    if asked:
        return Path(asked).expanduser()
    home = checkpoint.parent if checkpoint.parent.name else checkpoint.absolute().parent
    return home.parent / SAMPLES if home.name == CHECKPOINTS else Path(SAMPLES)
