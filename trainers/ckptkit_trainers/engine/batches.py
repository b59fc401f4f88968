"""Batches to train on."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader, Dataset, DistributedSampler

from ckptkit_trainers.engine.place import Place
from ckptkit_trainers.engine.settings import Settings
from ckptkit_trainers.engine.telling import Telling, TellingCollate


def training_batches(data: Dataset[Any], settings: Settings, place: Place) -> DataLoader[Any]:
    """Load in a new order each epoch; of several processes each has its share of the one order."""
    share: DistributedSampler[Any] | None = None
    if place.world > 1:
        share = DistributedSampler(data, place.world, place.rank)
    return DataLoader(
        Telling(data), batch_size=settings.batch_size, shuffle=share is None, sampler=share,
        num_workers=settings.workers, pin_memory=place.device.type == "cuda",
        persistent_workers=settings.workers > 0,  # what they have decoded or drawn is kept
        collate_fn=TellingCollate(),
    )  # fmt: skip
