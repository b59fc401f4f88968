"""BuildFormer: a path of attention that sees far, a path of convolutions that sees sharply.

After the description in "Building Extraction With Vision Transformer" (Wang, Fang, Meng, Li; IEEE
TGRS 2022, arXiv 2111.15637), in our own words and code.

As described: two paths; in the global one a pyramid of four stages at 1/4 to 1/32 of the size, of
transformer blocks whose multi-head self-attention is computed in windows at a cost that is linear
in the window; in the detailed one plain convolutions at a high resolution; both are joined.
Smaller: two blocks a stage, widths from ``width`` to 8 times ``width``, windows of 8.
Our own choice where the abstract says nothing: the kernel 1 + cos(q, k) in place of softmax (the
first two terms of its Taylor series for unit vectors), a depthwise convolution in each MLP that
lets windows see each other, a top-down pyramid as the decoder, logits at 1/4 enlarged.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

BLOCKS = 2  # of each stage
HEAD = 16  # channels of one head of attention, at most
GROUP = 8  # channels that are normalised together, about


class WindowAttention(nn.Module):
    """Attention among the pixels of a window. Shapes: (N, H, W, C) to the same.

    ``out_i = sum_j (1 + q_i k_j) v_j / sum_j (1 + q_i k_j)`` with q and k of length 1: the sums
    over j are formed once for all i.
    """

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.window, self.heads = window, max(1, width // HEAD)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what each pixel gathers."""
        size = x.shape[1:3]
        query, key = (
            functional.normalize(self._windows(one(x)).float(), dim=-1)  # fp16: 0 / 0 at padding
            for one in (self.query, self.key)
        )
        value = self._windows(self.value(x))
        there = self._windows(x.new_ones(1, *size, self.heads)).sum(-2, keepdim=True)
        there = there.repeat(x.shape[0], 1, 1, 1)  # padding is no pixel
        total = value.sum(-2, keepdim=True) + query @ (key.transpose(-1, -2) @ value)
        weight = there + query @ key.sum(-2, keepdim=True).transpose(-1, -2)
        gathered: torch.Tensor = self.out(self._whole(total / weight, x))
        return gathered

    def _windows(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) to (N * windows, heads, pixels, C / heads), padded with zeros."""
        side, (n, height, width, channels) = self.window, x.shape
        x = functional.pad(x, (0, 0, 0, -width % side, 0, -height % side))
        rows, columns = x.shape[1] // side, x.shape[2] // side
        x = x.view(n, rows, side, columns, side, self.heads, channels // self.heads)
        return x.permute(0, 1, 3, 5, 2, 4, 6).flatten(4, 5).flatten(0, 2)

    def _whole(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        side, (n, height, width, _) = self.window, like.shape
        rows, columns = -(-height // side), -(-width // side)
        x = x.view(n, rows, columns, self.heads, side, side, -1).permute(0, 1, 4, 2, 5, 3, 6)
        return x.flatten(5, 6).flatten(3, 4).flatten(1, 2)[:, :height, :width]


class Mix(nn.Module):
    """The MLP of a block, with a depthwise convolution inside. Shapes: (N, H, W, C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, 4 * width)
        self.near = nn.Conv2d(4 * width, 4 * width, 3, padding=1, groups=4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix channels and neighbours."""
        x = self.widen(x)
        x = functional.gelu(x + self.near(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        mixed: torch.Tensor = self.narrow(x)
        return mixed


class Block(nn.Module):
    """One transformer block. Shapes: (N, H, W, C)."""

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), WindowAttention(width, window)
        self.norm2, self.mix = nn.LayerNorm(width), Mix(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend, then mix."""
        x = x + self.attention(self.norm1(x))
        step: torch.Tensor = x + self.mix(self.norm2(x))
        return step


class Stage(nn.Module):
    """Shrinks, then attends. Shapes: (N, inside, H, W) to (N, width, H / 2, W / 2)."""

    def __init__(self, inside: int, width: int, window: int) -> None:
        super().__init__()
        self.shrink = nn.Conv2d(inside, width, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, window) for _ in range(BLOCKS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of this scale."""
        x = self.norm(self.shrink(x).permute(0, 2, 3, 1))
        for block in self.blocks:
            x = block(x)
        return x.permute(0, 3, 1, 2)


def convolved(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    """A convolution, normalised over groups of channels, rectified."""
    conv = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(max(1, outside // GROUP), outside), nn.ReLU())


class BuildFormer(nn.Module):
    """Shapes: (N, 3, H, W) to (N, 1, H, W), logits; H and W are multiples of 32."""

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        widths = [width * 2**depth for depth in range(4)]
        self.stem = convolved(3, width, 2)
        self.stages = nn.ModuleList(
            Stage(inside, outside, window)
            for inside, outside in zip([width, *widths], widths, strict=False)
        )
        self.details = nn.Sequential(
            convolved(3, width, 2), convolved(width, width),
            convolved(width, 2 * width, 2), convolved(2 * width, 2 * width),
        )  # fmt: skip
        self.laterals = nn.ModuleList(nn.Conv2d(one, 2 * width, 1) for one in widths)
        self.join = nn.Sequential(convolved(4 * width, 2 * width), convolved(2 * width, 2 * width))
        self.head = nn.Conv2d(2 * width, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of every pixel."""
        far, seen = self.stem(x), []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            far = stage(far)
            seen.append(lateral(far))
        context = seen.pop()
        while seen:
            below = seen.pop()
            context = below + enlarged(context, below)
        joined = self.join(torch.cat((context, self.details(x)), 1))
        return enlarged(self.head(joined), x)


def can_be(width: int) -> bool:
    """Whether the channels of every stage can be parted among heads and groups."""
    widths = [width * 2**depth for depth in range(4)]
    return all(one % max(1, one // HEAD) == 0 == one % max(1, one // GROUP) for one in widths)


def enlarged(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Bring features to the size of others, bilinearly."""
    return functional.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)
