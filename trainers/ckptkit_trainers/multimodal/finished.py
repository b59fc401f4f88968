"""A finished checkpoint as a brain to ask: its settings, its words, its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import ckptkit
from ckptkit_trainers.engine.place import Place, placed
from ckptkit_trainers.multimodal.config import Config
from ckptkit_trainers.multimodal.data import Pairs
from ckptkit_trainers.multimodal.migrators import MIGRATORS
from ckptkit_trainers.multimodal.model import Brain
from ckptkit_trainers.multimodal.parts import parts_of
from ckptkit_trainers.multimodal.source import Pair, Source, open_source
from ckptkit_trainers.multimodal.words import Words


class Finished(NamedTuple):
    """What a checkpoint knows, and the data that it is asked about."""

    brain: Brain
    source: Source
    words: Words
    config: Config
    place: Place
    told: dict[str, Any]  # which checkpoint it is, for whoever reads the result

    def pairs(self, chosen: list[Pair]) -> Pairs:
        """Return some pairs as the brain sees them."""
        return Pairs(self.source, chosen, self.config, self.words, moved=False)


@contextmanager
def finished(
    checkpoint: Path, config: Config, *, device: str = "", data: str = ""
) -> Iterator[Finished]:
    """Open a checkpoint of any version. Raises: as ``ckptkit.restore``; InputError."""
    config = replace(config, device=device or config.device, data=data or config.data)
    with placed(config) as place:
        with ckptkit.load(checkpoint) as opened:
            parts = dict(_state(opened, "parts"))
            progress = _state(opened, "progress")
        source = open_source(config)
        if "tokenizer" not in parts:  # an old file: its words are learned again
            parts = parts_of(config, source)
        brain = Brain(config, parts, pretrained=False)
        ckptkit.restore(
            checkpoint, {"model": brain}, mode="warm-start", trainer="multimodal",
            migrators=MIGRATORS,
        )  # fmt: skip
        words = Words(parts, config.max_words)
        told = {
            "checkpoint": str(checkpoint), "epoch": progress.get("epochs_completed"),
            "step": progress.get("optimizer_steps"),
        }  # fmt: skip
        yield Finished(brain.to(place.device).eval(), source, words, config, place, told)


def _state(opened: ckptkit.Checkpoint, name: str) -> Mapping[str, Any]:
    """A section as values; of an old file that has none, nothing."""
    if name not in opened.document:
        return {}
    stored: Mapping[str, Any] = opened.state(name)
    return stored
