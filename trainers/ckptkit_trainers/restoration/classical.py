"""What was used before networks: total variation, and non-local means."""

from __future__ import annotations

from typing import Any

import torch

from ckptkit.plugin import errors
from ckptkit_trainers.restoration.data import LEVELS

METHODS = ("tv", "nlm")


def denoise_classically(noisy: torch.Tensor, noise: float, method: str) -> torch.Tensor:
    """Denoise by "tv" (Chambolle) or "nlm" (non-local means), which are told the true noise.

    Shapes: (C, H, W) to the same. Units: ``noise`` in levels of 255. Raises: MissingExtraError.
    Source: scikit-image's ``denoise_tv_chambolle`` and ``denoise_nl_means``; their strengths are
    those that their guides name: a weight of the noise itself, and h = 0.8 sigma in fast mode.
    """
    restoration = _library()
    picture, sigma = noisy.permute(1, 2, 0).numpy(), noise / LEVELS
    if method == "tv":
        done = restoration.denoise_tv_chambolle(picture, weight=sigma, channel_axis=-1)
    else:
        done = restoration.denoise_nl_means(
            picture, h=0.8 * sigma, sigma=sigma, fast_mode=True, patch_size=5, patch_distance=6,
            channel_axis=-1,
        )  # fmt: skip
    return torch.from_numpy(done).float().permute(2, 0, 1).clamp(0, 1)


def _library() -> Any:
    try:
        from skimage import restoration
    except ImportError as exc:
        raise errors.MissingExtraError(
            "--classical", "scikit-image is not installed", "the library",
            "pip install 'ckptkit[trainers]'",
        ) from exc  # fmt: skip
    return restoration
