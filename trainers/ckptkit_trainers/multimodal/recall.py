"""How well a query finds what belongs to it: R@1, R@5, R@10 and the median rank."""

from __future__ import annotations

import torch
from torchmetrics.retrieval import RetrievalHitRate

DEPTHS = (1, 5, 10)


def recalls(
    queries: torch.Tensor, gallery: torch.Tensor, relevant: torch.Tensor
) -> dict[str, float]:
    """Measure a retrieval; a query with several right answers has found them by the first.

    Shapes: queries [Q, d], gallery [G, d], relevant [Q, G] of bool, one or more in each row.
    """
    likeness = queries @ gallery.T
    rows = torch.arange(len(queries))[:, None].expand_as(likeness)
    found = {}
    for depth in DEPTHS:
        metric = RetrievalHitRate(top_k=min(depth, len(gallery)))
        metric.update(likeness.flatten(), relevant.flatten(), indexes=rows.flatten())
        found[f"R@{depth}"] = round(float(metric.compute()), 4)
    found["median_rank"] = float(ranks(likeness, relevant).median())
    return found


def ranks(likeness: torch.Tensor, relevant: torch.Tensor) -> torch.Tensor:
    """The rank, from 1, of each query's best right answer. Shapes: [Q, G] -> [Q].

    Of wrong answers that are as like, half come first: where all are alike, that is chance.
    """
    best = likeness.masked_fill(~relevant, -torch.inf).amax(1, keepdim=True)
    ahead = likeness > best
    level = ~(likeness < best) & ~relevant  # what is no number is neither below nor above
    return 1 + (ahead.sum(1) + level.sum(1)) / 2


def by_chance(relevant: torch.Tensor) -> dict[str, float]:
    """R@k of a gallery in any order: the mean over queries of finding one of the right ones."""
    n_gallery = relevant.shape[1]
    right = relevant.sum(1).double()
    found = {}
    for depth in DEPTHS:
        missed = torch.ones_like(right)
        for place in range(min(depth, n_gallery)):
            missed *= ((n_gallery - place - right) / (n_gallery - place)).clamp(min=0)
        found[f"R@{depth}"] = round(float((1 - missed).mean()), 4)
    return found
