"""What is trained: what belongs together lies close, and hidden words are guessed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.nn import functional as joined
from torch.nn import functional

from ckptkit_trainers.multimodal.model import Seen

NOT_ASKED = -100  # cross_entropy's own word for places that do not count


def contrastive(seen: Seen, numbers: torch.Tensor, *, gathered: bool = False) -> torch.Tensor:
    """Tell each pair from the others of the batch, every modality against what it can be told by.

    Captions of one picture all belong to it. ``gathered``: the pairs of all processes are one
    batch. Shapes: numbers [B], which picture each pair is of; returns [].
    """
    views = seen.views
    if gathered and dist.is_initialized():
        gather: Any = joined.all_gather  # its gradients go back to each process
        views = {name: torch.cat(gather(view)) for name, view in views.items()}
        numbers = _every(numbers)
    same = (numbers[:, None] == numbers[None, :]).float()
    target = same / same.sum(1, keepdim=True)
    losses = []
    for one, other in opposed(views):
        likeness = seen.scale * views[one] @ views[other].T
        losses += [functional.cross_entropy(logits, target) for logits in (likeness, likeness.T)]
    return torch.stack(losses).mean()


def _every(numbers: torch.Tensor) -> torch.Tensor:
    parts = [torch.empty_like(numbers) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, numbers)
    return torch.cat(parts)


def opposed(views: dict[str, torch.Tensor]) -> Iterator[tuple[str, str]]:
    """Name the views that are told by each other: those that have no modality in common."""
    names = list(views)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            if not set(one.split("+")) & set(other.split("+")):
                yield one, other


def guessing(seen: Seen, text: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the hidden words of the first texts. Shapes: both [B, W]; returns []."""
    n_asked = len(seen.words)
    asked = torch.where(text != hidden, text, NOT_ASKED)[:n_asked]
    total = functional.cross_entropy(
        seen.words.flatten(0, 1).float(), asked.flatten(), ignore_index=NOT_ASKED, reduction="sum"
    )
    return total / (asked != NOT_ASKED).sum().clamp(min=1)
