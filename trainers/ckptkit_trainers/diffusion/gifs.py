"""Clips as GIF files, read and written."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageSequence, UnidentifiedImageError

from ckptkit.plugin import errors
from ckptkit_trainers.engine.pictures import as_image

# What Pillow raises for GIFs that break off, or are too large
_BROKEN = (OSError, EOFError, ValueError, IndexError, SyntaxError, struct.error,
           Image.DecompressionBombError)  # fmt: skip
FRAME_MS = 120  # how long a frame is shown


def read_gif(path: Path, *, frames: int, size: int, color: bool) -> torch.Tensor:
    """Return a GIF as a clip of this many frames, spread evenly over the whole of it.

    Shapes: (3 or 1, frames, size, size), values -1 to 1. Frames are cut to the middle square.
    Raises: UnknownFormatError if it is no picture, or breaks off.
    """
    try:
        with Image.open(path) as picture:
            shown = [_square(frame, size, color) for frame in ImageSequence.Iterator(picture)]
    except UnidentifiedImageError as exc:
        raise errors.UnknownFormatError(path, "is no picture", "a GIF", "remove it") from exc
    except _BROKEN as exc:
        raise errors.UnknownFormatError(
            path, f"cannot be decoded ({exc})", "a whole GIF", "fetch it again, or remove it"
        ) from exc
    places = np.linspace(0, len(shown) - 1, frames).round().astype(int)
    clip = np.stack([shown[place] for place in places])
    return torch.from_numpy(clip).permute(3, 0, 1, 2).float().div(127.5).sub(1)


def _square(frame: Image.Image, size: int, color: bool) -> np.ndarray:
    """Cut the middle square of a frame. Shapes: (size, size, 3 or 1)."""
    side = min(frame.size)
    left, top = ((length - side) // 2 for length in frame.size)
    middle = frame.convert("RGB" if color else "L").crop((left, top, left + side, top + side))
    pixels = np.array(middle.resize((size, size), Image.Resampling.BILINEAR))
    return pixels.reshape(size, size, -1)


def write_gif(clip: torch.Tensor, path: Path, *, scale: int) -> None:
    """Write a clip as a GIF that plays for ever, ``scale`` pixels for each of its own.

    Shapes: clip (3 or 1, frames, H, W), values -1 to 1.
    """
    size = (scale * clip.shape[-1], scale * clip.shape[-2])
    first, *rest = (
        as_image(frame).resize(size, Image.Resampling.NEAREST) for frame in frames_of(clip)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    first.save(path, save_all=True, append_images=rest, duration=FRAME_MS, loop=0)


def frames_of(clip: torch.Tensor) -> list[torch.Tensor]:
    """Return the frames of a clip as pictures. Shapes: (3 or 1, H, W) each, values 0 to 1."""
    return list((clip.float().cpu() / 2 + 0.5).clamp(0, 1).unbind(1))
