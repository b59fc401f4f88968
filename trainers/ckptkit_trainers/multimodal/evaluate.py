"""``ckptkit evaluate``: how well each modality finds the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ckptkit.plugin import errors
from ckptkit_trainers.multimodal.config import Config, EvaluateOptions
from ckptkit_trainers.multimodal.data import val_loader
from ckptkit_trainers.multimodal.embed import Points, embed_all, pictures_once
from ckptkit_trainers.multimodal.finished import Finished, finished
from ckptkit_trainers.multimodal.loss import opposed
from ckptkit_trainers.multimodal.recall import by_chance, recalls


def evaluate(checkpoint: Path, config: Config, options: EvaluateOptions) -> dict[str, Any]:
    """Return R@1, R@5, R@10 and the median rank on a split, both ways, and those of chance."""
    with finished(checkpoint, config, device=options.device, data=options.data) as asked:
        points = _embedded(asked, options.split)
        return {**asked.told, "split": options.split, **measured(points)}


def _embedded(asked: Finished, split: str) -> Points:
    chosen = list(asked.source.splits[split])
    if not chosen:
        held = ", ".join(name for name, pairs in asked.source.splits.items() if pairs)
        raise errors.SettingError("split", f"{split!r} holds no pair of the data", held)
    loader = val_loader(asked.pairs(chosen), asked.config)
    shown = asked.config.progress
    return embed_all(asked.brain, loader, asked.place, f"embedding {split}", shown=shown)


def measured(points: Points) -> dict[str, Any]:
    """Figures of every pair of views that can find each other.

    Pictures stand in the gallery once, however many captions they have.
    """
    once, numbers, views = pictures_once(points.numbers), points.numbers, points.views
    every = numbers.new_tensor(range(len(numbers)))
    recall: list[dict[str, Any]] = []
    for one, other in opposed(views):
        for asks, answers in ((one, other), (other, one)):
            rows = once if asks == "image" else every
            columns = once if answers == "image" else every
            right = numbers[rows][:, None] == numbers[columns][None, :]
            figures = recalls(views[asks][rows], views[answers][columns], right)
            recall.append({"search": f"{asks} to {answers}", **figures})
            if (asks, answers) == ("text", "image"):
                recall.append({"search": "text to image by chance", **by_chance(right)})
    return {"pairs": len(numbers), "pictures": len(once), "recall": recall}
