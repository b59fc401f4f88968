"""The brain: encoders, adapters up into one space, and a transformer over what is joined there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from ckptkit_trainers.multimodal.config import Config
from ckptkit_trainers.multimodal.ear import Ear
from ckptkit_trainers.multimodal.encoders import Eye, Reader, encoder, width_of
from ckptkit_trainers.multimodal.join import Join

KINDS = ("image", "text", "sound")  # rows of the table that tells latents apart
GUESSED = 4  # one pair in so many has words hidden: reading it twice costs time
FIRST_SCALE, LARGEST_SCALE = 1 / 0.07, 100.0  # CLIP's: arXiv 2103.00020, section 2.3


class Latents(NamedTuple):
    """Shapes: values [B, T, d_shared]; there [B, T], which of them hold anything."""

    values: torch.Tensor
    there: torch.Tensor


class Seen(NamedTuple):
    """What a batch looks like. ``views``: "image", "text+sound", ... -> [B, d_shared], length 1.

    ``words``: guesses for every place of the first texts, [B / GUESSED, W, vocabulary].
    ``scale``: [], 1 to 100.
    """

    views: dict[str, torch.Tensor]
    words: torch.Tensor
    scale: torch.Tensor


class Brain(nn.Module):
    """Pictures, texts and, if asked for, sounds, in one space."""

    def __init__(self, config: Config, parts: Mapping[str, str], *, pretrained: bool) -> None:
        """``parts`` are ``described(config)``; ``pretrained``: read the weights of the folders."""
        super().__init__()
        folders = (config.image_from, config.text_from) if pretrained else ("", "")
        self.image = Eye(encoder(parts["image"], folders[0]), parts["pixels"])
        self.text = Reader(encoder(parts["text"], folders[1]))
        width, own = config.d_shared, config.width
        widths = {"image": width_of(self.image.encoder), "text": width_of(self.text.encoder)}
        self.adapters = nn.ModuleDict({k: nn.Linear(w, width) for k, w in widths.items()})
        kinds = 0.02 * torch.randn(len(KINDS), width)
        kinds[KINDS.index("sound")] = 0  # as in a brain from before there was sound
        self.kinds = nn.Parameter(kinds)
        self.join = Join(width, config.join_layers, config.heads, config.dropout)
        self.words = nn.Linear(width, self.text.encoder.config.vocab_size)
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))
        self.pad = int(self.text.encoder.config.pad_token_id or 0)
        self.sound: Ear | None = None
        if config.audio:  # last: what was there before begins with the same numbers
            self.sound = Ear(config.sound_rate, own)
            self.adapters["sound"] = nn.Linear(own, width)
        self._frozen = [name for name in ("image", "text") if config.freeze in (name, "both")]
        for name in self._frozen:
            getattr(self, name).requires_grad_(False)

    def train(self, mode: bool = True) -> Brain:
        """Switch to training; frozen encoders stay as they are, their averages, too."""
        super().train(mode)
        for name in self._frozen:
            getattr(self, name).eval()
        return self

    def rise(self, kind: str, given: torch.Tensor) -> Latents:
        """Encode one modality and lift it into the shared space."""
        if kind == "text":
            there = self._read(given)
            values = self.text(given, there)
        else:
            part = self.image if kind == "image" else self.sound
            assert part is not None
            values = part(given)
            there = values.new_ones(values.shape[:2], dtype=torch.bool)
        lifted = self.adapters[kind](values) + self.kinds[KINDS.index(kind)]
        return Latents(lifted, there)

    def _read(self, text: torch.Tensor) -> torch.Tensor:
        there = text != self.pad
        there[:, 0] = True  # an empty caption still has a place to look at
        return there

    def view(self, latents: Iterable[Latents]) -> torch.Tensor:
        """Join latents of one or more modalities and look at them as one. Shapes: [B, d_shared]."""
        joined = self.join(*_side_by_side(latents))
        return functional.normalize(joined[:, 0].float(), dim=-1)

    def embed(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Each modality for itself; and with three, each two of them joined."""
        latents = {kind: self.rise(kind, batch[kind]) for kind in KINDS if self._has(kind, batch)}
        return self._views(latents)

    def _has(self, kind: str, batch: Mapping[str, torch.Tensor]) -> bool:
        return kind in batch and (kind != "sound" or self.sound is not None)

    def _views(self, latents: Mapping[str, Latents]) -> dict[str, torch.Tensor]:
        views = {kind: self.view([one]) for kind, one in latents.items()}
        if len(latents) > 2:
            for left_out in latents:
                others = [kind for kind in latents if kind != left_out]
                views["+".join(others)] = self.view([latents[kind] for kind in others])
        return views

    def forward(self, batch: Mapping[str, torch.Tensor]) -> Seen:
        """See a batch, and guess the hidden words of some of it from everything else."""
        latents = {kind: self.rise(kind, batch[kind]) for kind in KINDS if self._has(kind, batch)}
        views = self._views(latents)
        n_asked = -(-len(batch["hidden"]) // GUESSED)
        holes = self.rise("text", batch["hidden"][:n_asked])
        rest = [one for kind, one in latents.items() if kind != "text"]
        seen = [Latents(one.values[:n_asked], one.there[:n_asked]) for one in rest]
        joined = self.join(*_side_by_side([holes, *seen]))
        words = self.words(joined[:, 1 : 1 + holes.values.shape[1]])
        return Seen(views, words, self.scale)

    @property
    def scale(self) -> torch.Tensor:
        """By how much likeness counts: one over the learned temperature."""
        return self.log_scale.exp().clamp(1.0, LARGEST_SCALE)


def _side_by_side(latents: Iterable[Latents]) -> tuple[torch.Tensor, torch.Tensor]:
    every = list(latents)
    return torch.cat([one.values for one in every], 1), torch.cat([one.there for one in every], 1)
