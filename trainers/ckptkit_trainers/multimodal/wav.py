"""Spoken captions: WAV files of whole numbers, at any rate."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from ckptkit.plugin import errors

_TYPES = {1: "u1", 2: "<i2", 4: "<i4"}


def read_wav(path: Path, rate: int) -> torch.Tensor:
    """Read mono sound, -1 to 1, at ``rate``. Shapes: [N]. Raises: UnknownFormatError.

    Other rates are interpolated between samples, after a mean over what one new sample spans.
    """
    try:
        with wave.open(str(path)) as file:
            kind, channels, stored = file.getsampwidth(), file.getnchannels(), file.getframerate()
            content = file.readframes(file.getnframes())
        values = np.frombuffer(content, _TYPES[kind]).astype(np.float32)
    except (OSError, EOFError, wave.Error, KeyError, ValueError) as exc:
        raise errors.UnknownFormatError(
            path, f"is no WAV file that can be read ({exc})", "PCM of 8, 16 or 32 bits",
            "write it again as 16-bit PCM",
        ) from exc  # fmt: skip
    sound = torch.from_numpy(values).view(-1, channels).mean(1)
    sound = sound / 128 - 1 if kind == 1 else sound / 2.0 ** (8 * kind - 1)
    return _at_rate(sound, stored, rate)


def _at_rate(sound: torch.Tensor, stored: int, wanted: int) -> torch.Tensor:
    if stored == wanted or not len(sound):
        return sound
    line = sound[None, None]
    span = stored // wanted
    if span > 1:  # a rate below: what is above half of it would fold back
        line = functional.avg_pool1d(line, span, stride=1, padding=span // 2)
    length = max(1, round(len(sound) * wanted / stored))
    return functional.interpolate(line, length, mode="linear", align_corners=False)[0, 0]
