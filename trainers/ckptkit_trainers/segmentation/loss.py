"""What the training makes small: wrong pixels, and buildings that are missed as wholes."""

from __future__ import annotations

import torch
from torch.nn import functional


def bce_and_dice(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy plus 1 - Dice of the batch. Shapes: both (N, 1, H, W)."""
    logits = logits.float()  # sums over a batch overflow fp16
    chances = logits.sigmoid()
    both = (chances * masks).sum()
    dice = (2 * both + 1) / (chances.sum() + masks.sum() + 1)
    return functional.binary_cross_entropy_with_logits(logits, masks) + 1 - dice
