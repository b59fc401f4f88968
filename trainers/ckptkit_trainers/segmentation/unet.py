"""A U-Net: the baseline. It halves four times, and goes back up with what it saw on the way."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional


class Pair(nn.Module):
    """Two convolutions. Shapes: (N, inside, H, W) to (N, outside, H, W)."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve, normalise and rectify, twice."""
        x = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(x)))


class UNet(nn.Module):
    """Shapes: (N, 3, H, W) to (N, 1, H, W), logits; H and W are multiples of 16."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width * 2**depth for depth in range(5)]
        above = widths[::-1]
        self.down = nn.ModuleList(map(Pair, [3, *widths], widths))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(wide, narrow, 2, stride=2) for wide, narrow in pairwise(above)
        )
        self.merge = nn.ModuleList(Pair(2 * narrow, narrow) for narrow in above[1:])
        self.logit = nn.Conv2d(width, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of every pixel."""
        seen = []
        for depth, pair in enumerate(self.down):
            x = pair(x if depth == 0 else functional.max_pool2d(x, 2))
            seen.append(x)
        for up, merge, before in zip(self.up, self.merge, seen[-2::-1], strict=True):
            x = merge(torch.cat((before, up(x)), 1))
        logits: torch.Tensor = self.logit(x)
        return logits
