"""The model: a text encoder, and a UNet over the patches of a clip that reads it."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet3DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from ckptkit.plugin import errors
from ckptkit_trainers.diffusion.config import Config
from ckptkit_trainers.diffusion.noise import check_steps
from ckptkit_trainers.diffusion.words import MARKS
from ckptkit_trainers.engine.hub_folder import home_of, hub_config, require_places

GROUPS = 8  # of the group norms
PLACES = 8  # channels that tell the UNet which frame and which patch it sees


class ClipDenoiser(nn.Module):
    """Predicts, from a noisy clip, its noise level and its caption, what the noise is.

    Shapes: clip (B, colors, frames, size, size); the UNet sees patches as channels:
    (B, colors * patch ** 2, frames, size / patch, size / patch).
    """

    def __init__(self, config: Config, read_width: int, text: nn.Module | None) -> None:
        super().__init__()
        self.patch = config.patch
        self.unet = _unet(config)
        # the UNet's attention over time knows no order: without these, left and right are one
        side = config.size // config.patch
        self.place = nn.Parameter(torch.randn(PLACES, config.frames, side, side))
        self.project = nn.Linear(read_width, config.text_width)
        # the caption as one vector beside the time: every block sees it, and learns it far sooner
        self.whole = nn.Linear(config.caption_length * read_width, config.text_width)
        # and as a first guess of what is where and when, which attention is slow to find
        self.layout = nn.Linear(config.text_width, self.place.numel())
        self.text = text  # None: a frozen one is kept beside the model

    def forward(
        self, noisy: torch.Tensor, times: torch.Tensor, caption: torch.Tensor
    ) -> torch.Tensor:
        """Predict. Shapes: caption (B, length) numbers of words, or (B, length, width) read."""
        read = caption if self.text is None else self.text(caption).last_hidden_state
        sample = to_patches(noisy, self.patch)
        words = self.project(read.to(sample.dtype))
        whole = self.whole(read.to(sample.dtype).flatten(1))
        layout = self.layout(whole).unflatten(1, self.place.shape)
        place = self.place.to(layout.dtype) + layout
        predicted = self.unet(
            torch.cat([sample, place], 1), times, words, timestep_cond=whole
        ).sample
        return from_patches(predicted, self.patch)


def build(config: Config, frozen: nn.Module | None = None) -> ClipDenoiser:
    """Make the model. Raises: SettingError for settings that do not go together."""
    check(config)
    text = None if frozen is not None else small_encoder(config)
    width = config.text_width if frozen is None else int(frozen.config.hidden_size)  # type: ignore[union-attr, arg-type]
    return ClipDenoiser(config, width, text)


def check(config: Config) -> None:
    """Refuse sizes that cannot be. Raises: SettingError."""
    check_steps("sample_steps", config.sample_steps, config)
    step = config.patch * 2 ** (config.levels - 1)
    if config.size % step:
        raise errors.SettingError(
            "size", f"{config.size} pixels", f"a multiple of {step}: patch x 2 ** (levels - 1)"
        )
    for name, value, unit in (
        ("channels", config.channels, config.head), ("channels", config.channels, GROUPS),
        ("text_width", config.text_width, config.head),
    ):  # fmt: skip
        if value % unit:
            raise errors.SettingError(name, f"{value}", f"a multiple of {unit}")


def small_encoder(config: Config) -> nn.Module:
    """Make the text encoder that trains along.

    transformers 4 kept its layers under ``text_model``, 5 does not: what is returned has the
    same names under both.
    """
    model = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=config.vocabulary, hidden_size=config.text_width,
            intermediate_size=2 * config.text_width, num_hidden_layers=config.text_layers,
            num_attention_heads=config.text_width // config.head,
            max_position_embeddings=config.caption_length, attention_dropout=0.0,
            pad_token_id=MARKS.index("[PAD]"), bos_token_id=MARKS.index("[BEGIN]"),
            eos_token_id=MARKS.index("[END]"),
        )
    )  # fmt: skip
    # CLIP begins with 0.02, and at the rates of a small training all words end up alike
    words = model.get_input_embeddings()
    assert isinstance(words, nn.Embedding)
    nn.init.normal_(words.weight)
    inner: nn.Module = getattr(model, "text_model", model)
    return inner


def frozen_encoder(config: Config) -> nn.Module | None:
    """Open the pretrained text encoder that is asked for, if one is.

    Raises: NotFoundError; MismatchError; SettingError for captions that are too long for it.
    """
    if not config.text:
        return None
    folder = Path(config.text).expanduser()
    stored = hub_config(folder, "--text", has="vocab_size", what="a text encoder")
    own = getattr(stored, "text_config", stored)
    require_places(own, config.caption_length, "--caption-length", folder)
    model = home_of(stored.model_type).from_pretrained(folder, local_files_only=True)
    model = getattr(model, "text_model", model)  # of a model of pictures and text
    return model.requires_grad_(False).eval()  # type: ignore[no-any-return]


def _unet(config: Config) -> nn.Module:
    """Make the UNet: text is read at every level; deeper ones have more channels."""
    widths = tuple(config.channels * (level + 1) for level in range(config.levels))
    n_channels = (3 if config.color else 1) * config.patch**2
    unet: nn.Module = UNet3DConditionModel(  # type: ignore[assignment, no-untyped-call]
        sample_size=config.size // config.patch, in_channels=n_channels + PLACES,
        out_channels=n_channels,
        down_block_types=("CrossAttnDownBlock3D",) * config.levels,
        up_block_types=("CrossAttnUpBlock3D",) * config.levels,
        block_out_channels=widths, layers_per_block=1, norm_num_groups=GROUPS,
        cross_attention_dim=config.text_width, attention_head_dim=config.head,
        time_cond_proj_dim=config.text_width,
    )  # fmt: skip
    for module in unet.modules():
        if isinstance(module, nn.Dropout):  # the library fixes it at 0.1 in some places
            module.p = config.dropout
    return unet


def to_patches(clip: torch.Tensor, patch: int) -> torch.Tensor:
    """Fold the pixels of each patch into channels; ``from_patches`` takes it back."""
    frames = clip.transpose(1, 2)
    return nn.functional.pixel_unshuffle(frames, patch).transpose(1, 2)


def from_patches(clip: torch.Tensor, patch: int) -> torch.Tensor:
    """Lay the channels of each patch out as its pixels."""
    return nn.functional.pixel_shuffle(clip.transpose(1, 2), patch).transpose(1, 2)
