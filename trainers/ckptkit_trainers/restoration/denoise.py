"""A finished network: loaded from a checkpoint, and used on pictures of any size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

import ckptkit
from ckptkit_trainers.engine.place import device_of
from ckptkit_trainers.restoration.config import Config
from ckptkit_trainers.restoration.migrators import TRAINER
from ckptkit_trainers.restoration.model import build

#: What is looked at beside a tile and thrown away, in pixels of the network's lowest level: no
#: pixel is looked at from farther.
MARGIN = 8


class Finished(NamedTuple):
    """A network, and how far its training was; ``weights`` are "ema" or "raw".

    ``coarse`` is the side of the lowest level's pixels, in pixels of the picture.
    """

    model: nn.Module
    device: torch.device
    coarse: int
    epoch: int
    step: int
    weights: str


def load_network(checkpoint: Path, config: Config, device: str) -> Finished:
    """Build the network of the settings and fill it: with averaged weights where there are any.

    Raises: as ``ckptkit.restore``; MismatchError for a device that is not there.
    """
    place = device_of(device)
    model = build(config)
    with ckptkit.load(checkpoint) as opened:
        has_average = "ema" in opened.document
        told = opened.state("progress") if "progress" in opened.document else {}
    use = "ema" if has_average else "raw"
    ckptkit.restore(checkpoint, {"model": model}, mode="warm-start", use=use, trainer=TRAINER)
    epoch, step = (int(told.get(name) or 0) for name in ("epochs_completed", "optimizer_steps"))
    coarse = 1 << config.depth
    return Finished(model.to(place).eval(), place, coarse, epoch, step, use)


@torch.no_grad()
def denoise(finished: Finished, noisy: torch.Tensor, tile: int) -> torch.Tensor:
    """Denoise a picture in tiles that overlap: the same picture, for the memory of one tile.

    Shapes: (C, H, W) to the same, 0 to 1. Units: ``tile`` in pixels.
    """
    result = torch.empty_like(noisy)
    margin = MARGIN * finished.coarse
    tile = max(1, -(-tile // finished.coarse)) * finished.coarse  # where the levels' pixels begin
    for rows in _spans(noisy.shape[1], tile, margin):
        for columns in _spans(noisy.shape[2], tile, margin):
            part = noisy[:, rows.seen, columns.seen].unsqueeze(0).to(finished.device)
            done = finished.model(part)[0, :, rows.inner, columns.inner]
            result[:, rows.kept, columns.kept] = done.clamp(0, 1).cpu()
    return result


class _Span(NamedTuple):
    """One axis of a tile: what is looked at, what is kept of the picture, and where that lies."""

    seen: slice
    kept: slice
    inner: slice


def _spans(side: int, tile: int, margin: int) -> Iterator[_Span]:
    for start in range(0, side, tile):
        first, stop = max(0, start - margin), min(side, start + tile)
        seen = slice(first, min(side, stop + margin))
        yield _Span(seen, slice(start, stop), slice(start - first, stop - first))
