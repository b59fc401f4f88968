"""The three architectures, made from settings, and what each pixel's logit is."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import ckptkit
from ckptkit.plugin import errors
from ckptkit_trainers.segmentation.buildformer import HEAD, BuildFormer, can_be
from ckptkit_trainers.segmentation.config import Config
from ckptkit_trainers.segmentation.migrators import MIGRATORS, TRAINER
from ckptkit_trainers.segmentation.unet import UNet


def build(config: Config) -> nn.Module:
    """Make the model with fresh weights. Raises: SettingError; MissingExtraError."""
    if config.model == "segformer":
        from ckptkit_trainers.segmentation.segformer import new_segformer

        return new_segformer(config)
    if config.model == "buildformer":
        if not can_be(config.width):
            raise errors.SettingError(
                "--width", f"is {config.width}", f"a multiple of {HEAD} for BuildFormer, or "
                f"{HEAD // 2}", "its heads and groups must come out even",
            )  # fmt: skip
        return BuildFormer(config.width, config.window)
    return UNet(config.width)


def logits_of(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return each pixel's logit. Shapes: (N, 3, H, W) to (N, 1, H, W)."""
    found = model(images)
    if isinstance(found, torch.Tensor):
        return found
    logits: torch.Tensor = functional.interpolate(
        found.logits, images.shape[-2:], mode="bilinear", align_corners=False
    )  # SegFormer speaks at a quarter of the size
    return logits


def begin_with(model: nn.Module, config: Config) -> nn.Module:
    """Return the model with the weights that ``config.pretrained`` names.

    A folder of transformers for SegFormer (its head may be another), else any checkpoint of the
    same architecture. Raises: NotFoundError; MismatchError; as ``ckptkit.restore``.
    """
    if not config.pretrained:
        return model
    path = Path(config.pretrained)
    if not os.path.lexists(path):
        raise errors.NotFoundError(
            path, "is not there", "a local folder or checkpoint with weights",
            "nothing is downloaded; a resume needs none: --pretrained ''",
        )  # fmt: skip
    foreign = (path / "config.json").is_file() and not (path / "manifest.msgpack").is_file()
    if config.model == "segformer" and foreign:
        from ckptkit_trainers.segmentation.segformer import pretrained_segformer

        return pretrained_segformer(path, config)
    ckptkit.restore(path, {"model": model}, mode="warm-start", trainer=TRAINER, migrators=MIGRATORS)
    return model


def side_files(config: Config) -> dict[str, bytes]:
    """What makes a checkpoint of SegFormer a folder that ``from_pretrained`` opens."""
    if config.model != "segformer":
        return {}
    from ckptkit_trainers.segmentation.segformer import hub_files

    return hub_files(config)
