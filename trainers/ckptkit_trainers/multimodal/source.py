"""Where pairs come from: the glyphs of a font, or a folder in Flickr8k's layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from PIL import Image

from ckptkit_trainers.multimodal.config import Config


class Pair(NamedTuple):
    """One caption of one picture. ``image`` counts the pictures of a source from 0."""

    name: str
    caption: str
    image: int
    sound: str = ""


class Source(Protocol):
    """Pairs by split, and how to see and hear them."""

    title: str
    splits: Mapping[str, Sequence[Pair]]
    notes: Sequence[str]  # what of the data cannot be used, for the person in front of it

    def picture(self, pair: Pair, side: int) -> Image.Image:
        """The picture, as RGB; one that is drawn is drawn ``side`` pixels wide."""

    def sound(self, pair: Pair, rate: int) -> torch.Tensor:
        """The sound. Shapes: [N], mono, -1 to 1. Units: ``rate`` samples a second."""


def open_source(config: Config) -> Source:
    """Open the folder that was asked for, or the glyphs. Raises: InputError."""
    if config.data:
        from ckptkit_trainers.multimodal.flickr import Flickr

        return Flickr(config.data, audio=config.audio)
    from ckptkit_trainers.multimodal.glyphs import Glyphs

    return Glyphs()
