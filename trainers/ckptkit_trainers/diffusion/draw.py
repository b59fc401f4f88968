"""Clips drawn from noise: DDIM, led by captions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from ckptkit_trainers.diffusion.config import Config
from ckptkit_trainers.diffusion.gifs import frames_of
from ckptkit_trainers.diffusion.noise import ddim
from ckptkit_trainers.diffusion.words import PretrainedTokens, Tokens
from ckptkit_trainers.engine.pictures import save_picture, sheet
from ckptkit_trainers.engine.place import Place

AT_ONCE = 40  # clips that are drawn together
SHEET_SCALE = 3  # pixels of a sheet for each of a clip


class Painter(NamedTuple):
    """What draws: the weights, a frozen text encoder if there is one, and the words' numbers."""

    model: nn.Module
    frozen: nn.Module | None
    tokens: Tokens
    place: Place

    def read(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return what the model wants of captions: their numbers, or what a frozen one reads."""
        numbers = numbers.to(self.place.device)
        if self.frozen is None:
            return numbers
        assert isinstance(self.tokens, PretrainedTokens)
        there = self.tokens.there(numbers)
        with torch.no_grad(), self.place.autocast():
            hidden: torch.Tensor = self.frozen(numbers, attention_mask=there).last_hidden_state
        return hidden


class Way(NamedTuple):
    """How to draw: steps of DDIM, how much captions lead, the seed of the noise."""

    steps: int
    guidance: float
    seed: int = 0


@torch.no_grad()
def draw(painter: Painter, captions: Sequence[str], config: Config, way: Way) -> torch.Tensor:
    """Draw one clip for each caption, from a stream of its own and nobody else's.

    Shapes: (captions, colors, frames, size, size) on the CPU, values -1 to 1.
    """
    own = torch.Generator().manual_seed(way.seed)
    shape = (len(captions), 3 if config.color else 1, config.frames, config.size, config.size)
    noise = torch.randn(shape, generator=own)
    was_training = painter.model.training
    painter.model.eval()
    parts = [
        _denoise(painter, noise[first : first + AT_ONCE], captions[first : first + AT_ONCE],
                 config, way)
        for first in range(0, len(captions), AT_ONCE)
    ]  # fmt: skip
    painter.model.train(was_training)
    return torch.cat(parts)


def _denoise(
    painter: Painter, clip: torch.Tensor, captions: Sequence[str], config: Config, way: Way
) -> torch.Tensor:
    scheduler = ddim(config, way.steps)
    clip = clip.to(painter.place.device)
    led = painter.read(painter.tokens(captions))
    free = painter.read(painter.tokens([""] * len(captions)))
    for time in scheduler.timesteps:
        times = time.to(clip.device).expand(len(clip))
        with painter.place.autocast():
            predicted = painter.model(clip, times, led)
            if way.guidance != 1:
                alone = painter.model(clip, times, free)
                predicted = alone + way.guidance * (predicted - alone)
        clip = scheduler.step(predicted.float(), time, clip).prev_sample
    return clip.clamp(-1, 1).cpu()


def save_sheet(clips: torch.Tensor, path: Path) -> None:
    """Write a contact sheet: a row for each clip, its frames from left to right."""
    titles = [str(frame + 1) for frame in range(clips.shape[2])]
    save_picture(sheet([frames_of(clip) for clip in clips], titles, scale=SHEET_SCALE), path)
