"""The data set that needs no download: handwritten digits of real people, set in motion."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}  # (rows, columns)
WORDS = (*DIGITS, "moving", *DIRECTIONS)
SIDE = 8  # pixels of a stored digit
HELD_OUT = 5  # every so many-th image is never trained on


class Motion(NamedTuple):
    """What one clip shows: an image, where it goes, and where it begins, in pixels."""

    image: int
    direction: str
    along: int
    across: int


class MovingDigits:
    """Clips of one digit that moves a pixel a frame, each a pure function of (seed, number).

    An item is (clip, caption). Shapes: clip (1 or 3, frames, size, size), values -1 to 1.
    Source: scikit-learn's ``load_digits``, the test set of UCI's "Optical Recognition of
    Handwritten Digits": 1,797 images of 8 x 8; each fifth is held out.
    """

    def __init__(
        self, number: int, *, frames: int, size: int, seed: int, held_out: bool, color: bool = False
    ) -> None:
        self.colors = 3 if color else 1
        self.number, self.frames, self.size, self.seed = number, frames, size, seed
        images, labels = _stored()
        chosen = (np.arange(len(images)) % HELD_OUT == 0) == held_out
        self.images, self.labels = images[chosen], labels[chosen]

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> tuple[torch.Tensor, str]:
        motion = self.motion(index)
        return self.draw(motion), self.caption(motion)

    def motion(self, index: int) -> Motion:
        """Say what clip ``index`` shows."""
        draws = np.random.default_rng((self.seed, index))
        room = self.size - SIDE
        slack = max(room - self.frames + 1, 0)  # where it may begin without leaving the frame
        return Motion(
            image=int(draws.integers(len(self.images))),
            direction=tuple(DIRECTIONS)[int(draws.integers(len(DIRECTIONS)))],
            along=int(draws.integers(slack + 1)),
            across=int(draws.integers(room // 4, room - room // 4 + 1)),
        )

    def caption(self, motion: Motion) -> str:
        """Return the words for a motion: "three moving left"."""
        return f"{DIGITS[self.labels[motion.image]]} moving {motion.direction}"

    def draw(self, motion: Motion) -> torch.Tensor:
        """Return the clip of a motion; a digit that reaches the edge stays there."""
        clip = torch.full((self.colors, self.frames, self.size, self.size), -1.0)
        image = torch.from_numpy(self.images[motion.image])
        room = self.size - SIDE
        for frame in range(self.frames):
            gone = min(motion.along + frame, room)
            rows, columns = DIRECTIONS[motion.direction]
            top, left = (
                motion.across if not step else gone if step > 0 else room - gone
                for step in (rows, columns)
            )  # fmt: skip
            clip[:, frame, top : top + SIDE, left : left + SIDE] = image
        return clip


@cache
def _stored() -> tuple[Any, Any]:
    """Return the images, values -1 to 1, and what each shows."""
    digits = load_digits()
    return (digits.images / 8 - 1).astype(np.float32), digits.target
