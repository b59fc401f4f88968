"""How wrong the model is about noise: while training, and on held-out clips."""

from __future__ import annotations

import torch
from torch import nn

from ckptkit_trainers.diffusion.config import Config
from ckptkit_trainers.diffusion.data import Noised
from ckptkit_trainers.diffusion.draw import Painter
from ckptkit_trainers.diffusion.noise import Noising, target_of, weights_of


def denoising_loss(
    network: nn.Module, painter: Painter, noising: Noising, batch: Noised, config: Config
) -> torch.Tensor:
    """Return the mean error of a batch under its noise, weighted by the levels of noise."""
    errors = _errors(network, painter, noising, batch)
    weights = weights_of(noising, batch.times.to(errors.device), config.min_snr)
    return (weights * errors).mean()


@torch.no_grad()
def held_out_losses(painter: Painter, noising: Noising, batch: Noised) -> torch.Tensor:
    """Return the error of every clip, unweighted. Shapes: (B,)."""
    return _errors(painter.model, painter, noising, batch)


def _errors(network: nn.Module, painter: Painter, noising: Noising, batch: Noised) -> torch.Tensor:
    """Return the mean squared error of every clip. Shapes: (B,)."""
    device = painter.place.device
    clip, noise, times = (one.to(device, non_blocking=True) for one in batch[:3])
    read = painter.read(batch.caption)
    noisy = noising.add_noise(clip, noise, times)
    with painter.place.autocast():
        predicted = network(noisy, times, read)
    target = target_of(noising, clip, noise, times)
    errors: torch.Tensor = (predicted.float() - target).square()
    return errors.mean(dim=(1, 2, 3, 4))
