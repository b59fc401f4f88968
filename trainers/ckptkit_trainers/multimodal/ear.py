"""Sound to latents: a mel spectrogram, and convolutions over time."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from transformers.audio_utils import mel_filter_bank

from ckptkit_trainers.multimodal.config import SOUND_GROUPS

N_FFT, HOP, MELS = 256, 128, 40  # at 8,000 samples a second: 32 ms, every 16 ms
STRIDES = (2, 2, 2)


class Ear(nn.Module):
    """Shapes: [B, N] -> [B, frames / 8, width]."""

    def __init__(self, rate: int, width: int) -> None:
        super().__init__()
        bank = mel_filter_bank(
            num_frequency_bins=N_FFT // 2 + 1, num_mel_filters=MELS, min_frequency=50.0,
            max_frequency=rate / 2, sampling_rate=rate, mel_scale="slaney",
        )  # fmt: skip
        filters = torch.from_numpy(np.asarray(bank, dtype=np.float32))
        self.filters = nn.Buffer(filters, persistent=False)
        self.window = nn.Buffer(torch.hann_window(N_FFT), persistent=False)
        layers: list[nn.Module] = []
        before = MELS
        for stride in STRIDES:
            layers += [
                nn.Conv1d(before, width, 5, stride, 2),
                nn.GroupNorm(SOUND_GROUPS, width),
                nn.GELU(),
            ]
            before = width
        self.encoder = nn.Sequential(*layers)

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        """Listen; the spectrum is computed in full precision."""
        with torch.autocast(sound.device.type, enabled=False):
            waves = torch.stft(sound.float(), N_FFT, HOP, window=self.window, return_complex=True)
            power = waves.abs().square().transpose(1, 2) @ self.filters
            mels = torch.log(power + 1e-5).transpose(1, 2) / 5
        latents: torch.Tensor = self.encoder(mels)
        return latents.transpose(1, 2)
