"""Two small classifiers of clips, learned from real digits in motion: which digit, which way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from sklearn.decomposition import PCA  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.svm import SVC  # type: ignore[import-untyped]

COMPONENTS, PENALTY = 80, 10.0  # of the pixels; of the support vectors


class Share(NamedTuple):
    """How many of the clips were told right, between 0 and 1."""

    digit: float
    direction: float


class ClipClassifier:
    """Support vectors over the main components of all pixels of a clip."""

    def __init__(self, clips: torch.Tensor, captions: Sequence[str]) -> None:
        """Learn from real clips. Shapes: (N, colors, frames, size, size)."""
        self._parts = [
            make_pipeline(PCA(min(COMPONENTS, len(clips)), random_state=0), SVC(C=PENALTY)).fit(
                _rows(clips), words
            )
            for words in _labels(captions)
        ]

    def right(self, clips: torch.Tensor, captions: Sequence[str]) -> Share:
        """Return the share of clips that it takes for what their captions say."""
        scores = [
            float(part.score(_rows(clips), words))
            for part, words in zip(self._parts, _labels(captions), strict=True)
        ]
        return Share(*scores)


def _rows(clips: torch.Tensor) -> Any:
    return clips.flatten(1).numpy()


def _labels(captions: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the digits and the directions: the first and the last word."""
    words = [caption.split() for caption in captions]
    return [one[0] for one in words], [one[-1] for one in words]
