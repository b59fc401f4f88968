"""A split as points of the shared space."""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader

from ckptkit_trainers.engine.place import Place
from ckptkit_trainers.engine.progress import watched
from ckptkit_trainers.multimodal.data import Item
from ckptkit_trainers.multimodal.model import Brain


class Points:
    """Views of every pair of a split, and which picture each belongs to."""

    def __init__(self) -> None:
        self._views: dict[str, list[torch.Tensor]] = {}
        self._numbers: list[torch.Tensor] = []

    def add(self, views: dict[str, torch.Tensor], numbers: torch.Tensor) -> None:
        """Take a batch."""
        for name, view in views.items():
            self._views.setdefault(name, []).append(view.detach().float().cpu())
        self._numbers.append(numbers.cpu())

    @property
    def views(self) -> dict[str, torch.Tensor]:
        """Shapes: each [pairs, d_shared]."""
        return {name: torch.cat(parts) for name, parts in self._views.items()}

    @property
    def numbers(self) -> torch.Tensor:
        """Shapes: [pairs]."""
        return torch.cat(self._numbers)


def pictures_once(numbers: torch.Tensor) -> torch.Tensor:
    """Where each picture stands first: a gallery holds it once, however many captions it has."""
    seen: dict[int, int] = {}
    for place, number in enumerate(numbers.tolist()):
        seen.setdefault(number, place)
    return torch.tensor(sorted(seen.values()))


@torch.no_grad()
def embed_all(
    brain: Brain, batches: DataLoader[Item], place: Place, title: str, *, shown: bool
) -> Points:
    """Embed every pair of a loader, under a bar of progress if ``shown``."""
    brain.eval()
    points = Points()
    for batch in watched(batches, len(batches), title, shown=shown):
        there = to_device(batch, place)
        with place.autocast():
            points.add(brain.embed(there), there["number"])
    return points


def to_device(batch: Item, place: Place) -> Item:
    """Bring a batch to where it is computed."""
    return {name: value.to(place.device, non_blocking=True) for name, value in batch.items()}
