"""A finished checkpoint as a model that can be asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

import ckptkit
from ckptkit_trainers.engine.place import placed
from ckptkit_trainers.segmentation.config import Config
from ckptkit_trainers.segmentation.migrators import MIGRATORS, TRAINER
from ckptkit_trainers.segmentation.model import build


class Restored(NamedTuple):
    """``told`` says which checkpoint it is, for whoever reads the result."""

    model: nn.Module
    device: torch.device
    told: dict[str, Any]


def restored(checkpoint: Path, config: Config, device: str) -> Restored:
    """Build the model of the settings and fill it. Raises: as ``ckptkit.restore``."""
    with placed(dataclasses.replace(config, device=device)) as place:
        model = build(config)
        ckptkit.restore(
            checkpoint, {"model": model}, mode="warm-start", trainer=TRAINER, migrators=MIGRATORS
        )
        with ckptkit.load(checkpoint) as opened:
            progress = opened.state("progress") if "progress" in opened.document else {}
    told = {
        "model": config.model,
        "epoch": progress.get("epochs_completed"), "step": progress.get("optimizer_steps"),
    }  # fmt: skip
    return Restored(model.to(place.device).eval(), place.device, told)
