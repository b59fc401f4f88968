"""A stand-in for speech: a text's letters as short tones, one after another."""

from __future__ import annotations

import math

import torch

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
LOWEST_HZ, STEP_HZ = 250.0, 75.0  # the highest is 2,875 Hz: below half of 8,000 samples a second
LETTER_S = 0.04


def tones(text: str, rate: int) -> torch.Tensor:
    """Play a text; what is no letter is a pause. Shapes: [letters * samples of one]."""
    n_samples = round(LETTER_S * rate)
    clock = torch.arange(n_samples) / rate
    swell = torch.hann_window(n_samples)
    silence = torch.zeros(n_samples)
    parts = [silence]
    for letter in text.lower():
        at = LETTERS.find(letter)
        hertz = LOWEST_HZ + STEP_HZ * at
        parts.append(silence if at < 0 else 0.5 * swell * torch.sin(2 * math.pi * hertz * clock))
    return torch.cat(parts)
