"""How good masks are: IoU and F1 of pixels, and the F1 of boundaries."""

from __future__ import annotations

import torch
from torch.nn import functional
from torchmetrics import MeanMetric
from torchmetrics.classification import (
    BinaryF1Score,
    BinaryJaccardIndex,
    BinaryPrecision,
    BinaryRecall,
)


class Scores(torch.nn.Module):
    """Counts over batches, and over the processes of a training, until asked for its numbers.

    The boundary F1: a predicted boundary pixel is right if a true one lies at most ``reach``
    pixels away in both directions (precision); a true one is found likewise (recall).
    """

    def __init__(self, threshold: float, reach: int) -> None:
        super().__init__()
        self.threshold, self.reach = threshold, reach
        self.loss = MeanMetric()
        self.iou, self.f1 = BinaryJaccardIndex(), BinaryF1Score()
        self.right, self.found = BinaryPrecision(), BinaryRecall()

    def update(self, logits: torch.Tensor, masks: torch.Tensor, loss: torch.Tensor) -> None:
        """Count a batch. Shapes: logits and masks (N, 1, H, W)."""
        masks = masks.int()
        guess = (logits.float().sigmoid() >= self.threshold).int()
        self.loss.update(loss, weight=len(masks))
        self.iou.update(guess, masks)
        self.f1.update(guess, masks)
        drawn, true = boundary(guess), boundary(masks)
        self.right.update(drawn, widened(true, self.reach))
        self.found.update(widened(drawn, self.reach), true)

    def numbers(self) -> dict[str, float]:
        """The numbers so far, of all processes together."""
        right, found = self.right.compute(), self.found.compute()
        both = 2 * right * found / (right + found).clamp(min=1e-12)
        told = {"loss": self.loss.compute(), "iou": self.iou.compute(), "f1": self.f1.compute(),
                "boundary_f1": both}  # fmt: skip
        return {name: float(value) for name, value in told.items()}


def boundary(masks: torch.Tensor) -> torch.Tensor:
    """The pixels of buildings that touch ground, the picture's edge not being ground."""
    ground = 1 - masks
    return masks * widened(ground, 1)


def widened(masks: torch.Tensor, reach: int) -> torch.Tensor:
    """Dilate by a square of ``2 * reach + 1``. Shapes: (N, 1, H, W)."""
    wide = functional.max_pool2d(masks.float(), 2 * reach + 1, stride=1, padding=reach)
    return wide.int()
