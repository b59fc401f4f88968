"""``ckptkit evaluate``: IoU, F1 and boundary F1, by split, by city and by threshold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ckptkit.plugin import errors
from ckptkit_trainers.engine.pictures import save_picture
from ckptkit_trainers.engine.settings import check_settings
from ckptkit_trainers.segmentation.colour import (
    iou_of_regression,
    iou_of_threshold,
    pixels_of,
)
from ckptkit_trainers.segmentation.config import Config, EvaluateOptions
from ckptkit_trainers.segmentation.data import Data, Patches, as_seen, open_data
from ckptkit_trainers.segmentation.loss import bce_and_dice
from ckptkit_trainers.segmentation.metrics import Scores
from ckptkit_trainers.segmentation.model import logits_of
from ckptkit_trainers.segmentation.overlay import overlays
from ckptkit_trainers.segmentation.renewed import renewed
from ckptkit_trainers.segmentation.restored import Restored, restored

WORST = 6  # patches in the picture of the worst
LEARNED = 100  # patches whose pixels the baseline looks at


def evaluate(checkpoint: Path, config: Config, options: EvaluateOptions) -> dict[str, Any]:
    """Return one row for each split (and each city that it has) and threshold."""
    check_settings(options)
    thresholds = thresholds_in(options.thresholds)
    config = renewed(config, data=options.data)
    data = open_data(config)
    asked = restored(checkpoint, config, options.device)
    rows: list[dict[str, Any]] = []
    for split, patches in (("train", _plain(data.train)), ("val", data.val)):
        scored, worst = _score(asked, patches, config, thresholds, options.limit)
        rows += [{"split": split, **row} for row in scored]
        if options.out:
            save_picture(_picture(asked, patches, worst, config), Path(options.out, f"{split}.png"))
    told = {**asked.told, "boundary_px": config.boundary_px, "scores": rows}
    return {**told, "colour_alone": colour_alone(data)} if options.baseline else told


def colour_alone(data: Data) -> dict[str, float]:
    """The held-out IoU of what looks at single pixels and has learned from training patches."""
    seen, held_out = pixels_of(data.train, LEARNED), pixels_of(data.val, LEARNED)
    return {
        "threshold_iou": round(iou_of_threshold(seen, held_out), 4),
        "regression_iou": round(iou_of_regression(seen, held_out), 4),
    }


def thresholds_in(text: str) -> list[float]:
    """Parse ``0.3,0.5``. Raises: SettingError."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < one < 1 for one in found):
        raise errors.SettingError(
            "--thresholds", repr(text), "probabilities between 0 and 1, separated by commas",
            "for example --thresholds 0.3,0.5,0.7",
        )  # fmt: skip
    return found


def _plain(patches: Patches) -> Patches:
    patches.augment = False
    return patches


@torch.no_grad()
def _score(
    asked: Restored, patches: Patches, config: Config, thresholds: list[float], limit: int
) -> tuple[list[dict[str, Any]], list[int]]:
    """Score every patch; return the rows, and the patches with the greatest loss."""
    scores: dict[tuple[str, float], Scores] = {}
    counts: dict[str, int] = {}
    losses: list[float] = []
    for number in range(min(limit or len(patches), len(patches))):
        image, mask = patches[number]
        logits = logits_of(asked.model, image[None].to(asked.device)).cpu()
        loss = bce_and_dice(logits, mask[None])
        losses.append(loss.item())
        for group in dict.fromkeys(("", patches.group(number))):
            counts[group] = counts.get(group, 0) + 1
            for threshold in thresholds:
                key = (group, threshold)
                scores.setdefault(key, Scores(threshold, config.boundary_px))
                scores[key].update(logits, mask[None], loss)
    worst = sorted(range(len(losses)), key=losses.__getitem__, reverse=True)[:WORST]
    rows = [
        {"city": group or "all", "threshold": threshold, "patches": counts[group],
         **{name: round(value, 4) for name, value in one.numbers().items()}}
        for (group, threshold), one in sorted(scores.items())
    ]  # fmt: skip
    return rows, worst


@torch.no_grad()
def _picture(asked: Restored, patches: Patches, numbers: list[int], config: Config) -> Any:
    images, masks = (
        torch.stack(part) for part in zip(*(patches[n] for n in numbers), strict=True)
    )  # fmt: skip
    found = logits_of(asked.model, images.to(asked.device)).float().sigmoid().cpu()
    return overlays(as_seen(images), masks, found >= config.threshold, scale=2)
