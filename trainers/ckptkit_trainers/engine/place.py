"""Where a training computes: its device, its precision, its processes."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ckptkit.plugin import errors
from ckptkit_trainers.engine.settings import Settings, check_settings

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One process of a training: where it is, and which of how many."""

    device: torch.device
    dtype: torch.dtype
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[None]:
        """Compute in the precision that was asked for."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def scaler(self) -> torch.amp.GradScaler:
        """Return what scales the loss in fp16, and does nothing otherwise."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)

    def spread(self, model: nn.Module) -> nn.Module:
        """Return what to call in training: with several processes, what joins their gradients."""
        if self.world == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids)


# DistributedDataParallel outlives the group here, and as its last owner would join the group's
# threads while it holds the interpreter, for which one of them may wait: for ever.
_closed: list[object] = []


@contextmanager
def placed(settings: Settings) -> Iterator[Place]:
    """Open the device and, under torchrun, the group of processes; close the group behind.

    Python's, NumPy's and torch's streams begin at the seed: the same in every process until
    ``vary`` is called, so that models begin alike.
    Raises: SettingError for a setting that makes no sense, and without the device.
    """
    check_settings(settings)
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    device = device_of(settings.device)
    if several and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    begin_at(settings.seed)
    try:
        yield Place(
            device=device, dtype=DTYPES[settings.precision],
            rank=dist.get_rank() if several else 0,
            world=dist.get_world_size() if several else 1,
        )  # fmt: skip
    finally:
        if several:
            _closed.append(dist.group.WORLD)
            dist.destroy_process_group()


def begin_at(seed: int) -> None:
    """Set every stream of random numbers to its beginning."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  libraries draw from it
    torch.manual_seed(seed)


def vary(place: Place, settings: Settings) -> None:
    """Give each process streams of its own: dropout must not be the same in all of them."""
    if place.world > 1:
        begin_at(settings.seed + 1000 * (1 + place.rank))


def device_of(asked: str) -> torch.device:
    """Return the device that was asked for, or the best there is. Raises: SettingError."""
    there = {
        "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(),
    }  # fmt: skip
    name = next(one for one in ("mps", "cuda", "cpu") if there[one]) if asked == "auto" else asked
    if not there.get(name):
        found = ", ".join(one for one, is_there in there.items() if is_there)
        raise errors.SettingError(
            f"--device {name}", "torch finds no such device here", f"auto, or one of: {found}",
            "leave --device out, or install the torch build of your accelerator",
        )  # fmt: skip
    if name == "cuda":
        index = int(os.environ.get("LOCAL_RANK", "0"))
        torch.cuda.set_device(index)
        return torch.device("cuda", index)
    return torch.device(name)
