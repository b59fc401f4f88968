"""Validation: the loss on pairs that are not trained on, and how they are found."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ckptkit_trainers.engine.place import Place
from ckptkit_trainers.multimodal.data import Item
from ckptkit_trainers.multimodal.embed import Points, pictures_once, to_device
from ckptkit_trainers.multimodal.loss import contrastive
from ckptkit_trainers.multimodal.model import Brain, Seen
from ckptkit_trainers.multimodal.recall import recalls


@torch.no_grad()
def validate(brain: Brain, batches: Iterable[Item], place: Place, points: Points) -> Iterable[
    tuple[torch.Tensor, int]
]:  # fmt: skip
    """Yield the loss of each batch and how many pairs it holds; fill ``points`` on the way."""
    brain.eval()
    for batch in batches:
        there = to_device(batch, place)
        with place.autocast():
            views = brain.embed(there)
        points.add(views, there["number"])
        seen = Seen(views, there["text"], brain.scale)
        yield contrastive(seen, there["number"]), len(there["number"])


def text_to_image(points: Points) -> dict[str, float]:
    """R@k and the median rank of pictures, found by their captions."""
    once = pictures_once(points.numbers)
    relevant = points.numbers[:, None] == points.numbers[once][None, :]
    return recalls(points.views["text"], points.views["image"][once], relevant)


def image_to_text(points: Points) -> dict[str, float]:
    """R@k and the median rank of captions, found by their picture."""
    once = pictures_once(points.numbers)
    relevant = points.numbers[once][:, None] == points.numbers[None, :]
    return recalls(points.views["image"][once], points.views["text"], relevant)
