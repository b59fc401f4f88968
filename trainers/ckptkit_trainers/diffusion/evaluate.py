"""``ckptkit evaluate``: the loss on held-out clips, and whether drawn ones are recognised."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ckptkit_trainers.diffusion.config import Config, EvaluateOptions
from ckptkit_trainers.diffusion.data import (
    LEVELS,
    Clips,
    HeldOutClips,
    Noised,
    load_held_out,
    moving_digits,
    read_data,
)
from ckptkit_trainers.diffusion.digits import DIGITS, DIRECTIONS
from ckptkit_trainers.diffusion.draw import Painter, Way, draw
from ckptkit_trainers.diffusion.loss import held_out_losses
from ckptkit_trainers.diffusion.noise import check_steps, ddpm
from ckptkit_trainers.diffusion.opened import open_painter
from ckptkit_trainers.engine.settings import check_settings

log = logging.getLogger(__name__)

LEARNED_FROM = 4000  # real clips that the classifiers learn from
JUDGED = 500  # real held-out clips that they are judged by


def evaluate(checkpoint: Path, config: Config, options: EvaluateOptions) -> dict[str, Any]:
    """Tell the held-out loss at each level of noise, and how many drawn digits are recognised.

    Recognition is told for the moving digits alone: for clips of your own nobody knows the classes.
    """
    check_settings(options)
    check_steps("steps", options.steps, config)
    opened = open_painter(checkpoint, config, weights=options.weights, device=options.device)
    log.info("checkpoint of epoch %s, step %s", opened.epoch, opened.step)
    held_out = read_data(replace(config, val_clips=options.clips)).held_out
    losses = losses_by_level(opened.painter, held_out, config, options.clips)
    rows = [{"noise": level, "val_loss": round(loss, 5)} for level, loss in losses.items()]
    mean = sum(losses.values()) / len(losses)
    result = {**opened.told(), "val_loss": round(mean, 5), "by_noise": rows}
    if options.samples_each and not config.data:
        result |= recognised(opened.painter, config, options)
    return result


def losses_by_level(
    painter: Painter, clips: Clips, config: Config, most: int
) -> dict[float, float]:
    """Return the mean error of the held-out clips, all of them at each level of noise."""
    noising, found = ddpm(config), {}
    for level in LEVELS:
        held_out = HeldOutClips(clips, painter.tokens, replace(config, val_clips=most), (level,))
        loader = load_held_out(held_out, config)
        losses = [held_out_losses(painter, noising, Noised(*batch)) for batch in loader]
        found[level] = float(torch.cat(losses).mean())
    return found


def recognised(painter: Painter, config: Config, options: EvaluateOptions) -> dict[str, Any]:
    """Draw each digit in each direction and let classifiers of real clips say what they see."""
    from ckptkit_trainers.diffusion.classifier import ClipClassifier

    real = replace(config, clips=LEARNED_FROM, val_clips=JUDGED)
    train, held_out = moving_digits(real)
    classifier = ClipClassifier(*_gathered(train))
    captions = [
        f"{digit} moving {direction}" for digit in DIGITS for direction in DIRECTIONS
    ] * options.samples_each
    clips = draw(painter, captions, config, Way(options.steps, options.guidance, options.seed))
    drawn, true = classifier.right(clips, captions), classifier.right(*_gathered(held_out))
    return {
        "drawn_clips": len(captions),
        "recognised": [
            {"what": "digit", "drawn": drawn.digit, "real": true.digit,
             "chance": 1 / len(DIGITS)},
            {"what": "direction", "drawn": drawn.direction, "real": true.direction,
             "chance": 1 / len(DIRECTIONS)},
        ],
    }  # fmt: skip


def _gathered(clips: Clips) -> tuple[torch.Tensor, list[str]]:
    items = [clips[index] for index in range(len(clips))]
    return torch.stack([clip for clip, _ in items]), [caption for _, caption in items]
