"""A checkpoint, opened to draw or to be measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ckptkit
from ckptkit_trainers.diffusion.config import NAME, Config
from ckptkit_trainers.diffusion.data import read_data, tokens_of
from ckptkit_trainers.diffusion.draw import Painter
from ckptkit_trainers.diffusion.migrators import MIGRATORS
from ckptkit_trainers.diffusion.model import build, frozen_encoder
from ckptkit_trainers.engine.place import DTYPES, Place, device_of


class Opened(NamedTuple):
    """What draws, and how far its training was; ``weights`` tells which ones they are."""

    painter: Painter
    epoch: int | None
    step: int | None
    weights: str

    def told(self) -> dict[str, Any]:
        """Return where the checkpoint stands, as every result begins."""
        return {"epoch": self.epoch, "step": self.step, "weights": self.weights}


def open_painter(checkpoint: Path, config: Config, *, weights: str, device: str) -> Opened:
    """Load the weights of a checkpoint, older layouts too. Raises: as ``ckptkit.restore``.

    A checkpoint without averaged weights gives its plain ones, and ``weights`` says so.
    """
    with ckptkit.load(checkpoint) as stored:
        progress = _mapping(stored, "progress")
        words = _mapping(stored, "words").get("words")
        weights = weights if "ema" in stored.document else "model"
        frozen_is_there = "text_encoder" in stored.document
    frozen = frozen_encoder(config)
    model = build(config, frozen)
    use = "ema" if weights == "ema" else "raw"
    _fill(checkpoint, {"model": model}, use)
    if frozen is not None and frozen_is_there:
        _fill(checkpoint, {"text_encoder": frozen}, "raw")  # nobody averages what is frozen
    place = Place(device=device_of(device), dtype=DTYPES["fp32"])
    # an old checkpoint keeps no words: they are those of the data
    tokens = read_data(config).tokens if words is None else tokens_of(config, list(words))
    model, frozen = model.to(place.device).eval(), frozen and frozen.to(place.device)
    painter = Painter(model, frozen, tokens, place)
    done = progress.get("epochs_completed"), progress.get("optimizer_steps")
    return Opened(painter, *done, weights)


def _fill(checkpoint: Path, target: Mapping[str, Any], use: str) -> None:
    ckptkit.restore(
        checkpoint, target, mode="warm-start", use=use, trainer=NAME, migrators=MIGRATORS
    )


def _mapping(stored: ckptkit.Checkpoint, section: str) -> Mapping[str, Any]:
    value = stored.state(section) if section in stored.document else None
    return value if isinstance(value, Mapping) else {}
