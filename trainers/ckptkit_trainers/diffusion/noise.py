"""Noise and what is learned of it: the schedules of diffusers, targets and weights."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from diffusers import DDIMScheduler, DDPMScheduler

from ckptkit.plugin import errors
from ckptkit_trainers.diffusion.config import Config

Noising: TypeAlias = Any  # a schedule of diffusers, which says nothing of its types

BETAS = {"cosine": "squaredcos_cap_v2", "linear": "linear"}
PREDICTION = {"v": "v_prediction", "epsilon": "epsilon"}


def ddpm(config: Config) -> Noising:
    """Return the schedule that training adds noise by."""
    return DDPMScheduler(  # type: ignore[no-untyped-call]
        num_train_timesteps=config.timesteps, beta_schedule=BETAS[config.noising],
        prediction_type=PREDICTION[config.prediction],
    )  # fmt: skip


def ddim(config: Config, steps: int) -> Noising:
    """Return the schedule that samples are drawn by, in so many steps."""
    scheduler: Noising = DDIMScheduler(  # type: ignore[no-untyped-call]
        num_train_timesteps=config.timesteps, beta_schedule=BETAS[config.noising],
        prediction_type=PREDICTION[config.prediction], clip_sample=True,
        timestep_spacing="trailing",
    )  # fmt: skip
    scheduler.set_timesteps(steps)
    return scheduler


def check_steps(name: str, steps: int, config: Config) -> None:
    """Refuse more steps than there are levels of noise. Raises: SettingError."""
    if steps > config.timesteps:
        raise errors.SettingError(
            f"--{name.replace('_', '-')}", f"is {steps}",
            f"at most {config.timesteps}, the levels of noise (--timesteps)", "take fewer steps",
        )  # fmt: skip


def target_of(
    scheduler: Noising, clip: torch.Tensor, noise: torch.Tensor, times: torch.Tensor
) -> torch.Tensor:
    """Return what the model is to predict: the noise, or the velocity."""
    if scheduler.config.prediction_type == "epsilon":
        return noise
    velocity: torch.Tensor = scheduler.get_velocity(clip, noise, times)
    return velocity


def weights_of(scheduler: Noising, times: torch.Tensor, bound: float) -> torch.Tensor:
    """Return how much each noise level counts: min(SNR, bound), as the prediction needs it.

    Shapes: (B,). Source: Hang et al. 2023, "Efficient Diffusion Training via Min-SNR Weighting
    Strategy", section 3.4: over SNR for the noise, over SNR + 1 for the velocity.
    """
    if not bound:
        return torch.ones(len(times), device=times.device)
    kept = scheduler.alphas_cumprod.to(times.device)[times]
    snr: torch.Tensor = kept / (1 - kept)
    beside = 0 if scheduler.config.prediction_type == "epsilon" else 1
    return snr.clamp(max=bound) / (snr + beside)
