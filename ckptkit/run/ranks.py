"""Several processes that train one model: one of them writes, all of them agree.

Without torch.distributed everything here is that of a single process and costs nothing.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


class Ranks:
    """The processes of this training. ``rank`` 0 decides and writes."""

    def __init__(self) -> None:
        live = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if live else 0
        self.world = dist.get_world_size() if live else 1
        self._live = live and self.world > 1

    @property
    def writes(self) -> bool:
        """Whether this process is the one that touches the disk."""
        return self.rank == 0

    def share(self, value: Any) -> Any:
        """Give every process what rank 0 has."""
        if not self._live:
            return value
        box = [value if self.writes else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Give rank 0 what every process has, by rank; the others get an empty list."""
        if not self._live:
            return [value]
        boxes: list[Any] = [None] * self.world if self.writes else []
        dist.gather_object(value, boxes if self.writes else None, dst=0)
        return boxes

    def agree(self, *numbers: int) -> list[int]:
        """Give every process the greatest of each number: one that must stop stops all."""
        if not self._live:
            return list(numbers)
        device = _device()
        flags = torch.tensor(numbers, dtype=torch.int64, device=device)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return [int(number) for number in flags.tolist()]

    def wait(self) -> None:
        """Return when every process is here."""
        if self._live:
            dist.barrier()


def _device() -> torch.device:
    """Where a collective of this backend wants its tensors."""
    if dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
