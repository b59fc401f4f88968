"""Mask files: where in a picture buildings are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ckptkit.plugin import errors
from ckptkit_trainers.engine.picture_file import opened

HALF, WHITE = 127, 250  # of 255: what is above counts; where a lossy picture's white begins
GREY = 16  # by how much the channels of a grey pixel may differ after JPEG
LOSSY = ("JPEG", "WEBP")
CLASSES = 16  # so few values are classes, or one that is to be ignored; soft edges have more
SHOWN = 6  # values in a message


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read a mask as 0 and 1: of two values the one that is not 0, of shades the lighter half.

    Shapes: (H, W). Raises: as ``opened``; ForeignFormatError for colours, or several classes:
    which of them are buildings is not said.
    """
    with opened(path) as image:
        values, lossy = _values(path, image), image.format in LOSSY
    there = np.flatnonzero(np.bincount(values.ravel()))
    if len(there) <= 2 and there[-1] <= 1:
        return values.astype(np.uint8)
    few = 2 < len(there) <= CLASSES
    if lossy or (there[-1] >= WHITE and values.dtype == np.uint8 and not few):
        return (values > HALF).astype(np.uint8)
    if len(there) == 2 and there[0] == 0:
        return (values > 0).astype(np.uint8)
    some = ", ".join(map(str, there[:SHOWN])) + (", ..." if len(there) > SHOWN else "")
    raise _refused(path, f"holds the values {some}")


def _values(path: Path, image: Image.Image) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The shades; where a palette has colours, its numbers: they are what says the class."""
    if image.mode.startswith("I"):
        stored = np.array(image)
        if stored.min() >= 0 and stored.max() < 1 << 16:
            return stored.astype(np.uint16)
        raise _refused(path, f"holds values from {stored.min()} to {stored.max()}")
    if image.mode.startswith("F"):
        raise _refused(path, "holds fractions")
    if image.has_transparency_data and np.ptp(np.array(image.convert("RGBA"))[..., 3]):
        raise _refused(path, "says something by its transparency")
    pixels = np.array(image.convert("RGB"))
    if np.ptp(pixels, axis=-1).max() > GREY:
        if image.mode == "P":
            return np.array(image)
        raise _refused(path, "is coloured")
    return np.ascontiguousarray(pixels[..., 0])


def _refused(path: Path, seen: str) -> errors.ForeignFormatError:
    return errors.ForeignFormatError(
        path, seen, "a mask of 0 and 1, or of 0 and 255", "write 255 where buildings are, else 0"
    )
