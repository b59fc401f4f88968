"""Something fixed that is computed of the weights, for the self-test of a resume."""

from __future__ import annotations

import torch

from ckptkit_trainers.engine.place import Place
from ckptkit_trainers.multimodal.config import Config
from ckptkit_trainers.multimodal.embed import to_device
from ckptkit_trainers.multimodal.model import Brain


@torch.no_grad()
def probe(brain: Brain, config: Config, place: Place) -> torch.Tensor:
    """Look at noise, at the first pieces of the vocabulary, and listen to noise if it hears."""
    training, own = brain.training, torch.Generator().manual_seed(0)
    given = {
        "image": torch.rand((1, 3, config.image_size, config.image_size), generator=own),
        "text": torch.arange(config.max_words)[None] % brain.words.out_features,
    }
    if config.audio:
        length = round(config.sound_rate * config.sound_seconds)
        given["sound"] = torch.rand((1, length), generator=own)
    views = brain.eval().embed(to_device(given, place))
    brain.train(training)
    return torch.cat([*views.values()])
