"""What a model makes of a whole picture, however large."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ckptkit_trainers.segmentation.data import corners, normalised
from ckptkit_trainers.segmentation.model import logits_of

AT_ONCE = 8  # patches in a batch


@torch.no_grad()
def chances_of(
    model: nn.Module, image: NDArray[np.uint8], size: int, device: torch.device
) -> torch.Tensor:
    """Return each pixel's probability of building, by patches that overlap by half.

    Where patches overlap, the one whose middle is nearer counts more: at its edge a patch knows
    less of what is around. Shapes: (H, W, 3) to (1, H, W).
    """
    height, width = image.shape[:2]
    short = ((0, max(0, size - height)), (0, max(0, size - width)), (0, 0))
    whole = torch.from_numpy(np.pad(image, short, "edge")).permute(2, 0, 1).float() / 255
    total = torch.zeros(1, *whole.shape[1:])
    weights, weight = torch.zeros_like(total), _hill(size)
    down, across = (_starts(length, size) for length in whole.shape[1:])
    places = [(y, x) for y in down for x in across]
    for first in range(0, len(places), AT_ONCE):
        some = places[first : first + AT_ONCE]
        batch = torch.stack([whole[:, y : y + size, x : x + size] for y, x in some])
        found = logits_of(model, normalised(batch).to(device)).float().sigmoid().cpu()
        for (y, x), chances in zip(some, found, strict=True):
            total[:, y : y + size, x : x + size] += chances * weight
            weights[:, y : y + size, x : x + size] += weight
    return (total / weights)[:, :height, :width]


def _starts(length: int, size: int) -> list[int]:
    """Where patches begin that overlap by half."""
    middle = corners(length, size)
    between = [start + size // 2 for start in middle[:-1] if start + size // 2 <= length - size]
    return sorted({*middle, *between})


def _hill(size: int) -> torch.Tensor:
    slope = torch.minimum(torch.arange(1, size + 1), torch.arange(size, 0, -1)).float()
    return slope[:, None] * slope[None, :]
