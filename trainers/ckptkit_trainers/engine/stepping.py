"""One optimizer step of the gradients that were gathered."""

from __future__ import annotations

import torch
from torch import nn


def step(
    model: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, clip: float
) -> None:
    """Step, with the gradients cut to the norm ``clip`` at their true size; then forget them."""
    if clip:
        scaler.unscale_(optimizer)  # or the norm would be that of the scaled loss
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
