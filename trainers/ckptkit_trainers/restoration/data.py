"""Pairs of clean and noisy pictures: random patches to train on, fixed middles to judge by."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from ckptkit_trainers.engine.batches import training_batches
from ckptkit_trainers.engine.place import Place
from ckptkit_trainers.restoration.config import Config, check_config, least_side
from ckptkit_trainers.restoration.photographs import Gallery, find_photographs

LEVELS = 255  # noise is given in steps of a byte, as the literature does


class Pair(NamedTuple):
    """One picture twice. Shapes: (C, H, W) each, 0 to 1; noise goes beyond."""

    clean: torch.Tensor
    noisy: torch.Tensor


class Patches(Dataset[Pair]):
    """Random patches, turned and mirrored, each with noise of its own strength.

    Every photograph is shown equally often. All is drawn from torch's stream, which the run seeds
    for each sample: so it does not matter which worker fetches it, or when.
    """

    def __init__(self, gallery: Gallery, config: Config) -> None:
        self._gallery, self._config = gallery, config

    def __len__(self) -> int:
        limit = self._config.limit
        return min(self._config.patches, limit) if limit else self._config.patches

    def __getitem__(self, index: int) -> Pair:
        config = self._config
        picture = self._gallery[index % len(self._gallery)]
        top, left = (_draw(side - config.patch + 1) for side in picture.shape[-2:])
        patch = picture[:, top : top + config.patch, left : left + config.patch]
        patch = torch.rot90(patch, _draw(4), (1, 2))
        clean = (patch.flip(2) if _draw(2) else patch).float() / LEVELS
        span = config.noise_high - config.noise_low
        strength = config.noise_low + span * float(torch.rand(()))
        return Pair(clean, clean + strength / LEVELS * torch.randn(clean.shape))


def _draw(choices: int) -> int:
    return int(torch.randint(choices, ()))


class HeldOut(Dataset[Pair]):
    """The middles of held-out photographs with noise that is always the same."""

    def __init__(self, gallery: Gallery, *, noise: float, size: int = 0) -> None:
        """Units: ``noise`` in levels of 255; ``size`` in pixels, 0 for whole photographs."""
        self._gallery, self._noise, self._size = gallery, noise, size

    def __len__(self) -> int:
        return len(self._gallery)

    def __getitem__(self, index: int) -> Pair:
        picture = self._gallery[index]
        cuts = [slice(max(0, side - self._size) // 2, None) for side in picture.shape[-2:]]
        if self._size:
            picture = picture[:, *cuts][:, : self._size, : self._size]
        return with_noise(picture.float() / LEVELS, self._noise, seed=index)


def with_noise(clean: torch.Tensor, noise: float, *, seed: int) -> Pair:
    """Add noise from a stream of its own. Units: ``noise`` in levels of 255."""
    own = torch.Generator().manual_seed(seed)
    return Pair(clean, clean + noise / LEVELS * torch.randn(clean.shape, generator=own))


class Loaders(NamedTuple):
    """What a training reads: patches in batches, and held-out middles one by one."""

    train: DataLoader[Any]
    held_out: HeldOut


def load_data(config: Config, place: Place) -> Loaders:
    """Find the photographs and make their loaders. Raises: InputError."""
    check_config(config)
    split = find_photographs(config.data)
    gallery = Gallery(split.train, colours=config.colours, least=config.patch)
    patches = Patches(gallery, config)
    train = training_batches(patches, config, place)
    held_out = Gallery(split.held_out, colours=config.colours, least=least_side(config))
    return Loaders(train, HeldOut(held_out, noise=config.val_noise, size=config.val_size))
