"""SegFormer of transformers: its sizes, its files, weights by a local path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import transformers
from torch import nn
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from ckptkit.plugin import errors
from ckptkit_trainers.engine.hub_folder import hub_config
from ckptkit_trainers.segmentation.config import Config
from ckptkit_trainers.segmentation.data import MEAN, STD

#: Blocks of each stage, channels of each stage, channels of the decoder.
#: Source: SegFormer (Xie et al. 2021), table of the MiT encoders; "micro" is ours, for trials.
SIZES = {
    "micro": ((1, 1, 1, 1), (8, 16, 24, 32), 16),
    "b0": ((2, 2, 2, 2), (32, 64, 160, 256), 256),
    "b1": ((2, 2, 2, 2), (64, 128, 320, 512), 256),
    "b2": ((3, 4, 6, 3), (64, 128, 320, 512), 768),
    "b3": ((3, 4, 18, 3), (64, 128, 320, 512), 768),
    "b4": ((3, 8, 27, 3), (64, 128, 320, 512), 768),
    "b5": ((3, 6, 40, 3), (64, 128, 320, 512), 768),
}


def new_segformer(config: Config) -> nn.Module:
    """Make one with fresh weights."""
    model = SegformerForSemanticSegmentation(segformer_config(config))
    if not hasattr(model.segformer, "stages"):  # transformers 4 names everything otherwise
        raise errors.MissingExtraError(
            "transformers", f"is {transformers.__version__}", "5.23 or newer",
            "pip install -U transformers",
        )  # fmt: skip
    whole: nn.Module = model
    return whole


def segformer_config(config: Config) -> SegformerConfig:
    """What transformers needs to know to make this SegFormer again."""
    depths, sizes, decoder = SIZES[config.variant]
    settings: dict[str, Any] = {
        "depths": list(depths), "hidden_sizes": list(sizes), "decoder_hidden_size": decoder,
        "num_labels": 1, "architectures": ["SegformerForSemanticSegmentation"],
    }  # fmt: skip
    return SegformerConfig(**settings)


def hub_files(config: Config) -> dict[str, bytes]:
    """The files that ``from_pretrained`` looks for beside the weights."""
    processor = {
        "image_processor_type": "SegformerImageProcessor", "do_resize": False,
        "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
        "image_mean": MEAN, "image_std": STD, "do_reduce_labels": False,
    }  # fmt: skip
    settings = segformer_config(config).to_dict()
    return {
        "config.json": json.dumps(settings, indent=2).encode(),
        "preprocessor_config.json": json.dumps(processor, indent=2).encode(),
    }


def pretrained_segformer(path: Path, config: Config) -> nn.Module:
    """Take the weights of a folder of transformers; where its head is another, ours begins afresh.

    Raises: MismatchError for another size of SegFormer.
    """
    wanted = segformer_config(config)
    stored = hub_config(path, "--pretrained", has="decoder_hidden_size", what="a SegFormer")
    if (stored.depths, stored.hidden_sizes) != (wanted.depths, wanted.hidden_sizes):
        raise errors.MismatchError(
            path, f"has stages of {stored.hidden_sizes} channels and {stored.depths} blocks",
            f"{wanted.hidden_sizes} and {wanted.depths}, which is --variant {config.variant}",
            "give the --variant that it is",
        )  # fmt: skip
    model: nn.Module = SegformerForSemanticSegmentation.from_pretrained(
        path, config=wanted, ignore_mismatched_sizes=True, local_files_only=True
    )
    return model
