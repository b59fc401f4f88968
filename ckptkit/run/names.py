"""The names of a run's checkpoints, and what they say. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

LATEST, BEST, FINAL = "latest_checkpoint", "best_model", "final_model"
INTERRUPTED, ERROR = "interrupted_checkpoint", "error_checkpoint"
ALIASES = (LATEST, BEST)  # names that move from checkpoint to checkpoint
SECOND_NAMES = (*ALIASES, FINAL)  # given to checkpoints that have a name already
RNG_FILE = "rng.safetensors"  # in every checkpoint of a run
FOREIGN_SUFFIXES = (".pt", ".pth", ".ckpt", ".pth.tar")  # of files that other programs write

_EPOCH = re.compile(r"checkpoint_epoch_(\d+)")
_STEP = re.compile(r"checkpoint_step_(\d+)")
_OOM = re.compile(r"emergency_checkpoint_oom_epoch_(\d+)")


class Role(NamedTuple):
    """What a name says. ``kind``: "epoch", "step", "alias", "final", "emergency" or "other"."""

    kind: str
    number: int | None = None


def epoch_name(epochs_completed: int) -> str:
    """The name of the checkpoint after so many epochs."""
    return f"checkpoint_epoch_{epochs_completed}"


def step_name(optimizer_steps: int) -> str:
    """The name of the checkpoint after so many optimizer steps."""
    return f"checkpoint_step_{optimizer_steps}"


def oom_name(epoch: int) -> str:
    """The name of what is saved when memory ran out in this epoch, counted from 1."""
    return f"emergency_checkpoint_oom_epoch_{epoch}"


def role_of(name: str) -> Role:
    """Say what a checkpoint's name means; that of a stranger is "other"."""
    for kind, pattern in (("epoch", _EPOCH), ("step", _STEP), ("emergency", _OOM)):
        match = pattern.fullmatch(name)
        if match:
            return Role(kind, int(match[1]))
    if name in ALIASES:
        return Role("alias")
    if name == FINAL:
        return Role("final")
    return Role("emergency" if name in (INTERRUPTED, ERROR) else "other")
