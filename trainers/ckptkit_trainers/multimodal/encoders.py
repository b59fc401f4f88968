"""Encoders of images and texts: transformers' models, made here or pretrained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    BertConfig,
    BertModel,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedConfig,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
    ViTConfig,
    ViTModel,
)

from ckptkit.plugin import errors
from ckptkit_trainers.engine.hub_folder import home_of, hub_config, require_places
from ckptkit_trainers.multimodal.config import Config

PLAIN = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def own_image_config(config: Config) -> PreTrainedConfig:
    """Describe a small image encoder."""
    patch = max(1, config.image_size // 4)
    plain: dict[str, Any] = {
        "hidden_size": config.width, "num_hidden_layers": config.image_layers,
        "num_attention_heads": config.heads, "intermediate_size": 2 * config.width,
        "image_size": config.image_size, "patch_size": patch,
    }  # fmt: skip
    if config.image == "vit":
        return ViTConfig(**plain)
    if config.image == "clip":
        return CLIPVisionConfig(**plain)
    widths = [config.width // 4, config.width // 2, config.width]
    return ResNetConfig(
        embedding_size=widths[0], hidden_sizes=widths, layer_type="basic",
        depths=[max(1, config.image_layers // 2)] * 3,
    )  # fmt: skip


def own_text_config(config: Config) -> PreTrainedConfig:
    """Describe a small text encoder."""
    return BertConfig(
        vocab_size=config.vocabulary, hidden_size=config.width, pad_token_id=0,
        num_hidden_layers=config.text_layers, num_attention_heads=config.heads,
        intermediate_size=2 * config.width, max_position_embeddings=config.max_words,
        hidden_dropout_prob=config.dropout, attention_probs_dropout_prob=config.dropout,
    )  # fmt: skip


def described(config: Config) -> dict[str, str]:
    """Return the encoders' configurations as JSON: with these and the weights all is there.

    Raises: NotFoundError where a pretrained one is not; MismatchError for one of another kind;
    SettingError for pictures or texts that it cannot take.
    """
    image = _opened_image(config) if config.image_from else own_image_config(config)
    text = _opened_text(config) if config.text_from else own_text_config(config)
    pixels = _pixels(config.image_from) if config.image_from else PLAIN
    return {
        "image": json.dumps(image.to_dict(), default=str),
        "text": json.dumps(text.to_dict(), default=str), "pixels": json.dumps(pixels),
    }  # fmt: skip


def _opened_image(config: Config) -> PreTrainedConfig:
    folder, option = Path(config.image_from), "--image-from"
    stored = _part(
        hub_config(folder, option, has="num_channels", what="an image encoder"), "vision_config"
    )
    side = getattr(stored, "image_size", None)
    if stored.model_type in _FIXED and side != config.image_size:
        raise errors.SettingError(
            "--image-size", f"is {config.image_size}", f"{side}, which the encoder in {folder} "
            "sees", f"give --image-size {side}",
        )  # fmt: skip
    return stored


def _opened_text(config: Config) -> PreTrainedConfig:
    folder, option = Path(config.text_from), "--text-from"
    stored = _part(
        hub_config(folder, option, has="vocab_size", what="a text encoder"), "text_config"
    )
    require_places(stored, config.max_words, "--max-words", folder)
    return stored


def _part(config: PreTrainedConfig, name: str) -> PreTrainedConfig:
    """Of a model of two towers, the one that is meant."""
    tower: PreTrainedConfig = getattr(config, name, config)
    return tower


def _pixels(folder: str) -> dict[str, list[float]]:
    """What the pretrained encoder's images were normalised by."""
    path = Path(folder, "preprocessor_config.json")
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {
        "mean": stored.get("image_mean", PLAIN["mean"]),
        "std": stored.get("image_std", PLAIN["std"]),
    }


_TOWERS = {"clip_vision_model": CLIPVisionModel, "clip_text_model": CLIPTextModel}
_MADE: dict[str, type[PreTrainedModel]] = {
    "vit": ViTModel, "resnet": ResNetModel, "bert": BertModel, **_TOWERS,
}  # fmt: skip
_FIXED = ("vit", "deit", "clip_vision_model")  # of pictures of one size alone
_NO_POOL = ("vit", "bert", "roberta", "distilroberta", "beit", "deit")


def encoder(description: str, folder: str = "") -> PreTrainedModel:
    """Make an encoder of its configuration, or open the pretrained one in ``folder``."""
    stored: dict[str, Any] = json.loads(description)
    kind = stored.pop("model_type")
    bare = {"add_pooling_layer": False} if kind in _NO_POOL else {}
    if folder:
        home: Any = _TOWERS.get(kind, home_of(kind))
        opened: PreTrainedModel = home.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32, **bare
        )
        return opened
    config = AutoConfig.for_model(kind, **stored)
    make: Any = _MADE.get(kind, home_of(kind).from_config)
    made: PreTrainedModel = make(config, **bare)
    return made


class Eye(nn.Module):
    """Images to latents. Shapes: [B, 3, S, S] from 0 to 1 -> [B, T, width]."""

    def __init__(self, made: PreTrainedModel, pixels: str) -> None:
        super().__init__()
        self.encoder = made
        stored = json.loads(pixels)
        shift, scale = (torch.tensor(stored[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
        self.shift, self.scale = (
            nn.Buffer(shift, persistent=False),
            nn.Buffer(scale, persistent=False),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Look at images; a grid of features becomes a row of latents."""
        seen = self.encoder(pixel_values=(image - self.shift) / self.scale)
        latents: torch.Tensor = seen.last_hidden_state
        if latents.dim() == 4:
            return latents.flatten(2).transpose(1, 2)
        pooled = seen.get("pooler_output")
        if pooled is None:
            return latents
        return torch.cat([pooled[:, None], latents[:, 1:]], dim=1)  # CLIP's norm is in the pooled


class Reader(nn.Module):
    """Texts to latents. Shapes: [B, W] -> [B, W, width]."""

    def __init__(self, made: PreTrainedModel) -> None:
        super().__init__()
        self.encoder = made

    def forward(self, text: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Read texts; ``there`` says which places hold a word."""
        latents: torch.Tensor = self.encoder(
            input_ids=text, attention_mask=there.long()
        ).last_hidden_state
        return latents


def width_of(made: PreTrainedModel) -> int:
    """The width of an encoder's latents."""
    if hasattr(made.config, "hidden_sizes"):
        return int(made.config.hidden_sizes[-1])
    return int(made.config.hidden_size)
