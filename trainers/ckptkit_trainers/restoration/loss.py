"""What is made small, and what is told: L1, SSIM, PSNR."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)


class Parts(NamedTuple):
    """The loss and what it is made of; scalars."""

    loss: torch.Tensor
    l1: torch.Tensor
    ssim: torch.Tensor


def l1_and_ssim(denoised: torch.Tensor, clean: torch.Tensor, weight: float) -> Parts:
    """Return L1 + weight * (1 - SSIM), in fp32. Shapes: (N, C, H, W) both."""
    denoised = denoised.float()
    l1 = functional.l1_loss(denoised, clean)
    ssim = _ssim(denoised, clean)
    return Parts(l1 + weight * (1 - ssim), l1, ssim)


class Quality(NamedTuple):
    """How near a picture is to the clean one. Units: ``psnr`` in dB; ``ssim`` at most 1."""

    psnr: float
    ssim: float


def quality(picture: torch.Tensor, clean: torch.Tensor) -> Quality:
    """Judge what one would see: values below black and above white are cut off first.

    Shapes: (C, H, W) both.
    """
    seen, clean = picture.float().clamp(0, 1).unsqueeze(0), clean.unsqueeze(0)
    psnr = peak_signal_noise_ratio(seen, clean, data_range=1.0)
    return Quality(float(psnr), float(_ssim(seen, clean)))


def _ssim(picture: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    value = structural_similarity_index_measure(picture, clean, data_range=1.0)
    assert isinstance(value, torch.Tensor)  # a pair only where the whole image is asked for
    return value
