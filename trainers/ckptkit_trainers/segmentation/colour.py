"""How far the colour of single pixels goes: what a network has to beat to have seen anything."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ckptkit_trainers.segmentation.data import Patches

MOST = 60_000  # pixels that a regression learns from

Values = NDArray[np.float64]
Truth = NDArray[np.bool_]

#: Numbers that a threshold could be laid on. Shapes: (N, 3), 0 to 1, to (N,).
MEASURES: dict[str, Callable[[Values], Values]] = {
    "red": lambda x: x[:, 0],
    "green": lambda x: x[:, 1],
    "blue": lambda x: x[:, 2],
    "brightness": lambda x: x.mean(1),
    "greenness": lambda x: 2 * x[:, 1] - x[:, 0] - x[:, 2],
    "saturation": lambda x: x.max(1) - x.min(1),
    "blue against green": lambda x: (x[:, 2] - x[:, 1]) / (x.sum(1) + 0.01),
}


def pixels_of(patches: Patches, count: int) -> tuple[Values, Truth]:
    """Return colours and truth of the first patches. Shapes: (N, 3), values 0 to 1; (N,)."""
    tiles = [patches.tile(number) for number in range(min(count, len(patches)))]
    colours = np.concatenate([one.image.reshape(-1, 3) for one in tiles]) / 255
    return colours, np.concatenate([one.mask.ravel() for one in tiles]).astype(bool)


def iou_of_threshold(train: tuple[Values, Truth], val: tuple[Values, Truth]) -> float:
    """The held-out IoU of the best threshold, on the best measure, that training pixels show."""
    best = (-1.0, 0.0)
    for measure in MEASURES.values():
        seen, held_out = measure(train[0]), measure(val[0])
        for sign in (1, -1):
            for cut in np.quantile(sign * seen, np.linspace(0, 0.98, 50)):
                found = iou(sign * seen > cut, train[1])
                best = max(best, (found, iou(sign * held_out > cut, val[1])))
    return best[1]


def iou_of_regression(train: tuple[Values, Truth], val: tuple[Values, Truth]) -> float:
    """The held-out IoU of a logistic regression on colours, their products and their shares."""
    from sklearn.linear_model import (  # type: ignore[import-untyped]
        LogisticRegression,
    )

    every = max(1, len(train[1]) // MOST)
    seen, truth = _richer(train[0][::every]), train[1][::every]
    model = LogisticRegression(max_iter=500, class_weight="balanced").fit(seen, truth)
    chances = model.predict_proba(seen)[:, 1]
    cut = max(np.linspace(0.2, 0.9, 40), key=lambda one: iou(chances > one, truth))
    return iou(model.predict_proba(_richer(val[0]))[:, 1] > cut, val[1])


def iou(guess: Truth, truth: Truth) -> float:
    """What both say, of what either says."""
    return float((guess & truth).sum() / max(1, (guess | truth).sum()))


def _richer(colours: Values) -> Values:
    shares = colours / (colours.sum(1, keepdims=True) + 0.01)
    products = [colours[:, [a]] * colours[:, [b]] for a in range(3) for b in range(a, 3)]
    return np.concatenate([colours, shares, shares**2, *products], 1)
