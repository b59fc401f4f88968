"""A U-Net that predicts the noise, and takes it away."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ckptkit_trainers.restoration.config import Config


class Block(nn.Module):
    """Two convolutions, each with a rectifier behind it."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inner, outer, 3, padding=1)
        self.second = nn.Conv2d(outer, outer, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes: (N, inner, H, W) to (N, outer, H, W)."""
        x = functional.relu(self.first(x))
        return functional.relu(self.second(x))


class Join(nn.Module):
    """A block whose first convolution has two inputs: what comes from below, and the skip.

    The same as one convolution over both put together, without ever putting them together.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rise = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.below = nn.Conv2d(width, width, 3, padding=1)
        self.skip = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Shapes: (N, 2 width, H / 2, W / 2) and (N, width, H, W) to (N, width, H, W)."""
        x = functional.relu(self.below(self.rise(x)) + self.skip(skip))
        return functional.relu(self.second(x))


class UNet(nn.Module):
    """Encoder, bottom and decoder; without normalisation, so that whole pictures look as patches.

    Shapes: (N, channels, H, W), any H and W that are greater than 2 ** depth, to the same.
    """

    def __init__(self, channels: int, width: int, depth: int) -> None:
        super().__init__()
        widths = [width << level for level in range(depth)]
        inner = [channels, *widths[:-1]]
        self.encoder = nn.ModuleList(map(Block, inner, widths))
        self.bottom = Block(widths[-1], 2 * widths[-1])
        self.decoder = nn.ModuleList(map(Join, widths))
        self.head = nn.Conv2d(width, channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(self.head.weight)  # it begins by leaving the picture as it is

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        """Return the picture without its noise."""
        height, width = noisy.shape[-2:]
        step = 1 << len(self.encoder)
        x = functional.pad(noisy, (0, -width % step, 0, -height % step), mode="reflect")
        x = x.contiguous(memory_format=torch.channels_last)  # faster on CPUs
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for join in reversed(self.decoder):
            x = join(x, skips.pop())
        noise: torch.Tensor = self.head(x)[..., :height, :width]
        return noisy - noise


def build(config: Config) -> UNet:
    """Make the network of the settings, from torch's stream."""
    channels = 3 if config.colours == "colour" else 1
    return UNet(channels, config.width, config.depth)
