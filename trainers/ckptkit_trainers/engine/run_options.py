"""What the settings of a trainer say to ``ckptkit.Run``."""

from __future__ import annotations

from typing import Any, Literal

import ckptkit
from ckptkit_trainers.engine.settings import Settings


def run_options(settings: Settings, *, best: str, mode: Literal["min", "max"]) -> dict[str, Any]:
    """Return the keywords of ``ckptkit.Run`` that follow from the settings.

    ``best`` names the metric of a validation that makes a checkpoint the best.
    """
    save = ckptkit.SavePolicy(
        every_epochs=settings.save_every_epochs, every_steps=settings.save_every_steps,
        every_s=60 * settings.save_every_minutes, best=best, mode=mode,
        background=settings.background,
    )  # fmt: skip
    asked = {"tensorboard": settings.tensorboard, "wandb": settings.wandb}
    return {
        "config": settings, "save": save, "retention": _retention(settings),
        "seed": settings.seed, "trackers": [name for name, wanted in asked.items() if wanted],
    }  # fmt: skip


def _retention(settings: Settings) -> ckptkit.Retention:
    if not settings.keep_last:
        return ckptkit.Retention()
    last = ckptkit.KeepLast(settings.keep_last)
    if not settings.keep_every:
        return ckptkit.Retention(keep=last)
    return ckptkit.Retention(keep=last | ckptkit.KeepEvery(epochs=settings.keep_every))
